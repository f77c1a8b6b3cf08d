"""The broker and the control workers on a bad day."""

from __future__ import annotations

import random
import time

import pytest

from tests.chaos.promise import ONE, Promise
from tests.chaos.proxy import Proxy, Request
from tests.chaos.requests import through
from tests.chaos.story import Case, Story
from tests.lab.lab import Lab
from tests.lab.sender import Sender
from tests.lab.sentinel import Sentinel
from tests.system.product import Product

ALL = ("control", "beat", "node_watch")


@pytest.mark.short
def test_redis_is_restarted_empty(lab: Lab, case: Case) -> None:
    """Redis is stopped when the first journal is written and comes back empty 5 s later: the
    rebuild ends all the same.
    """
    case("Redis down for 5 s in mid-rebuild, back empty", "the rebuild ends by itself")
    product = Product(lab)
    product.start(*ALL)
    promise = Promise(product)
    lab.kubectl("delete", "node", ONE)
    lab.world.wait("a journal is written", lambda: product.journals(), 30)
    lab.redis.stop()
    time.sleep(5)
    lab.redis.start()
    case.seconds = promise.wait(150)
    promise.check()
    case.seen = f"rebuilt on {promise.nodes()}"


@pytest.mark.short
def test_sentinel_chooses_another_master(story: Story) -> None:
    """The master is killed when the first journal is written, and Sentinel makes the replica
    master: the rebuild ends.
    """
    story.tell(
        "Redis with Sentinel: master killed (SIGKILL) in mid-rebuild",
        "the rebuild ends over the new master, by itself",
    )
    lab = story.lab
    with Sentinel(lab.redis, lab.network, lab.folder / "sentinel") as sentinel:
        promise = story.begin(env=sentinel.environment, node_env=sentinel.environment)
        story.delete_node()
        lab.world.wait("a journal is written", story.product.journals, 30)
        lab.redis.kill()
        story.mark()
        seconds = sentinel.wait_switched()
        story.product.redis = sentinel.replica
        promise.sender = Sender(sentinel.replica.url)
        story.end(f"new master after {seconds:.1f} s")


@pytest.mark.parametrize("how", ["with its data", "killed, back empty"])
def test_redis_is_restarted(story: Story, how: str) -> None:
    """Redis is restarted when the first journal is written: what was sent comes back, or is gone;
    it is done once either way.
    """
    story.tell(f"Redis restarted in mid-rebuild, away for 2 s, {how}", "the rebuild ends by itself")
    story.begin()
    story.delete_node()
    story.lab.world.wait("a journal is written", story.product.journals, 30)
    story.mark()
    if how == "with its data":
        story.lab.redis.restart_with_data(2)
    else:
        story.lab.redis.kill()
        time.sleep(2)
        story.lab.redis.start()
    story.end()


def test_redis_hangs(lab: Lab, case: Case) -> None:
    """Redis hangs for 20 s with its connections open, in mid-rebuild: the rebuild ends after
    that.
    """
    case(
        "Redis frozen for 20 s in mid-rebuild (connections stay open)", "the rebuild ends by itself"
    )
    product = Product(lab)
    product.start(*ALL)
    promise = Promise(product)
    lab.kubectl("delete", "node", ONE)
    lab.world.wait("a journal is written", lambda: product.journals(), 30)
    lab.redis.freeze()
    time.sleep(20)
    lab.redis.thaw()
    case.seconds = promise.wait(150)
    promise.check()
    case.seen = f"rebuilt on {promise.nodes()}"


def test_redis_is_emptied_again_and_again(lab: Lab, case: Case) -> None:
    """Redis is emptied every 0.2 s for 10 s from the deletion on: the rebuild ends all the same."""
    case("FLUSHALL every 0.2 s for 10 s of a rebuild", "the rebuild ends by itself")
    product = Product(lab)
    product.start(*ALL)
    promise = Promise(product)
    begun = time.monotonic()
    lab.kubectl("delete", "node", ONE)
    while time.monotonic() < begun + 10:
        lab.redis.flushall()
        time.sleep(0.2)
    case.seconds = promise.wait(150, since=begun)
    promise.check()
    case.seen = f"rebuilt on {promise.nodes()}"


@pytest.mark.parametrize("lock_ttl", ["30", "0.01"])
def test_two_workers_on_one_failover(lab: Lab, case: Case, lock_ttl: str) -> None:
    """Two control workers get the same task four times at once, with the lock and with one that
    delays no other worker: done once.
    """
    case(
        f"two control workers, the same rebuild 4 times at once and 4 resumes (lock_ttl {lock_ttl} "
        "s)",
        "done once",
    )
    product = Product(lab, lock_ttl=lock_ttl)
    product.start("control", "control")
    promise = Promise(product, count=5)
    lab.kubectl("delete", "node", ONE)
    begun = time.monotonic()
    ids = [promise.sender.send("carina.failover.rebuild_node", ONE) for _ in range(4)]
    time.sleep(2)
    for _ in range(4):
        promise.sender.send("carina.failover.resume")
    results = [product.result(one) for one in ids]
    left = product.journals()
    if left:
        promise.sender.send("carina.failover.resume")
    case.seconds = promise.wait(90, since=begun)
    promise.check()
    outcomes = sorted(one["outcome"] for one in results)
    case.seen = f"outcomes {outcomes}, {len(left)} left to a resume; rebuilt on {promise.nodes()}"


def test_the_control_worker_is_killed_five_times(lab: Lab, case: Case) -> None:
    """The control worker gets SIGKILL at five random writes of one rebuild, before or after the API
    server has it.
    """
    case(
        "control worker killed (SIGKILL) at 5 random writes of one rebuild of 6 volumes",
        "another ends it, from the journal",
    )
    with Proxy(lab.control_plane, lab.folder) as proxy:
        product = through(proxy, lab, lock_ttl="2")
        control = product.start(*ALL)[0]
        promise = Promise(product, count=6)
        dice, killed = random.Random(5), []
        begun = time.monotonic()
        lab.kubectl("delete", "node", ONE)
        for number in range(5):
            moment = proxy.at(
                nth_write(dice.randint(1, 9)),
                lambda c=control: c.signal(9),
                after=dice.random() < 0.5,
            )
            if number:
                promise.sender.send("carina.failover.rebuild_node", ONE)
                promise.sender.send("carina.failover.resume")
            moment.wait(60)
            killed.append(len(product.journals()))
            control = product.start("control", nodes=False)[0]
        case.seconds = promise.wait(150, since=begun)
        promise.check()
        case.seen = f"killed with {killed} journals open; rebuilt on {promise.nodes()}"


def nth_write(number: int):
    """Return what matches the `number`-th write of a volume's objects."""
    count = 0

    def match(request: Request) -> bool:
        nonlocal count
        count += request.verb in {"PATCH", "DELETE", "POST"} and "/events" not in request.path
        return count >= number

    return match
