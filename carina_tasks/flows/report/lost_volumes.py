"""What becomes of the volumes of lost nodes: which no node fits, and which wait for their node.

The planner is that of the real run. Nodes are asked only while a node is lost and no
rebuild has just begun. Nothing is written.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from carina_tasks.decisions import guards, node_loss
from carina_tasks.decisions.verdict import Unplaced
from carina_tasks.errors import BrokerUnavailable, CarinaTasksError
from carina_tasks.flows import ask_nodes
from carina_tasks.flows.context import Context
from carina_tasks.flows.failover.loss import not_ready_rules
from carina_tasks.flows.report.loss_plan import ledger_of, plan_loss
from carina_tasks.flows.report.problem import PATIENCE
from carina_tasks.kube.state import OperatorState
from carina_tasks.model.snapshot import ClusterSnapshot


@dataclass(frozen=True, slots=True)
class LostVolumes:
    """What becomes of the volumes of lost nodes."""

    unplaced: tuple[Unplaced, ...] = ()
    staying: Mapping[str, int] = field(default_factory=dict)
    """For each NotReady node whose failover has begun: the volumes in use that wait for it."""


def of(ctx: Context, snapshot: ClusterSnapshot, state: OperatorState) -> LostVolumes:
    """Return what becomes of the volumes of every lost node that is not in maintenance.

    Args:
        ctx: The outside world.
        snapshot: The cluster as it was read.
        state: What the operator decided.
    """
    if any(
        v.journal is not None and snapshot.now - v.journal.started < PATIENCE
        for v in snapshot.logic_volumes.values()
    ):
        # Nodes are busy with a rebuild that has just begun, and would let the answer wait for it.
        return LostVolumes()
    open_ = {v.node for v in snapshot.logic_volumes.values() if not v.journalled}
    lost = sorted(
        node for node in guards.lost_nodes(snapshot, planned=state.maintenance) if node in open_
    )
    lost = [node for node in lost if _has_begun(ctx, snapshot, node)]
    if not lost:
        return LostVolumes()
    ready = [node.name for node in snapshot.nodes.values() if node.is_ready]
    try:
        inventories = ask_nodes.answered(ask_nodes.inventories(ctx, ready))
    except BrokerUnavailable:
        # It went away since the heartbeats were read; the next look says so.
        return LostVolumes()
    unplaced: list[Unplaced] = []
    staying: dict[str, int] = {}
    ledger = ledger_of(ctx, snapshot, inventories)
    for name in lost:
        there = name in snapshot.nodes
        volumes = plan_loss(ctx, snapshot, name, ledger, there).volumes
        unplaced += [
            Unplaced(v.claim, name, v.obstacles, v.reason, v.pod, v.volume)
            for v in volumes
            if v.outcome == "no-fit"
        ]
        waiting = sum(v.outcome == "skipped" and bool(v.pod) for v in volumes)
        if there and waiting:
            staying[name] = waiting
    return LostVolumes(tuple(unplaced), staying)


def _has_begun(ctx: Context, snapshot: ClusterSnapshot, name: str) -> bool:
    """Return whether the failover of a lost node has begun: before that, nothing is stuck."""
    node = snapshot.nodes.get(name)
    if node is None:
        return True
    try:
        lease, alive = ctx.cluster.lease(name), ctx.worker_alive(name)
    except CarinaTasksError:
        return False
    rules = not_ready_rules(ctx)
    return isinstance(node_loss.not_ready(node, lease, alive, snapshot.now, rules), node_loss.Lost)
