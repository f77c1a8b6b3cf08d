"""Guards that look at the whole.

Pause, mass failure, and how many orphans one sweep may remove (docs/design.md, section 5).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from carina_tasks.model.snapshot import ClusterSnapshot


@dataclass(frozen=True, slots=True)
class GuardAllows:
    """Nothing speaks against it."""

    reason: str


@dataclass(frozen=True, slots=True)
class GuardStops:
    """A guard refuses; the operator can overrule it."""

    reason: str


@dataclass(frozen=True, slots=True)
class GuardWaits:
    """A guard refuses for now and may allow it later by itself: no operator is needed."""

    reason: str


def lost_nodes(
    snapshot: ClusterSnapshot, after: float = 0.0, planned: Collection[str] = ()
) -> frozenset[str]:
    """Return the nodes that count as lost.

    Not Ready for `after` seconds, or named by a LogicVolume and not there.

    Nodes that are away by the operator's plan (`planned`) do not count.

    Args:
        snapshot: The cluster as it was read.
        after: Seconds for which a node must be NotReady to count.
        planned: Nodes whose absence is planned.
    """
    sick = {
        n.name
        for n in snapshot.nodes.values()
        if not n.is_ready and snapshot.now - n.ready_since >= after
    }
    return frozenset((sick | (snapshot.nodes_named - snapshot.nodes.keys())) - set(planned))


def mass_failure(
    snapshot: ClusterSnapshot,
    share: float,
    approved: frozenset[str] = frozenset(),
    after: float = 0.0,
    planned: Collection[str] = (),
) -> GuardAllows | GuardWaits | GuardStops:
    """Judge how much of the cluster is lost at once.

    Counted as lost: nodes whose Ready condition is not True, and nodes that do not exist though a
    LogicVolume names them. Above `share` it is more probably the network or the control plane than
    the nodes, and every volume moved would be data thrown away. The operator who resumes approves
    of the nodes that are lost then, and of no others. Without a single healthy node the guard
    stops too, because no node could take a volume.

    It is a Stop, for which the operator is called, when it has lasted for `after` seconds. When the
    API server comes back after a minute away, every node is NotReady until its kubelet has renewed
    its Lease: that passes by itself (measured).

    Args:
        snapshot: The cluster as it was read.
        share: Which share of the nodes may be lost at once.
        approved: Lost nodes that the operator approved.
        after: For how many seconds it must have lasted for a Stop.
        planned: Nodes in maintenance. They count neither as lost nor as healthy.
    """
    lost = lost_nodes(snapshot, planned=planned)
    every = frozenset((snapshot.nodes.keys() - set(planned)) | lost)
    verdict = _mass_failure(every, lost, share, approved)
    if isinstance(verdict, GuardAllows):
        return verdict
    lasting = _mass_failure(every, lost_nodes(snapshot, after, planned), share, approved)
    return (
        lasting
        if isinstance(lasting, GuardStops)
        else GuardWaits(f"{verdict.reason}, but not for {after:g} s yet")
    )


def _mass_failure(
    every: frozenset[str], lost: frozenset[str], share: float, approved: frozenset[str]
) -> GuardAllows | GuardStops:
    total, healthy = len(every), len(every - lost)
    if lost and not healthy:
        return GuardStops(
            f"no healthy node is left ({len(lost)} of {total} are lost: {_some(lost)})"
        )
    # Rounded: 29 of 100 is not above 0.29, whatever 0.29 * 100 is as a float.
    if len(lost) <= round(share * total, 6):
        return GuardAllows(f"{len(lost)} of {total} nodes are lost")
    if lost <= approved:
        return GuardAllows(
            f"{len(lost)} of {total} nodes are lost, and the operator resumed for just these: "
            f"{_some(lost)}"
        )
    return GuardStops(
        f"{len(lost)} of {total} nodes are lost at once, above the share of {share:g}: "
        f"{_some(lost)}"
    )


def orphan_cap(
    orphans: int, volumes: int, limit: int, share: float, confirmed: int
) -> GuardAllows | GuardStops:
    """Judge whether one sweep may remove `orphans` of the `volumes` volumes of one node.

    The operator confirms by naming the exact number, so that a confirmation given for three volumes
    is not used for three hundred.

    Args:
        orphans: Number of orphans that the sweep would remove.
        volumes: Number of LVs of Carina's on the node.
        limit: Number of orphans that one sweep may always remove.
        share: Largest share of them that one sweep may remove.
        confirmed: Number of orphans an operator confirmed, 0 for none. Must equal `orphans`, so
            that a confirmation of 3 removals cannot authorise 300.
    """
    allowed = max(limit, int(share * volumes))
    if orphans <= allowed:
        return GuardAllows(f"{orphans} orphans of {volumes} volumes")
    if orphans == confirmed:
        return GuardAllows(f"{orphans} orphans of {volumes} volumes, confirmed by the operator")
    return GuardStops(
        f"{orphans} of {volumes} volumes are orphans, above the cap of {allowed}: the operator "
        "must confirm that number"
    )


def _some(names: Iterable[str]) -> str:
    ordered = sorted(names)
    return ", ".join(ordered[:5]) + (f" and {len(ordered) - 5} more" if len(ordered) > 5 else "")
