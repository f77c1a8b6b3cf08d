"""The API server and kube-controller-manager on a bad day."""

from __future__ import annotations

import random
import time

import pytest

from tests.chaos.promise import GIB, ONE, TWO
from tests.chaos.proxy import Json, Proxy
from tests.chaos.stand_ins import Loop
from tests.chaos.story import Story

LISTS = "0"
"""WATCH_STALE_AFTER of a control worker that never watches: it lists, as it does when its watches
show nothing.
"""


def test_the_api_server_is_down_in_mid_rebuild(story: Story) -> None:
    """kube-apiserver stops when the first journal is written, for 30 s: every volume comes back, by
    itself.
    """
    story.tell(
        "API server stopped for 30 s in mid-rebuild", "the rebuild ends by itself after it is back"
    )
    # When it is back all nodes are NotReady until their Leases are renewed: longer than the 3 s of
    # the other cases.
    story.begin(not_ready_after="30")
    story.delete_node()
    story.wait_journal()
    story.lab.control_plane.stop_apiserver()
    time.sleep(30)
    story.lab.control_plane.start_apiserver()
    story.mark()
    story.end()


def test_the_api_server_answers_500_at_random(story: Story, proxy: Proxy) -> None:
    """A third of all answers are 500 for 20 s from the deletion on: every volume comes back, and
    sweeps remove nothing.
    """
    story.tell(
        "a third of the API's answers are 500 for 20 s, rebuild and sweeps",
        "rebuilt; nothing else removed",
    )
    promise = story.begin()
    dice, end = random.Random(1), time.monotonic() + 20
    proxy.refuse = lambda _: 500 if time.monotonic() < end and dice.random() < 0.33 else 0
    story.delete_node()
    with Loop(1, lambda: promise.sender.send("carina.sweep.local_volumes")):
        time.sleep(20)
    assert proxy.refused > 10
    story.end(f"{proxy.refused} answers were 500")


def test_answers_to_writes_are_lost(story: Story, proxy: Proxy) -> None:
    """Half of the writes are done and their answers lost, for 20 s from the deletion on: done once,
    and it ends.
    """
    story.tell(
        "half of the writes to the API server are done but answered 504, for 20 s of a rebuild",
        "done once; rebuilt",
    )
    promise = story.begin(count=5)
    dice, end = random.Random(6), time.monotonic() + 20
    proxy.lose = lambda request: (
        request.verb != "GET" and time.monotonic() < end and dice.random() < 0.5
    )
    story.delete_node()
    with Loop(2, lambda: promise.sender.send("carina.failover.resume")):
        time.sleep(20)
    assert proxy.lost > 5
    story.end(f"{proxy.lost} answers lost")


@pytest.mark.short
def test_lists_are_cut_short(story: Story, proxy: Proxy) -> None:
    """Lists of LogicVolumes and PVs lack items at random during sweeps and a rebuild: nothing that
    is owned goes.
    """
    story.tell(
        "lists of LogicVolumes and PVs lack half their items, in 15 s of sweeps and in a rebuild",
        "no owned LV or LogicVolume removed; rebuilt",
    )
    promise = story.begin(count=4, watch_stale_after=LISTS)
    before = story.uuids(ONE)
    proxy.edit = cut(random.Random(2), "logicvolumes", "persistentvolumes")
    with Loop(
        1,
        lambda: [
            promise.sender.send(f"carina.sweep.{what}_volumes") for what in ("local", "logic")
        ],
    ):
        time.sleep(15)
        assert story.uuids(ONE) == before
        story.delete_node()
        story.converge()
    proxy.edit = whole
    assert proxy.edited > 10
    story.end(f"{proxy.edited} lists cut")


def test_lists_of_nodes_are_cut_short(story: Story, proxy: Proxy) -> None:
    """Lists of nodes lack nodes during sweeps and resumes: no living node's volume moves."""
    story.tell(
        "lists of nodes lack half their items for 15 s of sweeps and resumes",
        "nothing moves, nothing is removed, no alert fires",
    )
    promise = story.begin("control", "node_watch", watch_stale_after=LISTS)
    before = story.uuids(ONE)
    proxy.edit = cut(random.Random(3), "nodes")
    tasks = ("carina.failover.resume", "carina.sweep.local_volumes", "carina.sweep.logic_volumes")
    with Loop(1, lambda: [promise.sender.send(task) for task in tasks]):
        time.sleep(15)
    proxy.edit = whole
    time.sleep(3)
    state = ("-n", "kube-system", "get", "cm", "carina-tasks-state", "-o", "jsonpath={.data}")
    latch = story.lab.kubectl(*state, check=False)
    assert "latched" not in latch
    story.mark()
    assert proxy.edited > 5
    story.end(f"{proxy.edited} lists cut; not latched", timeout=30, away=False)
    assert promise.nodes() == {ONE: 3}
    assert story.uuids(ONE) == before


def test_an_orphan_still_goes_behind_cut_lists(story: Story, proxy: Proxy) -> None:
    """With lists cut short an orphan is removed and its owned neighbours, which look like orphans
    half the time, stay.
    """
    story.tell(
        "lists cut short while one real orphan is beside owned LVs",
        "the orphan goes, and it alone",
    )
    promise = story.begin("control", watch_stale_after=LISTS)
    story.lab.nodes[TWO].create_lv("volume-orphan", GIB)
    proxy.edit = cut(random.Random(4), "logicvolumes", "persistentvolumes")
    with Loop(1, lambda: promise.sender.send("carina.sweep.local_volumes")):
        story.lab.world.wait(
            "the orphan is gone", lambda: "volume-orphan" not in story.lab.lvs()[TWO], 60
        )
    proxy.edit = whole
    story.end(f"{proxy.edited} lists cut; the orphan alone went", away=False)
    assert promise.nodes() == {ONE: 3}


def test_the_controller_manager_is_down(story: Story) -> None:
    """kube-controller-manager is down for 30 s from the first journal on: claims cannot bind, and
    bind afterwards.
    """
    story.tell(
        "kube-controller-manager down for 30 s in mid-rebuild",
        "claims wait, then all are Bound and Success",
    )
    story.begin()
    story.delete_node()
    story.wait_journal()
    story.lab.control_plane.stop_controller_manager()
    time.sleep(30)
    waiting = len(story.product.journals())
    story.lab.control_plane.start_controller_manager()
    story.mark()
    story.end(f"{waiting} of 3 waited")


def cut(dice: random.Random, *kinds: str):
    """Return what leaves each item of lists of these kinds out, half the time; the list stays
    valid.
    """

    def edit(path: str, found: Json) -> None:
        if path.rsplit("/", 1)[-1] in kinds:
            found["items"] = [one for one in found.get("items") or () if dice.random() < 0.5]

    return edit


def whole(_path: str, _list: Json) -> None:
    """Leave a list as it is."""
