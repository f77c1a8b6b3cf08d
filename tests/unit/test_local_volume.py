"""What may be done to one local volume: the rules of the design, on values."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from carina_tasks.decisions.local_volume import (
    UNFINISHED,
    AlreadyMarked,
    CreateLv,
    ExtendLv,
    KeepExisting,
    NameTaken,
    ReplaceLv,
    TagOrphan,
    UntagOrphan,
    decide_create,
    decide_mark,
)
from carina_tasks.decisions.removal import (
    LvAbsent,
    MoveToTrash,
    RefuseLv,
    RemoveLv,
    RestoreFromTrash,
    decide_restore,
)
from carina_tasks.model import well_known
from carina_tasks.model.local import Inventory, LocalVolume
from carina_tasks.model.messages import (
    CreateLvs,
    LvInTrash,
    LvTarget,
    LvToCreate,
    MarkLvs,
    RestoreLv,
)
from carina_tasks.model.quantity import GIB
from tests.builders.lvm import VG, in_trash, node, uuid, volume

INTENT = "9b2cbb3d-88f0-4b0c-a3ca-0c2b0d3f1f6b"
OTHER = "00000000-88f0-4b0c-a3ca-0c2b0d3f1f6b"
OURS = well_known.TAG_INTENT + INTENT


def wanted(name: str = "volume-a", **changes) -> LvToCreate:
    """Return a request for 5 GiB."""
    return LvToCreate(**({"group": VG, "name": name, "size": 5 * GIB, "intent": INTENT} | changes))


def create_one(
    inventory: Inventory, want: LvToCreate | None = None, reserve: int = 0, trash_at: int = 0
):
    """Return the decision for one volume."""
    request = CreateLvs(reserve=reserve, volumes=(want or wanted(),), trash_at=trash_at)
    (decision,) = decide_create(request, inventory)
    return decision


def mark_one(found: LocalVolume):
    """Return the decision for marking one volume at 500."""
    target = LvTarget(group=VG, name="volume-a", uuid=uuid())
    (decision,) = decide_mark(MarkLvs(at=500, mark=(target,)), node(found))
    return decision


def test_absent_is_created_in_whole_gib():
    """A volume that is not there is made, rounded up to whole GiB."""
    assert create_one(node(), wanted(size=5 * GIB - 1)) == CreateLv(5 * GIB)


def test_ours_is_kept_even_if_open_or_named_stale():
    """What this rebuild made is kept, whatever else is known about it."""
    found = volume(tags=(OURS,), is_open=True)
    assert create_one(node(found), wanted(stale=uuid())) == KeepExisting(found)


def test_ours_but_smaller_is_extended():
    """A claim that grew while its rebuild continued gets its new size."""
    found = volume(tags=(OURS,))
    assert create_one(node(found), wanted(size=8 * GIB)) == ExtendLv(found, 8 * GIB)


def test_an_orphan_mark_comes_off_what_the_rebuild_uses():
    """A kept LV loses its orphan mark and the intents of others."""
    mark, other = well_known.TAG_ORPHAN + "17", well_known.TAG_INTENT + OTHER
    assert create_one(node(volume(tags=(OURS, mark)))) == KeepExisting(
        volume(tags=(OURS, mark)), (mark,)
    )
    tags = (OURS, other, mark, "site.rack=7")
    assert create_one(node(volume(tags=tags))) == KeepExisting(volume(tags=tags), (other, mark))


def test_an_lv_is_never_adopted_by_its_name():
    """An LV of the name that this rebuild did not create is taken, whatever its size and
    whichever intent it has.
    """
    for changes in (
        {},
        {"size": 6 * GIB},
        {"tags": (well_known.TAG_INTENT + OTHER,)},
        {"active": False},
    ):
        found = volume(**changes)
        decision = create_one(node(found), wanted(stale=uuid(7)))
        assert isinstance(decision, NameTaken)
        assert decision.lv == found


def test_an_lv_of_the_name_that_cannot_go_is_refused():
    """A snapshot's origin, a raid, a thin LV, or one that something holds: another node is
    planned.
    """
    for changes in (
        {"role": "public,origin,thickorigin"},
        {"layout": "raid,raid1"},
        {"layout": "thin,sparse"},
        {"is_open": True},
    ):
        decision = create_one(node(volume(**changes)))
        assert isinstance(decision, RefuseLv)
        assert not decision.transient


def test_an_unfinished_lv_is_created_again():
    """Only the creating tag is on it: lvm may not have wiped it. It goes by that tag, and never to
    the trash.
    """
    for intent in (INTENT, OTHER):
        tag = well_known.TAG_CREATING + intent
        for tags in ((tag,), (tag, OURS), (tag, well_known.TAG_ORPHAN + "17")):
            found = volume(tags=tags)
            assert create_one(node(found), trash_at=77) == ReplaceLv(
                RemoveLv(found, UNFINISHED, None, tag), 5 * GIB
            )


def test_an_unfinished_lv_that_is_open_is_left():
    """What something holds is not removed; the request may be repeated."""
    decision = create_one(node(volume(tags=(well_known.TAG_CREATING + INTENT,), is_open=True)))
    assert isinstance(decision, RefuseLv)
    assert decision.transient


def test_an_unfinished_lv_does_not_come_back_from_the_trash():
    """However it came there: its bytes may be those of another pod."""
    lying = in_trash(1, 1)
    for tags, restored in (((), True), ((well_known.TAG_CREATING + INTENT,), False)):
        request = RestoreLv(at=5, volume=LvInTrash(VG, lying.name, lying.uuid))
        decision = decide_restore(
            request, node(msgspec.structs.replace(lying, tags=(*lying.tags, *tags)))
        )
        assert isinstance(decision, RestoreFromTrash if restored else RefuseLv)


def test_stale_and_closed_is_replaced():
    """A copy that the plan knew of is removed first."""
    decision = create_one(node(volume(size=3 * GIB)), wanted(stale=uuid()))
    assert isinstance(decision, ReplaceLv)
    assert (decision.stale.lv.size, decision.size, decision.stale.pool) == (3 * GIB, 5 * GIB, None)


def test_stale_and_open_fails_for_now():
    """A stale copy that something holds is left, and the request may be repeated."""
    decision = create_one(node(volume(is_open=True)), wanted(stale=uuid()))
    assert isinstance(decision, RefuseLv)
    assert decision.transient


def test_a_missing_or_doubled_group_is_a_reason():
    """A VG that is not there, or there twice, is refused by name."""
    for inventory in (Inventory(node="n1", groups=(), volumes=()), node(groups=2)):
        decision = create_one(inventory)
        assert isinstance(decision, RefuseLv)
        assert VG in decision.reason
        assert not decision.transient


def test_the_same_name_twice_is_made_once():
    """The second of two requests for one name is refused."""
    first, second = decide_create(CreateLvs(reserve=0, volumes=(wanted(), wanted())), node())
    assert isinstance(first, CreateLv)
    assert isinstance(second, RefuseLv)


def test_a_name_that_lvm_reserves_is_refused_alone():
    """One bad name does not stop the others."""
    bad = wanted("volume-" + "x" * 130)
    first, second = decide_create(CreateLvs(reserve=0, volumes=(bad, wanted())), node())
    assert isinstance(first, RefuseLv)
    assert isinstance(second, CreateLv)


@given(
    st.lists(st.integers(1, 40), min_size=1, max_size=30),
    st.integers(0, 300),
    st.integers(0, 50),
)
def test_the_reserve_stays_free_and_what_fits_is_made(sizes: list[int], free: int, reserve: int):
    """Whatever is asked for, in any order, the reserve stays free, and nothing that would fit is
    refused.
    """
    volumes = tuple(wanted(f"volume-{i}", size=size * GIB) for i, size in enumerate(sizes))
    decisions = decide_create(
        CreateLvs(reserve=reserve * GIB, volumes=volumes), node(free=free * GIB)
    )
    left = free
    for size, decision in zip(sizes, decisions, strict=True):
        if isinstance(decision, CreateLv):
            left -= size
            assert left >= reserve
        else:
            assert left - size < reserve


def test_a_stale_copy_gives_its_space_back():
    """Replacing counts the bytes that the stale copy frees."""
    inventory = node(volume(size=30 * GIB), free=0)
    assert isinstance(create_one(inventory, wanted(size=30 * GIB, stale=uuid())), ReplaceLv)
    assert isinstance(create_one(inventory, wanted(size=31 * GIB, stale=uuid())), RefuseLv)


def test_an_old_mark_is_not_renewed():
    """A second sweep's mark changes nothing."""
    assert mark_one(volume(tags=(well_known.TAG_ORPHAN + "17",))) == AlreadyMarked(
        volume(tags=(well_known.TAG_ORPHAN + "17",))
    )


