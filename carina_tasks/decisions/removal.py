"""May this local volume go, and whereto? Into the trash, permanently, or back under its old name.

Pure functions on a report.

The rules are those of section 5 of docs/design.md. What cannot be undone is checked twice:
here, on a report, to have a reason; and again by lvm2 itself, under the VG's lock, through the
command's selection.

A volume in the trash is an LV ``trash-<its UUID>``, closed and inactive, whose tags say its old
name, when it went there and why. So a worker that dies in between leaves an LV that still exists,
under one of its two names.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from carina_tasks.model import names, well_known
from carina_tasks.model.local import Inventory, LocalVolume, VolumeGroup, reason_to_tag
from carina_tasks.model.messages import (
    LvInTrash,
    LvTarget,
    LvToRemove,
    PurgeLvs,
    RemoveLvs,
    RestoreLv,
)

THIN: Final = frozenset({"thin", "sparse"})


@dataclass(frozen=True)
class RemoveLv:
    """Remove `lv`, and `pool`, the thin pool that holds nothing else.

    Only if `tag` is on it (when not empty).
    """

    lv: LocalVolume
    reason: str
    pool: LocalVolume | None = None
    tag: str = ""

    @property
    def bytes(self) -> int:
        """What its VG gets back."""
        return (self.pool or self.lv).size


@dataclass(frozen=True)
class MoveToTrash:
    """Put `removal.volume` into the trash: tags, then deactivation, then its new name.

    Its thin pool stays around it.
    """

    removal: RemoveLv
    tags: tuple[str, ...]
    tags_off: tuple[str, ...] = ()


@dataclass(frozen=True)
class RestoreFromTrash:
    """Bring `lv` back from the trash as `name`, with the tag `tag` in place of `tags_off`."""

    lv: LocalVolume
    name: str
    tag: str
    tags_off: tuple[str, ...]


@dataclass(frozen=True)
class LvAbsent:
    """There is no volume of that VG and name."""

    reason: str


@dataclass(frozen=True)
class RefuseLv:
    """Nothing is done to it. `transient`: the same request may be taken later."""

    reason: str
    transient: bool = False


RemoveDecision = RemoveLv | MoveToTrash | LvAbsent | RefuseLv
PurgeDecision = RemoveLv | LvAbsent | RefuseLv
RestoreDecision = RestoreFromTrash | LvAbsent | RefuseLv


def decide_remove(request: RemoveLvs, inventory: Inventory) -> tuple[RemoveDecision, ...]:
    """Return a decision for each orphan of `request`, in its order."""
    return tuple(_remove_one(doomed, inventory, request) for doomed in request.volumes)


def _remove_one(doomed: LvToRemove, inventory: Inventory, request: RemoveLvs) -> RemoveDecision:
    found = agreeing(doomed, inventory)
    if not isinstance(found, LocalVolume):
        return found
    if found.marked_at is None:
        return RefuseLv("no sweep has marked it as an orphan")
    if found.marked_at > request.marked_before:
        return RefuseLv(
            f"it was marked at {found.marked_at}, after {request.marked_before}", transient=True
        )
    tag = next(marks(found))
    removal = removable(found, inventory, f"an orphan, marked at {found.marked_at}", tag)
    return (
        discard(removal, request.trash_at, doomed.why) if isinstance(removal, RemoveLv) else removal
    )


def discard(removal: RemoveLv, trash_at: int, why: str) -> RemoveLv | MoveToTrash:
    """Return the move to the trash, or the removal when `trash_at` is 0 (no trash).

    An LV whose creation was interrupted holds nothing that anyone wrote for its pod, and may hold
    what another one wrote: it must never come back.

    Args:
        removal: The removal that was decided.
        trash_at: Seconds since the epoch that the trash notes; 0: there is no trash.
        why: The reason, as an LVM tag.
    """
    if not trash_at or removal.lv.unfinished:
        return removal
    tags = (
        f"{well_known.TAG_TRASH_NAME}{removal.lv.name}",
        f"{well_known.TAG_TRASH_AT}{trash_at}",
        f"{well_known.TAG_TRASH_WHY}{reason_to_tag(why) or 'unknown'}",
    )
    before = (well_known.TAG_TRASH, well_known.TAG_RESTORED)
    return MoveToTrash(
        removal, tags, tuple(t for t in removal.lv.tags if t.startswith(before) and t not in tags)
    )


def decide_purge(request: PurgeLvs, inventory: Inventory) -> tuple[PurgeDecision, ...]:
    """Return a decision for each volume of `request`, in its order."""
    return tuple(_purge_one(each, inventory, request.trashed_before) for each in request.volumes)


def _purge_one(wanted: LvInTrash, inventory: Inventory, trashed_before: int) -> PurgeDecision:
    found = agreeing(wanted, inventory)
    if not isinstance(found, LocalVolume):
        return found
    if found.trashed is not None and found.trashed.at > trashed_before:
        return RefuseLv(
            f"it was put into the trash at {found.trashed.at}, after {trashed_before}",
            transient=True,
        )
    return purgeable(found, inventory)


def purgeable(lv: LocalVolume, inventory: Inventory) -> RemoveLv | RefuseLv:
    """Return whether the volume in the trash may be removed permanently, and what goes with it."""
    trashed = lv.trashed
    if trashed is None:
        return RefuseLv(
            "it does not lie in the trash: its name is not that of its UUID, or its tags say "
            "nothing of it"
        )
    return removable(
        lv,
        inventory,
        f"in the trash since {trashed.at}, was {trashed.name}",
        f"{well_known.TAG_TRASH_AT}{trashed.at}",
        trashed.name,
    )


def decide_restore(request: RestoreLv, inventory: Inventory) -> RestoreDecision:
    """Decide about an LV that the operator restores.

    An earlier restore may have ended half-way.
    """
    group = only_group(inventory, request.volume.group)
    if isinstance(group, RefuseLv):
        return group
    found = next(
        (v for v in inventory.volumes if v.group == group.name and v.uuid == request.volume.uuid),
        None,
    )
    if found is None:
        return LvAbsent("it is gone already")
    old = found.old_name
    if not old:
        return RefuseLv("it does not lie in the trash, or no tag of it reports what it was called")
    if (unfit := unfit_to_return(found)) is not None:
        return unfit
    other = inventory.find(found.group, old)
    if other is not None and other.uuid != found.uuid:
        return RefuseLv(
            f"there is another {found.group}/{old} now: rename one of them manually (lvrename)"
        )
    gone = (
        well_known.TAG_TRASH_AT,
        well_known.TAG_TRASH_WHY,
        well_known.TAG_ORPHAN,
        well_known.TAG_RESTORED,
    )
    tag = f"{well_known.TAG_RESTORED}{request.at}"
    return RestoreFromTrash(
        found, old, tag, tuple(t for t in found.tags if t.startswith(gone) and t != tag)
    )


def removable(
    lv: LocalVolume, inventory: Inventory, reason: str, tag: str = "", name: str = ""
) -> RemoveLv | RefuseLv:
    """Return whether `lv` (formerly `name`) is provably ours and closed, and its companions.

    Args:
        lv: The LV, as its node reported it.
        inventory: What the node reported.
        reason: The reason, for users.
        tag: The LVM tag that the LV must carry.
        name: The name it had before the trash, or has.
    """
    name = name or lv.name
    if not name.startswith(names.VOLUME_PREFIX):
        return RefuseLv(f"it is not Carina's: its name does not start with {names.VOLUME_PREFIX!r}")
    if lv.is_open:
        return RefuseLv("it is open: something has it mounted or holds it", transient=True)
    if lv.at_work:
        return left_alone(lv)
    if plain(lv):
        return RemoveLv(lv, reason, None, tag)
    if set(lv.layout.split(",")) != THIN or lv.role != "public":
        return RefuseLv(f"it is not a plain volume ({kind(lv)})")
    own = names.THIN_POOL_PREFIX + name.removeprefix(names.VOLUME_PREFIX)
    if lv.pool != own:
        return RefuseLv(f"it is held by the thin pool {lv.pool}, not by one of its own ({own})")
    if lv.pool_volumes != 1:
        return RefuseLv(f"its thin pool {own} holds {lv.pool_volumes} volumes, not it alone")
    pool = inventory.find(lv.group, own)
    if pool is None:
        return RefuseLv(f"its thin pool {own} is not in the report")
    if pool.at_work:
        return RefuseLv(f"its thin pool {own} is left alone: {pool.at_work}", transient=True)
    return RemoveLv(lv, reason, pool, tag)


def left_alone(lv: LocalVolume) -> RefuseLv:
    """Return the refusal of every change to an LV that lvm or an administrator is working on."""
    return RefuseLv(f"it is left alone until that has ended: {lv.at_work}", transient=True)


def unfit_to_return(lv: LocalVolume) -> RefuseLv | None:
    """Return why no pod may get this LV again, or None."""
    if lv.unfinished:
        return RefuseLv(
            "its creation was interrupted before lvm wiped it: it may hold the bytes of another "
            "volume"
        )
    return left_alone(lv) if lv.at_work else None


def only_group(inventory: Inventory, name: str) -> VolumeGroup | RefuseLv:
    """Return the one VG of that name."""
    found = [group for group in inventory.groups if group.name == name]
    if not found:
        return RefuseLv(f"the node has no volume group {name}")
    if len(found) > 1:
        return RefuseLv(
            f"the node has {len(found)} volume groups called {name}: rename one (vgrename UUID)"
        )
    return found[0]


def agreeing(
    target: LvTarget | LvInTrash, inventory: Inventory
) -> LocalVolume | LvAbsent | RefuseLv:
    """Return the volume that agrees with `target` in VG, name and UUID."""
    group = only_group(inventory, target.group)
    if isinstance(group, RefuseLv):
        return group
    found = inventory.find(target.group, target.name)
    if found is None:
        return LvAbsent("it is gone already")
    if found.uuid != target.uuid:
        return RefuseLv(f"another LV has that name now (UUID {found.uuid})")
    return found


def marks(lv: LocalVolume) -> Iterator[str]:
    """Return its orphan marks, readable or not."""
    return (tag for tag in lv.tags if tag.startswith(well_known.TAG_ORPHAN))


def plain(lv: LocalVolume) -> bool:
    """Return whether it is linear, and neither origin nor snapshot.

    Lvm removes the snapshots of an origin with it.
    """
    return lv.layout == "linear" and lv.role == "public"


def kind(lv: LocalVolume) -> str:
    """Return its layout and role as text."""
    return f"layout {lv.layout}, role {lv.role}"
