"""The cluster as it was read at one moment: what observing hands to the decisions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

from carina_tasks.model.objects import (
    Claim,
    LogicVolume,
    Node,
    PersistentVolume,
    Pod,
    StorageClass,
)


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
        return replace(self, nodes={name: one for name, one in self.nodes.items() if name != node})

    def pods_of(self, claim_key: str) -> tuple[Pod, ...]:
        """Return the pods that use the claim ``namespace/name`` and have not run to their end."""
        return self._pods_by_claim.get(claim_key, ())

    @cached_property
    def unreadable_names(self) -> frozenset[str]:
        """The names of the objects that cannot be read."""
        return frozenset(one.name for one in self.unreadable)

    @cached_property
    def _pods_by_claim(self) -> Mapping[str, tuple[Pod, ...]]:
        found: dict[str, list[Pod]] = {}
        for pod in self.pods:
            for claim in dict.fromkeys(() if pod.finished else pod.claims):
                found.setdefault(f"{pod.meta.namespace}/{claim}", []).append(pod)
        return {key: tuple(pods) for key, pods in found.items()}
