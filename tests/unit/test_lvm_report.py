"""Reading lvm's report: recorded ones from real lvm2, and broken ones."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from carina_tasks.errors import LvmReportUnreadable
from carina_tasks.lvm.report import parse
from carina_tasks.model.local import Inventory, LocalVolume
from carina_tasks.model.quantity import GIB

REPORTS = Path(__file__).parent / "lvm_reports"
VG = "carina-vg-hdd"


def recorded(name: str) -> Inventory:
    """Return a recorded report as an inventory."""
    return parse((REPORTS / f"{name}.json").read_text(), "n1")


def volume(inventory: Inventory, name: str) -> LocalVolume:
    """Return a volume that must be in the inventory."""
    found = inventory.find(VG, name)
    assert found is not None, name
    return found


def test_a_plain_volume_is_read_whole():
    """Name, size, tags, device numbers and age of a marked LV of ours."""
    found = volume(recorded("exotic"), "volume-pvc-b")
    assert (found.size, found.layout, found.role, found.is_open, found.active) == (GIB, "linear", "public", False, True)
    assert found.intent == "9b2cbb3d-88f0-4b0c-a3ca-0c2b0d3f1f6b"
    assert found.marked_at == 1700000000
    assert (found.major, found.minor) == (254, 1)
    assert found.created > 1700000000


def test_open_and_inactive():
    """A held LV is open; an inactive one has no device that anybody could hold, so it is closed."""
    inventory = recorded("exotic")
    assert volume(inventory, "volume-pvc-open").is_open
    inactive = volume(inventory, "volume-pvc-off")
    assert (inactive.is_open, inactive.active, inactive.major) == (False, False, -1)


def test_without_a_device_mapper_everything_counts_as_open():
    """Unknown is never closed."""
    assert all(v.is_open and not v.active for v in recorded("no_device_mapper").volumes)


def test_thin_volumes_know_how_many_share_their_pool():
    """A volume alone in its pool, and one of three."""
    inventory = recorded("exotic")
    alone, shared = volume(inventory, "volume-pvc-t1"), volume(inventory, "volume-pvc-t2")
    assert (alone.pool, alone.pool_volumes, alone.layout) == ("thin-pvc-t1", 1, "thin,sparse")
    assert (shared.pool, shared.pool_volumes) == ("thin-pvc-t2", 3)
    assert volume(inventory, "thin-pvc-t1").layout == "thin,pool"


def test_exotic_kinds_are_told_apart():
    """Origin, snapshot, raid and cache are in the inventory and are not plain."""
    inventory = recorded("exotic")
    assert volume(inventory, "volume-pvc-origin").role == "public,origin,thickorigin"
    assert volume(inventory, "snap").role == "public,snapshot,thicksnapshot"
    assert volume(inventory, "volume-pvc-raid").layout == "raid,raid1"
    assert volume(inventory, "volume-pvc-cached").layout == "cache"


@pytest.mark.parametrize("name", ["partial", "exported"])
def test_a_group_that_lvm_cannot_use_keeps_its_volumes_and_offers_no_space(name: str):
    """A VG with a lost disk, and an exported one: nothing is missing from the list, nothing can be placed there."""
    inventory = recorded(name)
    assert {v.name for v in inventory.volumes} == {v.name for v in recorded("exotic").volumes}
    assert inventory.groups[0].free == 0
    assert inventory.groups[0].size > 0


def test_two_groups_of_one_name():
    """Both are listed, both volumes too, and neither offers space."""
    inventory = recorded("duplicate")
    assert [(g.name, g.free) for g in inventory.groups] == [(VG, 0), (VG, 0)]
    assert len({v.uuid for v in inventory.volumes}) == 2


def test_no_group_no_volume():
    """An empty node, a disk in no VG, and a VG without volumes."""
    assert recorded("empty").groups == recorded("orphan_pv").groups == ()
    bare = recorded("bare")
    assert bare.volumes == ()
    assert bare.groups[0].free == bare.groups[0].size


def edited(change) -> str:
    """Return the recorded report after `change` was applied to its only part."""
    data = json.loads((REPORTS / "exotic.json").read_text())
    change(data["report"][0])
    return json.dumps(data)


@pytest.mark.parametrize(
    "change",
    [
        lambda part: part.pop("lv"),
        lambda part: part.pop("vg"),
        lambda part: part.pop("seg"),
        lambda part: part["vg"].append(part["vg"][0]),
        lambda part: part["lv"][0].pop("lv_uuid"),
        lambda part: part["lv"][0].update(lv_uuid="nonsense"),
        lambda part: part["lv"][0].update(lv_name=""),
        lambda part: part["lv"][0].update(lv_size="1g"),
        lambda part: part["lv"][0].update(lv_size=""),
        lambda part: part["lv"][0].update(lv_kernel_minor=None),
        lambda part: part["vg"][0].update(vg_free="<2.00g"),
    ],
)
def test_a_report_with_something_missing_is_an_error(change):
    """A part, a field or a value that cannot be read is never an LV less."""
    with pytest.raises(LvmReportUnreadable):
        parse(edited(change), "n1")


@pytest.mark.parametrize("keep", [0, 1, 40, 400, 3000])
def test_a_report_cut_short_is_an_error(keep: int):
    """Half a report is no report."""
    with pytest.raises(LvmReportUnreadable):
        parse((REPORTS / "exotic.json").read_text()[:keep], "n1")


@pytest.mark.parametrize("device_open", ["", "open", "2", "unknown"])
def test_an_unknown_word_for_open_counts_as_open(device_open: str):
    """Only an explicit 0, or an inactive LV, is closed."""
    text = edited(lambda part: [lv.update(lv_device_open=device_open) for lv in part["lv"]])
    assert all(v.is_open for v in parse(text, "n1").volumes)


def test_a_strangers_many_tags_do_not_hide_ours():
    """More tags than an answer may hold: ours are kept."""
    tags = ",".join(f"a{i}" for i in range(200)) + ",carina-tasks.orphan=17"
    text = edited(lambda part: part["lv"][0].update(lv_tags=tags))
    assert parse(text, "n1").volumes[0].marked_at == 17


def test_what_is_read_can_be_sent():
    """Every recorded inventory passes the check that the control worker applies to answers."""
    for path in REPORTS.glob("*.json"):
        inventory = recorded(path.stem)
        assert msgspec.convert(msgspec.to_builtins(inventory), Inventory) == inventory