def test_a_mark_that_cannot_be_read_is_replaced():
    """A mark without a time is no mark."""
    bad = well_known.TAG_ORPHAN + "yesterday"
    assert mark_one(volume(tags=(bad,))) == TagOrphan(
        volume(tags=(bad,)), well_known.TAG_ORPHAN + "500", (bad,)
    )


def test_marks_name_the_uuid():
    """Another LV of that name is neither marked nor unmarked; one that is gone is absent."""
    target = LvTarget(group=VG, name="volume-a", uuid=uuid(9))
    request = MarkLvs(at=1, mark=(target,), unmark=(target,))
    assert all(isinstance(d, RefuseLv) for d in decide_mark(request, node(volume())))
    assert all(isinstance(d, LvAbsent) for d in decide_mark(request, node()))


def test_unmark_takes_every_mark_off():
    """Several marks, by whatever accident, all come off."""
    marks = (well_known.TAG_ORPHAN + "17", well_known.TAG_ORPHAN + "18")
    target = LvTarget(group=VG, name="volume-a", uuid=uuid())
    (decision,) = decide_mark(MarkLvs(at=1, unmark=(target,)), node(volume(tags=("x", *marks))))
    assert isinstance(decision, UntagOrphan)
    assert decision.tags_off == marks


def test_a_stale_copy_goes_to_the_trash_while_there_is_room():
    """With a trash the stale copy is deactivated; where its space is needed it is removed, and
    nothing is refused.
    """
    stale = volume(uuid=uuid(7))
    want = wanted(stale=uuid(7))
    kept = create_one(node(stale, free=20 * GIB), want, reserve=10 * GIB, trash_at=500)
    assert isinstance(kept, ReplaceLv)
    assert isinstance(kept.stale, MoveToTrash)
    assert f"{well_known.TAG_TRASH_AT}500" in kept.stale.tags
    tight = create_one(node(stale, free=10 * GIB), want, reserve=10 * GIB, trash_at=500)
    assert isinstance(tight, ReplaceLv)
    assert isinstance(tight.stale, RemoveLv)
    assert isinstance(create_one(node(stale, free=20 * GIB), want), ReplaceLv)


