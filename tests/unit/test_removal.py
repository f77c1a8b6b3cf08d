"""What may go: into the trash, permanently, and back again. The rules of the design, on values."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carina_tasks.decisions.removal import (
    LvAbsent,
    MoveToTrash,
    RefuseLv,
    RemoveLv,
    RestoreFromTrash,
    decide_purge,
    decide_remove,
    decide_restore,
)
from carina_tasks.model import well_known
from carina_tasks.model.local import LocalVolume, reason_to_tag, tag_to_reason
from carina_tasks.model.messages import LvInTrash, LvToRemove, PurgeLvs, RemoveLvs, RestoreLv
from tests.builders.lvm import VG, in_trash, node, uuid, volume


def remove_one(found: LocalVolume, *others: LocalVolume, before: int = 1000, trash_at: int = 0):
    """Return the decision for one orphan."""
    doomed = LvToRemove(group=VG, name="volume-a", uuid=uuid(), why="no_owner")
    request = RemoveLvs(marked_before=before, volumes=(doomed,), trash_at=trash_at)
    (decision,) = decide_remove(request, node(found, *others))
    return decision


MARKED = (well_known.TAG_ORPHAN + "1000",)


def test_a_marked_closed_plain_orphan_is_removed():
    """The one case that is removed, bound to its mark."""
    found = volume(tags=MARKED)
    decision = remove_one(found)
    assert isinstance(decision, RemoveLv)
    assert (decision.lv, decision.pool, decision.tag) == (found, None, MARKED[0])


def test_what_is_not_provably_an_orphan_stays():
    """No mark, a mark too young, another UUID, an open, raid, or origin volume: nothing of that is
    removed.
    """
    for changes in (
        {"tags": ()},
        {"tags": (well_known.TAG_ORPHAN + "1001",)},
        {"tags": (well_known.TAG_ORPHAN + "x",)},
        {"uuid": uuid(3)},
        {"is_open": True},
        {"layout": "raid,raid1"},
        {"layout": "cache"},
        {"role": "public,origin,thickorigin"},
        {"role": "public,snapshot,thicksnapshot"},
    ):
        assert isinstance(remove_one(volume(**({"tags": MARKED} | changes))), RefuseLv), changes


@given(
    st.sampled_from(["linear", "raid,raid1", "cache", "thin,sparse", "thin,pool", ""]),
    st.sampled_from(["public", "private", "public,origin,thickorigin", ""]),
    st.booleans(),
    st.none() | st.integers(0, 2000),
    st.integers(0, 1),
)
def test_nothing_is_removed_outside_the_rule(
    layout: str, role: str, is_open: bool, mark: int | None, number: int
):
    """Over all combinations: removed means marked in time, closed, the same UUID, and plain."""
    tags = () if mark is None else (f"{well_known.TAG_ORPHAN}{mark}",)
    found = volume(layout=layout, role=role, is_open=is_open, tags=tags, uuid=uuid(number))
    allowed = (
        layout == "linear"
        and role == "public"
        and not is_open
        and mark is not None
        and mark <= 1000
        and number == 0
    )
    assert isinstance(remove_one(found), RemoveLv) == allowed


def test_a_thin_volume_goes_with_its_own_pool_only():
    """A pool is removed when it is the volume's own and holds nothing else."""
    thin = volume(layout="thin,sparse", pool="thin-a", pool_volumes=1, tags=MARKED)
    pool = volume("thin-a", uuid=uuid(1), layout="thin,pool", role="private", pool_volumes=1)
    decision = remove_one(thin, pool)
    assert isinstance(decision, RemoveLv)
    assert decision.pool == pool
    for changes in (
        {"pool_volumes": 2},
        {"pool_volumes": 0},
        {"pool": "shared"},
        {"role": "public,origin,thinorigin"},
    ):
        values = {
            "layout": "thin,sparse",
            "pool": "thin-a",
            "pool_volumes": 1,
            "tags": MARKED,
        } | changes
        assert isinstance(remove_one(volume(**values), pool), RefuseLv), changes
    assert isinstance(remove_one(thin), RefuseLv)


def test_with_a_trash_the_orphan_is_put_aside_with_name_time_and_reason():
    """The same rule, and then tags that say what it was; those of an earlier try come off."""
    old = (
        f"{well_known.TAG_TRASH_NAME}volume-a",
        f"{well_known.TAG_TRASH_AT}5",
        f"{well_known.TAG_RESTORED}3",
    )
    decision = remove_one(volume(tags=(*MARKED, *old)), trash_at=2000)
    assert isinstance(decision, MoveToTrash)
    assert decision.removal.tag == MARKED[0]
    assert decision.tags == (
        f"{well_known.TAG_TRASH_NAME}volume-a",
        f"{well_known.TAG_TRASH_AT}2000",
        f"{well_known.TAG_TRASH_WHY}no_owner",
    )
    assert decision.tags_off == old[1:]
    assert isinstance(remove_one(volume(tags=MARKED, is_open=True), trash_at=2000), RefuseLv)


