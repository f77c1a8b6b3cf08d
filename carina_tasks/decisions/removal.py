"""May this local volume go, and whereto? Into the trash, for good, or back under its old name. Pure functions on a report.

The rules are those of the design's section 5 ("Guards"). What cannot be undone is checked twice: here, on a report, to
have a reason; and again by lvm2 itself, under the VG's lock, through the command's selection.

A volume in the trash is an LV ``trash-<its UUID>``, closed and inactive, whose tags say its old name, when it went there
and why. So whoever dies in the middle leaves a volume that is still there, under one of its two names.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from carina_tasks.model import keys, names
from carina_tasks.model.local import Inventory, LocalVolume, VolumeGroup, tag_of_words
from carina_tasks.model.messages import Doomed, InTrash, PurgeVolumes, RemoveVolumes, RestoreVolume, Target

THIN: Final = frozenset({"thin", "sparse"})


@dataclass(frozen=True)
class Remove:
    """Remove `volume`, and `pool`, the thin pool that holds nothing else; only if `tag` is on it (when not empty)."""

    volume: LocalVolume
    reason: str
    pool: LocalVolume | None = None
    tag: str = ""

    @property
    def bytes(self) -> int:
        """What its VG gets back."""
        return (self.pool or self.volume).size


@dataclass(frozen=True)
class Discard:
    """Put `removal.volume` into the trash: tags, then deactivation, then its new name. Its thin pool stays around it."""

    removal: Remove
    tags: tuple[str, ...]
    tags_off: tuple[str, ...] = ()


@dataclass(frozen=True)
class Restore:
    """Bring `volume` back from the trash as `name`, with the tag `tag` in place of `tags_off`."""

    volume: LocalVolume
    name: str
    tag: str
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


RemoveDecision = Remove | Discard | Absent | RefuseVolume
PurgeDecision = Remove | Absent | RefuseVolume
RestoreDecision = Restore | Absent | RefuseVolume


def decide_remove(request: RemoveVolumes, inventory: Inventory) -> tuple[RemoveDecision, ...]:
    """Return a decision for each orphan of `request`, in its order."""
    return tuple(_remove_one(doomed, inventory, request) for doomed in request.volumes)


def _remove_one(doomed: Doomed, inventory: Inventory, request: RemoveVolumes) -> RemoveDecision:
    found = agreeing(doomed, inventory)
    if not isinstance(found, LocalVolume):
        return found
    if found.marked_at is None:
        return RefuseVolume("no sweep has marked it as an orphan")
    if found.marked_at > request.marked_before:
        return RefuseVolume(f"it was marked at {found.marked_at}, after {request.marked_before}", transient=True)
    tag = next(marks(found))
    removal = removable(found, inventory, f"an orphan, marked at {found.marked_at}", tag)
    return discard(removal, request.trash_at, doomed.why) if isinstance(removal, Remove) else removal


def discard(removal: Remove, trash_at: int, why: str) -> Remove | Discard:
    """Return the removal as a way into the trash, or as it is when `trash_at` is 0 (there is no trash).

    An LV whose creation was interrupted holds nothing that anyone wrote for its pod, and may hold what another one wrote:
    it must never come back.
    """
    if not trash_at or removal.volume.unfinished:
        return removal
    tags = (
        f"{keys.TAG_TRASH_NAME}{removal.volume.name}",
        f"{keys.TAG_TRASH_AT}{trash_at}",
        f"{keys.TAG_TRASH_WHY}{tag_of_words(why) or 'unknown'}",
    )
    before = (keys.TAG_TRASH, keys.TAG_RESTORED)
    return Discard(removal, tags, tuple(t for t in removal.volume.tags if t.startswith(before) and t not in tags))


def decide_purge(request: PurgeVolumes, inventory: Inventory) -> tuple[PurgeDecision, ...]:
    """Return a decision for each volume of `request`, in its order."""
    return tuple(_purge_one(each, inventory, request.trashed_before) for each in request.volumes)


def _purge_one(wanted: InTrash, inventory: Inventory, trashed_before: int) -> PurgeDecision:
    found = agreeing(wanted, inventory)
    if not isinstance(found, LocalVolume):
        return found
    if found.trashed is not None and found.trashed.at > trashed_before:
        return RefuseVolume(f"it was put into the trash at {found.trashed.at}, after {trashed_before}", transient=True)
    return purgeable(found, inventory)


def purgeable(volume: LocalVolume, inventory: Inventory) -> Remove | RefuseVolume:
    """Say whether the volume in the trash may be removed for good, and what goes with it."""
    trashed = volume.trashed
    if trashed is None:
        return RefuseVolume(
            "it does not lie in the trash: its name is not that of its UUID, or its tags say nothing of it"
        )
    return removable(
        volume,
        inventory,
        f"in the trash since {trashed.at}, was {trashed.name}",
        f"{keys.TAG_TRASH_AT}{trashed.at}",
        trashed.name,
    )


def decide_restore(request: RestoreVolume, inventory: Inventory) -> RestoreDecision:
    """Return what becomes of the volume that a person wants back, also when an earlier restore died in the middle."""
    group = only_group(inventory, request.volume.group)
    if isinstance(group, RefuseVolume):
        return group
    found = next((v for v in inventory.volumes if v.group == group.name and v.uuid == request.volume.uuid), None)
    if found is None:
        return Absent("it is gone already")
    old = found.old_name
    if not old:
        return RefuseVolume("it does not lie in the trash, or no tag of it says what it was called")
    if (unfit := unfit_to_return(found)) is not None:
        return unfit
    other = inventory.find(found.group, old)
    if other is not None and other.uuid != found.uuid:
        return RefuseVolume(f"there is another {found.group}/{old} now: rename one of them by hand (lvrename)")
    gone = (keys.TAG_TRASH_AT, keys.TAG_TRASH_WHY, keys.TAG_ORPHAN, keys.TAG_RESTORED)
    tag = f"{keys.TAG_RESTORED}{request.at}"
    return Restore(found, old, tag, tuple(t for t in found.tags if t.startswith(gone) and t != tag))


def removable(
    volume: LocalVolume, inventory: Inventory, reason: str, tag: str = "", name: str = ""
) -> Remove | RefuseVolume:
    """Say whether `volume` (once called `name`) is provably one of ours and closed, and what goes with it."""
    name = name or volume.name
    if not name.startswith(names.VOLUME_PREFIX):
        return RefuseVolume(f"it is not Carina's: its name does not start with {names.VOLUME_PREFIX!r}")
    if volume.is_open:
        return RefuseVolume("it is open: something has it mounted or holds it", transient=True)
    if volume.at_work:
        return left_alone(volume)
    if plain(volume):
        return Remove(volume, reason, None, tag)
    if set(volume.layout.split(",")) != THIN or volume.role != "public":
        return RefuseVolume(f"it is not a plain volume ({kind(volume)})")
    own = names.THIN_POOL_PREFIX + name.removeprefix(names.VOLUME_PREFIX)
    if volume.pool != own:
        return RefuseVolume(f"it is held by the thin pool {volume.pool}, not by one of its own ({own})")
    if volume.pool_volumes != 1:
        return RefuseVolume(f"its thin pool {own} holds {volume.pool_volumes} volumes, not it alone")
    pool = inventory.find(volume.group, own)
    if pool is None:
        return RefuseVolume(f"its thin pool {own} is not in the report")
    if pool.at_work:
        return RefuseVolume(f"its thin pool {own} is left alone: {pool.at_work}", transient=True)
    return Remove(volume, reason, pool, tag)


def left_alone(volume: LocalVolume) -> RefuseVolume:
    """Return the refusal of every change to an LV that lvm or an administrator is working on."""
    return RefuseVolume(f"it is left alone until that has ended: {volume.at_work}", transient=True)


def unfit_to_return(volume: LocalVolume) -> RefuseVolume | None:
    """Return why a pod must not get this LV (again), None when nothing about the LV itself forbids it."""
    if volume.unfinished:
        return RefuseVolume("its creation was interrupted before lvm wiped it: it may hold the bytes of another volume")
    return left_alone(volume) if volume.at_work else None


def only_group(inventory: Inventory, name: str) -> VolumeGroup | RefuseVolume:
    """Return the one VG of that name."""
    found = [group for group in inventory.groups if group.name == name]
    if not found:
        return RefuseVolume(f"the node has no volume group {name}")
    if len(found) > 1:
        return RefuseVolume(f"the node has {len(found)} volume groups called {name}: rename one (vgrename UUID)")
    return found[0]


def agreeing(target: Target | InTrash, inventory: Inventory) -> LocalVolume | Absent | RefuseVolume:
    """Return the volume that agrees with `target` in VG, name and UUID."""
    group = only_group(inventory, target.group)
    if isinstance(group, RefuseVolume):
        return group
    found = inventory.find(target.group, target.name)
    if found is None:
        return Absent("it is gone already")
    if found.uuid != target.uuid:
        return RefuseVolume(f"another LV has that name now (UUID {found.uuid})")
    return found


def marks(volume: LocalVolume) -> Iterator[str]:
    """Return its orphan marks, readable or not."""
    return (tag for tag in volume.tags if tag.startswith(keys.TAG_ORPHAN))


def plain(volume: LocalVolume) -> bool:
    """Say whether it is linear, and neither origin nor snapshot: lvm removes the snapshots of an origin with it."""
    return volume.layout == "linear" and volume.role == "public"


def kind(volume: LocalVolume) -> str:
    """Return its layout and role as words."""
    return f"layout {volume.layout}, role {volume.role}"
