"""What may be done to one local volume: the rules of the design, on values."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from carina_tasks.decisions.local_volume import (
    Absent,
    Adopt,
    Create,
    Extend,
    Keep,
    KeepMark,
    Mark,
    RefuseVolume,
    Remove,
    Replace,
    Unmark,
    decide_create,
    decide_mark,
    decide_remove,
)
from carina_tasks.model import keys
from carina_tasks.model.local import Inventory, LocalVolume, VolumeGroup
from carina_tasks.model.messages import CreateVolume, CreateVolumes, MarkVolumes, RemoveVolumes, Target
from carina_tasks.model.quantity import GIB

VG = "carina-vg-hdd"
INTENT = "9b2cbb3d-88f0-4b0c-a3ca-0c2b0d3f1f6b"
OTHER = "00000000-88f0-4b0c-a3ca-0c2b0d3f1f6b"
OURS = keys.TAG_INTENT + INTENT
EXTENT = 4 << 20


def uuid(number: int = 0) -> str:
    """Return an lvm UUID that is different for each number."""
    return f"aaaaaa-aaaa-aaaa-aaaa-aaaa-aaaa-{number:06d}"


def volume(name: str = "volume-a", **changes) -> LocalVolume:
    """Return a closed linear volume of 5 GiB."""
    values = {
        "group": VG, "name": name, "uuid": uuid(), "size": 5 * GIB, "is_open": False, "active": True,
        "layout": "linear", "role": "public",
    }  # fmt: skip
    return LocalVolume(**(values | changes))


def node(*volumes: LocalVolume, free: int = 100 * GIB, groups: int = 1) -> Inventory:
    """Return the inventory of a node with one VG."""
    group = VolumeGroup(name=VG, uuid=uuid(), size=200 * GIB, free=free, extent=EXTENT)
    return Inventory(node="n1", groups=(group,) * groups, volumes=volumes)


def wanted(name: str = "volume-a", **changes) -> CreateVolume:
    """Return a request for 5 GiB."""
    return CreateVolume(**({"group": VG, "name": name, "size": 5 * GIB, "intent": INTENT} | changes))


def create_one(inventory: Inventory, want: CreateVolume | None = None, reserve: int = 0):
    """Return the decision for one volume."""
    (decision,) = decide_create(CreateVolumes(reserve=reserve, volumes=(want or wanted(),)), inventory)
    return decision


def remove_one(found: LocalVolume, *others: LocalVolume, before: int = 1000):
    """Return the decision for one orphan."""
    target = Target(group=VG, name="volume-a", uuid=uuid())
    (decision,) = decide_remove(RemoveVolumes(marked_before=before, volumes=(target,)), node(found, *others))
    return decision


def mark_one(found: LocalVolume):
    """Return the decision for marking one volume at 500."""
    target = Target(group=VG, name="volume-a", uuid=uuid())
    (decision,) = decide_mark(MarkVolumes(at=500, mark=(target,)), node(found))
    return decision


def test_absent_is_created_in_whole_gib():
    """A volume that is not there is made, rounded up to whole GiB."""
    assert create_one(node(), wanted(size=5 * GIB - 1)) == Create(5 * GIB)


def test_ours_is_kept_even_if_open_or_named_stale():
    """What this rebuild made is kept, whatever else is known about it."""
    found = volume(tags=(OURS,), is_open=True)
    assert create_one(node(found), wanted(stale=uuid())) == Keep(found)


def test_ours_but_smaller_is_extended():
    """A claim that grew while its rebuild went on gets its new size."""
    found = volume(tags=(OURS,))
    assert create_one(node(found), wanted(size=8 * GIB)) == Extend(found, 8 * GIB)


def test_an_orphan_mark_comes_off_what_the_rebuild_uses():
    """A kept or adopted volume loses its orphan mark and the intents of others."""
    mark, other = keys.TAG_ORPHAN + "17", keys.TAG_INTENT + OTHER
    assert create_one(node(volume(tags=(OURS, mark)))) == Keep(volume(tags=(OURS, mark)), (mark,))
    adopted = create_one(node(volume(tags=(other, mark, "site.rack=7"))))
    assert isinstance(adopted, Adopt)
    assert adopted.tags_off == (other, mark)


def test_made_since_the_plan_is_adopted_only_if_the_size_fits():
    """An unknown volume of the name is adopted from the wanted size to less than one GiB above it."""
    for size, fits in ((5 * GIB, True), (5 * GIB + EXTENT, True), (5 * GIB - EXTENT, False), (6 * GIB, False)):
        decision = create_one(node(volume(size=size)), wanted(stale=uuid(7)))
        assert isinstance(decision, Adopt if fits else RefuseVolume), size


def test_made_since_the_plan_is_refused_if_not_plain():
    """A snapshot's origin, a raid or a thin volume of the name is not adopted."""
    for changes in ({"role": "public,origin,thickorigin"}, {"layout": "raid,raid1"}, {"layout": "thin,sparse"}):
        assert isinstance(create_one(node(volume(**changes))), RefuseVolume)


