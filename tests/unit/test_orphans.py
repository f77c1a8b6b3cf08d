"""Which local volumes are removed: the one rule that must never be wrong."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carina_tasks.decisions.orphans import (
    KeepLv,
    MarkOrphan,
    OrphanRules,
    PurgeTrash,
    RemoveOrphan,
    UnmarkOrphan,
    judge_local_volume,
    judge_trash,
)
from carina_tasks.model import objects, well_known
from tests.builders.kubernetes import (
    NAME,
    NOW,
    UUID_LV,
    inventory,
    journal,
    local_volume,
    logic_volume,
    pv,
)

RULES = OrphanRules(
    grace=600, mark_age=300, groups=("carina-vg-*",), retention=3600, restore_hold=86400
)


def verdict(local, lv=None, volume=None, *, on="n1", rules=RULES):
    """Judge `local` on node `on` against raw objects."""
    return judge_local_volume(
        local,
        inventory(on, local),
        objects.parse_logic_volume(lv) if lv else None,
        objects.parse_persistent_volume(volume) if volume else None,
        NOW,
        rules,
    )


def test_an_orphan_is_marked_first_and_removed_by_a_later_sweep():
    """Unmarked: Mark. Marked a moment ago: Keep. Marked long enough ago: Remove."""
    assert isinstance(verdict(local_volume()), MarkOrphan)
    assert isinstance(verdict(local_volume(marked=0)), KeepLv)
    assert isinstance(verdict(local_volume(marked=299)), KeepLv)
    assert isinstance(verdict(local_volume(marked=300)), RemoveOrphan)


def test_no_age_replaces_the_mark():
    """However old, an orphan that no sweep marked is marked, not removed."""
    assert isinstance(verdict(local_volume(age=10**8)), MarkOrphan)


@pytest.mark.parametrize("tag", ["", "x", "-5", "1e3", "²", "9" * 13])
def test_a_mark_that_is_no_time_is_no_mark(tag):
    """A tag that does not say when is taken for none: marked again, never removed."""
    assert isinstance(verdict(local_volume(tags=(well_known.TAG_ORPHAN + tag,))), MarkOrphan)


def test_a_mark_from_the_future_removes_nothing():
    """A mark ahead of the API server's clock is not old."""
    assert isinstance(verdict(local_volume(marked=-9999)), KeepLv)


def test_a_young_volume_is_kept_even_when_marked():
    """Younger than the grace, it may be one whose LogicVolume is just being made."""
    assert isinstance(verdict(local_volume(age=599, marked=400)), KeepLv)
    assert isinstance(verdict(local_volume(age=-50)), KeepLv)


@pytest.mark.parametrize(
    ("local", "why"),
    [
        (local_volume(group="system"), "not managed"),
        (local_volume("root"), "Carina's"),
        (local_volume("volume-"), "Carina's"),
        (local_volume("volume-UPPER"), "Carina's"),
        (local_volume("thin-pvc-1"), "Carina's"),
        (local_volume(is_open=True), "open"),
        (local_volume(layout="thin,pool"), "layout"),
        (local_volume(layout="raid,raid1"), "layout"),
        (local_volume(layout="cache,linear"), "layout"),
        (local_volume(role="private"), "role"),
        (local_volume(role="public,origin,thickorigin"), "role"),
        (local_volume(role="public,snapshot,thicksnapshot"), "role"),
        (local_volume(layout="thin,sparse", pool="shared", pool_volumes=1), "pool"),
        (local_volume(layout="thin,sparse", pool="thin-pvc-1", pool_volumes=2), "pool"),
    ],
)
def test_what_is_not_a_plain_closed_volume_of_carinas_is_kept(local, why):
    """Each of these keeps the volume, with its reason."""
    kept = verdict(local)
    assert isinstance(kept, KeepLv)
    assert why in kept.reason


def test_a_thin_volume_alone_in_its_own_pool_is_an_orphan_like_another():
    """Volumes of old Carina clusters sit alone in a pool of their name; both go together."""
    thin = {"layout": "thin,sparse", "pool": "thin-pvc-1", "pool_volumes": 1}
    assert isinstance(verdict(local_volume(**thin)), MarkOrphan)
    assert isinstance(verdict(local_volume(marked=301, **thin)), RemoveOrphan)


