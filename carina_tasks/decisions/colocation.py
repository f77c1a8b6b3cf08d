"""Are the volumes of one pod still planned for one node?

A failover may be interrupted between the journals of two of them.

Each journal names the volumes that were planned with it (`Journal.together`). When their node comes
back before the rest is journalled, or one is planned again and the others are not, the pod could
run nowhere ever again.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Set
from dataclasses import dataclass
from typing import TYPE_CHECKING

from carina_tasks.decisions import selection

if TYPE_CHECKING:
    from carina_tasks.model.journal import Journal
    from carina_tasks.model.objects import LogicVolume
    from carina_tasks.model.snapshot import ClusterSnapshot


@dataclass(frozen=True, slots=True)
class LeftBehind:
    """`logic_volume` was planned together with `leader` and never journalled: it is to follow."""

    logic_volume: LogicVolume
    leader: LogicVolume


@dataclass(frozen=True, slots=True)
class Diverging:
    """`logic_volume` goes to another node than `leader` and must be planned again.

    No pod can have written to it there.
    """

    logic_volume: LogicVolume
    leader: LogicVolume
    reason: str


def separated(
    snapshot: ClusterSnapshot, journalled: Iterable[LogicVolume], lost: Set[str]
) -> tuple[LeftBehind | Diverging, ...]:
    """Return the volumes that are parted from one of `journalled`, each once.

    What is on its way to or from a target in `lost` is planned again anyway, together, and strays
    nowhere.

    Args:
        snapshot: The cluster as it was read.
        journalled: The LogicVolumes with a journal.
        lost: Names of the lost nodes.
    """
    found: dict[str, LeftBehind | Diverging] = {}
    for leader in sorted(journalled, key=lambda logic_volume: logic_volume.name):
        journal = leader.journal
        if journal is None or journal.failback:
            # A failback takes nothing along that the operator has not confirmed: it is given up
            # instead.
            continue
        for other in _still(snapshot, leader, journal.together):
            name = other.name
            if other.node == journal.target or name in found:
                continue
            if other.journal is None and _follows(snapshot, other, journal):
                found[name] = LeftBehind(other, leader)
            elif (
                other.journal is not None
                and not lost & {other.node, leader.node}
                and _strays(snapshot, other, leader)
            ):
                reason = f"{leader.name}, which its pod uses too, goes to {journal.target}"
                found[name] = Diverging(other, leader, reason)
            elif (
                leader.name not in found
                and leader.node not in lost
                and _arrived(snapshot, other, journal, lost)
                and selection.still_empty(snapshot, leader)
            ):
                reason = f"{name}, which its pod uses too, is on {other.node}"
                found[leader.name] = Diverging(leader, other, reason)
    return tuple(found.values())


def held_by(snapshot: ClusterSnapshot, journal: Journal, maintenance: Collection[str]) -> str:
    """Return which volume of its pod keeps a volume at its target, empty when none does.

    That volume is there already, and a pod may have written to it. The journal names it: between
    the eviction of the pod and the pod that its controller makes in its place, no pod ties the two
    together. A target that is lost keeps nothing, one in `maintenance` keeps what it has.

    Args:
        snapshot: The cluster as it was read.
        journal: The journal of the rebuild.
        maintenance: The nodes in maintenance.
    """
    node = snapshot.nodes.get(journal.target)
    if journal.target not in maintenance and (node is None or not node.is_ready):
        return ""
    for name in journal.together:
        other = snapshot.logic_volumes.get(name)
        if (
            other is not None
            and other.node == journal.target
            and not selection.still_empty(snapshot, other)
        ):
            return f"{name}, which its pod uses too, is on {journal.target} already"
    return ""


def _follows(snapshot: ClusterSnapshot, logic_volume: LogicVolume, journal: Journal) -> bool:
    """Return whether the decision about the others still applies to this one.

    Its node may have returned meanwhile.
    """
    if logic_volume.node != journal.source:
        return False
    return isinstance(selection.of_companion(snapshot, logic_volume, journal), selection.Wanted)


def _arrived(
    snapshot: ClusterSnapshot, logic_volume: LogicVolume, journal: Journal, lost: Set[str]
) -> bool:
    """Return whether this one is on a node that the other can follow to.

    That node was the target of both until the other was planned again alone, and it returned.
    """
    return (
        not logic_volume.journalled
        and logic_volume.node in snapshot.nodes
        and logic_volume.node not in {journal.source, *lost}
    )


def _strays(snapshot: ClusterSnapshot, logic_volume: LogicVolume, leader: LogicVolume) -> bool:
    """Return whether it is this one that gives way.

    One that a pod may have written to stays, of two empty ones the later by name.
    """
    if not selection.still_empty(snapshot, logic_volume):
        return False
    return not selection.still_empty(snapshot, leader) or leader.name < logic_volume.name


def _still(
    snapshot: ClusterSnapshot, leader: LogicVolume, names: Collection[str]
) -> tuple[LogicVolume, ...]:
    """Return those of `names` that pods tie to the leader now, over others of `names` too.

    While no pod does, none is separated, and a volume of a live node stays where it is.
    """
    left = {v.claim_key: v for name in names if (v := snapshot.logic_volumes.get(name)) is not None}
    found: list[LogicVolume] = []
    ask = [leader.claim_key]
    while ask:
        for pod in snapshot.pods_of(ask.pop()):
            for key in (f"{pod.meta.namespace}/{claim}" for claim in pod.claims):
                if key in left:
                    found.append(left.pop(key))
                    ask.append(key)
    return tuple(found)
