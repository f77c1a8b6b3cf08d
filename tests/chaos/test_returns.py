"""A node that returns after its volumes moved."""

from __future__ import annotations

import time

import pytest

from tests.chaos.promise import ONE, TWO
from tests.chaos.proxy import Proxy, Request
from tests.chaos.story import Story
from tests.lab import kube as k
from tests.lab.world import pod


@pytest.mark.parametrize("disks", ["its old disks", "new disks"])
def test_a_node_returns_under_its_name(story: Story, disks: str) -> None:
    """A deleted node comes back with a new UID: nothing moves back by itself; when the new place is
    lost it is a target, and its old copies go to no pod.
    """
    story.tell(
        f"node deleted, its volumes moved, back under its name with a new UID and {disks}; then "
        "the new place is deleted",
        "nothing moves back by itself; then rebuilt there, not on the old copies",
    )
    promise = story.begin(only=TWO)
    node = story.lab.nodes[ONE]
    old = {lv["lv_uuid"] for lv in node.lvs(fields="lv_uuid")}
    uid = story.lab.kube.get(f"{k.NODES}/{ONE}")["metadata"]["uid"]
    story.delete_node(ONE)
    story.converge()
    if disks == "new disks":
        node.reset()
    assert story.lab.world.add_node(ONE)["metadata"]["uid"] != uid
    time.sleep(32)  # longer than the resume schedule
    assert promise.nodes() == {TWO: 3}, "nothing moves back by itself"
    assert story.product.journals() == []
    story.delete_node(TWO)
    promise.source = TWO
    story.converge()
    assert promise.nodes() == {ONE: 3}
    assert not old & set(story.uuids(ONE).values()), "an old copy was handed out"
    if disks == "its old disks":
        assert old <= {lv["lv_uuid"] for lv in node.lvs(fields="lv_uuid")}, (
            "the old copies lie in the trash"
        )
    story.end("still for 32 s; then new and empty on the node that had come back")


def test_old_copies_that_are_open_wait(story: Story) -> None:
    """A node thaws after its volumes moved, one old copy still mounted: closed copies go as
    orphans, the open one when it is closed.
    """
    story.tell(
        "node frozen, its volumes moved, thawed with one old copy still mounted",
        "closed copies go as orphans; the open one stays until it is closed; nothing moves back",
    )
    promise = story.begin(migrate="true", pods=3)
    node, held = story.lab.nodes[ONE], f"volume-{promise.moving[0]}"
    node.mount(held)
    node.freeze()
    story.lab.kubelets[ONE].silence()
    story.mark()
    story.converge()
    where = promise.nodes()
    node.thaw()
    story.lab.kubelets[ONE].resume()
    story.lab.world.wait("the node is Ready", lambda: story.lab.world.ready(ONE) == "True", 30)
    story.lab.world.wait(
        "its worker lives", lambda: story.lab.redis.client.exists(f"alive.{ONE}"), 30
    )
    removed = promise.sweep(4)
    assert node.lv_sizes().keys() == {held}, removed
    assert promise.nodes() == where
    node.unmount(held)
    assert promise.sweep(3) == [f"{ONE} carina-vg-hdd/{held}"]
    story.end("2 went, the mounted one after it was unmounted")


def test_a_failover_is_cut_off_between_the_journals_of_one_pod(story: Story, proxy: Proxy) -> None:
    """The control worker dies with one of two journals written, and the node comes back: both
    volumes go, to one node.
    """
    story.tell(
        "control worker killed between the journals of one pod's two volumes, and the node comes "
        "back",
        "both volumes are rebuilt on one node",
    )
    promise = story.begin(count=2, pods=0, lock_ttl="2")
    claims = ["data-0", "data-1"]
    story.lab.kube.create(k.pods(), pod("pod-both", claims, on=ONE, migrate="true"))
    story.lab.world.wait("the pod runs", lambda: story.lab.world.phase("pod-both") == "Running", 30)
    journalled: set[str] = set()

    def second(request: Request) -> bool:
        """Match the journal of the other volume, once one is written."""
        if request.writes_journal:
            journalled.add(request.path)
        return len(journalled) == 2

    cut_off = proxy.at(second, story.control.kill, dropped=True)
    node, kubelet = story.lab.nodes[ONE], story.lab.kubelets[ONE]
    node.freeze()
    kubelet.silence()
    cut_off.wait()
    assert len(story.product.journals()) == 1
    node.thaw()
    kubelet.resume()
    story.lab.world.wait("the node is Ready", lambda: story.lab.world.ready(ONE) == "True", 30)
    story.mark()
    story.control = story.product.start("control", nodes=False)[0]
    promise.sender.send("carina.failover.resume")
    story.converge()
    assert len(promise.nodes()) == 1
    story.end("the second followed the first")