def test_the_old_copy_on_a_node_that_returned_is_an_orphan():
    """LogicVolume and PV both on n2: the LV on n1 is an old copy, and the one on n2 is kept."""
    lv, volume = logic_volume(on="n2"), pv(on="n2")
    assert isinstance(verdict(local_volume(marked=301), lv, volume, on="n1"), RemoveOrphan)
    assert isinstance(verdict(local_volume(), lv, volume, on="n2"), KeepLv)


@pytest.mark.parametrize(
    ("lv", "volume"),
    [
        (logic_volume(on="n1"), None),
        (logic_volume(on="n1"), pv(on="n1")),
        (logic_volume(on="n1"), pv(on="n2")),
        (logic_volume(on="n2"), None),
        (logic_volume(on="n2"), pv(on="n1")),
        (None, pv(on="n1")),
        (None, pv(on="n2")),
        (logic_volume(on="n2", journal=journal()), pv(on="n2")),
        (logic_volume(on="n2", journal="unreadable"), pv(on="n2")),
        (logic_volume(on="n2"), {**pv(on="n2"), "spec": {**pv()["spec"], "nodeAffinity": None}}),
    ],
)
def test_whoever_may_want_it_keeps_it_and_takes_its_mark_off(lv, volume):
    """A LogicVolume or a PV that may mean this copy keeps it; a mark it has is removed."""
    assert isinstance(verdict(local_volume(), lv, volume), KeepLv)
    assert isinstance(verdict(local_volume(marked=9999), lv, volume), UnmarkOrphan)


def test_a_marked_volume_in_use_loses_its_mark():
    """Something opened it since it was marked: its time begins again."""
    assert isinstance(verdict(local_volume(marked=9999, is_open=True)), UnmarkOrphan)


LOCALS = st.builds(
    local_volume,
    st.sampled_from(
        [f"volume-{NAME}", "root", "volume_pvc", "volume-Ä", "thin-pvc-1", "volume-pvc-1.x"]
    ),
    marked=st.one_of(st.none(), st.integers(-1000, 2000)),
    age=st.integers(-1000, 2000),
    group=st.sampled_from(["carina-vg-hdd", "system", "xcarina-vg-hdd"]),
    is_open=st.booleans(),
    layout=st.sampled_from(
        ["linear", "thin,sparse", "thin,pool", "striped", "cache", "linear,thin"]
    ),
    role=st.sampled_from(["public", "private", "public,origin", "public,snapshot,thinsnapshot"]),
    pool=st.sampled_from(["", "thin-pvc-1", "shared"]),
    pool_volumes=st.integers(0, 3),
)
LVS = st.one_of(
    st.none(),
    st.builds(
        logic_volume,
        on=st.sampled_from(["n1", "n2"]),
        journal=st.sampled_from([None, "broken", journal()]),
        status=st.sampled_from(["", "Success"]),
    ),
)
PVS = st.one_of(st.none(), st.builds(pv, on=st.sampled_from(["n1", "n2"])))


@given(LOCALS, LVS, PVS)
def test_remove_only_ever_means_that_nobody_can_want_it(local, lv, volume):
    """Whatever the cluster looks like, Remove implies every condition of the design at once."""
    got = verdict(local, lv, volume, on="n1")
    if not isinstance(got, RemoveOrphan | MarkOrphan):
        return
    assert local.name.isascii()
    assert local.group == "carina-vg-hdd"
    assert local.name.startswith("volume-")
    assert not local.is_open
    assert local.role == "public"
    assert local.layout == "linear" or (
        "thin" in local.layout and "pool" not in local.layout and local.pool_volumes == 1
    )
    assert NOW - local.created >= RULES.grace
    if lv is None or volume is None:
        assert lv is None
        assert volume is None
    else:
        assert lv["spec"]["nodeName"] == "n2"
        assert objects.parse_persistent_volume(volume).nodes == ("n2",)
        assert well_known.JOURNAL not in lv["metadata"]["annotations"]
    if isinstance(got, RemoveOrphan):
        assert local.marked_at is not None
        assert NOW - local.marked_at >= RULES.mark_age


def test_what_a_person_restored_is_left_alone():
    """For a day; then it is an orphan like any other, and is marked first."""
    recent = local_volume(tags=(f"{well_known.TAG_RESTORED}{int(NOW) - 86000}",))
    past = local_volume(tags=(f"{well_known.TAG_RESTORED}{int(NOW) - 86400}",))
    assert isinstance(verdict(recent), KeepLv)
    assert isinstance(verdict(past), MarkOrphan)


