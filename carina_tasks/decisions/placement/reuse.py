"""May the plan of a node be used again? Only when a new one would give the same answer.

A plan rests on what leaves the node (`inputs_of`), on the nodes that it asked, and on every other
node having a worse score than the one it chose. A plan with constraints that reach other nodes, or
with a volume that fits nowhere, rests on every node.

Facts are compared as hashes (SipHash, 64 bits, another key in each process), so that a large
cluster is not kept twice.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from carina_tasks.decisions.placement.ledger import Ledger
from carina_tasks.decisions.placement.plan import Plan
from carina_tasks.decisions.placement.score import score
from carina_tasks.decisions.placement.space import Space
from carina_tasks.model.meta import ObjectMeta
from carina_tasks.model.snapshot import ClusterSnapshot


@dataclass(frozen=True, slots=True)
class Facts:
    """What plans may read of each node, as hashes."""

    nodes: dict[str, int]
    everywhere: int
    """What concerns every node: classes, the reserve, and pods that keep others away."""

    def changed(self, before: Facts) -> frozenset[str] | None:
        """Return the nodes about which something else is true now; None when that is all."""
        if self.everywhere != before.everywhere:
            return None
        return frozenset(
            name
            for name in self.nodes.keys() | before.nodes.keys()
            if self.nodes.get(name) != before.nodes.get(name)
        )


def facts_of(snapshot: ClusterSnapshot, ledger: Ledger, reserve: int) -> Facts:
    """Return the facts about the nodes of a snapshot.

    Args:
        snapshot: The cluster as it was read.
        ledger: The ledger of that snapshot.
        reserve: Bytes of each VG that stay free.
    """
    apart = tuple(
        (name, terms, _labels(snapshot.nodes[name].meta))
        for name in ledger.candidates
        if (terms := ledger.pods.apart(name))
    )
    classes = tuple(_stamp(snapshot.classes[name].meta) for name in sorted(snapshot.classes))
    return Facts(
        {name: _of_node(snapshot, ledger, name) for name in ledger.candidates},
        hash((reserve, classes, apart)),
    )


def inputs_of(snapshot: ClusterSnapshot, node: str) -> int | None:
    """Return a hash of what a plan reads of the volumes of `node` and of what goes with them.

    None when that cannot be told by versions, or when one is being rebuilt: then it rests on more
    nodes than its own.

    Args:
        snapshot: The cluster as it was read.
        node: The node that would be lost.
    """
    found = tuple(_inputs(snapshot, node))
    return None if any(one is None for one in found) else hash(found)


def still_holds(plan: Plan, changed: Collection[str], ledger: Ledger) -> bool:
    """Return whether a new plan would give the same answer.

    Args:
        plan: The last plan of a node whose inputs are the same.
        changed: Other nodes about which something else is true than then.
        ledger: The nodes as they are now.
    """
    if not changed:
        return True
    if plan.wide or not plan.looked.isdisjoint(changed):
        return False
    space, volumes = Space(ledger.free), ledger.volumes
    for name in changed:
        one = ledger.candidates.get(name)
        for chosen in plan.chosen if one is not None else ():
            number = volumes[name] + len(chosen.logic_volumes)
            if (
                one is not None
                and number <= chosen.score[0]
                and chosen.needs.keys() <= one.groups.keys()
                and score(one, chosen, ledger.pods, space, volumes) < chosen.score
            ):
                return False
    return True


def _of_node(snapshot: ClusterSnapshot, ledger: Ledger, name: str) -> int:
    node, one = snapshot.nodes[name], ledger.candidates[name]
    room = tuple(
        (vg, ledger.free.free[name, vg], *sorted(ledger.free.claims.get((name, vg), {}).items()))
        for vg in sorted(one.groups)
    )
    return hash(
        (
            node.meta.uid,
            node.meta.deleting,
            _labels(node.meta),
            node.ready,
            node.unschedulable,
            node.taints,
            tuple(sorted(node.allocatable.items())),
            tuple(_stamp(pod.meta) for pod in snapshot.pods_on(name) if not pod.finished),
            one.answered,
            tuple(one.groups.values()),
            tuple(one.locals.values()),
            room,
            ledger.volumes[name],
        )
    )


def _inputs(snapshot: ClusterSnapshot, node: str) -> Iterator[object]:
    for logic_volume in snapshot.logic_volumes_on(node):
        if logic_volume.journalled:
            yield None
        yield _stamp(logic_volume.meta)
        yield from _of_volume(snapshot, logic_volume.name)
        yield from _of_claim(snapshot, logic_volume.claim_key)
        for pod in snapshot.pods_of(logic_volume.claim_key):
            yield _stamp(pod.meta)
            yield pod.node == node or pod.node in snapshot.nodes
            for name in pod.claims:
                yield from _of_claim(snapshot, f"{pod.meta.namespace}/{name}")


def _of_claim(snapshot: ClusterSnapshot, key: str) -> Iterator[object]:
    claim = snapshot.claims.get(key)
    yield key if claim is None else _stamp(claim.meta)
    if claim is not None and claim.pv_name:
        yield from _of_volume(snapshot, claim.pv_name)
    for pv in snapshot.persistent_volumes_of(key):
        yield from _of_volume(snapshot, pv.meta.name)


def _of_volume(snapshot: ClusterSnapshot, name: str) -> Iterator[object]:
    pv, logic_volume = snapshot.persistent_volumes.get(name), snapshot.logic_volumes.get(name)
    yield name if pv is None else _stamp(pv.meta)
    yield name if logic_volume is None else _stamp(logic_volume.meta)


def _stamp(meta: ObjectMeta) -> tuple[str, str] | None:
    """Return what is another one after every change of the object; None without a version."""
    return (meta.uid, meta.version) if meta.version else None


def _labels(meta: ObjectMeta) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(meta.labels.items()))
