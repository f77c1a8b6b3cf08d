"""What all plans of one snapshot read: candidates, pods, bytes and volumes of every node.

It is built once. A plan takes the lost nodes out of it, books what it places, and leaves it as it
was. The best node is looked up, not searched: nodes stand in order of their score for each set of
VGs, and only those whose score is another one for this group are scored for themselves.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence, Set
from heapq import merge

from carina_tasks.decisions.placement.candidate import candidate
from carina_tasks.decisions.placement.load import Load
from carina_tasks.decisions.placement.pods_by_node import PodsByNode
from carina_tasks.decisions.placement.score import Score, score
from carina_tasks.decisions.placement.space import FreeSpace, Space
from carina_tasks.model.local import Inventory
from carina_tasks.model.snapshot import ClusterSnapshot

Rank = tuple[int, int, str]
"""Volumes of a node, its free bytes, its name: the order of nodes that differ in nothing else."""


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
        self._ranked: dict[frozenset[str], Sequence[Rank]] = {}

    def best_first(
        self, group: Load, space: Space, volumes: Mapping[str, int], moved: Set[str]
    ) -> Iterator[Score]:
        """Yield the scores of all nodes that have the VGs of the group, the best first.

        Args:
            group: What goes together.
            space: The free bytes as the plan leaves them.
            volumes: Carina volumes by node as the plan leaves them.
            moved: Nodes whose number of volumes the plan changed.
        """
        vgs, number = frozenset(group.needs), len(group.logic_volumes)
        other = moved | space.differs(group) | self.pods.owning(group.owners)
        own = sorted(
            score(self.candidates[name], group, self.pods, space, volumes)
            for name in other & self.candidates.keys()
            if vgs <= self.candidates[name].groups.keys()
        )
        usual = (
            (count + number, 0, free - group.size, name)
            for count, free, name in self._ranks(vgs)
            if name not in other
        )
        return merge(own, usual)

    def _ranks(self, vgs: frozenset[str]) -> Sequence[Rank]:
        if vgs not in self._ranked:
            free = self.free.free
            self._ranked[vgs] = sorted(
                (self.volumes[name], sum(free[name, vg] for vg in vgs), name)
                for name, one in self.candidates.items()
                if vgs <= one.groups.keys()
            )
        return self._ranked[vgs]
