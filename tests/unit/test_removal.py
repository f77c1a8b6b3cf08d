"""What may go: into the trash, for good, and back again. The rules of the design, on values."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carina_tasks.decisions.removal import (
    Absent,
    Discard,
    RefuseVolume,
    Remove,
    Restore,
    decide_purge,
    decide_remove,
    decide_restore,
)
from carina_tasks.model import keys
from carina_tasks.model.local import LocalVolume, tag_of_words, words_of_tag
from carina_tasks.model.messages import Doomed, InTrash, PurgeVolumes, RemoveVolumes, RestoreVolume
from tests.unit.test_local_volume import VG, in_trash, node, uuid, volume


def remove_one(found: LocalVolume, *others: LocalVolume, before: int = 1000, trash_at: int = 0):
    """Return the decision for one orphan."""
    doomed = Doomed(group=VG, name="volume-a", uuid=uuid(), why="no_owner")
    request = RemoveVolumes(marked_before=before, volumes=(doomed,), trash_at=trash_at)
    (decision,) = decide_remove(request, node(found, *others))
    return decision


MARKED = (keys.TAG_ORPHAN + "1000",)


def test_a_marked_closed_plain_orphan_is_removed():
    """The one case that is removed, bound to its mark."""
    found = volume(tags=MARKED)
    decision = remove_one(found)
    assert isinstance(decision, Remove)
    assert (decision.volume, decision.pool, decision.tag) == (found, None, MARKED[0])


def test_what_is_not_provably_an_orphan_stays():
    """No mark, a mark too young, another UUID, an open, raid, or origin volume: nothing of that is removed."""
    for changes in (
        {"tags": ()},
        {"tags": (keys.TAG_ORPHAN + "1001",)},
        {"tags": (keys.TAG_ORPHAN + "x",)},
        {"uuid": uuid(3)},
        {"is_open": True},
        {"layout": "raid,raid1"},
        {"layout": "cache"},
        {"role": "public,origin,thickorigin"},
        {"role": "public,snapshot,thicksnapshot"},
    ):
        assert isinstance(remove_one(volume(**({"tags": MARKED} | changes))), RefuseVolume), changes


@given(
    st.sampled_from(["linear", "raid,raid1", "cache", "thin,sparse", "thin,pool", ""]),
    st.sampled_from(["public", "private", "public,origin,thickorigin", ""]),
    st.booleans(),
    st.none() | st.integers(0, 2000),
    st.integers(0, 1),
)
def test_nothing_is_removed_outside_the_rule(layout: str, role: str, is_open: bool, mark: int | None, number: int):
    """Over all combinations: removed means marked in time, closed, the same UUID, and plain."""
    tags = () if mark is None else (f"{keys.TAG_ORPHAN}{mark}",)
    found = volume(layout=layout, role=role, is_open=is_open, tags=tags, uuid=uuid(number))
    allowed = (
        layout == "linear" and role == "public" and not is_open and mark is not None and mark <= 1000 and number == 0
    )
    assert isinstance(remove_one(found), Remove) == allowed


def test_a_thin_volume_goes_with_its_own_pool_only():
    """A pool is removed when it is the volume's own and holds nothing else."""
    thin = volume(layout="thin,sparse", pool="thin-a", pool_volumes=1, tags=MARKED)
    pool = volume("thin-a", uuid=uuid(1), layout="thin,pool", role="private", pool_volumes=1)
    decision = remove_one(thin, pool)
    assert isinstance(decision, Remove)
    assert decision.pool == pool
    for changes in ({"pool_volumes": 2}, {"pool_volumes": 0}, {"pool": "shared"}, {"role": "public,origin,thinorigin"}):
        values = {"layout": "thin,sparse", "pool": "thin-a", "pool_volumes": 1, "tags": MARKED} | changes
        assert isinstance(remove_one(volume(**values), pool), RefuseVolume), changes
    assert isinstance(remove_one(thin), RefuseVolume)


def test_with_a_trash_the_orphan_is_put_aside_with_name_time_and_reason():
    """The same rule, and then tags that say what it was; those of an earlier try come off."""
    old = (f"{keys.TAG_TRASH_NAME}volume-a", f"{keys.TAG_TRASH_AT}5", f"{keys.TAG_RESTORED}3")
    decision = remove_one(volume(tags=(*MARKED, *old)), trash_at=2000)
    assert isinstance(decision, Discard)
    assert decision.removal.tag == MARKED[0]
    assert decision.tags == (
        f"{keys.TAG_TRASH_NAME}volume-a", f"{keys.TAG_TRASH_AT}2000", f"{keys.TAG_TRASH_WHY}no_owner",
    )  # fmt: skip
    assert decision.tags_off == old[1:]
    assert isinstance(remove_one(volume(tags=MARKED, is_open=True), trash_at=2000), RefuseVolume)


def purge_one(found: LocalVolume, *others: LocalVolume, before: int = 1000):
    """Return the decision for one volume of the trash."""
    target = InTrash(VG, found.name, found.uuid)
    (decision,) = decide_purge(PurgeVolumes(trashed_before=before, volumes=(target,)), node(found, *others))
    return decision


