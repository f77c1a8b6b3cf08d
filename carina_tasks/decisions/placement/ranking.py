"""The best node for a group is looked up, not searched, however many nodes a plan has booked.

For each set of VGs the nodes stand in the order of their rank, and a node that the plan books moves
to its new place. Only nodes whose score is another one for this group (they run pods of its owners,
or hold something of its volumes) are scored for themselves.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator, Mapping
from heapq import merge

from carina_tasks.decisions.placement.ledger import Ledger, Rank
from carina_tasks.decisions.placement.load import Load
from carina_tasks.decisions.placement.score import Score, score
from carina_tasks.decisions.placement.space import Space


class Ranking:
    """The nodes in the order of their score, as one plan leaves them."""

    def __init__(self, ledger: Ledger, space: Space, volumes: Mapping[str, int]) -> None:
        """Begin as the ledger has them.

        Args:
            ledger: What is known of all nodes.
            space: The free bytes as the plan leaves them.
            volumes: Carina volumes by node as the plan leaves them.
        """
        self._ledger, self._space, self._volumes = ledger, space, volumes
        self._in_order: dict[frozenset[str], list[Rank]] = {}
        self._ranks: dict[frozenset[str], dict[str, Rank]] = {}
        """Of the nodes that the plan moved."""
        self._moved: set[str] = set()

    def moved(self, nodes: Iterable[str]) -> None:
        """Put these nodes, whose volumes or free bytes the plan changed, to their new places."""
        nodes = set(nodes)
        self._moved |= nodes
        for vgs in self._in_order:
            self._move(vgs, nodes)

    def best_first(self, group: Load) -> Iterator[Score]:
        """Yield the scores of all nodes that have the VGs of the group, the best first."""
        ledger, vgs, number = self._ledger, frozenset(group.needs), len(group.logic_volumes)
        other = self._space.differs(group) | ledger.pods.owning(group.owners)
        own = sorted(
            score(ledger.candidates[name], group, ledger.pods, self._space, self._volumes)
            for name in other & ledger.candidates.keys()
            if vgs <= ledger.candidates[name].groups.keys()
        )
        usual = (
            (count + number, 0, free - group.size, name)
            for count, free, name in self._ordered(vgs)
            if name not in other
        )
        return merge(own, usual)

    def _ordered(self, vgs: frozenset[str]) -> list[Rank]:
        if vgs not in self._in_order:
            self._in_order[vgs] = list(self._ledger.ranks(vgs).in_order)
            self._ranks[vgs] = {}
            self._move(vgs, self._moved)
        return self._in_order[vgs]

    def _move(self, vgs: frozenset[str], nodes: Iterable[str]) -> None:
        in_order, ranks = self._in_order[vgs], self._ranks[vgs]
        before = self._ledger.ranks(vgs).by_name
        for name in nodes:
            old = ranks.get(name) or before.get(name)
            if old is None:
                continue
            del in_order[bisect_left(in_order, old)]
            free = sum(self._space.free(name, vg) for vg in vgs)
            ranks[name] = (self._volumes[name], free, name)
            insort(in_order, ranks[name])
