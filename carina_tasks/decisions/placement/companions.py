"""The other volumes of a pod that moves: what they tie it to.

A Carina volume that is not moved pins the pod to its node; a PV of another driver brings its node
affinity and zone labels; a claim that is still unbound brings its class's allowed topologies.
"""

from __future__ import annotations

from collections.abc import Iterable, Set
from dataclasses import dataclass
from typing import Final

import msgspec

from carina_tasks.decisions.placement.selectors import NodeSelector, Requirement, node_selector
from carina_tasks.decisions.placement.spec import NodeTerms, TopologyTerm, read
from carina_tasks.errors import BadObject
from carina_tasks.model.objects import Claim, LogicVolume, Node, PersistentVolume, Pod
from carina_tasks.model.snapshot import ClusterSnapshot

ZONE_LABELS: Final = {
    "topology.kubernetes.io/zone": "topology.kubernetes.io/zone",
    "topology.kubernetes.io/region": "topology.kubernetes.io/region",
    "failure-domain.beta.kubernetes.io/zone": "topology.kubernetes.io/zone",
    "failure-domain.beta.kubernetes.io/region": "topology.kubernetes.io/region",
}
"""Zone labels of PVs, with the label that took their place (source: scheduler plug-in VolumeZone).
"""


@dataclass(frozen=True, slots=True)
class Demand:
    """Nodes that a volume allows.

    `reason` is the scheduler's message about the others.
    """

    reason: str
    nodes: NodeSelector | None = None
    zones: tuple[tuple[str, frozenset[str]], ...] = ()

    def allows(self, node: Node) -> bool:
        """Return whether the volume can be used on the node."""
        labels = node.meta.labels
        if self.nodes is not None and not self.nodes.matches(node.name, labels):
            return False
        if not any(key in labels for key in ZONE_LABELS):
            return True
        return all(
            labels.get(key, labels.get(ZONE_LABELS[key])) in values for key, values in self.zones
        )


def companion_of(
    snapshot: ClusterSnapshot, pod: Pod, name: str, wanted: Set[str], lost: Set[str]
) -> LogicVolume | Demand | None:
    """Return what the pod's claim `name` ties it to.

    A Carina volume that stays, a Demand, or None for nothing.

    Args:
        snapshot: The cluster as it was read.
        pod: The pod.
        name: Name of the claim.
        wanted: Names of the logic volumes that move.
        lost: The nodes that the logic volumes leave.

    Raises:
        BadObject: The pod cannot run anywhere with that claim as it is.
    """
    key = f"{pod.meta.namespace}/{name}"
    claim = snapshot.claims.get(key)
    if claim is None:
        if name in pod.ephemeral:
            return None  # made together with the pod
        raise BadObject(f'persistentvolumeclaim "{name}" not found (pod {pod.meta.key})')
    if claim.pod:
        return None  # it goes with the pod, and the next pod gets one of its own
    if claim.meta.deleting is not None:
        raise BadObject(f'persistentvolumeclaim "{name}" is being deleted (pod {pod.meta.key})')
    if not claim.pv_name:
        held = next(
            (v for v in snapshot.persistent_volumes_of(key) if v.claim_uid == claim.meta.uid),
            None,
        )
        if held is None:
            return _of_class(snapshot, claim)
        return _of_volume(snapshot, pod, held.meta.name, wanted, lost)
    return _of_volume(snapshot, pod, claim.pv_name, wanted, lost)


def zone_demands(
    snapshot: ClusterSnapshot, logic_volumes: Iterable[LogicVolume]
) -> tuple[Demand, ...]:
    """Return what zone labels and classes of the wanted volumes' own PVs ask for.

    A replaced PV keeps both.
    """
    found = []
    for logic_volume in logic_volumes:
        kept = snapshot.persistent_volumes.get(logic_volume.name)
        if kept is not None:
            found += [_zones(kept), _topologies(snapshot, kept.storage_class)]
    return tuple(demand for demand in found if demand is not None)


def _of_volume(
    snapshot: ClusterSnapshot, pod: Pod, name: str, wanted: Set[str], lost: Set[str]
) -> LogicVolume | Demand | None:
    if name in wanted:
        return None
    logic = snapshot.logic_volumes.get(name)
    if logic is not None:
        if logic.node in lost:
            raise BadObject(f"pod {pod.meta.key} also uses {name}, which stays on {logic.node}")
        return logic
    pv = snapshot.persistent_volumes.get(name)
    if pv is None:
        raise BadObject(f'persistentvolume "{name}" not found (pod {pod.meta.key})')
    return _affinity(pv)


def _affinity(pv: PersistentVolume) -> Demand | None:
    zones = _zones(pv)
    if pv.affinity is None:
        return zones
    try:
        terms = read(msgspec.to_builtins(pv.affinity), NodeTerms).node_selector_terms
        nodes = node_selector(terms)
    except BadObject as exc:
        raise BadObject(f"nodeAffinity of persistentvolume {pv.meta.name}: {exc.message}") from exc
    reason = f"node(s) didn't match PersistentVolume's node affinity ({pv.meta.name})"
    return Demand(reason, nodes, zones.zones if zones else ())


def _zones(pv: PersistentVolume) -> Demand | None:
    labels = pv.meta.labels
    zones = tuple((key, frozenset(labels[key].split("__"))) for key in ZONE_LABELS if key in labels)
    return (
        Demand(f"node(s) had no available volume zone ({pv.meta.name})", zones=zones)
        if zones
        else None
    )


def _of_class(snapshot: ClusterSnapshot, claim: Claim) -> Demand | None:
    return _topologies(snapshot, claim.storage_class)


def _topologies(snapshot: ClusterSnapshot, name: str) -> Demand | None:
    known = snapshot.classes.get(name)
    if known is None or not known.allowed_topologies:
        return None
    try:
        terms = tuple(
            (_labels_of(term), ())
            for term in read(known.allowed_topologies, tuple[TopologyTerm, ...])
        )
    except BadObject as exc:
        raise BadObject(f"allowedTopologies of storageclass {name}: {exc.message}") from exc
    return Demand(
        f"node(s) are not in the allowedTopologies of storageclass {name}", NodeSelector(terms)
    )


def _labels_of(term: TopologyTerm) -> tuple[Requirement, ...]:
    return tuple(
        Requirement(one.key, "In", frozenset(one.values)) for one in term.match_label_expressions
    )