def test_what_has_been_in_the_trash_long_enough_is_purged():
    """Bound to the time in its tag, which lvm2 checks once more under its lock."""
    found = in_trash(1, 1000)
    decision = purge_one(found)
    assert isinstance(decision, Remove)
    assert (decision.volume, decision.tag) == (found, f"{keys.TAG_TRASH_AT}1000")


@pytest.mark.parametrize(
    "changes",
    [
        {"tags": (f"{keys.TAG_TRASH_NAME}volume-a", f"{keys.TAG_TRASH_AT}1001")},
        {"tags": (f"{keys.TAG_TRASH_NAME}volume-a", f"{keys.TAG_TRASH_AT}x")},
        {"tags": (f"{keys.TAG_TRASH_AT}5",)},
        {"tags": (f"{keys.TAG_TRASH_NAME}etc-a", f"{keys.TAG_TRASH_AT}5")},
        {"is_open": True},
        {"layout": "cache"},
        {"role": "public,snapshot,thicksnapshot"},
        {"name": f"trash-{uuid(2)}"},
        {"name": "volume-a"},
    ],
)
def test_nothing_else_is_purged(changes: dict):
    """Too young, tags that say too little, open, no plain volume, another name: it stays."""
    assert isinstance(purge_one(in_trash(1, 1000, **changes)), RefuseVolume)


def test_a_thin_volume_of_the_trash_goes_with_the_pool_of_its_old_name():
    """The pool kept its name; a pool of another name, or one that holds more, stays, and the volume with it."""
    pool = volume("thin-old1", uuid=uuid(8), layout="thin,pool", role="private", pool_volumes=1)
    thin = {"layout": "thin,sparse", "pool": "thin-old1", "pool_volumes": 1}
    decision = purge_one(in_trash(1, 1, **thin), pool)
    assert isinstance(decision, Remove)
    assert decision.pool == pool
    assert isinstance(purge_one(in_trash(1, 1, **(thin | {"pool_volumes": 2})), pool), RefuseVolume)
    assert isinstance(purge_one(in_trash(1, 1, **(thin | {"pool": "thin-a"})), pool), RefuseVolume)


def restore_one(*volumes: LocalVolume):
    """Return the decision for restoring the first of `volumes`."""
    return decide_restore(RestoreVolume(at=900, volume=InTrash(VG, f"trash-{uuid(1)}", uuid(1))), node(*volumes))


def test_a_restored_volume_gets_its_name_back_and_leaves_the_sweeps_reach():
    """Mark, time and reason come off, a tag says when it was restored; asked again after a death it goes on."""
    found = in_trash(1, 500)
    tags = (*found.tags, keys.TAG_ORPHAN + "3")
    decision = restore_one(in_trash(1, 500, tags=tags))
    assert isinstance(decision, Restore)
    assert (decision.name, decision.tag) == ("volume-old1", f"{keys.TAG_RESTORED}900")
    assert decision.tags_off == (*found.tags[1:], keys.TAG_ORPHAN + "3")
    for name in (found.name, "volume-old1"):
        half = in_trash(1, 500, name=name, tags=(f"{keys.TAG_RESTORED}800", f"{keys.TAG_TRASH_NAME}volume-old1"))
        assert isinstance(restore_one(half), Restore)


def test_what_cannot_be_restored_is_told():
    """Gone, no trash, a name that another volume has now: told apart, and nothing is done."""
    assert isinstance(restore_one(), Absent)
    assert isinstance(restore_one(in_trash(1, 5, tags=())), RefuseVolume)
    taken = restore_one(in_trash(1, 5), volume("volume-old1", uuid=uuid(4)))
    assert isinstance(taken, RefuseVolume)
    assert "another" in taken.reason


@given(st.text(max_size=400))
def test_any_reason_becomes_a_tag_that_lvm_takes(text: str):
    """Whatever stands in it; and what can be kept is read back."""
    tag = tag_of_words(text)
    assert len(tag) <= 200
    assert set(tag) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.+:/=-")
    said = tag_of_words("it has neither X nor Y; marked 5 s ago, by a sweep")
    assert words_of_tag(said) == "it has neither X nor Y. marked 5 s ago. by a sweep"


def test_what_lvm_is_working_on_stays():
    """A volume in a pvmove, or one whose thin pool is: nothing is done now, and the same request may be taken later."""
    moving = "it is locked, as during a pvmove"
    decision = remove_one(volume(tags=MARKED, at_work=moving))
    assert isinstance(decision, RefuseVolume)
    assert decision.transient
    assert moving in decision.reason
    thin = volume(tags=MARKED, layout="thin,sparse", pool="thin-a", pool_volumes=1)
    pool = volume("thin-a", uuid=uuid(7), layout="thin,pool", role="private", at_work=moving)
    assert isinstance(remove_one(thin, pool), RefuseVolume)
