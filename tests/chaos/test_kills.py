"""SIGKILL of real worker processes at chosen steps: at each write of a control worker, and in
mid-lvm on a node.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable

import pytest

from tests.chaos.promise import GIB, ONE, TOUCH, TWO
from tests.chaos.proxy import Proxy, Request
from tests.chaos.stand_ins import Loop
from tests.chaos.story import Story
from tests.lab import kube as k
from tests.lab.lab import Lab
from tests.lab.uml.node import UmlNode
from tests.system.product import JOURNAL

Match = Callable[[Request], bool]
WAYS = {"before": {"dropped": True}, "late": {"late": 5.0}, "after": {"after": True}}
"""The API server never gets the write; gets it 5 s after its sender's death, when another is at it;
has it.
"""

REBUILD: dict[str, Match] = {
    "journal": lambda r: r.writes_journal,
    "status cleared": lambda r: r.path.endswith("/status") and _status(r) == "",
    "policy Retain": lambda r: bool(
        (r.fields.get("spec") or {}).get("persistentVolumeReclaimPolicy")
    ),
    "PV deleted": lambda r: r.deletes_pv,
    "PV's finalizers off": lambda r: _of_pv(r) and "finalizers" in r.fields.get("metadata", {}),
    "PV made": lambda r: r.creates_pv,
    "claim touched": lambda r: bool(r.annotations.get(TOUCH)),
    "touch off": lambda r: TOUCH in r.annotations and r.annotations[TOUCH] is None,
    "status Success": lambda r: r.path.endswith("/status") and _status(r) == "Success",
    "journal off": lambda r: JOURNAL in r.annotations and r.annotations[JOURNAL] is None,
}
"""The writes of a rebuild, in their order. Its pods are not among them: Kubernetes collects those
of a deleted node itself.
"""

MIGRATE: dict[str, Match] = {
    **{what: REBUILD[what] for what in ("journal", "status cleared", "PV deleted", "PV made")},
    "pod evicted": lambda r: r.verb == "DELETE" and "/pods/" in r.path,
    "journal off": REBUILD["journal off"],
}

LOGIC_SWEEP: dict[str, Match] = {
    "LogicVolume deleted": lambda r: r.verb == "DELETE" and "/logicvolumes/" in r.path,
    "its finalizer off": lambda r: (
        "/logicvolumes/" in r.path and "finalizers" in r.fields.get("metadata", {})
    ),
}
LOCAL_SWEEP: dict[str, Match] = {
    "orphan about to go": lambda r: r.verb == "GET" and r.path == f"{k.PVS}/orphan",
    "its removal told": lambda r: (
        r.verb != "GET" and "/events" in r.path and b"OrphanTrashed" in r.body
    ),
}

HOLDING_LVM = """#!/bin/sh
# One lvm shell (no arguments: a batch) waits while /run/held exists; /run/hold asks for it.
if [ $# -eq 0 ] && mv /run/hold /run/held 2>/dev/null; then
  while [ -e /run/held ]; do sleep 0.05; done
fi
exec /usr/sbin/lvm "$@"
"""


@pytest.mark.parametrize("kind", ["rebuild", "migrate"])
def test_the_control_worker_is_killed_at_each_write(story: Story, proxy: Proxy, kind: str) -> None:
    """One failover in which the control worker gets SIGKILL at each kind of write, in three ways:
    another ends it.
    """
    steps = REBUILD if kind == "rebuild" else MIGRATE
    story.tell(
        f"control worker killed at each of {len(steps)} kinds of write of a {kind}: before, after, "
        "arriving 5 s late",
        "another continues each time; done once",
    )
    promise = story.begin(only=TWO, count=4, pods=4, migrate="true", lock_ttl="2", concurrency="1")
    if kind == "rebuild":
        story.delete_node()
    else:
        story.lab.kill_node(ONE)
    tasks = ((f"carina.failover.{kind}_node", ONE), ("carina.failover.resume",))
    with Loop(2, lambda: [promise.sender.send(*task) for task in tasks]):
        kill_at_each(story, steps)
        story.mark()
        story.converge()
    story.end(f"{len(steps) * len(WAYS)} kills", gone=(ONE,) if kind == "migrate" else ())


def test_the_control_worker_is_killed_in_a_sweep_of_logic_volumes(
    story: Story, proxy: Proxy
) -> None:
    """A sweep's worker gets SIGKILL at each write by which LogicVolumes without PV go: they go, and
    they alone.
    """
    story.tell(
        "control worker killed at each write of a sweep of LogicVolumes, in three ways",
        "what has no PV goes, alone",
    )
    promise = story.begin("control", source=TWO)
    for number in range(6):
        story.product.add_logic_volume(f"bait-{number}", ONE)
    with Loop(1, lambda: promise.sender.send("carina.sweep.logic_volumes")):
        kill_at_each(story, LOGIC_SWEEP)
        story.mark()
        story.lab.world.wait(
            "all without PV are gone",
            lambda: not any(name.startswith("bait") for name in story.product.logic_volumes()),
            60,
        )
    story.end(f"{len(LOGIC_SWEEP) * len(WAYS)} kills, 6 LogicVolumes gone", away=False)


def test_the_control_worker_is_killed_in_a_sweep_of_local_volumes(
    story: Story, proxy: Proxy
) -> None:
    """A sweep's worker gets SIGKILL before and after it asks for a removal, and as it tells it:
    only orphans go.
    """
    story.tell(
        "control worker killed in a sweep of local volumes: as a removal is asked for, as it is "
        "told",
        "orphans go, alone",
    )
    promise = story.begin("control", source=TWO)
    node = story.lab.nodes[TWO]
    with Loop(1, lambda: promise.sender.send("carina.sweep.local_volumes")):
        for what, match in LOCAL_SWEEP.items():
            for way in ("before", "after"):
                # A worker that has just told of an orphan of this node is silent for 30 s
                # (`SOONEST`): a new one is not.
                story.control.kill()
                story.control = story.product.start("control", nodes=False)[0]
                node.create_lv("volume-orphan", GIB)
                kill_at_each(story, {what: match}, (way,))
                story.mark()
                story.lab.world.wait(
                    "the orphan is gone", lambda: "volume-orphan" not in node.lv_sizes(), 60
                )
    story.end("4 kills, 4 orphans gone", away=False)


def test_the_node_worker_is_killed_with_lvcreate_under_way(story: Story, proxy: Proxy) -> None:
    """The target's worker dies with its lvm at work, another makes the LVs, then the old lvm goes
    on: one LV each.
    """
    story.tell(
        "target's worker killed in mid-lvcreate; its lvm continues after the next worker",
        "one LV each",
    )
    node = hold_lvm(story.lab)
    promise = story.begin(
        only=TWO, node_deadline="6", node_env={"CARINA_TASKS_LVM_COMMAND": "/run/lvm"}
    )
    node.run("touch", "/run/hold")
    story.delete_node()
    held(story.lab, node)
    node.kill_worker()
    story.converge()
    node.run("rm", "/run/held")
    time.sleep(2)
    story.end(f"{len(promise.moving)} LVs, each made once")


def test_the_node_worker_is_killed_with_lvremove_under_way(story: Story, proxy: Proxy) -> None:
    """A node's worker dies with its lvm about to remove an orphan; it continues later, or another
    does: only the orphan goes.
    """
    story.tell(
        "node's worker killed in mid-lvremove, its lvm continues 5 s later",
        "the orphan goes, it alone",
    )
    node = hold_lvm(story.lab)
    promise = story.begin(
        "control", source=TWO, node_deadline="6", node_env={"CARINA_TASKS_LVM_COMMAND": "/run/lvm"}
    )
    node.create_lv("volume-orphan", GIB)
    story.product.result(promise.sender.send("carina.sweep.local_volumes"))
    time.sleep(3)
    node.run("touch", "/run/hold")
    promise.sender.send("carina.sweep.local_volumes")
    held(story.lab, node)
    node.kill_worker()
    time.sleep(5)
    assert "volume-orphan" in node.lv_sizes()
    node.run("rm", "/run/held")
    story.mark()
    with Loop(1, lambda: promise.sender.send("carina.sweep.local_volumes")):
        story.lab.world.wait(
            "the orphan is gone", lambda: "volume-orphan" not in node.lv_sizes(), 60
        )
    story.end("the orphan went", away=False)


def kill_at_each(
    story: Story, steps: dict[str, Match], ways: tuple[str, ...] = tuple(WAYS)
) -> None:
    """Kill the control worker at each step in each way, and start another each time."""
    assert story.proxy
    for (what, match), way in itertools.product(steps.items(), ways):
        moment = story.proxy.at(match, lambda: story.control.signal(9), **WAYS[way])
        try:
            moment.wait(90)
        except AssertionError as error:
            raise AssertionError(f"{what}, {way}: {error}") from error
        story.control = story.product.start("control", nodes=False)[0]


def hold_lvm(lab: Lab) -> UmlNode:
    """Put the lvm that can be held on every node; return the second node, which is to be held."""
    for node in lab.nodes.values():
        node.run("rm", "-f", "/run/hold", "/run/held")
        node.run("sh", "-c", "cat > /run/lvm && chmod +x /run/lvm", stdin=HOLDING_LVM)
    return lab.nodes[TWO]


def held(lab: Lab, node: UmlNode) -> None:
    """Wait until an lvm is held."""
    lab.world.wait(
        "lvm is held", lambda: node.run("test", "-e", "/run/held", check=False).returncode == 0, 60
    )


def _status(request: Request) -> str | None:
    return (request.fields.get("status") or {}).get("status")


def _of_pv(request: Request) -> bool:
    return request.verb == "PATCH" and request.path.startswith(f"{k.PVS}/")
