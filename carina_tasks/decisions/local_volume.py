"""What may be done to one local volume: make, keep, adopt, replace, mark or remove it. Pure functions on a report.

The rules are those of the design's sections 4 ("Rebuild") and 5 ("Guards"). Every irreversible one is checked twice:
here, on a report, to have a reason; and again by lvm2 itself, under the VG's lock, through `Remove.condition`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from carina_tasks.errors import BadInput
from carina_tasks.model import keys, names
from carina_tasks.model.local import Inventory, LocalVolume, VolumeGroup
from carina_tasks.model.messages import CreateVolume, CreateVolumes, MarkVolumes, RemoveVolumes, Target
from carina_tasks.model.quantity import GIB, show, whole_gib

THIN: Final = frozenset({"thin", "sparse"})


@dataclass(frozen=True)
class Create:
    """There is none: make it with `size` bytes."""

    size: int


@dataclass(frozen=True)
class Keep:
    """The same rebuild made it already; `tags_off` are tags of others that come off."""

    volume: LocalVolume
    tags_off: tuple[str, ...] = ()


@dataclass(frozen=True)
class Extend:
    """The same rebuild made it, but smaller than it is wanted now: extend it to `size` bytes."""

    volume: LocalVolume
    size: int
    tags_off: tuple[str, ...] = ()


@dataclass(frozen=True)
class Adopt:
    """Someone else (Carina's own agent, an earlier rebuild) made it since the plan, and it fits."""

    volume: LocalVolume
    reason: str
    tags_off: tuple[str, ...] = ()


@dataclass(frozen=True)
class Remove:
    """Remove `volume`, and `pool`, the thin pool that holds nothing else; only if `tag` is on it (when not empty)."""

    volume: LocalVolume
    reason: str
    pool: LocalVolume | None = None
    tag: str = ""


@dataclass(frozen=True)
class Replace:
    """A stale copy stands there, known to the plan and closed: remove it first, then make one of `size` bytes."""

    stale: Remove
    size: int


@dataclass(frozen=True)
class Mark:
    """Put the tag `tag` on it and take `tags_off` off."""

    volume: LocalVolume
    tag: str
    tags_off: tuple[str, ...] = ()


@dataclass(frozen=True)
class KeepMark:
    """It carries a mark: the old one counts, a second sweep does not renew it."""

    volume: LocalVolume


@dataclass(frozen=True)
class Unmark:
    """Take `tags_off` off it: none when it is not marked."""

    volume: LocalVolume
    tags_off: tuple[str, ...]


@dataclass(frozen=True)
class Absent:
    """There is no volume of that VG and name."""

    reason: str


@dataclass(frozen=True)
class RefuseVolume:
    """Nothing is done to it. `transient`: the same request may be taken later."""

    reason: str
    transient: bool = False


CreateDecision = Create | Keep | Extend | Adopt | Replace | RefuseVolume
MarkDecision = Mark | KeepMark | Unmark | Absent | RefuseVolume
RemoveDecision = Remove | Absent | RefuseVolume


def decide_create(request: CreateVolumes, inventory: Inventory) -> tuple[CreateDecision, ...]:
    """Return a decision for each volume of `request`, in its order.

    `request.reserve` bytes of a VG stay free; the volumes before one in the batch count as made.
    """
    free = {group.name: group.free for group in inventory.groups}
    seen: set[tuple[str, str]] = set()
    decisions: list[CreateDecision] = []
    for wanted in request.volumes:
        if (wanted.group, wanted.name) in seen:
            decisions.append(RefuseVolume("the request names it twice"))
            continue
        seen.add((wanted.group, wanted.name))
        group = _group(inventory, wanted.group)
        decision = group if isinstance(group, RefuseVolume) else _create_one(wanted, inventory)
        if isinstance(group, VolumeGroup):
            need = _need(decision, group)
            if need > 0 and need > free[group.name] - request.reserve:
                decision = _no_space(group, need, free[group.name], request.reserve)
            else:
                free[group.name] -= need
        decisions.append(decision)
    return tuple(decisions)


def _create_one(wanted: CreateVolume, inventory: Inventory) -> CreateDecision:
    try:
        names.logical_volume_name(wanted.name)
    except BadInput as exc:
        return RefuseVolume(exc.message)
    if wanted.size <= 0:
        return RefuseVolume("its size is not above zero")
    size = whole_gib(wanted.size)
    found = inventory.find(wanted.group, wanted.name)
    if found is None:
        return Create(size)
    ours = keys.TAG_INTENT + wanted.intent
    # An orphan mark would let a later sweep remove what this rebuild is about to hand to a pod
    others = tuple(t for t in found.tags if t.startswith((keys.TAG_INTENT, keys.TAG_ORPHAN)) and t != ours)
    if ours in found.tags:
        return Keep(found, others) if found.size >= size else Extend(found, size, others)
    if found.uuid == wanted.stale:
        removal = _removable(found, inventory, "stale: it stood there before the rebuild was planned")
        return removal if isinstance(removal, RefuseVolume) else Replace(removal, size)
    if not _plain(found):
        return RefuseVolume(f"an LV of that name stands there and is not a plain volume ({_kind(found)})")
    if not size <= found.size < size + GIB:
        return RefuseVolume(
            f"an LV of that name was made since the plan, of {show(found.size)} where {show(size)} are wanted"
        )
    return Adopt(found, "made since the rebuild was planned, and of the wanted size", others)


def decide_mark(request: MarkVolumes, inventory: Inventory) -> tuple[MarkDecision, ...]:
    """Return a decision for each volume of `request.mark`, then for each of `request.unmark`."""
    tag = f"{keys.TAG_ORPHAN}{request.at}"
    return (
        *(_mark_one(target, inventory, tag) for target in request.mark),
        *(_unmark_one(target, inventory) for target in request.unmark),
    )


def _mark_one(target: Target, inventory: Inventory, tag: str) -> MarkDecision:
    found = _agreeing(target, inventory)
    if not isinstance(found, LocalVolume):
        return found
    if found.marked_at is not None:
        return KeepMark(found)
    return Mark(found, tag, tuple(_marks(found)))  # a mark that cannot be read is no mark


def _unmark_one(target: Target, inventory: Inventory) -> MarkDecision:
    found = _agreeing(target, inventory)
    return Unmark(found, tuple(_marks(found))) if isinstance(found, LocalVolume) else found


def decide_remove(request: RemoveVolumes, inventory: Inventory) -> tuple[RemoveDecision, ...]:
    """Return a decision for each orphan of `request`, in its order."""
    return tuple(_remove_one(target, inventory, request.marked_before) for target in request.volumes)


def _remove_one(target: Target, inventory: Inventory, marked_before: int) -> RemoveDecision:
    found = _agreeing(target, inventory)
    if not isinstance(found, LocalVolume):
        return found
    if found.marked_at is None:
        return RefuseVolume("no sweep has marked it as an orphan")
    if found.marked_at > marked_before:
        return RefuseVolume(f"it was marked at {found.marked_at}, after {marked_before}", transient=True)
    tag = next(_marks(found))
    return _removable(found, inventory, f"an orphan, marked at {found.marked_at}", tag)


def _removable(volume: LocalVolume, inventory: Inventory, reason: str, tag: str = "") -> Remove | RefuseVolume:
    """Say whether `volume` is provably one of ours and closed, and what goes with it."""
    if not volume.name.startswith(names.VOLUME_PREFIX):
        return RefuseVolume(f"it is not Carina's: its name does not start with {names.VOLUME_PREFIX!r}")
    if volume.is_open:
        return RefuseVolume("it is open: something has it mounted or holds it", transient=True)
    if _plain(volume):
        return Remove(volume, reason, None, tag)
    if set(volume.layout.split(",")) != THIN or volume.role != "public":
        return RefuseVolume(f"it is not a plain volume ({_kind(volume)})")
    own = names.THIN_POOL_PREFIX + volume.name.removeprefix(names.VOLUME_PREFIX)
    if volume.pool != own:
        return RefuseVolume(f"it is held by the thin pool {volume.pool}, not by one of its own ({own})")
    if volume.pool_volumes != 1:
        return RefuseVolume(f"its thin pool {own} holds {volume.pool_volumes} volumes, not it alone")
    pool = inventory.find(volume.group, own)
    if pool is None:
        return RefuseVolume(f"its thin pool {own} is not in the report")
    return Remove(volume, reason, pool, tag)


def _group(inventory: Inventory, name: str) -> VolumeGroup | RefuseVolume:
    found = [group for group in inventory.groups if group.name == name]
    if not found:
        return RefuseVolume(f"the node has no volume group {name}")
    if len(found) > 1:
        return RefuseVolume(f"the node has {len(found)} volume groups called {name}: rename one (vgrename UUID)")
    return found[0]


def _agreeing(target: Target, inventory: Inventory) -> LocalVolume | Absent | RefuseVolume:
    """Return the volume that agrees with `target` in VG, name and UUID."""
    group = _group(inventory, target.group)
    if isinstance(group, RefuseVolume):
        return group
    found = inventory.find(target.group, target.name)
    if found is None:
        return Absent("it is gone already")
    if found.uuid != target.uuid:
        return RefuseVolume(f"another LV has that name now (UUID {found.uuid})")
    return found


def _marks(volume: LocalVolume) -> Iterator[str]:
    return (tag for tag in volume.tags if tag.startswith(keys.TAG_ORPHAN))


def _plain(volume: LocalVolume) -> bool:
    """Say whether it is linear, and neither origin nor snapshot: lvm removes the snapshots of an origin with it."""
    return volume.layout == "linear" and volume.role == "public"


def _kind(volume: LocalVolume) -> str:
    return f"layout {volume.layout}, role {volume.role}"


def _need(decision: CreateDecision, group: VolumeGroup) -> int:
    """Return how many bytes of its VG the decision takes, in whole extents; below zero when it gives some back."""
    match decision:
        case Create(size):
            return _extents(size, group)
        case Extend(volume, size):
            return _extents(size, group) - volume.size
        case Replace(stale, size):
            return _extents(size, group) - (stale.pool or stale.volume).size
        case _:
            return 0


def _extents(size: int, group: VolumeGroup) -> int:
    extent = max(group.extent, 1)
    return -(-size // extent) * extent


def _no_space(group: VolumeGroup, need: int, free: int, reserve: int) -> RefuseVolume:
    return RefuseVolume(
        f"{group.name} has not enough free space: {show(need)} needed, {show(max(free, 0))} free, "
        f"of which {show(reserve)} stay free"
    )
