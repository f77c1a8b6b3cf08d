"""A node is lost: which of its volumes, whereto, and the journals that say so.

Then the rebuild itself.

Deletion (`rebuild_node`) and NotReady (`migrate_node`) differ in the proof that the node is lost
and in which volumes may be touched; the rest is one path.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Literal

import structlog
from structlog.contextvars import bound_contextvars

from carina_tasks.decisions import node_loss, selection
from carina_tasks.errors import Refused
from carina_tasks.flows import ask_nodes
from carina_tasks.flows.context import Context
from carina_tasks.flows.failover import events, node_events
from carina_tasks.flows.failover.advance import advance_all
from carina_tasks.flows.failover.evict import evict_free
from carina_tasks.flows.failover.loss import (
    check_mass_failure,
    confirm_absence,
    judge_not_ready,
    not_lost,
)
from carina_tasks.flows.failover.planning import Cause, Kind, begin, plan
from carina_tasks.flows.failover.replanning import replan
from carina_tasks.flows.failover.results import FailoverResult, VolumeResult, with_claims
from carina_tasks.flows.failover.steps import NeedsTarget
from carina_tasks.model import names
from carina_tasks.model.objects import LogicVolume
from carina_tasks.model.snapshot import ClusterSnapshot, unreadable_lines
from carina_tasks.observability import metrics
from carina_tasks.observability.audit import about_node

Selected = tuple[selection.Wanted | selection.Skip, ...]


def rebuild_node(ctx: Context, node: str) -> FailoverResult:
    """Rebuild every volume of the deleted node.

    Raises:
        BadInput: A name is invalid.
        TransientError: Nothing could be decided; the task is tried again.
    """
    names.node_name(node)
    return count_run("rebuild", guarded(ctx, node, lambda: _rebuild_node(ctx, node)))


def migrate_node(ctx: Context, node: str) -> FailoverResult:
    """Rebuild the volumes of the NotReady node's annotated pods elsewhere, and evict those pods.

    Raises:
        BadInput: An argument is not what the task takes.
    """
    names.node_name(node)
    return count_run("migrate", guarded(ctx, node, lambda: _migrate_node(ctx, node)))


def guarded(ctx: Context, node: str, work: Callable[[], FailoverResult]) -> FailoverResult:
    """Do `work` unless everything is paused or another worker is at that node.

    A guard's no is a result.
    """
    with bound_contextvars(node=node):
        try:
            ctx.check_pause(node)
            with ctx.lock(f"failover.{node}") as hold:
                if hold is None:
                    return FailoverResult(node, "refused", "another worker is at it")
                result = work()
        except Refused as exc:
            ctx.audit.guarded(type(exc).__name__, exc.message, about_node(node))
            return FailoverResult(node, "refused", exc.message)
        structlog.get_logger().info(result.summary)
        return result


def count_run(
    kind: Literal["rebuild", "migrate", "by-hand", "failback"], result: FailoverResult
) -> FailoverResult:
    """Count a run of a failover by its result, and return that."""
    metrics.FAILOVERS.labels(kind, result.outcome).inc()
    return result


def _rebuild_node(ctx: Context, node: str) -> FailoverResult:
    ctx.progress(f"making sure that the node is gone, {ctx.settings.confirm_absence:g} s")
    loss = confirm_absence(ctx, node)
    if not isinstance(loss, node_loss.Lost):
        return not_lost(ctx, node, loss)
    snapshot = ask_nodes.confirmed(ctx, ctx.cluster.observe(), [node])
    if node in snapshot.nodes:
        return FailoverResult(node, "refused", f"node {node} has come back")
    selected = selection.of_deleted_node(snapshot, node)
    if not selected:
        # Also what a doubled message finds when the first one is done.
        return FailoverResult(
            node, "refused", f"there is no node {node}, and no LogicVolume names it"
        )
    check_mass_failure(ctx, snapshot, node)
    return fail_over(ctx, node, snapshot, selected, "rebuild", loss.reason)


def _migrate_node(ctx: Context, node: str) -> FailoverResult:
    loss = judge_not_ready(ctx, node)
    if not isinstance(loss, node_loss.Lost):
        return not_lost(ctx, node, loss)
    snapshot = ask_nodes.confirmed(ctx, ctx.cluster.observe(), [node])
    check_mass_failure(ctx, snapshot, node)
    evicted, stuck = evict_free(ctx, snapshot, node, loss.reason)
    selected = selection.of_not_ready_node(snapshot, node)
    for verdict in selected:
        if isinstance(verdict, selection.Skip) and verdict.blocked:
            events.blocked(ctx, snapshot, verdict.logic_volume, node, verdict.reason)
    return fail_over(ctx, node, snapshot, selected, "migrate", loss.reason, evicted, stuck)


def fail_over(
    ctx: Context,
    node: str,
    snapshot: ClusterSnapshot,
    selected: Selected,
    kind: Kind,
    reason: str,
    evicted: tuple[str, ...] = (),
    stuck: tuple[str, ...] = (),
) -> FailoverResult:
    """Plan and rebuild what was selected of `node`, and say what became of each volume.

    Args:
        ctx: The outside world.
        node: The node that the volumes leave.
        snapshot: The cluster as it was read.
        selected: Its volumes, each wanted or skipped.
        kind: What the journals say.
        reason: Why, for users.
        evicted: Pods without a volume there that were evicted already.
        stuck: Such pods that could not be, each with its reason.
    """
    results = [
        VolumeResult(s.logic_volume.name, "skipped", s.reason)
        for s in selected
        if isinstance(s, selection.Skip)
    ]
    wanted = [s.logic_volume for s in selected if isinstance(s, selection.Wanted)]
    if wanted:
        results += _rebuild(ctx, node, snapshot, wanted, kind, reason)
    count_logic_volumes(results)
    open_ = [r for r in results if r.outcome not in ("rebuilt", "failed-back", "skipped")]
    return FailoverResult(
        node=node,
        outcome="unfinished"
        if open_ or stuck
        else "done"
        if wanted or evicted
        else "nothing-to-do",
        reason=reason,
        volumes=with_claims(snapshot, results),
        evicted=evicted,
        stuck=stuck,
        unreadable=unreadable_lines(snapshot.unreadable),
    )


def _rebuild(
    ctx: Context,
    node: str,
    snapshot: ClusterSnapshot,
    wanted: list[LogicVolume],
    kind: Kind,
    reason: str,
) -> list[VolumeResult]:
    uid = snapshot.nodes[node].meta.uid if node in snapshot.nodes else ""
    # Planned in one go: they share what room there is.
    views, results = begin(
        ctx, snapshot, plan(ctx, snapshot, wanted, node), Cause(kind, node, uid, reason)
    )
    stuck = [result for result in results if result.outcome == "no-fit"]
    targets = {name: view.journal.target for name, view in views.items()}
    node_events.stuck(ctx, node, stuck)
    return results + finish(ctx, advance_all(ctx, targets, node, views))


def finish(ctx: Context, results: Iterable[VolumeResult | NeedsTarget]) -> list[VolumeResult]:
    """Plan again for the logic volumes whose target cannot take them."""
    done: list[VolumeResult] = []
    again: dict[str, list[NeedsTarget]] = {}
    for result in results:
        if isinstance(result, VolumeResult):
            done.append(result)
        else:
            again.setdefault(result.journal.target, []).append(result)
    for target, needs in again.items():
        done += replan(ctx, target, needs)
    node_events.finished(ctx, done)
    return done


def count_logic_volumes(results: Iterable[VolumeResult]) -> None:
    """Count what a failover ended with for each volume.

    What is done is counted where its journal is removed, each once.
    """
    for result in results:
        if result.outcome not in ("rebuilt", "failed-back", "given-up", "unfinished"):
            metrics.VOLUMES.labels(result.outcome).inc()
