"""Nodes are lost: which of their volumes, whereto, and the journals that say so.

Then the rebuild itself. What is lost at the same moment is planned in one go (`lost_together`).

Deletion (`rebuild_node`) and NotReady (`migrate_node`) differ in the proof that the node is lost
and in which volumes may be touched; the rest is one path.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import msgspec.structs
import structlog
from structlog.contextvars import bound_contextvars

from carina_tasks.decisions import node_loss, selection
from carina_tasks.errors import CarinaTasksError, Refused
from carina_tasks.flows import ask_nodes
from carina_tasks.flows.context import Context
from carina_tasks.flows.failover import events, lost_together, node_events
from carina_tasks.flows.failover.advance import advance_all
from carina_tasks.flows.failover.evict import evict_free
from carina_tasks.flows.failover.loss import check_mass_failure, judge_not_ready, not_lost
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
TAKEN = "another worker is at it"


@dataclass(frozen=True, slots=True)
class Leaving:
    """A lost node, and what of it is failed over."""

    node: str
    kind: Kind
    """What the journals say."""
    reason: str
    """Why, for users."""
    selected: Selected
    """Its volumes, each wanted or skipped."""
    evicted: tuple[str, ...] = ()
    """Pods without a volume there that were evicted already."""
    stuck: tuple[str, ...] = ()
    """Such pods that could not be, each with its reason."""


def rebuild_node(ctx: Context, node: str) -> FailoverResult:
    """Rebuild every volume of the deleted node, and of all others that were deleted with it.

    One worker confirms what is gone, for all nodes at once; the others have nothing to wait for.

    Raises:
        BadInput: A name is invalid.
        TransientError: Nothing could be decided; the task is tried again.
    """
    names.node_name(node)
    return count_run("rebuild", refusable(ctx, node, lambda: _rebuild_node(ctx, node)))


def migrate_node(ctx: Context, node: str) -> FailoverResult:
    """Rebuild the volumes of the NotReady node's annotated pods elsewhere, and evict those pods.

    Other nodes that are lost by now go with it, so that one plan covers them all.

    Raises:
        BadInput: An argument is not what the task takes.
    """
    names.node_name(node)
    return count_run("migrate", refusable(ctx, node, lambda: _migrate_node(ctx, node)))


def guarded(ctx: Context, node: str, work: Callable[[], FailoverResult]) -> FailoverResult:
    """Do `work` unless everything is paused or another worker is at that node.

    A guard's no is a result.
    """

    def alone() -> FailoverResult:
        with ctx.lock(f"failover.{node}") as hold:
            return FailoverResult(node, "refused", TAKEN) if hold is None else work()

    return refusable(ctx, node, alone)


def refusable(ctx: Context, node: str, work: Callable[[], FailoverResult]) -> FailoverResult:
    """Do `work` unless everything is paused. A guard's no is a result."""
    with bound_contextvars(node=node):
        try:
            ctx.check_pause(node)
            result = work()
        except Refused as exc:
            ctx.audit.guarded(type(exc).__name__, exc.message, about_node(node))
            return FailoverResult(node, "refused", exc.message)
        if result.reason != TAKEN:
            structlog.get_logger().info(result.summary)
        return result


def count_run(
    kind: Literal["rebuild", "migrate", "by-hand", "failback"], result: FailoverResult
) -> FailoverResult:
    """Count a run of a failover by its result, and return that."""
    metrics.FAILOVERS.labels(kind, result.outcome).inc()
    return result


def _rebuild_node(ctx: Context, node: str) -> FailoverResult:
    if ctx.cluster.node(node)[0] is None and not lost_together.is_named(ctx, node):
        # Also what a doubled message finds when the first one is done.
        return FailoverResult(node, "refused", lost_together.UNNAMED.format(node=node))
    gone = lost_together.deleted(ctx, node)
    if gone is None:
        return FailoverResult(node, "refused", TAKEN)
    own = gone[node]
    if isinstance(own, CarinaTasksError):
        raise own
    losses = {name: loss for name, loss in gone.items() if isinstance(loss, node_loss.Lost)}
    refused = None if isinstance(own, node_loss.Lost) else not_lost(ctx, node, own)
    with lost_together.held(ctx, losses) as mine:
        if not mine:
            return refused or FailoverResult(node, "refused", TAKEN)
        snapshot = ask_nodes.confirmed(ctx, ctx.cluster.observe(), mine)
        leaving = []
        for name in mine:
            selected = selection.of_deleted_node(snapshot, name)
            if selected and name not in snapshot.nodes:
                leaving.append(Leaving(name, "rebuild", losses[name].reason, selected))
        if not leaving:
            why = lost_together.UNNAMED.format(node=node)
            why = f"node {node} has come back" if node in snapshot.nodes else why
            return refused or FailoverResult(node, "refused", why)
        return _fail_over_allowed(ctx, node, snapshot, leaving, refused)