def test_stale_and_closed_is_replaced():
    """A copy that the plan knew of is removed first."""
    decision = create_one(node(volume(size=3 * GIB)), wanted(stale=uuid()))
    assert isinstance(decision, Replace)
    assert (decision.stale.volume.size, decision.size, decision.stale.pool) == (3 * GIB, 5 * GIB, None)


def test_stale_and_open_fails_for_now():
    """A stale copy that something holds is left, and the request may be repeated."""
    decision = create_one(node(volume(is_open=True)), wanted(stale=uuid()))
    assert isinstance(decision, RefuseVolume)
    assert decision.transient


def test_a_missing_or_doubled_group_is_a_reason():
    """A VG that is not there, or there twice, is refused by name."""
    for inventory in (Inventory(node="n1", groups=(), volumes=()), node(groups=2)):
        decision = create_one(inventory)
        assert isinstance(decision, RefuseVolume)
        assert VG in decision.reason
        assert not decision.transient


def test_the_same_name_twice_is_made_once():
    """The second of two requests for one name is refused."""
    first, second = decide_create(CreateVolumes(reserve=0, volumes=(wanted(), wanted())), node())
    assert isinstance(first, Create)
    assert isinstance(second, RefuseVolume)


def test_a_name_that_lvm_reserves_is_refused_alone():
    """One bad name does not stop the others."""
    bad = wanted("volume-" + "x" * 130)
    first, second = decide_create(CreateVolumes(reserve=0, volumes=(bad, wanted())), node())
    assert isinstance(first, RefuseVolume)
    assert isinstance(second, Create)


@given(
    st.lists(st.integers(1, 40), min_size=1, max_size=30),
    st.integers(0, 300),
    st.integers(0, 50),
)
def test_the_reserve_stays_free_and_what_fits_is_made(sizes: list[int], free: int, reserve: int):
    """Whatever is asked for, in any order, the reserve stays free, and nothing that would fit is refused."""
    volumes = tuple(wanted(f"volume-{i}", size=size * GIB) for i, size in enumerate(sizes))
    decisions = decide_create(CreateVolumes(reserve=reserve * GIB, volumes=volumes), node(free=free * GIB))
    left = free
    for size, decision in zip(sizes, decisions, strict=True):
        if isinstance(decision, Create):
            left -= size
            assert left >= reserve
        else:
            assert left - size < reserve


def test_a_stale_copy_gives_its_space_back():
    """Replacing counts the bytes that the stale copy frees."""
    inventory = node(volume(size=30 * GIB), free=0)
    assert isinstance(create_one(inventory, wanted(size=30 * GIB, stale=uuid())), Replace)
    assert isinstance(create_one(inventory, wanted(size=31 * GIB, stale=uuid())), RefuseVolume)


def test_an_old_mark_is_not_renewed():
    """A second sweep's mark changes nothing."""
    assert mark_one(volume(tags=(keys.TAG_ORPHAN + "17",))) == KeepMark(volume(tags=(keys.TAG_ORPHAN + "17",)))


def test_a_mark_that_cannot_be_read_is_replaced():
    """A mark without a time is no mark."""
    bad = keys.TAG_ORPHAN + "yesterday"
    assert mark_one(volume(tags=(bad,))) == Mark(volume(tags=(bad,)), keys.TAG_ORPHAN + "500", (bad,))


def test_marks_name_the_uuid():
    """Another LV of that name is neither marked nor unmarked; one that is gone is absent."""
    target = Target(group=VG, name="volume-a", uuid=uuid(9))
    request = MarkVolumes(at=1, mark=(target,), unmark=(target,))
    assert all(isinstance(d, RefuseVolume) for d in decide_mark(request, node(volume())))
    assert all(isinstance(d, Absent) for d in decide_mark(request, node()))


def test_unmark_takes_every_mark_off():
    """Several marks, by whatever accident, all come off."""
    marks = (keys.TAG_ORPHAN + "17", keys.TAG_ORPHAN + "18")
    target = Target(group=VG, name="volume-a", uuid=uuid())
    (decision,) = decide_mark(MarkVolumes(at=1, unmark=(target,)), node(volume(tags=("x", *marks))))
    assert isinstance(decision, Unmark)
    assert decision.tags_off == marks


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
