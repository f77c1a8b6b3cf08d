"""S1, S2, S3 on the embedded default: what the sweeps remove, and what they leave alone."""

from __future__ import annotations

import time

import pytest

from carina_tasks.demo.acts.scene import wait_out_the_schedule
from carina_tasks.demo.nodes import GROUP, OTHER_GROUP
from carina_tasks.kube import paths
from carina_tasks.model import well_known
from tests.integration.embedded import GIB, ONE, TWO, Embedded

ORPHAN, OPEN, FOREIGN = "volume-pvc-orphan", "volume-pvc-open", "backup-pvc-x"


@pytest.fixture(autouse=True)
def _between_two_sweeps() -> None:
    """Keep away from the tenth minutes, at which beat sends sweeps of its own."""
    wait_out_the_schedule(15)


def test_an_orphan_is_marked_then_removed(embedded: Embedded) -> None:
    """S1: an LV without a LogicVolume is marked by one sweep and removed by a later one; whatever
    differs in one point stays.
    """
    owned = embedded.volume("data", ONE)
    node = embedded.nodes[ONE]
    for name, group in ((ORPHAN, GROUP), (OPEN, GROUP), (FOREIGN, GROUP), (ORPHAN, OTHER_GROUP)):
        node.create(name, GIB, group)
    node.open(OPEN)
    first = embedded.sweep()[ONE]
    assert first["marked"] == [f"{GROUP}/{ORPHAN}"]
    assert "trashed" not in first
    orphan = node.find(ORPHAN)
    assert orphan is not None
    assert orphan.marked_at
    time.sleep(2)
    second = embedded.sweep()[ONE]
    assert second["trashed"] == [f"{GROUP}/{ORPHAN}"]
    left = {(v.group, v.name) for v in node.inventory().volumes if v.trashed is None}
    assert left == {
        (GROUP, f"volume-{owned}"),
        (GROUP, OPEN),
        (GROUP, FOREIGN),
        (OTHER_GROUP, ORPHAN),
    }


def test_a_mark_is_taken_off_when_the_volume_is_wanted_again(embedded: Embedded) -> None:
    """S1: an LV that was marked and has a LogicVolume by the next sweep loses its mark and
    stays.
    """
    embedded.nodes[ONE].create("volume-late", GIB)
    assert embedded.sweep()[ONE]["marked"] == [f"{GROUP}/volume-late"]
    body = {
        "spec": {
            "nodeName": ONE,
            "size": "1Gi",
            "deviceGroup": GROUP,
            "pvc": "c",
            "nameSpace": "default",
        }
    }
    meta = {
        "metadata": {
            "name": "late",
            "annotations": {well_known.MANAGE_TYPE: well_known.MANAGE_TYPE_LVM},
        }
    }
    kind = {"apiVersion": "carina.storage.io/v1", "kind": "LogicVolume"}
    embedded.api.create(paths.LOGIC_VOLUMES, {**kind, **meta, **body})
    time.sleep(2)
    assert embedded.sweep()[ONE]["unmarked"] == [f"{GROUP}/volume-late"]
    found = embedded.nodes[ONE].find("volume-late")
    assert found is not None
    assert found.marked_at is None


def test_a_logic_volume_without_a_volume_is_deleted(embedded: Embedded) -> None:
    """S2: it goes, and its LV by S1; one with a PV, a younger one, one with an owner and a raw one
    stay.
    """
    kept = embedded.volume("data", ONE)
    owner = {
        "apiVersion": "carina.storage.io/v1",
        "kind": "LogicVolume",
        "name": "x",
        "uid": "0f1c9d0e-0000-4000-8000-0",
    }
    embedded.logic_volume("doomed", ONE)
    embedded.logic_volume("owned", ONE, ownerReferences=[owner])
    embedded.logic_volume("raw", ONE, annotations={well_known.MANAGE_TYPE: "raw"})
    time.sleep(5)
    embedded.logic_volume("young", ONE)
    assert embedded.call("carina.sweep.logic_volumes")["deleted"] == ["doomed"]
    assert set(embedded.table()) == {kept, "owned", "raw", "young"}
    assert embedded.sweep()[ONE]["marked"] == [f"{GROUP}/volume-doomed"]
    time.sleep(2)
    assert embedded.sweep()[ONE]["trashed"] == [f"{GROUP}/volume-doomed"]
    left = {v.name for v in embedded.nodes[ONE].inventory().volumes if v.trashed is None}
    assert left == {f"volume-{name}" for name in (kept, "owned", "raw", "young")}


def test_what_was_removed_comes_back(embedded: Embedded) -> None:
    """Undo: what a sweep removed is listed, comes back as the same LV, also while paused, and the
    sweeps leave it alone.
    """
    node = embedded.nodes[ONE]
    before = node.create("volume-pvc-mistake", GIB)
    embedded.sweep()
    time.sleep(2)
    assert embedded.sweep()[ONE]["trashed"] == [f"{GROUP}/volume-pvc-mistake"]
    (lying,) = embedded.call("carina.trash.list", ONE)["volumes"]
    assert (lying["name"], lying["trash"]) == ("volume-pvc-mistake", f"trash-{before.uuid}")
    result = embedded.call("carina.trash.restore", ONE, "pvc-mistake")
    assert "neither LogicVolume nor PersistentVolume" in result["advice"]
    back = node.find("volume-pvc-mistake")
    assert back is not None
    assert (back.uuid, back.active) == (before.uuid, True)
    assert embedded.call("carina.trash.list", ONE) == {"volumes": [], "silent": []}
    time.sleep(2)
    assert "marked" not in embedded.sweep()[ONE]


def test_a_missing_local_volume_is_reported(embedded: Embedded) -> None:
    """S3: a LogicVolume that is Success and whose LV is gone is reported by result and Event, and
    never created again.
    """
    lost, kept = embedded.volume("lost", ONE), embedded.volume("kept", TWO)
    embedded.nodes[ONE].remove(f"volume-{lost}")
    result = embedded.sweep()
    assert result[ONE]["missing"] == [lost]
    assert "missing" not in result[TWO]
    events = [event["reason"] for event in embedded.world.events("LogicVolume", lost)]
    assert events == ["LocalVolumeMissing"]
    assert embedded.world.events("LogicVolume", kept) == []
    assert embedded.sizes()[ONE] == {}
