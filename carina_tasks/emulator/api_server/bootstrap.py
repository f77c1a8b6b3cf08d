"""The cluster as it is when the server starts: three namespaces and Carina's definitions."""

from __future__ import annotations

from .cluster import BOOKMARK_SECONDS, Cluster, Target
from .kinds import DEFINITIONS, NAMESPACES
from .registry import carina_definitions
from .writes import create

NAMESPACES_AT_START = ("default", "kube-node-lease", "kube-system")


def new_cluster(history: int = 10_000, bookmark_seconds: float = BOOKMARK_SECONDS) -> Cluster:
    """Return an empty cluster that remembers its last `history` writes.

    Its watches get a bookmark every `bookmark_seconds`.
    """
    cluster = Cluster(history, bookmark_seconds)
    for name in NAMESPACES_AT_START:
        create(cluster, Target(NAMESPACES), {"metadata": {"name": name}})
    for definition in carina_definitions():
        create(cluster, Target(DEFINITIONS), definition)
    cluster.store.forget_history()
    return cluster