def purge_one(found: LocalVolume, *others: LocalVolume, before: int = 1000):
    """Return the decision for one volume of the trash."""
    target = LvInTrash(VG, found.name, found.uuid)
    (decision,) = decide_purge(
        PurgeLvs(trashed_before=before, volumes=(target,)), node(found, *others)
    )
    return decision


def test_what_has_been_in_the_trash_long_enough_is_purged():
    """Bound to the time in its tag, which lvm2 checks once more under its lock."""
    found = in_trash(1, 1000)
    decision = purge_one(found)
    assert isinstance(decision, RemoveLv)
    assert (decision.lv, decision.tag) == (found, f"{well_known.TAG_TRASH_AT}1000")


@pytest.mark.parametrize(
    "changes",
    [
        {"tags": (f"{well_known.TAG_TRASH_NAME}volume-a", f"{well_known.TAG_TRASH_AT}1001")},
        {"tags": (f"{well_known.TAG_TRASH_NAME}volume-a", f"{well_known.TAG_TRASH_AT}x")},
        {"tags": (f"{well_known.TAG_TRASH_AT}5",)},
        {"tags": (f"{well_known.TAG_TRASH_NAME}etc-a", f"{well_known.TAG_TRASH_AT}5")},
        {"is_open": True},
        {"layout": "cache"},
        {"role": "public,snapshot,thicksnapshot"},
        {"name": f"trash-{uuid(2)}"},
        {"name": "volume-a"},
    ],
)
def test_nothing_else_is_purged(changes: dict):
    """Too young, tags that say too little, open, no plain volume, another name: it stays."""
    assert isinstance(purge_one(in_trash(1, 1000, **changes)), RefuseLv)


def test_a_thin_volume_of_the_trash_goes_with_the_pool_of_its_old_name():
    """The pool kept its name; a pool of another name, or one that holds more, stays, and the volume
    with it.
    """
    pool = volume("thin-old1", uuid=uuid(8), layout="thin,pool", role="private", pool_volumes=1)
    thin = {"layout": "thin,sparse", "pool": "thin-old1", "pool_volumes": 1}
    decision = purge_one(in_trash(1, 1, **thin), pool)
    assert isinstance(decision, RemoveLv)
    assert decision.pool == pool
    assert isinstance(purge_one(in_trash(1, 1, **(thin | {"pool_volumes": 2})), pool), RefuseLv)
    assert isinstance(purge_one(in_trash(1, 1, **(thin | {"pool": "thin-a"})), pool), RefuseLv)


def restore_one(*lvs: LocalVolume):
    """Return the decision for restoring the first of `lvs`."""
    return decide_restore(
        RestoreLv(at=900, volume=LvInTrash(VG, f"trash-{uuid(1)}", uuid(1))), node(*lvs)
    )


def test_a_restored_volume_gets_its_name_back_and_leaves_the_sweeps_reach():
    """Mark, time and reason come off, a tag reports when it was restored; asked again after a death
    it
    continues.
    """
    found = in_trash(1, 500)
    tags = (*found.tags, well_known.TAG_ORPHAN + "3")
    decision = restore_one(in_trash(1, 500, tags=tags))
    assert isinstance(decision, RestoreFromTrash)
    assert (decision.name, decision.tag) == ("volume-old1", f"{well_known.TAG_RESTORED}900")
    assert decision.tags_off == (*found.tags[1:], well_known.TAG_ORPHAN + "3")
    for name in (found.name, "volume-old1"):
        half = in_trash(
            1,
            500,
            name=name,
            tags=(f"{well_known.TAG_RESTORED}800", f"{well_known.TAG_TRASH_NAME}volume-old1"),
        )
        assert isinstance(restore_one(half), RestoreFromTrash)


def test_what_cannot_be_restored_is_told():
    """Gone, no trash, a name that another volume has now: told apart, and nothing is done."""
    assert isinstance(restore_one(), LvAbsent)
    assert isinstance(restore_one(in_trash(1, 5, tags=())), RefuseLv)
    taken = restore_one(in_trash(1, 5), volume("volume-old1", uuid=uuid(4)))
    assert isinstance(taken, RefuseLv)
    assert "another" in taken.reason


@given(st.text(max_size=400))
def test_any_reason_becomes_a_tag_that_lvm_takes(text: str):
    """Whatever stands in it; and what can be kept is read back."""
    tag = reason_to_tag(text)
    assert len(tag) <= 200
    assert set(tag) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.+:/=-")
    said = reason_to_tag("it has neither X nor Y; marked 5 s ago, by a sweep")
    assert tag_to_reason(said) == "it has neither X nor Y. marked 5 s ago. by a sweep"


def test_what_lvm_is_working_on_stays():
    """A volume in a pvmove, or one whose thin pool is: nothing is done now, and the same request
    may be taken later.
    """
    moving = "it is locked, as during a pvmove"
    decision = remove_one(volume(tags=MARKED, at_work=moving))
    assert isinstance(decision, RefuseLv)
    assert decision.transient
    assert moving in decision.reason
    thin = volume(tags=MARKED, layout="thin,sparse", pool="thin-a", pool_volumes=1)
    pool = volume("thin-a", uuid=uuid(7), layout="thin,pool", role="private", at_work=moving)
    assert isinstance(remove_one(thin, pool), RefuseLv)
