"""Guards that look at the whole: pause, mass failure, and how many orphans one sweep may remove (design §5)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from carina_tasks.model.world import World


@dataclass(frozen=True, slots=True)
class Go:
    """Nothing speaks against it."""

    reason: str


@dataclass(frozen=True, slots=True)
class Stop:
    """A guard says no; a person can say yes."""

    reason: str


def mass_failure(world: World, share: float) -> Go | Stop:
    """Judge how much of the cluster is lost at once.

    Counted as lost: nodes whose Ready condition is not True, and nodes that do not exist though a LogicVolume names them.
    Above `share` it is more probably the network or the control plane than the nodes, and every volume moved would be data
    thrown away. Without a single healthy node there is nowhere to go either.
    """
    named = {volume.node for volume in world.logic_volumes.values()}
    absent = named - world.nodes.keys()
    sick = {name for name, node in world.nodes.items() if node.ready != "True"}
    total = len(world.nodes) + len(absent)
    lost, healthy = len(absent) + len(sick), len(world.nodes) - len(sick)
    if lost and not healthy:
        return Stop(f"no healthy node is left ({lost} of {total} are lost: {_some(absent | sick)})")
    if lost > share * total:
        return Stop(f"{lost} of {total} nodes are lost at once, above the share of {share:g}: {_some(absent | sick)}")
    return Go(f"{lost} of {total} nodes are lost")


def orphan_cap(orphans: int, volumes: int, limit: int, share: float, confirmed: int) -> Go | Stop:
    """Judge whether one sweep may remove `orphans` of the `volumes` volumes of one node.

    A person confirms by naming the very number, so that a confirmation given for three volumes is not used for three hundred.
    """
    allowed = max(limit, int(share * volumes))
    if orphans <= allowed:
        return Go(f"{orphans} orphans of {volumes} volumes")
    if orphans == confirmed:
        return Go(f"{orphans} orphans of {volumes} volumes, confirmed by a person")
    return Stop(
        f"{orphans} of {volumes} volumes are orphans, above the cap of {allowed}: a person must confirm that number"
    )


def _some(names: Iterable[str]) -> str:
    ordered = sorted(names)
    return ", ".join(ordered[:5]) + (f" and {len(ordered) - 5} more" if len(ordered) > 5 else "")