def test_room_is_made_in_the_trash_the_oldest_first_and_no_more_than_needed():
    """Two of three go for a volume that lacks 7 GiB; the youngest stays, and the next volume of the
    batch takes it.
    """
    lying = (in_trash(1, 300), in_trash(2, 100), in_trash(3, 200))
    inventory = node(*lying, free=10 * GIB)
    one = create_one(inventory, wanted(size=7 * GIB), reserve=10 * GIB)
    assert isinstance(one, CreateLv)
    assert [each.lv.uuid for each in one.room] == [uuid(2), uuid(3)]
    request = CreateLvs(
        reserve=10 * GIB, volumes=(wanted(size=7 * GIB), wanted("volume-b", size=8 * GIB))
    )
    first, second = decide_create(request, inventory)
    assert isinstance(first, CreateLv)
    assert isinstance(second, CreateLv)
    assert [each.lv.uuid for each in second.room] == [uuid(1)]


def test_nothing_of_the_trash_goes_for_what_does_not_fit_anyway():
    """Fifteen GiB lie in the trash, sixteen are lacking: refused, and the trash stays for the
    next.
    """
    inventory = node(in_trash(1, 1), in_trash(2, 2), in_trash(3, 3), free=10 * GIB)
    request = CreateLvs(reserve=10 * GIB, volumes=(wanted(size=16 * GIB), wanted("volume-b")))
    refused, made = decide_create(request, inventory)
    assert isinstance(refused, RefuseLv)
    assert isinstance(made, CreateLv)
    assert [each.lv.uuid for each in made.room] == [uuid(1)]


