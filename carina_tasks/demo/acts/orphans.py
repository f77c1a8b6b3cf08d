"""Act three: what the sweeps remove, what they keep, and how to restore an LV.

Both run every ten minutes by the clock (``beat_schedule.py``); here they are called, as an operator
calls them.
"""

from __future__ import annotations

import time
from typing import Any

from carina_tasks.demo import manifests
from carina_tasks.demo.acts.scene import Scene, wait_out_the_schedule
from carina_tasks.demo.acts.silent import SILENT_NODE, THIRD_NODE
from carina_tasks.demo.nodes import GROUP, OTHER_GROUP
from carina_tasks.kube import paths
from carina_tasks.model import quantity, task_names

ORPHAN = "volume-pvc-00000000-0000-4000-8000-00000000000a"
OPEN = "volume-pvc-00000000-0000-4000-8000-00000000000b"
ELSEWHERE = "volume-pvc-00000000-0000-4000-8000-00000000000c"
FOREIGN = "backup-of-somebody"
WITHOUT_PV = "pvc-00000000-0000-4000-8000-00000000000d"
WITHOUT_LV = "data-lost-0"
LOCAL_SWEEP, LOGIC_SWEEP = task_names.SWEEP_LOCAL_VOLUMES, task_names.SWEEP_LOGIC_VOLUMES
SWEEPING = 25.0
"""Seconds in which a sweep removes what it may remove."""


def play(scene: Scene) -> None:
    """Make orphans and what looks like orphans, sweep, and look."""
    screen, world, node = scene.screen, scene.world, scene.stage.nodes[THIRD_NODE]
    wait_out_the_schedule(15, screen.progress)
    screen.progress(
        f"node {SILENT_NODE} comes back, with the old copies of what moved away still on its disks"
    )
    scene.stage.power_on(SILENT_NODE)
    stale = set(scene.stage.nodes[SILENT_NODE].sizes()) & set(node.sizes())
    missing = _make(scene)
    _show_local(scene)
    world.wait(f"{SILENT_NODE} is Ready", lambda: world.ready(SILENT_NODE) == "True")
    scene.stage.wait_ready()
    time.sleep(float(scene.stage.env["CARINA_TASKS_ORPHAN_GRACE"]) + 1)

    screen.say("the schedule's sweeps come at every tenth minute; here they are called:")
    logic = scene.call(LOGIC_SWEEP)
    screen.progress(f"deleted: {', '.join(logic.get('deleted', ()))}")
    first = scene.call(LOCAL_SWEEP)
    marked = _all(first, "marked")
    screen.progress(f"marked: {', '.join(marked)}")
    there = node.find(ORPHAN)
    # What no sweep has marked will not be removed either, so there is no waiting for it.
    wanted = {f"{GROUP}/{name}" for name in (ORPHAN, f"volume-{WITHOUT_PV}", *stale)} & set(marked)
    removed = _sweep_until_removed(scene, wanted)
    _show_local(scene)

    gone = node.find(ORPHAN) is None
    screen.promise(
        "S1",
        "an LV without LogicVolume: marked by one sweep, removed by a later one, into the trash",
        f"{GROUP}/{ORPHAN}" in marked
        and there is not None
        and gone
        and f"{GROUP}/{ORPHAN}" in removed,
    )
    screen.progress("that was a mistake: the operator restores it")
    scene.call(task_names.RESTORE, THIRD_NODE, ORPHAN)
    back = node.find(ORPHAN)
    screen.promise(
        "S1",
        "what was removed is brought back by `carina restore`, the same LV with its data",
        there is not None and back is not None and back.uuid == there.uuid and back.active,
    )
    others = {
        "open": (OPEN, GROUP),
        "in another VG": (ELSEWHERE, OTHER_GROUP),
        "of another prefix": (FOREIGN, GROUP),
    }
    lost = [what for what, (name, group) in others.items() if node.find(name, group) is None]
    owned = {
        f"volume-{logic_volume.name}"
        for logic_volume in world.volumes().values()
        if logic_volume.node == THIRD_NODE
    } - {f"volume-{missing}"}
    kept = not lost and owned <= node.sizes().keys()
    screen.promise(
        "S1",
        "one that is open, in another VG, of another prefix, or with a LogicVolume stays",
        kept,
        ", ".join(lost),
    )
    left = stale & scene.stage.nodes[SILENT_NODE].sizes().keys()
    screen.promise(
        "S1",
        f"the old copies on {SILENT_NODE}, which returned, are removed",
        bool(stale) and not left,
    )
    logic_volumes = world.volumes()
    screen.promise(
        "S2",
        "a LogicVolume without a PV is deleted, and its local volume after it",
        WITHOUT_PV not in logic_volumes and node.find(f"volume-{WITHOUT_PV}") is None,
    )
    told = [e for e in world.events("LogicVolume", missing) if e["reason"] == "LocalVolumeMissing"]
    reported = (
        missing in _all(first, "missing") and bool(told) and node.find(f"volume-{missing}") is None
    )
    screen.promise(
        "S3", "a LogicVolume whose LV is gone is reported missing, and not created again", reported
    )


def _make(scene: Scene) -> str:
    """Make what the sweeps shall find; return the name of the LogicVolume whose LV is missing."""
    world, node = scene.world, scene.stage.nodes[THIRD_NODE]
    node.create(ORPHAN, quantity.GIB)
    node.create(OPEN, quantity.GIB)
    node.open(OPEN)
    node.create(ELSEWHERE, quantity.GIB, OTHER_GROUP)
    node.create(FOREIGN, quantity.GIB)
    world.api.create(
        paths.LOGIC_VOLUMES, manifests.logic_volume(WITHOUT_PV, THIRD_NODE, "2Gi", "data-nobody-0")
    )
    lv = node.create(f"volume-{WITHOUT_PV}", 2 * quantity.GIB)
    status = manifests.logic_volume_status(WITHOUT_PV, "2Gi", lv.major, lv.minor)
    world.api.merge(paths.logic_volume(WITHOUT_PV) + "/status", status)
    world.claim(WITHOUT_LV, "1Gi", THIRD_NODE)
    world.wait("the claim is Bound", lambda: world.claims()[WITHOUT_LV].phase == "Bound")
    missing = world.claims()[WITHOUT_LV].pv_name
    node.remove(f"volume-{missing}")
    return missing


def _sweep_until_removed(scene: Scene, wanted: set[str]) -> list[str]:
    """Call the sweep until all of `wanted` are removed, or for SWEEPING; return the removed."""
    removed: list[str] = []
    end = time.monotonic() + SWEEPING
    age = float(scene.stage.env["CARINA_TASKS_ORPHAN_MARK_AGE"])
    while time.monotonic() < end and not wanted <= set(removed):
        # A mark must stand for a while before the volume goes.
        time.sleep(age + 1 if not removed else 1)
        removed += _all(scene.call(LOCAL_SWEEP), "trashed")
        scene.screen.progress(f"removed so far: {', '.join(removed) or 'nothing'}")
    return removed


def _all(result: Any, what: str) -> list[str]:
    return [name for node in result["nodes"] for name in node.get(what, ())]


def _show_local(scene: Scene) -> None:
    for name in (THIRD_NODE, SILENT_NODE):
        scene.screen.command(f"lvs -o vg_name,lv_name,lv_size        # on {name}")
        rows = [["VG", "LV", "LSIZE", "OPEN"]]
        for lv in scene.stage.nodes[name].inventory().volumes:
            rows.append(
                [lv.group, lv.name, f"{lv.size / quantity.GIB:.2f}g", "open" if lv.is_open else ""]
            )
        scene.screen.table(rows)
