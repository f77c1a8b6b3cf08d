"""The cluster as it was read at one moment: what observing hands to the decisions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from carina_tasks.model.objects import (
    Claim,
    Lease,
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


@dataclass(frozen=True, slots=True)
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
    leases: Mapping[str, Lease] = field(default_factory=dict)
    """Node leases (namespace kube-node-lease), by node name."""
    unreadable: tuple[Unreadable, ...] = ()

    def without(self, node: str) -> ClusterSnapshot:
        """Return the same cluster with `node` deleted: all else is as it was."""
        return replace(self, nodes={name: one for name, one in self.nodes.items() if name != node})

    def pods_of(self, claim_key: str) -> tuple[Pod, ...]:
        """Return the pods that use the claim ``namespace/name`` and have not run to their end."""
        namespace, _, name = claim_key.partition("/")
        return tuple(
            p
            for p in self.pods
            if p.meta.namespace == namespace and name in p.claims and not p.finished
        )
