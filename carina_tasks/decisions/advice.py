"""What helps a volume that no node fits? The reason in a few words, and what to type.

The planner tries again by itself every 30 s, so a retry never helps: what stands in the way does
not go by itself. Of several obstacles the one comes first that costs the operator least.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from carina_tasks.decisions.placement.verdict import Obstacle

CARINA: Final = "celery -A carina_tasks carina"
_NAMED: Final = 5


@dataclass(frozen=True, slots=True)
class Advice:
    """What stands in the way, in a few words, and what to type or do about it."""

    reason: str
    do: str


def start_worker(namespace: str, node: str) -> str:
    """Return the command that shows why the worker of a node does not run.

    Args:
        namespace: The namespace of carina-tasks.
        node: Name of the node.
    """
    return (
        f"kubectl -n {namespace} get pods -o wide --field-selector spec.nodeName={node} "
        "-l app.kubernetes.io/component=node"
    )


def for_no_fit(
    obstacles: Iterable[Obstacle], source: str, namespace: str = "kube-system"
) -> Advice:
    """Return what helps volumes that no node fits.

    Args:
        obstacles: What stands in the way on each node, of one or more volumes.
        source: The node that the volumes leave; the plan of its loss names every reason.
        namespace: The namespace of carina-tasks.
    """
    by_kind: dict[str, list[str]] = {}
    for one in obstacles:
        if one.node not in by_kind.setdefault(one.kind, []):
            by_kind[one.kind].append(one.node)
    if not by_kind:
        return Advice("there is no other Ready node", "add a node that runs Carina")
    for kind, make in _BY_KIND.items():
        if kind in by_kind:
            return make(sorted(by_kind[kind]), namespace)
    return Advice("no node passes the scheduler's filters", f"{CARINA} plan {source}")


def _cordoned(nodes: list[str], _: str) -> Advice:
    many = "nodes are" if len(nodes) > 1 else f"node {nodes[0]} is"
    return Advice(f"{many} cordoned", f"kubectl uncordon {' '.join(nodes)}")


def _worker(nodes: list[str], namespace: str) -> Advice:
    many = "workers of nodes do" if len(nodes) > 1 else f"the worker of node {nodes[0]} does"
    return Advice(f"{many} not answer", start_worker(namespace, nodes[0]))


def _not_ready(nodes: list[str], _: str) -> Advice:
    many = "nodes are" if len(nodes) > 1 else f"node {nodes[0]} is"
    return Advice(f"{many} not Ready", f"kubectl describe node {' '.join(nodes[:_NAMED])}")


def _capacity(nodes: list[str], _: str) -> Advice:
    where = _listed(nodes)
    return Advice(
        "volume groups lack space or are missing",
        f"add a disk to the volume group of {where} (pvcreate, vgextend), or delete what is not "
        f"needed: {CARINA} volumes {nodes[0]}",
    )


def _resources(nodes: list[str], _: str) -> Advice:
    return Advice(
        "nodes lack cpu, memory or room for pods",
        f"make room or add a node: kubectl describe node {nodes[0]}",
    )


def _taints(nodes: list[str], _: str) -> Advice:
    many = "nodes have taints" if len(nodes) > 1 else f"node {nodes[0]} has a taint"
    return Advice(
        f"{many} that the pod does not tolerate", f"kubectl describe node {' '.join(nodes[:5])}"
    )


def _registered(nodes: list[str], _: str) -> Advice:
    return Advice(
        "Carina's CSI driver is not registered on nodes",
        f"start carina-node on {_listed(nodes)}: kubectl get csinode {nodes[0]} -o yaml",
    )


def _listed(nodes: list[str]) -> str:
    more = f" or {len(nodes) - _NAMED} more" if len(nodes) > _NAMED else ""
    return " or ".join(nodes[:_NAMED]) + more


_BY_KIND: Final[dict[str, Callable[[list[str], str], Advice]]] = {
    "unschedulable": _cordoned,
    "worker": _worker,
    "taints": _taints,
    "registered": _registered,
    "capacity": _capacity,
    "resources": _resources,
    "ready": _not_ready,
}
"""By what costs the operator least: a command, then a process, then a disk."""
