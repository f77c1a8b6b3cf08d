"""What placement answers: of one filter about one node, and of the whole plan about one volume."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import msgspec

from carina_tasks.model.objects import LogicVolume
from carina_tasks.model.quantity import GIB, show

_MIB: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Fits:
    """The filter has nothing against the node."""


@dataclass(frozen=True, slots=True)
class DoesNotFit:
    """The node cannot take the group.

    The reason is the scheduler's own message where it has one.
    """

    reason: str
    kind: str = ""
    """What stands in the way, for `decisions.advice`; empty: the name of the filter."""


class Obstacle(msgspec.Struct, frozen=True):
    """What keeps a node from taking a volume."""

    node: str
    kind: str
    """The name of the filter, or ``worker`` where the node's worker does not answer."""


FilterVerdict = Fits | DoesNotFit

FITS: Final = Fits()


@dataclass(frozen=True)
class Placement:
    """Rebuild `logic_volume` on `node`."""

    logic_volume: LogicVolume
    node: str
    reason: str
    stale: str
    """UUID of an LV ``volume-<name>`` in the same VG of that node in the inventory,
    else empty.
    """
    together: tuple[str, ...] = ()
    """Names of the other volumes that must go there with it, because they share its pods."""


@dataclass(frozen=True)
class Unschedulable:
    """`logic_volume` can go nowhere now; nothing of its pods may be touched."""

    logic_volume: LogicVolume
    reason: str
    obstacles: tuple[Obstacle, ...] = ()
    """What stands in the way on each node, by name."""


@dataclass(frozen=True)
class PlacementRules:
    """What an operator may set about placement."""

    reserve: int = 10 * GIB
    """Bytes of each VG that stay free: Carina itself refuses to go below 10 GiB."""


def readable(size: int) -> str:
    """Return `size` bytes as people read it (``3Gi``, ``512Mi``).

    Rounded down to whole MiB, never below zero.
    """
    whole = max(size, 0) // _MIB * _MIB
    return show(whole) if whole else "0"
