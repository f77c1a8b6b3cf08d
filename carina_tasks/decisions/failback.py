"""Could the old copy that a failover left on a node be the volume again?

Only what is observed counts: the LV's name says which volume it was, its UUID says which copy it is. The node may have been
registered under another name since, so the history of the LogicVolume is a hint about the age and proves nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from carina_tasks.decisions import removal
from carina_tasks.decisions.rebuild import is_block, wanted_size
from carina_tasks.model import quantity
from carina_tasks.model.names import VOLUME_PREFIX
from carina_tasks.model.progress import timestamp

if TYPE_CHECKING:
    from carina_tasks.model.local import Inventory, LocalVolume
    from carina_tasks.model.objects import LogicVolume, PersistentVolume
    from carina_tasks.model.snapshot import ClusterSnapshot


CLOCKS: Final = 300.0
"""Seconds by which a node's clock may be behind the API server's."""


@dataclass(frozen=True, slots=True)
class FailbackPossible:
    """The old copy could be the volume again."""

    reason: str


@dataclass(frozen=True, slots=True)
class FailbackImpossible:
    """The old copy cannot be the volume again as things are."""

    reason: str


def volume_of(local: LocalVolume) -> str:
    """Return the name of the LogicVolume that the LV belonged to, from its name now or before the trash; empty for other LVs."""
    name = local.old_name or local.name
    return name.removeprefix(VOLUME_PREFIX) if name.startswith(VOLUME_PREFIX) else ""


def is_old_copy(local: LocalVolume, node: str, volume: LogicVolume) -> bool:
    """Return whether an LV of `node` is a copy of `volume` that is not in use: it is in the trash, or the volume is elsewhere."""
    return local.trashed is not None or volume.node != node


def old_copies(inventory: Inventory, world: ClusterSnapshot) -> Iterator[tuple[LocalVolume, LogicVolume]]:
    """Yield the old copies that a node reports, each with its LogicVolume.

    What is on the disks counts, so a machine that was registered under another name is no exception.
    """
    for local in inventory.volumes:
        volume = world.logic_volumes.get(volume_of(local))
        if volume is not None and is_old_copy(local, inventory.node, volume):
            yield local, volume


def inventory_without(inventory: Inventory, copies: Sequence[LocalVolume]) -> Inventory:
    """Return the inventory as if the old copies were gone: what their volumes need there is what they take already."""
    uuids = {local.uuid for local in copies}
    freed: Counter[str] = Counter()
    for local in copies:
        freed[local.group] += local.size
    groups = tuple(replace(group, free=group.free + freed[group.name]) for group in inventory.groups)
    return replace(inventory, groups=groups, volumes=tuple(v for v in inventory.volumes if v.uuid not in uuids))


def judge_copy(
    local: LocalVolume,
    inventory: Inventory,
    world: ClusterSnapshot,
    volume: LogicVolume,
    reserve: int,
    *,
    zero_block: bool = True,
) -> FailbackPossible | FailbackImpossible:
    """Decide whether the old copy could be the volume again, and why not.

    Args:
        local: The old copy.
        inventory: What its node reports.
        world: The cluster as it was read.
        volume: The LogicVolume whose name the LV has.
        reserve: Bytes of a volume group that stay free.
        zero_block: Whether a pod that reads the device itself gets nothing but zeroes (the setting of that name).
    """
    pv = world.volumes.get(volume.name)
    why = (
        _node_forbids(inventory.node, world)
        or _cluster_forbids(world, volume, pv)
        or _lv_forbids(local, inventory, volume)
    )
    if why or pv is None:
        return FailbackImpossible(why)
    wanted = wanted_size(volume, dict(pv.raw))
    if local.size >= wanted:
        return FailbackPossible("its LV is closed and large enough")
    if zero_block and is_block(dict(pv.raw)):
        return FailbackImpossible(
            f"it has {quantity.show(local.size)}, the volume has {quantity.show(wanted)} now, and what is added would hold the bytes "
            "of other volumes (volumeMode Block)"
        )
    group = next((one for one in inventory.groups if one.name == local.group), None)
    if group is None or group.problem:
        return FailbackImpossible(
            f"volume group {local.group} cannot extend it: {group.problem if group else 'it is not there'}"
        )
    lacking = wanted - local.size
    if group.free - reserve < lacking:
        return FailbackImpossible(
            f"it has {quantity.show(local.size)}, the volume has {quantity.show(wanted)} now, and volume group {local.group} has "
            f"{quantity.show(max(0, group.free - reserve))} to extend it"
        )
    return FailbackPossible(
        f"its LV is closed; it would be extended from {quantity.show(local.size)} to {quantity.show(wanted)}"
    )


def data_until(volume: LogicVolume, node: str) -> int:
    """Return when the last failover from `node` began (seconds since the epoch): the old copy has no newer data. 0: unknown."""
    return max((_epoch(one.at) for one in volume.history if one.source == node), default=0)


def in_use_since(volume: LogicVolume) -> int:
    """Return when the last failover of the volume began (seconds since the epoch): the copy in use was empty then. 0: unknown."""
    return max((_epoch(one.at) for one in volume.history), default=0)


def _node_forbids(name: str, world: ClusterSnapshot) -> str:
    node = world.nodes.get(name)
    if node is None:
        return f"node {name} is not registered: see kubectl get nodes"
    if node.ready != "True":
        return f"node {name} is not Ready"
    return f"node {name} is cordoned: kubectl uncordon {name}" if node.unschedulable else ""


def _cluster_forbids(world: ClusterSnapshot, volume: LogicVolume, pv: PersistentVolume | None) -> str:
    in_use = world.nodes.get(volume.node)
    if in_use is None or in_use.ready != "True":
        what = (
            "is NotReady, and a pod may still write there" if in_use else "does not exist, and it is rebuilt elsewhere"
        )
        return f"node {volume.node}, where the volume is in use, {what}"
    if volume.journalled:
        return "the volume is being rebuilt"
    if volume.meta.deleting is not None or pv is None or pv.meta.deleting is not None:
        return "the volume is being deleted" if pv is not None else "its PersistentVolume is not there"
    if pv.nodes != (volume.node,):
        return f"its PersistentVolume names {', '.join(pv.nodes) or 'no node'}, its LogicVolume {volume.node}"
    return ""


def _lv_forbids(local: LocalVolume, inventory: Inventory, volume: LogicVolume) -> str:
    name = VOLUME_PREFIX + volume.name
    other = inventory.find(local.group, name)
    if other is not None and other.uuid != local.uuid:
        return f"another LV is called {name} there (UUID {other.uuid})"
    if local.group != volume.group:
        return f"it is in volume group {local.group}, the volume in {volume.group}"
    if why := _of_another(local, volume):
        return why
    if (unfit := removal.unfit_to_return(local)) is not None:
        return unfit.reason
    if local.is_open:
        return "it is open: something still uses it"
    return "" if removal.plain(local) else f"it is not linear: {removal.kind(local)}"


def _of_another(local: LocalVolume, volume: LogicVolume) -> str:
    """Return why the LV may have belonged to another volume of that name, empty when nothing speaks for it.

    A LogicVolume can be deleted and made again under its name, for another claim. An LV that one of its rebuilds made carries that
    rebuild's id. For any other the node's clock is the only witness: Carina makes an LV after its LogicVolume.
    """
    if local.intent and local.intent in {one.intent for one in volume.history}:
        return ""
    if local.created >= volume.meta.created - CLOCKS:
        return ""
    return (
        f"it was made at {timestamp(local.created)} by its node's clock, and its LogicVolume at {timestamp(volume.meta.created)}: it may have "
        "belonged to another volume of that name"
    )


def _epoch(text: str) -> int:
    try:
        return int(datetime.fromisoformat(text).timestamp())
    except (ValueError, OverflowError):
        return 0