def test_room_is_made_of_closed_plain_trash_only():
    """Open, of another group, with another LV's UUID in its name, or without the tags: none of it
    goes for space.
    """
    for changes in (
        {"is_open": True},
        {"name": f"trash-{uuid(9)}"},
        {"tags": ()},
        {"tags": (f"{well_known.TAG_TRASH_NAME}volume-a",)},
        {"tags": (f"{well_known.TAG_TRASH_NAME}root", f"{well_known.TAG_TRASH_AT}1")},
        {"layout": "raid,raid1"},
        {"role": "public,origin,thickorigin"},
        {"group": "other"},
    ):
        inventory = node(in_trash(1, 1, **changes), free=10 * GIB)
        assert isinstance(create_one(inventory, reserve=10 * GIB), RefuseLv), changes
    assert isinstance(create_one(node(in_trash(1, 1), free=10 * GIB), reserve=10 * GIB), CreateLv)


def test_what_a_rebuild_takes_over_loses_the_tags_of_the_trash():
    """The way into the trash was broken off, and the volume is wanted again: its tags come off with
    the mark.
    """
    tags = (
        well_known.TAG_ORPHAN + "17",
        f"{well_known.TAG_TRASH_NAME}volume-a",
        f"{well_known.TAG_TRASH_AT}20",
    )
    target = LvTarget(group=VG, name="volume-a", uuid=uuid())
    (decision,) = decide_mark(MarkLvs(at=1, unmark=(target,)), node(volume(tags=tags)))
    assert decision == UntagOrphan(volume(tags=tags), tags)
    assert create_one(node(volume(tags=(OURS, *tags)))) == KeepExisting(
        volume(tags=(OURS, *tags)), tags
    )


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (volume(name="volume-b"), "no tag reports that it was volume-a"),
        (volume(tags=(f"{well_known.TAG_CREATING}{INTENT}",)), "before lvm wiped it"),
        (volume(at_work="it is locked"), "it is locked"),
        (volume(is_open=True), "it is open"),
        (volume(layout="thin,sparse"), "not a plain volume"),
        (volume(uuid=uuid(9)), "is gone"),
    ],
)
def test_an_old_copy_that_is_not_what_was_asked_for_is_refused(found: LocalVolume, words: str):
    """Its UUID, its name and its state must agree: nothing is created in its stead."""
    decision = create_one(node(found), wanted(copy=uuid()))
    assert isinstance(decision, RefuseLv)
    assert words in decision.reason


def test_what_lvm_is_working_on_is_left_alone():
    """An LV in a pvmove is neither kept, extended, replaced, marked, unmarked nor restored, and may
    be later.
    """
    moving = "it is locked, as during a pvmove"
    ours = well_known.TAG_INTENT + wanted().intent
    found = volume(at_work=moving)
    lying = in_trash(1, 1000, at_work=moving)
    target = LvInTrash(VG, lying.name, lying.uuid)
    decisions = [
        create_one(node(found)),
        create_one(node(volume(at_work=moving, tags=(ours,)))),
        create_one(node(found), wanted(stale=found.uuid)),
        mark_one(found),
        decide_restore(RestoreLv(at=1, volume=target), node(lying)),
    ]
    for decision in decisions:
        assert isinstance(decision, RefuseLv), decision
        assert (decision.transient, moving in decision.reason) == (True, True)


def test_a_group_that_lvm_does_not_allocate_from_is_a_reason():
    """A missing disk is not '0 free': the reason reports what is wrong with the group."""
    (group,) = node().groups
    broken = msgspec.structs.replace(group, free=0, problem="a disk of it is missing")
    inventory = Inventory(node="n1", groups=(broken,), volumes=())
    decision = create_one(inventory)
    assert isinstance(decision, RefuseLv)
    assert decision.reason == f"volume group {VG} takes no new volume: a disk of it is missing"