def trashed(age, *others, lv=None, volume=None, retention=3600, **more):
    """Judge a volume that has been in the trash for `age` seconds."""
    tags = (
        f"{well_known.TAG_TRASH_NAME}volume-{NAME}",
        f"{well_known.TAG_TRASH_AT}{int(NOW - age)}",
        f"{well_known.TAG_TRASH_WHY}orphan",
    )
    local = local_volume(f"trash-{UUID_LV}", tags=tags, active=False, **more)
    rules = OrphanRules(
        grace=600, mark_age=300, groups=("carina-vg-*",), retention=retention, restore_hold=86400
    )
    return judge_trash(
        local,
        inventory("n1", local, *others),
        objects.parse_logic_volume(lv) if lv else None,
        objects.parse_persistent_volume(volume) if volume else None,
        NOW,
        rules,
    )


def test_the_trash_is_purged_after_its_retention():
    """Not a second before; at once when there is no retention any more; never in a group that is
    not managed.
    """
    assert isinstance(trashed(3599), KeepLv)
    assert isinstance(trashed(3600), PurgeTrash)
    assert isinstance(trashed(0, retention=0), PurgeTrash)
    assert isinstance(trashed(3600, group="system"), KeepLv)
    assert isinstance(judge_trash(local_volume(), inventory("n1"), None, None, NOW, RULES), KeepLv)


def test_what_the_cluster_expects_again_is_not_purged():
    """Its LogicVolume or PV names this node, and no volume of the old name is there: an operator
    may
    want it back.
    """
    assert isinstance(trashed(9999, lv=logic_volume()), KeepLv)
    assert isinstance(trashed(9999, volume=pv()), KeepLv)
    assert isinstance(trashed(9999, lv=logic_volume(on="n2"), volume=pv(on="n2")), PurgeTrash)
    again = local_volume(uuid="cccccc-bbbb-cccc-dddd-eeee-ffff-gggggg")
    assert isinstance(trashed(9999, again, lv=logic_volume(), volume=pv()), PurgeTrash)


def test_what_lvm_is_working_on_is_left_alone():
    """Neither mark, unmark, trash nor purge, needed or not; when the work has ended it is judged
    as ever.
    """
    moving = "it is locked, as during a pvmove"
    for found in (
        verdict(local_volume(at_work=moving)),
        verdict(local_volume(marked=10_000, at_work=moving)),
        verdict(local_volume(marked=10_000, at_work=moving), logic_volume(), pv()),
        trashed(10_000, at_work=moving),
    ):
        assert isinstance(found, KeepLv)
        assert (found.why, moving in found.reason) == ("at-work", True)
    assert isinstance(verdict(local_volume(marked=10_000)), RemoveOrphan)


def test_an_old_copy_of_a_failover_is_kept_for_longer():
    """Its LogicVolume is on another node now: a day and not an hour; never shorter than the trash,
    and without the LogicVolume an hour.
    """

    def judged(age, lv, beside=False, **rules):
        tags = (
            f"{well_known.TAG_TRASH_NAME}volume-{NAME}",
            f"{well_known.TAG_TRASH_AT}{int(NOW - age)}",
            f"{well_known.TAG_TRASH_WHY}stale",
        )
        uuid = "Old000-aaaa-bbbb-cccc-dddd-eeee-ffffff"
        local = local_volume(f"trash-{uuid}", uuid=uuid, tags=tags, active=False)
        found = objects.parse_logic_volume(lv) if lv else None
        times = {"retention": 3600, "old_copies": 86400, **rules}
        conf = OrphanRules(
            grace=600, mark_age=300, groups=("carina-vg-*",), restore_hold=86400, **times
        )
        there = inventory("n1", local, *([local_volume()] if beside else []))
        return judge_trash(
            local, there, found, objects.parse_persistent_volume(pv(on="n2")), NOW, conf
        )

    elsewhere = logic_volume(on="n2")
    assert isinstance(judged(86399, elsewhere), KeepLv)
    assert isinstance(judged(86400, elsewhere), PurgeTrash)
    assert isinstance(judged(3600, None), PurgeTrash)
    # A second failover brought the volume back to n1, as another LV: the data of before the first
    # are kept as long.
    assert isinstance(judged(86399, logic_volume(), beside=True), KeepLv)
    assert isinstance(judged(86400, logic_volume(), beside=True), PurgeTrash)
    assert isinstance(judged(3599, elsewhere, old_copies=0), KeepLv)
    assert isinstance(judged(3600, elsewhere, old_copies=0), PurgeTrash)
