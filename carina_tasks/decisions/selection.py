"""Which volumes of a lost node are to be rebuilt?

Deletion of the node: all of them, annotated or not. NotReady: only those of annotated pods, and
nothing that an un-annotated pod uses. Source: Carina's failover manual.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING

from carina_tasks.decisions import eviction
from carina_tasks.model import well_known

if TYPE_CHECKING:
    from carina_tasks.model.journal import Journal
    from carina_tasks.model.objects import LogicVolume, PersistentVolume, Pod
    from carina_tasks.model.snapshot import ClusterSnapshot


@dataclass(frozen=True, slots=True)
class Wanted:
    """It is to be rebuilt."""

    logic_volume: LogicVolume
    reason: str


@dataclass(frozen=True, slots=True)
class Skip:
    """It is left as it is."""

    logic_volume: LogicVolume
    reason: str
    blocked: bool = False
    """Another pod keeps it where a pod that may be migrated could not follow: its owner should
    know.
    """


def of_deleted_node(snapshot: ClusterSnapshot, node: str) -> tuple[Wanted | Skip, ...]:
    """Judge every LogicVolume that names the deleted `node`."""
    return tuple(_judge(snapshot, v, node) for v in snapshot.logic_volumes_on(node))


def of_not_ready_node(snapshot: ClusterSnapshot, node: str) -> tuple[Wanted | Skip, ...]:
    """Judge every LogicVolume that names the NotReady `node`: only annotated pods may be moved."""
    return tuple(
        _only_annotated(snapshot, verdict, node) if isinstance(verdict, Wanted) else verdict
        for verdict in (_judge(snapshot, v, node) for v in snapshot.logic_volumes_on(node))
    )


def of_volume(snapshot: ClusterSnapshot, logic_volume: LogicVolume) -> Wanted | Skip:
    """Judge one LogicVolume on its node, whatever became of that."""
    return _judge(snapshot, logic_volume, logic_volume.node)


def of_companion(
    snapshot: ClusterSnapshot, logic_volume: LogicVolume, journal: Journal
) -> Wanted | Skip:
    """Judge a logic volume that was planned together with `journal` and has none itself.

    Args:
        snapshot: The cluster as it was read.
        logic_volume: The LogicVolume.
        journal: The journal of the rebuild.
    """
    verdict = _judge(snapshot, logic_volume, journal.source)
    if isinstance(verdict, Wanted) and journal.kind == "migrate":
        return _only_annotated(snapshot, verdict, journal.source)
    return verdict


def still_empty(snapshot: ClusterSnapshot, logic_volume: LogicVolume) -> bool:
    """Return whether no pod can have written to a journalled volume on its target.

    No PersistentVolume names that yet.
    """
    pv = snapshot.persistent_volumes.get(logic_volume.name)
    return pv is None or pv.nodes != (logic_volume.node,)


def of_lost_target(snapshot: ClusterSnapshot, logic_volume: LogicVolume) -> Wanted | Skip:
    """Judge a journalled volume whose target is lost: may it go to another one?

    As long as its PersistentVolume does not name the target, no pod can have written to it. From
    then on it is a volume of that node like any other: it leaves when the node is deleted, and
    while the node is NotReady only if its pods may be moved.
    """
    target = logic_volume.node
    if still_empty(snapshot, logic_volume):
        return Wanted(logic_volume, "it is still empty")
    if target not in snapshot.nodes:
        return Wanted(logic_volume, "its target was deleted")
    return _only_annotated(snapshot, Wanted(logic_volume, ""), target)


def leaving(snapshot: ClusterSnapshot, node: str, but: Collection[str]) -> list[LogicVolume]:
    """Return the logic volumes that leave the lost `node`, without those in `but`.

    A journal that names the node as its target counts too.

    Args:
        snapshot: The cluster as it was read.
        node: Name of the lost node.
        but: Names that are left out.
    """
    verdicts = (
        of_not_ready_node(snapshot, node)
        if node in snapshot.nodes
        else of_deleted_node(snapshot, node)
    )
    wanted = {verdict.logic_volume.name for verdict in verdicts if isinstance(verdict, Wanted)}
    return [
        v
        for v in snapshot.logic_volumes_on(node)
        if v.name not in but
        and (
            v.name in wanted
            or (v.journal is not None and isinstance(of_lost_target(snapshot, v), Wanted))
        )
    ]


def movable_pods(snapshot: ClusterSnapshot, node: str) -> tuple[Pod, ...]:
    """Return the annotated pods of the NotReady `node` without a Carina volume there.

    Only pods whose controller creates them again.

    They need nothing but an eviction. One without a controller would be gone forever, a
    DaemonSet's or a static pod belongs to its node. A generic ephemeral volume holds no pod: it
    goes with it, and the next pod gets a new one.
    """
    on_node = {v.name for v in snapshot.logic_volumes_on(node) if not goes_with_pod(snapshot, v)}
    return tuple(
        pod
        for pod in snapshot.pods_on(node)
        if pod.controller is not None
        and isinstance(eviction.judge_pod(pod, "migrate", alive=False), eviction.EvictPod)
        and not any(_volume_of(snapshot, pod, claim) in on_node for claim in pod.claims)
    )


def goes_with_pod(snapshot: ClusterSnapshot, logic_volume: LogicVolume) -> str:
    """Return the pod that owns the claim (``namespace/name``), or an empty string."""
    claim = snapshot.claims.get(logic_volume.claim_key)
    return (
        f"{logic_volume.namespace}/{claim.pod}"
        if claim is not None and claim.pod and claim.pv_name == logic_volume.name
        else ""
    )


def managed(logic_volume: LogicVolume) -> bool:
    """Return whether the LogicVolume is of a kind that we rebuild.

    LVM, and no half of a bcache volume.

    Old releases of Carina wrote no type; for those the PersistentVolume decides.
    """
    return not logic_volume.meta.owners and logic_volume.has_lv


def _judge(snapshot: ClusterSnapshot, logic_volume: LogicVolume, node: str) -> Wanted | Skip:
    pv = snapshot.persistent_volumes.get(logic_volume.name)
    reason = _unfit(logic_volume, pv, node)
    if not reason and (owner := goes_with_pod(snapshot, logic_volume)):
        reason = f"its claim is deleted together with pod {owner}: a new pod gets a new volume"
    return Skip(logic_volume, reason) if reason else Wanted(logic_volume, "it was on the lost node")


def _unfit(logic_volume: LogicVolume, pv: PersistentVolume | None, node: str) -> str:
    if logic_volume.journalled:
        return logic_volume.journal_error or "its rebuild is already under way"
    if logic_volume.meta.deleting is not None:
        return "it is being deleted"
    if not managed(logic_volume):
        owner = logic_volume.meta.owners[0].kind if logic_volume.meta.owners else ""
        return (
            f"it belongs to a {owner}: left alone"
            if owner
            else f"it is managed as {logic_volume.manage_type!r}, not by LVM"
        )
    if pv is None:
        return "it has no PersistentVolume: the sweep's business"
    if not pv.ours:
        return "its PersistentVolume is not a plain Carina LVM volume: left alone"
    if pv.meta.deleting is not None:
        return "its PersistentVolume is being deleted"
    if pv.phase == "Released" and pv.policy == "Delete":
        return "its claim is gone and its PersistentVolume waits for its provisioner to delete it"
    if pv.nodes != (node,):
        return (
            f"its PersistentVolume names {', '.join(pv.nodes) or 'no node'}, not {node}: the "
            "operator must look at it"
        )
    return ""


def _only_annotated(snapshot: ClusterSnapshot, wanted: Wanted, node: str) -> Wanted | Skip:
    pv = snapshot.persistent_volumes[wanted.logic_volume.name]
    # A pod that was deleted and created again is bound to no node yet, and its volume nails it to
    # this one. One whose volume was on its way to this node may still be bound to the node that it
    # left.
    journal = wanted.logic_volume.journal
    pods = [
        pod
        for pod in snapshot.pods_of(pv.claim_key)
        if pod.node in (node, "", journal.source if journal else "")
    ]
    if not pods:
        return Skip(wanted.logic_volume, "no pod of the node uses it")
    unwilling = [(pod, reason) for pod in pods if (reason := _unwilling(pod))]
    if unwilling:
        pod, reason = unwilling[0]
        willing = [one.meta.key for one in pods if not _unwilling(one)]
        shared = (
            f", and pod {willing[0]}, which may be migrated, shares its claim" if willing else ""
        )
        return Skip(
            wanted.logic_volume, f"pod {pod.meta.key} {reason}{shared}", blocked=bool(willing)
        )
    return Wanted(wanted.logic_volume, f"pod {pods[0].meta.key} may be migrated")


def _unwilling(pod: Pod) -> str:
    """Return why the pod keeps its volume on a NotReady node, empty when it does not."""
    if not pod.migration_allowed:
        return f'is not annotated {well_known.MIGRATION_ALLOWED}: "true"'
    if pod.mirror:
        return "is a static pod of that node"
    if pod.of_daemon_set:
        return "belongs to a DaemonSet, which makes it again on the same node"
    return ""


def _volume_of(snapshot: ClusterSnapshot, pod: Pod, claim: str) -> str:
    found = snapshot.claims.get(f"{pod.meta.namespace}/{claim}")
    return found.pv_name if found else ""
