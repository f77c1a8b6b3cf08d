"""Reading lvm's report: recorded ones of each tested lvm2 (`tests.lab.record_reports`), and broken
ones.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from carina_tasks.errors import LvmFailed, LvmReportUnreadable
from carina_tasks.lvm.command import Lvm, Reported
from carina_tasks.lvm.report import at_work, inventory, parse
from carina_tasks.model.local import Inventory, LocalVolume
from carina_tasks.model.quantity import GIB

REPORTS = Path(__file__).parent / "lvm_reports"
VERSIONS = sorted(path.name for path in REPORTS.iterdir() if path.is_dir())
VG = "carina-vg-hdd"
Recorded = Callable[[str], Inventory]


@pytest.fixture(params=VERSIONS)
def recorded(request: pytest.FixtureRequest) -> Recorded:
    """Give a test what reads the reports of each lvm2."""
    return lambda name: inventory(
        Answering((REPORTS / request.param / f"{name}.json").read_text()), "n1"
    )


class Answering(Lvm):
    """The gate, with a recorded answer in place of a process."""

    def __init__(self, output: str, said: str = "", code: int = 0) -> None:
        super().__init__()
        object.__setattr__(self, "answer", Reported(output, said, code))

    def _call(self, argv: list[str], stdin: bytes | None, timeout: float) -> Reported:
        return self.answer  # type: ignore[attr-defined]


def text_of(name: str) -> str:
    """Return a recorded report of the first lvm2."""
    return (REPORTS / VERSIONS[0] / f"{name}.json").read_text()


def volume(inventory: Inventory, name: str) -> LocalVolume:
    """Return a volume that must be in the inventory."""
    found = inventory.find(VG, name)
    assert found is not None, name
    return found


def test_a_plain_volume_is_read_whole(recorded: Recorded):
    """Name, size, tags, device numbers and age of a marked LV of ours."""
    found = volume(recorded("exotic"), "volume-pvc-b")
    assert (found.size, found.layout, found.role, found.is_open, found.active) == (
        GIB,
        "linear",
        "public",
        False,
        True,
    )
    assert found.intent == "9b2cbb3d-88f0-4b0c-a3ca-0c2b0d3f1f6b"
    assert found.marked_at == 1700000000
    assert (found.major, found.minor) == (254, 1)
    assert found.created > 1700000000


def test_open_and_inactive(recorded: Recorded):
    """A held LV is open; an inactive one has no device that anybody could hold, so it is closed."""
    found = recorded("exotic")
    assert volume(found, "volume-pvc-open").is_open
    inactive = volume(found, "volume-pvc-off")
    assert (inactive.is_open, inactive.active, inactive.major) == (False, False, -1)


def test_without_a_device_mapper_everything_counts_as_open(recorded: Recorded):
    """Unknown is never closed."""
    assert all(v.is_open and not v.active for v in recorded("no_device_mapper").volumes)


def test_thin_volumes_know_how_many_share_their_pool(recorded: Recorded):
    """A volume alone in its pool, and one of three."""
    found = recorded("exotic")
    alone, shared = volume(found, "volume-pvc-t1"), volume(found, "volume-pvc-t2")
    assert (alone.pool, alone.pool_volumes, alone.layout) == ("thin-pvc-t1", 1, "thin,sparse")
    assert (shared.pool, shared.pool_volumes) == ("thin-pvc-t2", 3)
    assert volume(found, "thin-pvc-t1").layout == "thin,pool"


def test_exotic_kinds_are_told_apart(recorded: Recorded):
    """Origin, snapshot, raid and cache are in the inventory and are not plain."""
    found = recorded("exotic")
    assert volume(found, "volume-pvc-origin").role == "public,origin,thickorigin"
    assert volume(found, "snap").role == "public,snapshot,thicksnapshot"
    assert volume(found, "volume-pvc-raid").layout == "raid,raid1"
    assert volume(found, "volume-pvc-cached").layout == "cache"


@pytest.mark.parametrize("name", ["partial", "exported"])
def test_a_group_that_lvm_cannot_use_keeps_its_volumes_and_offers_no_space(
    name: str, recorded: Recorded
):
    """A VG with a lost disk, and an exported one: nothing is missing from the list, nothing can be
    placed there.
    """
    found = recorded(name)
    assert {v.name for v in found.volumes} == {v.name for v in recorded("exotic").volumes}
    assert found.groups[0].free == 0
    assert found.groups[0].size > 0


def test_two_groups_of_one_name(recorded: Recorded):
    """Both are listed, both volumes too, and neither offers space."""
    found = recorded("duplicate")
    assert [(g.name, g.free) for g in found.groups] == [(VG, 0), (VG, 0)]
    assert len({v.uuid for v in found.volumes}) == 2


def test_no_group_no_volume(recorded: Recorded):
    """An empty node, a disk in no VG, and a VG without volumes."""
    assert recorded("empty").groups == recorded("orphan_pv").groups == ()
    bare = recorded("bare")
    assert bare.volumes == ()
    assert bare.groups[0].free == bare.groups[0].size


def test_what_lvm_is_working_on_is_left_alone(recorded: Recorded):
    """A pvmove, a suspended device and a merging snapshot, as real lvm2 reports them; their
    neighbour is untouched.
    """
    reasons = {v.name: v.at_work for v in recorded("at_work").volumes}
    assert reasons == {
        "volume-pvc-moved": "it is locked, as during a pvmove",
        "volume-pvc-frozen": "it is suspended",
        "volume-pvc-merging": "a snapshot is being merged into it",
        "volume-pvc-closed": "",
        "volume-pvc-still": "",
    }


@pytest.mark.parametrize(
    ("attr", "reason"),
    [
        ("-wi-ao----", ""),
        ("-wi-------", ""),
        ("-wi-XX--X-", ""),
        ("Vwi-aotz--", ""),
        ("-ri-a-----", ""),
        ("-wi-a----k", ""),
        ("-wI-a-----", "locked"),
        ("Vwc-a-tz--", ""),
        ("VwC-a-tz--", "locked"),
        ("-wi-s-----", "suspended"),
        ("-wi-S-----", "suspended"),
        ("-wi-M-----", "suspended"),
        ("-wi-d-----", "no table"),
        ("-wi-i-----", "inactive table"),
        ("-wi-m-----", "merge failed"),
        ("-wi-h-----", "historical"),
        ("-wi-?-----", "state '?'"),
        ("-wi-----p-", "disk of it"),
        ("-wi-a---r-", "refresh"),
        ("-wi-a---Z-", "health is 'Z'"),
        ("cwi-a-----", "converted"),
        ("Owi-a-s---", "merged into it"),
        ("Swi-a-s---", "origin"),
        ("pwi-a-----", "pvmove"),
        ("", "does not know"),
        ("-wi", "does not know"),
    ],
)
def test_every_letter_that_means_work_is_a_reason(attr: str, reason: str):
    """The letters of lvs(8); one that this version does not know is a reason too."""
    found = at_work(attr)
    assert (reason in found) if reason else found == ""


@pytest.mark.parametrize("active", ["-1", "unknown", "2", "yes", "local exclusive"])
def test_an_unknown_word_for_active_counts_as_open(active: str):
    """Only an LV that is known to be inactive is closed without a device."""
    text = edited(
        lambda part: [lv.update(lv_active=active, lv_device_open="-1") for lv in part["lv"]]
    )
    assert all(v.is_open and not v.inactive for v in parse(text, "n1").volumes)


def test_a_damaged_disk_hides_no_healthy_group(recorded: Recorded):
    """Lvm writes a line of its own into the report and leaves that disk's VG out; the others are
    read.
    """
    found = recorded("damaged")
    assert [group.name for group in found.groups] == [VG]
    assert volume(found, "volume-pvc-a").active


def test_a_failed_report_is_what_it_could_read():
    """Exit code 5 with a report: the readable VGs count. Without a report it is an error with lvm's
    words.
    """
    said = "  Cannot process volume group broken-vg"
    assert inventory(Answering(text_of("exotic"), said, 5), "n1").groups
    with pytest.raises(LvmFailed, match="broken-vg"):
        inventory(Answering("", said, 5), "n1")
    with pytest.raises(LvmFailed, match="broken-vg"):
        inventory(Answering(text_of("exotic"), said, 3), "n1")


def test_an_unreadable_report_has_lvms_words():
    """What lvm wrote beside the report is in the error, on stdout and on stderr."""
    output = "Consider pruning the archive.\n" + text_of("exotic")[:-30]
    with pytest.raises(
        LvmReportUnreadable,
        match=r"lvm wrote: Consider pruning the archive\.; WARNING: a disk is ill",
    ):
        inventory(Answering(output, "WARNING: a disk is ill"), "n1")


def test_advice_beside_the_report_is_dropped():
    """Lines that cannot be JSON do not make the report unreadable, before, within and after it."""
    lines = text_of("exotic").splitlines()
    noisy = ["Consider pruning.", *lines[:3], "Retrying metadata scan.", *lines[3:], "Done."]
    assert inventory(Answering("\n".join(noisy)), "n1") == parse(text_of("exotic"), "n1")


def test_a_broken_line_of_an_lv_is_an_error_and_not_dropped():
    """A line with an object stays, whatever is in it: no LV is lost."""
    with pytest.raises(LvmReportUnreadable):
        inventory(
            Answering(
                text_of("exotic").replace('{"lv_name":"readonly"', '{XX "lv_name":"readonly"')
            ),
            "n1",
        )


def test_free_space_is_what_lvm_allocates(recorded: Recorded):
    """A disk that is closed to allocation has no room; a VG with a missing disk reports it and
    offers
    none.
    """
    half = recorded("not_allocatable").groups[0]
    assert (half.free, half.problem) == (25698500608, "")
    assert "a disk of it is missing" in recorded("partial").groups[0].problem
    assert "exported" in recorded("exported").groups[0].problem
    assert "2 volume groups" in recorded("duplicate").groups[0].problem


def edited(change) -> str:
    """Return the recorded report after `change` was applied to its only part."""
    data = json.loads(text_of("exotic"))
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
        lambda part: part["vg"][0].update(vg_size="<2.00g"),
        lambda part: part["pv"][0].update(pv_free="<2.00g"),
        lambda part: part.pop("pv"),
        lambda part: part["lv"][0].pop("lv_attr"),
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
        parse(text_of("exotic")[:keep], "n1")


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
    for path in REPORTS.glob("*/*.json"):
        found = inventory(Answering(path.read_text()), "n1")
        assert msgspec.convert(msgspec.to_builtins(found), Inventory) == found
