"""The cluster as it was read at one moment: what observing hands to the decisions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TypeVar

from carina_tasks.model.objects import (
    Claim,
    LogicVolume,
    Node,
    PersistentVolume,
    Pod,
    StorageClass,
)

T = TypeVar("T")


def unreadable_lines(unreadable: tuple[Unreadable, ...]) -> tuple[str, ...]:
    """Return unreadable objects as lines."""
    return tuple(f"{u.kind} {u.name}: {u.reason}" for u in unreadable)


@dataclass(frozen=True, slots=True)
class Unreadable:
    """An object that could not be read: left alone, and reported."""

    kind: str
    name: str
    reason: str


@dataclass(frozen=True)
class ClusterSnapshot:
    """Complete lists of every kind that a decision looks at.

    A partial list never becomes a ClusterSnapshot.
    """

    now: float
    """Seconds since the epoch, by the API server's clock."""
    nodes: Mapping[str, Node] = field(default_factory=dict)
    pods: tuple[Pod, ...] = ()
    claims: Mapping[str, Claim] = field(default_factory=dict)
    """By ``namespace/name``."""
    persistent_volumes: Mapping[str, PersistentVolume] = field(default_factory=dict)
    """PersistentVolumes of every driver, by name."""
    logic_volumes: Mapping[str, LogicVolume] = field(default_factory=dict)
    classes: Mapping[str, StorageClass] = field(default_factory=dict)
    unreadable: tuple[Unreadable, ...] = ()
    watched: bool = False
    """Whether watches showed it, so that it may be some seconds old."""

    def without(self, node: str) -> ClusterSnapshot:
        """Return the same cluster with `node` deleted: all else is as it was."""
        found = replace(self, nodes={name: one for name, one in self.nodes.items() if name != node})
        # They hold nothing of the nodes, and readiness takes every node away in turn.
        for index in INDEXES:
            found.__dict__[index] = getattr(self, index)
        return found

    def pods_of(self, claim_key: str) -> tuple[Pod, ...]:
        """Return the pods that use the claim ``namespace/name`` and have not run to their end."""
        return self._pods_by_claim.get(claim_key, ())

    def pods_on(self, node: str) -> tuple[Pod, ...]:
        """Return the pods that are bound to the node, finished ones too."""
        return self._pods_by_node.get(node, ())

    def logic_volumes_on(self, node: str) -> tuple[LogicVolume, ...]:
        """Return the LogicVolumes that name the node, by name."""
        return self._logic_volumes_by_node.get(node, ())

    def logic_volumes_by_node(self, nodes: Set[str]) -> Mapping[str, tuple[LogicVolume, ...]]:
        """Return the LogicVolumes that name one of these nodes, by node.

        One pass, where the index of all nodes would be made for a few of them.
        """
        return _grouped((v.node, v) for v in self.logic_volumes.values() if v.node in nodes)

    @property
    def nodes_named(self) -> Set[str]:
        """The nodes that LogicVolumes name, whether they exist or not."""
        return self._logic_volumes_by_node.keys()

    def persistent_volumes_of(self, claim_key: str) -> tuple[PersistentVolume, ...]:
        """Return the PersistentVolumes that are reserved for the claim ``namespace/name``."""
        return self._persistent_volumes_by_claim.get(claim_key, ())

    @cached_property
    def unreadable_names(self) -> frozenset[str]:
        """The names of the objects that cannot be read."""
        return frozenset(one.name for one in self.unreadable)

    @cached_property
    def _pods_by_claim(self) -> Mapping[str, tuple[Pod, ...]]:
        return _grouped(
            (f"{pod.meta.namespace}/{claim}", pod)
            for pod in self.pods
            for claim in dict.fromkeys(() if pod.finished else pod.claims)
        )

    @cached_property
    def _pods_by_node(self) -> Mapping[str, tuple[Pod, ...]]:
        return _grouped((pod.node, pod) for pod in self.pods)

    @cached_property
    def _logic_volumes_by_node(self) -> Mapping[str, tuple[LogicVolume, ...]]:
        return _grouped(
            (self.logic_volumes[name].node, self.logic_volumes[name])
            for name in sorted(self.logic_volumes)
        )

    @cached_property
    def _persistent_volumes_by_claim(self) -> Mapping[str, tuple[PersistentVolume, ...]]:
        return _grouped((pv.claim_key, pv) for pv in self.persistent_volumes.values())


INDEXES = (
    "_pods_by_claim",
    "_pods_by_node",
    "_logic_volumes_by_node",
    "_persistent_volumes_by_claim",
)


def _grouped(pairs: Iterable[tuple[str, T]]) -> Mapping[str, tuple[T, ...]]:
    found: dict[str, list[T]] = {}
    for key, value in pairs:
        found.setdefault(key, []).append(value)
    return {key: tuple(values) for key, values in found.items()}