def _migrate_node(ctx: Context, node: str) -> FailoverResult:
    loss = judge_not_ready(ctx, node)
    if not isinstance(loss, node_loss.Lost):
        return not_lost(ctx, node, loss)
    with ctx.lock(f"failover.{node}") as hold:
        if hold is None:
            return FailoverResult(node, "refused", TAKEN)
        losses = lost_together.not_ready(ctx, node)
        with lost_together.held(ctx, losses) as others:
            losses[node] = loss
            mine = (node, *others)
            snapshot = ask_nodes.confirmed(ctx, ctx.cluster.observe(), mine)
            # Judging many takes a moment, in which one may have come back.
            back = {one.name for one in snapshot.nodes.values() if one.is_ready}
            if node in back:
                return FailoverResult(node, "refused", f"node {node} is Ready again")
            leaving = [
                Leaving(
                    name,
                    "migrate",
                    losses[name].reason,
                    selection.of_not_ready_node(snapshot, name),
                )
                for name in mine
                if name not in back
            ]
            return _fail_over_allowed(ctx, node, snapshot, leaving, None)


def _fail_over_allowed(
    ctx: Context,
    node: str,
    snapshot: ClusterSnapshot,
    leaving: Sequence[Leaving],
    refused: FailoverResult | None,
) -> FailoverResult:
    """Fail over those lost nodes that the guards let go.

    Args:
        ctx: The outside world.
        node: The node that was asked for.
        snapshot: The cluster as it was read.
        leaving: The lost nodes.
        refused: What became of `node` when it is not among them.

    Raises:
        MassFailure: None of them may go.
    """
    only = ctx.approved_alone()
    may = [one.node for one in leaving if only is None or one.node in only]
    allowed = check_mass_failure(ctx, snapshot, may) if may else frozenset[str]()
    if node not in allowed and refused is None:
        refused = FailoverResult(node, "refused", "stopped until the operator resumes it")
    if not allowed and refused is not None:
        return refused
    going = [
        _evicted(ctx, snapshot, one) if one.kind == "migrate" else one
        for one in leaving
        if one.node in allowed
    ]
    result = fail_over(ctx, snapshot, going)
    if refused is not None:
        return msgspec.structs.replace(
            result, node=node, outcome=refused.outcome, reason=refused.reason, along=_names(going)
        )
    others = tuple(name for name in _names(going) if name != node)
    return msgspec.structs.replace(result, node=node, along=others)


def _names(leaving: Iterable[Leaving]) -> tuple[str, ...]:
    return tuple(sorted(one.node for one in leaving))


def _evicted(ctx: Context, snapshot: ClusterSnapshot, one: Leaving) -> Leaving:
    """Evict the movable pods of a NotReady node, and report what keeps its other volumes there."""
    evicted, stuck = evict_free(ctx, snapshot, one.node, one.reason)
    for verdict in one.selected:
        if isinstance(verdict, selection.Skip) and verdict.blocked:
            events.blocked(ctx, snapshot, verdict.logic_volume, one.node, verdict.reason)
    return replace(one, evicted=evicted, stuck=stuck)


def fail_over(
    ctx: Context, snapshot: ClusterSnapshot, leaving: Sequence[Leaving]
) -> FailoverResult:
    """Plan and rebuild what was selected of lost nodes, and say what became of each volume.

    Args:
        ctx: The outside world.
        snapshot: The cluster as it was read.
        leaving: The lost nodes; the result is that of the first.
    """
    results = [
        VolumeResult(s.logic_volume.name, "skipped", s.reason, one.node)
        for one in leaving
        for s in one.selected
        if isinstance(s, selection.Skip)
    ]
    wanted = [
        s.logic_volume for one in leaving for s in one.selected if isinstance(s, selection.Wanted)
    ]
    if wanted:
        results += _rebuild(ctx, snapshot, wanted, leaving)
    count_logic_volumes(results)
    open_ = [r for r in results if r.outcome not in ("rebuilt", "failed-back", "skipped")]
    evicted = tuple(pod for one in leaving for pod in one.evicted)
    stuck = tuple(pod for one in leaving for pod in one.stuck)
    return FailoverResult(
        node=leaving[0].node,
        outcome="unfinished"
        if open_ or stuck
        else "done"
        if wanted or evicted
        else "nothing-to-do",
        reason=leaving[0].reason,
        volumes=with_claims(snapshot, results),
        evicted=evicted,
        stuck=stuck,
        unreadable=unreadable_lines(snapshot.unreadable),
    )


def _rebuild(
    ctx: Context,
    snapshot: ClusterSnapshot,
    wanted: list[LogicVolume],
    leaving: Sequence[Leaving],
) -> list[VolumeResult]:
    causes = {
        one.node: Cause(
            one.kind,
            one.node,
            snapshot.nodes[one.node].meta.uid if one.node in snapshot.nodes else "",
            one.reason,
        )
        for one in leaving
    }
    # Planned in one go: they share what room there is.
    views, results = begin(
        ctx, snapshot, plan(ctx, snapshot, wanted, causes.keys()), causes.__getitem__
    )
    targets = {name: view.journal.target for name, view in views.items()}
    sources = {name: view.journal.source for name, view in views.items()}
    for one in leaving:
        stuck = [r for r in results if r.outcome == "no-fit" and r.source == one.node]
        node_events.stuck(ctx, one.node, stuck)
    return results + finish(ctx, advance_all(ctx, targets, sources, views))


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
