"""Make, keep, replace or bring back one local volume, and mark it or take its mark off.

Pure functions on a report.

The rules are those of the design's section 4 ("Rebuild"); what removes is in `decisions.removal`.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

from carina_tasks.decisions.removal import (
    LvAbsent,
    MoveToTrash,
    RefuseLv,
    RemoveLv,
    agreeing,
    discard,
    kind,
    left_alone,
    marks,
    only_group,
    plain,
    purgeable,
    removable,
    unfit_to_return,
)
from carina_tasks.errors import BadInput
from carina_tasks.model import names, well_known
from carina_tasks.model.local import Inventory, LocalVolume, VolumeGroup
from carina_tasks.model.messages import CreateLvs, LvTarget, LvToCreate, MarkLvs
from carina_tasks.model.quantity import show, whole_gib

STALE = "stale: it stood there before the rebuild was planned"
NOT_ZEROED = "it would have to be extended, and what is added would hold the bytes of other volumes"
UNFINISHED = "its creation was interrupted before lvm had wiped it, or before it was zeroed"


@dataclass(frozen=True)
class CreateLv:
    """There is none: make it with `size` bytes, once `room` of the trash has gone."""

    size: int
    room: tuple[RemoveLv, ...] = ()


@dataclass(frozen=True)
class KeepExisting:
    """The same rebuild created it already; `tags_off` are tags of others that come off."""

    lv: LocalVolume
    tags_off: tuple[str, ...] = ()


@dataclass(frozen=True)
class ExtendLv:
    """The same rebuild made it, but smaller than it is wanted now.

    Extend it to `size` bytes, once `room` has gone.
    """

    lv: LocalVolume
    size: int
    tags_off: tuple[str, ...] = ()
    room: tuple[RemoveLv, ...] = ()


@dataclass(frozen=True)
class NameTaken:
    """An LV of that name is there that this rebuild did not create.

    The control worker decides, who reads the journal.
    """

    lv: LocalVolume
    reason: str


@dataclass(frozen=True)
class ReplaceLv:
    """A closed LV of that name goes first, then one of `size` bytes is created.

    It is a stale copy that the plan knew, or one whose own creation was interrupted before lvm had
    wiped it.
    """

    stale: MoveToTrash | RemoveLv
    size: int
    room: tuple[RemoveLv, ...] = ()


@dataclass(frozen=True)
class ZeroLv:
    """The same rebuild created it, and it is still to be zeroed."""

    lv: LocalVolume


@dataclass(frozen=True)
class RestoreCopy:
    """It is the old copy that a failback asks for.

    Give it its name, its device and `size` bytes, once `room` has gone.
    """

    lv: LocalVolume
    name: str
    size: int
    tag: str
    """Its intent tag: repeated, the request finds it."""
    tags_off: tuple[str, ...] = ()
    room: tuple[RemoveLv, ...] = ()


@dataclass(frozen=True)
class TagOrphan:
    """Put the tag `tag` on it and take `tags_off` off."""

    lv: LocalVolume
    tag: str
    tags_off: tuple[str, ...] = ()


@dataclass(frozen=True)
class AlreadyMarked:
    """It carries a mark: the old one counts, a second sweep does not renew it."""

    lv: LocalVolume


@dataclass(frozen=True)
class UntagOrphan:
    """Take `tags_off` off it: none when it is not marked."""

    lv: LocalVolume
    tags_off: tuple[str, ...]


Growing = CreateLv | ExtendLv | ReplaceLv | RestoreCopy
CreateDecision = Growing | KeepExisting | ZeroLv | NameTaken | RefuseLv
MarkDecision = TagOrphan | AlreadyMarked | UntagOrphan | LvAbsent | RefuseLv


def decide_create(request: CreateLvs, inventory: Inventory) -> tuple[CreateDecision, ...]:
    """Return a decision for each volume of `request`, in its order.

    `request.reserve` bytes of a VG stay free; the volumes before one in the batch count as made.
    What does not fit makes room in the trash, the oldest first and no more than it needs.
    """
    free = {group.name: group.free for group in inventory.groups}
    wanted_back = {wanted.copy for wanted in request.volumes}
    trash = {group.name: _trash(group, inventory, wanted_back) for group in inventory.groups}
    seen: set[str] = set()
    decisions: list[CreateDecision] = []
    for wanted in request.volumes:
        if wanted.name in seen:
            decisions.append(RefuseLv("the request names it twice"))
            continue
        seen.add(wanted.name)
        group = only_group(inventory, wanted.group)
        decision = (
            group
            if isinstance(group, RefuseLv)
            else _create_one(wanted, inventory, request.trash_at)
        )
        if isinstance(group, VolumeGroup) and isinstance(decision, Growing):
            decision = _fit(decision, group, free, trash[group.name], request.reserve)
        decisions.append(decision)
    return tuple(decisions)


def _fit(
    decision: Growing, group: VolumeGroup, free: dict[str, int], trash: list[RemoveLv], reserve: int
) -> CreateDecision:
    """Return the decision with the room that it needs, and book both; or refuse it."""
    need = _need(decision, group)
    if need > 0 and group.problem:
        return RefuseLv(f"volume group {group.name} takes no new volume: {group.problem}")
    room: list[RemoveLv] = []
    while need > 0 and need > free[group.name] + sum(each.bytes for each in room) - reserve:
        if len(room) < len(trash):
            room.append(trash[len(room)])
        elif isinstance(decision, ReplaceLv) and isinstance(decision.stale, MoveToTrash):
            # The last resort: the stale copy itself, younger than all that lies in the trash.
            decision = replace(decision, stale=decision.stale.removal)
            need = _need(decision, group)
        else:
            return _no_space(
                group, need, free[group.name] + sum(each.bytes for each in trash), reserve
            )
    del trash[: len(room)]
    free[group.name] += sum(each.bytes for each in room) - need
    return replace(decision, room=tuple(room))


def _trash(group: VolumeGroup, inventory: Inventory, but: Collection[str | None]) -> list[RemoveLv]:
    """Return the trash of the VG that may be removed, oldest first, without UUIDs in `but`."""
    lying = [
        (v.trashed.at, v.uuid, v)
        for v in inventory.volumes
        if v.group == group.name and v.trashed is not None and v.uuid not in but
    ]
    removals = (purgeable(lv, inventory) for _, _, lv in sorted(lying, key=lambda each: each[:2]))
    return [removal for removal in removals if isinstance(removal, RemoveLv)]


def _create_one(wanted: LvToCreate, inventory: Inventory, trash_at: int) -> CreateDecision:
    try:
        names.logical_volume_name(wanted.name)
    except BadInput as exc:
        return RefuseLv(exc.message)
    if wanted.size <= 0:
        return RefuseLv("its size is not above zero")
    size = whole_gib(wanted.size)
    if wanted.copy is not None:
        return _bring_back(wanted, wanted.copy, inventory, size)
    found = inventory.find(wanted.group, wanted.name)
    if found is None:
        return CreateLv(size)
    if found.at_work:
        return left_alone(found)
    if well_known.TAG_ZEROING + wanted.intent in found.tags and found.size >= size:
        return ZeroLv(found)
    if found.unfinished:
        # lvm2 commits an LV before it wipes it: what an earlier LV wrote there may still be
        # readable.
        tag = next(
            tag
            for tag in found.tags
            if tag.startswith((well_known.TAG_CREATING, well_known.TAG_ZEROING))
        )
        removal = removable(found, inventory, UNFINISHED, tag)
        return removal if isinstance(removal, RefuseLv) else ReplaceLv(removal, size)
    ours = well_known.TAG_INTENT + wanted.intent
    # An orphan mark would let a later sweep remove what this rebuild is about to hand to a pod
    others = tuple(t for t in found.tags if t.startswith(well_known.TAG_OURS) and t != ours)
    if ours in found.tags:
        if found.size >= size:
            return KeepExisting(found, others)
        return RefuseLv(NOT_ZEROED) if wanted.zero else ExtendLv(found, size, others)
    if found.uuid == wanted.stale:
        removal = removable(found, inventory, STALE)
        return (
            removal
            if isinstance(removal, RefuseLv)
            else ReplaceLv(discard(removal, trash_at, STALE), size)
        )
    if not plain(found):
        return RefuseLv(
            f"an LV of that name exists there and is not a plain volume ({kind(found)})"
        )
    if found.is_open:
        return RefuseLv("an LV of that name that this rebuild did not create is in use there")
    return NameTaken(
        found, "an LV of that name is there, and this rebuild did not create it: it may hold data"
    )


def _bring_back(wanted: LvToCreate, uuid: str, inventory: Inventory, size: int) -> CreateDecision:
    """Return what makes the old copy of that UUID the volume again.

    Nothing but that very LV will do.
    """
    found = next((v for v in inventory.volumes if v.group == wanted.group and v.uuid == uuid), None)
    if found is None:
        return RefuseLv(f"the old copy is gone: {wanted.group} has no LV of UUID {uuid}")
    if wanted.name not in (found.name, found.old_name):
        return RefuseLv(
            f"the LV of UUID {uuid} is called {found.name}, and no tag reports that it was "
            f"{wanted.name}"
        )
    if (unfit := unfit_to_return(found)) is not None:
        return unfit
    other = inventory.find(wanted.group, wanted.name)
    if other is not None and other.uuid != uuid:
        return RefuseLv(f"another LV is called {wanted.name} now (UUID {other.uuid})")
    if not plain(found):
        return RefuseLv(f"it is not a plain volume ({kind(found)})")
    tag = well_known.TAG_INTENT + wanted.intent
    others = tuple(t for t in found.tags if t.startswith(well_known.TAG_OURS) and t != tag)
    if found.name == wanted.name and tag in found.tags:
        return KeepExisting(found, others) if found.size >= size else ExtendLv(found, size, others)
    if wanted.zero and found.size < size:
        return RefuseLv(NOT_ZEROED)
    if found.is_open and not wanted.in_use:
        return RefuseLv("it is open: something has it mounted or holds it")
    return RestoreCopy(found, wanted.name, max(size, found.size), tag, others)


def decide_mark(request: MarkLvs, inventory: Inventory) -> tuple[MarkDecision, ...]:
    """Return a decision for each volume of `request.mark`, then for each of `request.unmark`."""
    tag = f"{well_known.TAG_ORPHAN}{request.at}"
    return (
        *(_mark_one(target, inventory, tag) for target in request.mark),
        *(_unmark_one(target, inventory) for target in request.unmark),
    )


def _mark_one(target: LvTarget, inventory: Inventory, tag: str) -> MarkDecision:
    found = agreeing(target, inventory)
    if not isinstance(found, LocalVolume):
        return found
    if found.marked_at is not None:
        return AlreadyMarked(found)
    if found.at_work:
        return left_alone(found)
    return TagOrphan(found, tag, tuple(marks(found)))  # a mark that cannot be read is no mark


def _unmark_one(target: LvTarget, inventory: Inventory) -> MarkDecision:
    found = agreeing(target, inventory)
    if not isinstance(found, LocalVolume):
        return found
    if found.at_work:
        return left_alone(found)
    # The tags of the trash too: the way there was broken off before the volume was renamed.
    return UntagOrphan(
        found,
        tuple(t for t in found.tags if t.startswith((well_known.TAG_ORPHAN, well_known.TAG_TRASH))),
    )


def _need(decision: CreateDecision, group: VolumeGroup) -> int:
    """Return how many bytes of its VG the decision takes, in whole extents.

    Below zero when it gives some back.
    """
    match decision:
        case CreateLv(size):
            return _extents(size, group)
        case ExtendLv(lv, size) | RestoreCopy(lv, size=size):
            return _extents(size, group) - lv.size
        case ReplaceLv(RemoveLv() as stale, size):
            return _extents(size, group) - stale.bytes
        case ReplaceLv(_, size):
            return _extents(size, group)
        case _:
            return 0


def _extents(size: int, group: VolumeGroup) -> int:
    extent = max(group.extent, 1)
    return -(-size // extent) * extent


def _no_space(group: VolumeGroup, need: int, free: int, reserve: int) -> RefuseLv:
    return RefuseLv(
        f"{group.name} has not enough free space: {show(need)} needed, {show(max(free, 0))} free, "
        f"of which {show(reserve)} stay free"
    )
