"""What all plans of one snapshot read: candidates, pods, bytes and volumes of every node.

It is built once. A plan takes the lost nodes out of it, books what it places, and leaves it as it
was. The best node is looked up, not searched: see `carina_tasks.decisions.placement.ranking`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from carina_tasks.decisions.placement.candidate import candidate
from carina_tasks.decisions.placement.pods_by_node import PodsByNode
from carina_tasks.decisions.placement.space import FreeSpace
from carina_tasks.model.local import Inventory
from carina_tasks.model.snapshot import ClusterSnapshot

Rank = tuple[int, int, str]
"""Volumes of a node, its free bytes, its name: the order of nodes that differ in nothing else."""


@dataclass(frozen=True, slots=True)
class Ranks:
    """The nodes that have a set of VGs."""

    in_order: Sequence[Rank]
    by_name: Mapping[str, Rank]


class Ledger:
    """The nodes of one snapshot as plans need them. One plan at a time may use it."""

    def __init__(
        self, snapshot: ClusterSnapshot, inventories: Mapping[str, Inventory], reserve: int
    ) -> None:
        """Read the snapshot.

        Args:
            snapshot: The cluster as it was read.
            inventories: What each node reported.
            reserve: Bytes of each VG that stay free.
        """
        self.candidates = {
            name: candidate(node, inventories.get(name))
            for name, node in sorted(snapshot.nodes.items())
        }
        self.pods = PodsByNode(snapshot)
        self.free = FreeSpace(snapshot, self.candidates, reserve)
        self.volumes = Counter(
            {name: len(snapshot.logic_volumes_on(name)) for name in snapshot.nodes}
        )
        """Carina volumes by node."""
        self._ranked: dict[frozenset[str], Ranks] = {}

    def ranks(self, vgs: frozenset[str]) -> Ranks:
        """Return the nodes that have these VGs in the order of their rank, before any plan."""
        if vgs not in self._ranked:
            free = self.free.free
            by_name = {
                name: (self.volumes[name], sum(free[name, vg] for vg in vgs), name)
                for name, one in self.candidates.items()
                if vgs <= one.groups.keys()
            }
            self._ranked[vgs] = Ranks(sorted(by_name.values()), by_name)
        return self._ranked[vgs]
