"""What stands where: the pods of the world without those that move, plus what this plan has placed so far.

The filters read it, only the plan writes it. Like the scheduler's snapshot it holds no finished pods, holds terminating
ones until they are gone, and knows nothing of pods on nodes that are not there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import TypeVar

from carina_tasks.decisions.placement.constraints import Footprint, HostPort, Spread, Term, footprint
from carina_tasks.errors import BadObject
from carina_tasks.model.objects import Node, Pod
from carina_tasks.model.world import World

K = TypeVar("K")

Matcher = tuple[Term, ...]
"""Pods that every one of these terms speaks of."""


class Standing:
    """Pods by node, with the sums and counts that the filters ask for. `put` and `take` keep all of them up to date."""

    def __init__(self, world: World, moving: Iterable[Pod]) -> None:
        self.nodes: Mapping[str, Node] = world.nodes
        self.unreadable: dict[str, str] = {}
        """Nodes with a pod whose constraints cannot be read, and what is wrong with it."""
        self._pods: dict[str, dict[int, Pod]] = {name: {} for name in world.nodes}
        self._used: dict[str, dict[str, Decimal]] = {name: {} for name in world.nodes}
        self._ports: dict[str, Counter[HostPort]] = {name: Counter() for name in world.nodes}
        self._owned: Counter[tuple[str, str]] = Counter()
        self._keep_away: dict[Term, Counter[str]] = {}
        self._census: dict[tuple[Matcher, bool], Counter[str]] = {}
        self._domains: dict[tuple[Matcher, str], Counter[str]] = {}
        self._where: dict[int, tuple[str, Footprint]] = {}
        self.spread_counts: dict[tuple[int, Spread], dict[str, int]] = {}
        """What the topology spread filter worked out since the last change."""
        leaving = {id(pod) for pod in moving}
        for pod in world.pods:
            if pod.node in world.nodes and not pod.finished and id(pod) not in leaving:
                self.put(pod, pod.node)

    def put(self, pod: Pod, node: str, marks: Footprint | None = None) -> None:
        """Let a pod stand on a node; one whose constraints cannot be read makes the node unreadable."""
        if marks is None:
            try:
                marks = footprint(pod)
            except BadObject as exc:
                marks = Footprint()
                self.unreadable[node] = exc.message
        self._where[id(pod)] = (node, marks)
        self._count(pod, marks, node, 1)

    def take(self, pod: Pod) -> None:
        """Let it stand nowhere, if it stood somewhere."""
        if found := self._where.pop(id(pod), None):
            self._count(pod, found[1], found[0], -1)

    def used(self, node: str) -> Mapping[str, Decimal]:
        """Return the sum of what the node's pods request."""
        return self._used[node]

    def pod_count(self, node: str) -> int:
        """Return how many pods the node has."""
        return len(self._pods[node])

    def ports(self, node: str) -> Iterable[HostPort]:
        """Return the host ports that are taken on the node."""
        return self._ports[node]

    def owned(self, uid: str, node: str) -> int:
        """Return how many pods of the controller with that UID the node has."""
        return self._owned[uid, node]

    def census(self, matcher: Matcher, *, terminating: bool = True) -> Mapping[str, int]:
        """Return how many matching pods each node has; nodes with none are left out."""
        key = (matcher, terminating)
        if key not in self._census:
            counts: Counter[str] = Counter()
            for node, pods in self._pods.items():
                if number := sum(_counts(pod, matcher, terminating) for pod in pods.values()):
                    counts[node] = number
            self._census[key] = counts
        return self._census[key]

    def domains(self, matcher: Matcher, topology_key: str) -> Mapping[str, int]:
        """Return how many matching pods each domain of a topology has; nodes without the label are left out."""
        key = (matcher, topology_key)
        if key not in self._domains:
            found: Counter[str] = Counter()
            for node, number in self.census(matcher).items():
                if (value := self.nodes[node].meta.labels.get(topology_key)) is not None:
                    found[value] += number
            self._domains[key] = found
        return self._domains[key]

    def keeping_away(self, pod: Pod) -> Iterable[tuple[Term, Iterable[str]]]:
        """Return the required anti-affinity terms of standing pods that speak of this pod, each with its nodes."""
        return [(term, tuple(nodes)) for term, nodes in self._keep_away.items() if nodes and term.matches(pod)]

    def _count(self, pod: Pod, marks: Footprint, node: str, step: int) -> None:
        if step > 0:
            self._pods[node][id(pod)] = pod
        else:
            self._pods[node].pop(id(pod))
        used = self._used[node]
        for name, value in pod.requests.items():
            used[name] = used.get(name, Decimal(0)) + step * value
        if owner := pod.controller:
            self._owned[owner.uid, node] += step
        for port in marks.ports:
            _add(self._ports[node], port, step)
        for term in marks.anti_affinity:
            _add(self._keep_away.setdefault(term, Counter()), node, step)
        for (matcher, terminating), counts in self._census.items():
            if _counts(pod, matcher, terminating):
                _add(counts, node, step)
        self._domains.clear()
        self.spread_counts.clear()


def _counts(pod: Pod, matcher: Matcher, terminating: bool) -> bool:
    return (terminating or pod.meta.deleting is None) and all(term.matches(pod) for term in matcher)


def _add(counts: Counter[K], key: K, step: int) -> None:
    counts[key] += step
    if not counts[key]:
        del counts[key]
