"""The pods of each node: those of the cluster that stay, and those this plan placed.

The filters read it, only the plan writes it. Like the scheduler's snapshot it holds no finished
pods, holds terminating ones until they are gone, and knows nothing of pods on nodes that are not
there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from decimal import Decimal
from typing import TypeVar

from carina_tasks.decisions.placement.constraints import (
    AffinityTerm,
    Footprint,
    HostPort,
    SpreadRule,
    footprint,
)
from carina_tasks.errors import BadObject
from carina_tasks.model.objects import Node, Pod
from carina_tasks.model.snapshot import ClusterSnapshot

K = TypeVar("K")

Label = tuple[str, str]

Matcher = tuple[AffinityTerm, ...]
"""Pods that every one of these terms selects."""


class PodsByNode:
    """Pods by node, with the sums and counts that the filters ask for.

    `put` and `take` keep all of them up to date. Plans of one snapshot share it, one after the
    other: each begins with `lend`, and what it changed is undone at its end.
    """

    def __init__(self, snapshot: ClusterSnapshot) -> None:
        self.nodes: Mapping[str, Node] = snapshot.nodes
        self._unreadable: dict[str, dict[int, str]] = {}
        """Pods whose constraints cannot be read, by node, and what is wrong with each."""
        self._pods: dict[str, dict[int, Pod]] = {name: {} for name in snapshot.nodes}
        self._used: dict[str, dict[str, Decimal]] = {name: {} for name in snapshot.nodes}
        self._ports: dict[str, Counter[HostPort]] = {name: Counter() for name in snapshot.nodes}
        self._owned: dict[str, Counter[str]] = {}
        self._by_label: dict[Label, dict[int, tuple[Pod, str]]] = {}
        self._keep_away: dict[Label | None, dict[AffinityTerm, Counter[str]]] = {}
        self._census: dict[Label | None, dict[tuple[Matcher, bool], Counter[str]]] = {}
        self._domains: dict[tuple[Matcher, str], Counter[str]] = {}
        self._where: dict[int, tuple[str, Footprint]] = {}
        self._undo: list[tuple[Pod, str, Footprint, int]] = []
        """What a plan changed: pod, node, its footprint, and 1 when it was added, else -1."""
        self.spread_counts: dict[tuple[int, SpreadRule], dict[str, int]] = {}
        """What the topology spread filter worked out since the last change."""
        for pod in snapshot.pods:
            if pod.node in snapshot.nodes and not pod.finished:
                self.put(pod, pod.node)
        self._undo.clear()

    @contextmanager
    def lend(self, nodes: Mapping[str, Node], moving: Iterable[Pod]) -> Iterator[PodsByNode]:
        """Hold the pods as a plan finds them, and undo its changes at the end of the block.

        Args:
            nodes: The nodes that are there for this plan, by name.
            moving: Pods that are about to leave their nodes.
        """
        every = self.nodes
        self.spread_counts.clear()
        self.nodes = nodes
        try:
            for name in every.keys() - nodes.keys():
                for pod in tuple(self._pods[name].values()):
                    self.take(pod)
            for pod in moving:
                self.take(pod)
            yield self
        finally:
            for pod, node, marks, step in reversed(self._undo):
                if step > 0:
                    self._where.pop(id(pod), None)
                else:
                    self._where[id(pod)] = (node, marks)
                self._count(pod, marks, node, -step)
            self._undo.clear()
            self.nodes = every
            # Counts of all pods are kept up to date at every change, whatever its labels.
            self._census.pop(None, None)
            self._domains.clear()
            self.spread_counts.clear()

    def put(self, pod: Pod, node: str, marks: Footprint | None = None) -> None:
        """Add a pod to a node.

        One whose constraints cannot be read makes the node unreadable.

        Args:
            pod: The pod.
            node: Name of the node.
            marks: What the pod requests and keeps away.
        """
        if marks is None:
            try:
                marks = footprint(pod)
            except BadObject as exc:
                marks = Footprint(problem=exc.message)
        self._where[id(pod)] = (node, marks)
        self._undo.append((pod, node, marks, 1))
        self._count(pod, marks, node, 1)

    def take(self, pod: Pod) -> None:
        """Remove it from its node, if it has one."""
        if found := self._where.pop(id(pod), None):
            node, marks = found
            self._undo.append((pod, node, marks, -1))
            self._count(pod, marks, node, -1)

    def unreadable(self, node: str) -> str:
        """Return what is wrong with a pod of the node that cannot be read; empty without one."""
        found = self._unreadable.get(node)
        return next(reversed(found.values())) if found else ""

    def owning(self, uids: Iterable[str]) -> set[str]:
        """Return the nodes that have pods of the controllers with those UIDs."""
        return {node for uid in uids for node, number in self._owned.get(uid, {}).items() if number}

    def apart(self, node: str) -> tuple[AffinityTerm, ...]:
        """Return the required anti-affinity terms of the node's pods: they reach other nodes."""
        return tuple(term for key in self._pods[node] for term in self._where[key][1].anti_affinity)

    def used(self, node: str) -> Mapping[str, Decimal]:
        """Return the sum of what the node's pods request."""
        return self._used[node]

    def pod_count(self, node: str) -> int:
        """Return how many pods the node has."""
        return len(self._pods[node])

    def ports(self, node: str) -> Iterable[HostPort]:
        """Return the host ports that are taken on the node."""
        return self._ports[node]

    def owned(self, uids: Iterable[str], node: str) -> int:
        """Return how many pods of the controllers with those UIDs the node has."""
        return sum(self._owned[uid][node] for uid in uids if uid in self._owned)

    def census(self, matcher: Matcher, *, terminating: bool = True) -> Mapping[str, int]:
        """Return how many matching pods each node has; nodes with none are left out."""
        key, anchor = (matcher, terminating), _anchor(matcher)
        counted = self._census.setdefault(anchor, {})
        if key not in counted:
            counted[key] = Counter(
                node for pod, node in self._with_label(anchor) if _counts(pod, matcher, terminating)
            )
        return counted[key]

    def domains(self, matcher: Matcher, topology_key: str) -> Mapping[str, int]:
        """Return how many matching pods each domain of a topology has.

        Nodes without the label are left out.
        """
        key = (matcher, topology_key)
        if key not in self._domains:
            found: Counter[str] = Counter()
            for node, number in self.census(matcher).items():
                if (value := self.nodes[node].meta.labels.get(topology_key)) is not None:
                    found[value] += number
            self._domains[key] = found
        return self._domains[key]

    def keeping_away(self, pod: Pod) -> Iterable[tuple[AffinityTerm, Iterable[str]]]:
        """Return the required anti-affinity terms that select this pod, with their nodes."""
        return [
            (term, tuple(nodes))
            for anchor in (None, *pod.meta.labels.items())
            for term, nodes in self._keep_away.get(anchor, {}).items()
            if nodes and term.matches(pod)
        ]

    def _with_label(self, anchor: Label | None) -> Iterable[tuple[Pod, str]]:
        if anchor is not None:
            return self._by_label.get(anchor, {}).values()
        return ((pod, node) for node, pods in self._pods.items() for pod in pods.values())

    def _count(self, pod: Pod, marks: Footprint, node: str, step: int) -> None:
        labels = tuple(pod.meta.labels.items())
        if step > 0:
            self._pods[node][id(pod)] = pod
            for label in labels:
                self._by_label.setdefault(label, {})[id(pod)] = (pod, node)
        else:
            self._pods[node].pop(id(pod))
            for label in labels:
                self._by_label[label].pop(id(pod))
        if marks.problem:
            unreadable = self._unreadable.setdefault(node, {})
            if step > 0:
                unreadable[id(pod)] = marks.problem
            else:
                del unreadable[id(pod)]
                if not unreadable:
                    del self._unreadable[node]
        used = self._used[node]
        for name, value in pod.requests.items():
            used[name] = used.get(name, Decimal(0)) + step * value
        if owner := pod.controller:
            self._owned.setdefault(owner.uid, Counter())[node] += step
        for port in marks.ports:
            _add(self._ports[node], port, step)
        for term in marks.anti_affinity:
            _add(
                self._keep_away.setdefault(_anchor((term,)), {}).setdefault(term, Counter()),
                node,
                step,
            )
        for anchor in (None, *labels):
            for (matcher, terminating), counts in self._census.get(anchor, {}).items():
                if _counts(pod, matcher, terminating):
                    _add(counts, node, step)
        self._domains.clear()
        self.spread_counts.clear()


def _anchor(matcher: Matcher) -> Label | None:
    """Return a label that every matching pod has, if the terms name one.

    It saves looking at all the others.
    """
    for term in matcher:
        for requirement in term.selector.requirements:
            if requirement.operator == "In" and len(requirement.values) == 1:
                return (requirement.key, *requirement.values)  # type: ignore[return-value]
    return None


def _counts(pod: Pod, matcher: Matcher, terminating: bool) -> bool:
    return (terminating or pod.meta.deleting is None) and all(term.matches(pod) for term in matcher)


def _add(counts: Counter[K], key: K, step: int) -> None:
    counts[key] += step
    if not counts[key]:
        del counts[key]
