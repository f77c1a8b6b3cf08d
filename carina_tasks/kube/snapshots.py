"""Complete lists of every kind, put together as the snapshot that decisions get."""

from __future__ import annotations

from dataclasses import dataclass

from carina_tasks.kube import kinds
from carina_tasks.kube.parsing import Objects
from carina_tasks.model.objects import (
    Claim,
    LogicVolume,
    Node,
    PersistentVolume,
    Pod,
    StorageClass,
)
from carina_tasks.model.snapshot import ClusterSnapshot


@dataclass(frozen=True, slots=True)
class Everything:
    """All objects of every kind that a decision looks at."""

    nodes: Objects[Node]
    pods: Objects[Pod]
    claims: Objects[Claim]
    persistent_volumes: Objects[PersistentVolume]
    logic_volumes: Objects[LogicVolume]
    classes: Objects[StorageClass]

    def snapshot(self, now: float, *, watched: bool) -> ClusterSnapshot:
        """Return them as one snapshot.

        Args:
            now: The API server's clock (seconds since the epoch).
            watched: Whether watches showed them.
        """
        return ClusterSnapshot(
            now=now,
            nodes=self.nodes.values,
            pods=tuple(self.pods.values.values()),
            claims=self.claims.values,
            persistent_volumes=self.persistent_volumes.values,
            logic_volumes=self.logic_volumes.values,
            classes=self.classes.values,
            unreadable=(
                *kinds.NODES.unreadable(self.nodes.unreadable),
                *kinds.PODS.unreadable(self.pods.unreadable),
                *kinds.CLAIMS.unreadable(self.claims.unreadable),
                *kinds.PERSISTENT_VOLUMES.unreadable(self.persistent_volumes.unreadable),
                *kinds.LOGIC_VOLUMES.unreadable(self.logic_volumes.unreadable),
                *kinds.STORAGE_CLASSES.unreadable(self.classes.unreadable),
            ),
            watched=watched,
        )
