"""Could the old copy that a failover left on a node be the volume again?

Only what is observed counts: the LV's name reports which volume it was, its UUID reports which copy
it is. The node may have been registered under another name since, so the history of the LogicVolume
is a hint about the age and proves nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from carina_tasks.decisions import removal, selection
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


def volume_of(lv: LocalVolume) -> str:
    """Return the name of the LogicVolume that the LV belonged to; empty for other LVs.

    The LV has that name now, or had it before it went into the trash.
    """
    name = lv.old_name or lv.name
    return name.removeprefix(VOLUME_PREFIX) if name.startswith(VOLUME_PREFIX) else ""


def is_old_copy(lv: LocalVolume, node: str, logic_volume: LogicVolume) -> bool:
    """Return whether an LV of `node` is a copy of `volume` that is not in use.

    It is in the trash, or the volume is elsewhere.

    Args:
        lv: The LV, as its node reported it.
        node: Name of the node.
        logic_volume: The LogicVolume.
    """
    return lv.trashed is not None or logic_volume.node != node


def old_copies(
    inventory: Inventory, snapshot: ClusterSnapshot
) -> Iterator[tuple[LocalVolume, LogicVolume]]:
    """Yield the old copies that a node reports, each with its LogicVolume.

    What is on the disks counts, so a machine that was registered under another name is no
    exception.
    """
    for lv in inventory.volumes:
        logic_volume = snapshot.logic_volumes.get(volume_of(lv))
        if logic_volume is not None and is_old_copy(lv, inventory.node, logic_volume):
            yield lv, logic_volume


def inventory_without(inventory: Inventory, copies: Sequence[LocalVolume]) -> Inventory:
    """Return the inventory as if the old copies were gone.

    What their volumes need there is what they take already.
    """
    uuids = {lv.uuid for lv in copies}
    freed: Counter[str] = Counter()
    for lv in copies:
        freed[lv.group] += lv.size
    groups = tuple(
        replace(group, free=group.free + freed[group.name]) for group in inventory.groups
    )
    return replace(
        inventory, groups=groups, volumes=tuple(v for v in inventory.volumes if v.uuid not in uuids)
    )


def judge_copy(
    lv: LocalVolume,
    inventory: Inventory,
    snapshot: ClusterSnapshot,
    logic_volume: LogicVolume,
    reserve: int,
    *,
    zero_block: bool = True,
) -> FailbackPossible | FailbackImpossible:
    """Decide whether the old copy could be the volume again, and why not.

    Args:
        lv: The old copy.
        inventory: What its node reports.
        snapshot: The cluster as it was read.
        logic_volume: The LogicVolume whose name the LV has.
        reserve: Bytes of a volume group that stay free.
        zero_block: Whether a pod that reads the device itself gets nothing but zeroes (the setting
            of that name).
    """
    pv = snapshot.persistent_volumes.get(logic_volume.name)
    why = (
        _node_forbids(inventory.node, snapshot)
        or _cluster_forbids(snapshot, logic_volume, pv)
        or _lv_forbids(lv, inventory, logic_volume)
        or _selection_forbids(snapshot, logic_volume)
    )
    if why or pv is None:
        return FailbackImpossible(why)
    wanted = logic_volume.rebuilt_size(pv.capacity)
    if lv.size >= wanted:
        return FailbackPossible("its LV is closed and large enough")
    if zero_block and pv.block:
        return FailbackImpossible(
            f"it has {quantity.show(lv.size)}, the volume has {quantity.show(wanted)} now, and "
            "what is added would hold the bytes of other volumes (volumeMode Block)"
        )
    group = next((one for one in inventory.groups if one.name == lv.group), None)
    if group is None or group.problem:
        return FailbackImpossible(
            f"volume group {lv.group} cannot extend it: "
            f"{group.problem if group else 'it is not there'}"
        )
    lacking = wanted - lv.size
    if group.free - reserve < lacking:
        return FailbackImpossible(
            f"it has {quantity.show(lv.size)}, the volume has {quantity.show(wanted)} now, and "
            f"volume group {lv.group} has {quantity.show(max(0, group.free - reserve))} to extend "
            "it"
        )
    return FailbackPossible(
        f"its LV is closed; it would be extended from {quantity.show(lv.size)} to "
        f"{quantity.show(wanted)}"
    )


def _selection_forbids(snapshot: ClusterSnapshot, logic_volume: LogicVolume) -> str:
    """Return why no rebuild may move the volume: a failback is one, with the old copy."""
    selected = selection.of_volume(snapshot, logic_volume)
    return selected.reason if isinstance(selected, selection.Skip) else ""


def data_until(logic_volume: LogicVolume, node: str) -> int:
    """Return when the last failover from `node` began (seconds since the epoch).

    The old copy has no newer data. 0: unknown.
    """
    return max((_epoch(one.at) for one in logic_volume.history if one.source == node), default=0)


def in_use_since(logic_volume: LogicVolume) -> int:
    """Return when the last failover of the volume began (seconds since the epoch).

    The copy in use was empty then. 0: unknown.
    """
    return max((_epoch(one.at) for one in logic_volume.history), default=0)


def _node_forbids(name: str, snapshot: ClusterSnapshot) -> str:
    node = snapshot.nodes.get(name)
    if node is None:
        return f"node {name} is not registered: see kubectl get nodes"
    if not node.is_ready:
        return f"node {name} is not Ready"
    return f"node {name} is cordoned: kubectl uncordon {name}" if node.unschedulable else ""


def _cluster_forbids(
    snapshot: ClusterSnapshot, logic_volume: LogicVolume, pv: PersistentVolume | None
) -> str:
    in_use = snapshot.nodes.get(logic_volume.node)
    if in_use is None or not in_use.is_ready:
        what = (
            "is NotReady, and a pod may still write there"
            if in_use
            else "does not exist, and it is rebuilt elsewhere"
        )
        return f"node {logic_volume.node}, where the volume is in use, {what}"
    if logic_volume.journalled:
        return "the volume is being rebuilt"
    if logic_volume.meta.deleting is not None or pv is None or pv.meta.deleting is not None:
        return (
            "the volume is being deleted" if pv is not None else "its PersistentVolume is not there"
        )
    if pv.nodes != (logic_volume.node,):
        return (
            f"its PersistentVolume names {', '.join(pv.nodes) or 'no node'}, its LogicVolume "
            f"{logic_volume.node}"
        )
    return ""


def _lv_forbids(lv: LocalVolume, inventory: Inventory, logic_volume: LogicVolume) -> str:
    name = VOLUME_PREFIX + logic_volume.name
    other = inventory.find(lv.group, name)
    if other is not None and other.uuid != lv.uuid:
        return f"another LV is called {name} there (UUID {other.uuid})"
    if lv.group != logic_volume.group:
        return f"it is in volume group {lv.group}, the volume in {logic_volume.group}"
    if why := _of_another(lv, logic_volume):
        return why
    if (unfit := removal.unfit_to_return(lv)) is not None:
        return unfit.reason
    if lv.is_open:
        return "it is open: something still uses it"
    return "" if removal.plain(lv) else f"it is not linear: {removal.kind(lv)}"


def _of_another(lv: LocalVolume, logic_volume: LogicVolume) -> str:
    """Return why the LV may belong to an earlier volume of that name, or an empty string.

    A LogicVolume can be deleted and created again under its name, for another claim. An LV that one
    of its rebuilds made carries that rebuild's id. For any other the node's clock is the only
    witness: Carina makes an LV after its LogicVolume.
    """
    if lv.intent and lv.intent in {one.intent for one in logic_volume.history}:
        return ""
    if lv.created >= logic_volume.meta.created - CLOCKS:
        return ""
    return (
        f"it was made at {timestamp(lv.created)} by its node's clock, and its LogicVolume at "
        f"{timestamp(logic_volume.meta.created)}: it may have belonged to another volume of that "
        "name"
    )


def _epoch(text: str) -> int:
    try:
        return int(datetime.fromisoformat(text).timestamp())
    except (ValueError, OverflowError):
        return 0
