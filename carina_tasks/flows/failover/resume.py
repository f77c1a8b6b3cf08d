"""Whatever is journalled and unfinished, and whatever the watch missed.

Runs every 30 seconds, so it looks at little first: only LogicVolumes and nodes. It makes every loss
of a message, a worker or the whole broker cost no more than its interval.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress

import structlog

from carina_tasks.decisions import colocation, node_loss, placement, selection
from carina_tasks.errors import (
    ApiConflict,
    ApiDenied,
    ApiInvalid,
    CarinaTasksError,
    NotFound,
    Refused,
)
from carina_tasks.flows import ask_nodes, one_object
from carina_tasks.flows.context import Context
from carina_tasks.flows.failover import events
from carina_tasks.flows.failover.advance import advance_all
from carina_tasks.flows.failover.loss import (
    check_mass_failure,
    confirm_absences,
    judge_not_ready,
)
from carina_tasks.flows.failover.lost_node import count_logic_volumes, finish
from carina_tasks.flows.failover.planning import Cause, begin, plan
from carina_tasks.flows.failover.results import ResumeResult, VolumeResult, with_claims
from carina_tasks.flows.failover.steps import NeedsTarget
from carina_tasks.model.journal import Journal
from carina_tasks.model.objects import LogicVolume, Node
from carina_tasks.model.snapshot import ClusterSnapshot
from carina_tasks.observability.audit import about_volume


def resume(ctx: Context) -> ResumeResult:
    """Continue with every journal, and name the nodes whose failover must be asked for."""
    only = ctx.approved_alone()
    logic_volumes, nodes = list(ctx.cluster.logic_volumes().values.values()), _nodes(ctx)
    # Only hints: rebuild_node and migrate_node look for themselves whether the node is lost.
    used = {
        v.node
        for v in logic_volumes
        if v.journal is None and selection.managed(v) and (only is None or v.node in only)
    }
    absent = sorted(used - nodes.keys())
    sick = sorted(
        name for name in used if (node := nodes.get(name)) is not None and not node.is_ready
    )
    results: list[VolumeResult] = []
    journalled = [
        v
        for v in logic_volumes
        if v.journal is not None and (only is None or v.journal.source in only)
    ]
    for logic_volume in logic_volumes:
        if logic_volume.journal_error:
            ctx.audit.warn(
                about_volume(logic_volume), "JournalUnreadable", logic_volume.journal_error
            )
        elif logic_volume.progress and not logic_volume.journalled:
            # The operator took the journal off, or an older release did, which knows of no
            # progress. A line for users: the next look takes it off if this one cannot.
            with suppress(ApiConflict, ApiDenied, ApiInvalid, NotFound):
                ctx.writes.write_progress(logic_volume, None)
    if journalled:
        try:
            ends = {end for v in journalled if v.journal for end in (v.journal.source, v.node)}
            snapshot = ask_nodes.confirmed(ctx, ctx.cluster.observe(), ends)
            if only is None:
                check_mass_failure(ctx, snapshot)
        except Refused as exc:
            ctx.audit.guarded(type(exc).__name__, exc.message)
            raise
        with ctx.lock("resume") as hold:
            if hold is not None:
                results = _advance_journals(ctx, journalled, nodes, snapshot)
                results = list(with_claims(snapshot, results))
    count_logic_volumes(results)
    return ResumeResult(
        volumes=tuple(results), deleted_nodes=tuple(absent), not_ready_nodes=tuple(sick)
    )


def _advance_journals(
    ctx: Context,
    logic_volumes: list[LogicVolume],
    nodes: dict[str, Node | None],
    snapshot: ClusterSnapshot,
) -> list[VolumeResult]:
    stranded: list[NeedsTarget] = []
    waiting: list[VolumeResult] = []
    losses = _target_losses(ctx, {v.journal.target for v in logic_volumes if v.journal}, nodes)
    parted = colocation.separated(
        snapshot, logic_volumes, {target for target, loss in losses.items() if loss}
    )
    astray = {
        one.logic_volume.name: one.reason for one in parted if isinstance(one, colocation.Diverging)
    }
    going, left = _fetch(
        ctx, snapshot, [one for one in parted if isinstance(one, colocation.LeftBehind)], losses
    )
    for logic_volume in logic_volumes:
        journal = logic_volume.journal
        if journal is None:
            continue
        # `replan` judges once more on a newer picture; what may not leave is tried where it is,
        # perhaps its worker lives.
        loss = losses[journal.target]
        reason = (
            loss
            if isinstance(selection.of_lost_target(snapshot, logic_volume), selection.Wanted)
            else ""
        )
        if reason := reason or astray.get(logic_volume.name, ""):
            stranded.append(NeedsTarget(logic_volume, journal, reason))
        elif other := next((name for name in journal.together if name in left), ""):
            reason = (
                f"it waits for {other}, which its pod uses too and which is still on "
                f"{journal.source}: {left[other]}"
            )
            events.report_progress(ctx, logic_volume, journal, 0, reason)
            waiting.append(
                VolumeResult(
                    logic_volume.name, "unfinished", reason, journal.source, journal.target
                )
            )
        else:
            going[logic_volume.name] = journal
    targets = {name: journal.target for name, journal in going.items()}
    sources = {name: journal.source for name, journal in going.items()}
    return finish(ctx, [*waiting, *stranded, *advance_all(ctx, targets, sources)])


def _fetch(
    ctx: Context,
    snapshot: ClusterSnapshot,
    left_behind: Sequence[colocation.LeftBehind],
    losses: Mapping[str, str],
) -> tuple[dict[str, Journal], dict[str, str]]:
    """Journal the volumes that a failover left behind.

    Return the journals of those that may continue, and why others could not be journalled.
    """
    journals: dict[str, Journal] = {}
    left: dict[str, str] = {}
    for leader in {one.leader.name: one.leader for one in left_behind}.values():
        journal = leader.journal
        if journal is None:
            continue
        behind = [one.logic_volume for one in left_behind if one.leader.name == leader.name]
        with ctx.lock(f"failover.{journal.source}") as hold:
            if hold is None:
                left |= {
                    logic_volume.name: "another worker is at the failover of that node"
                    for logic_volume in behind
                }
                continue
            cause = Cause(journal.kind, journal.source, journal.source_uid, journal.reason)
            # To a target that is lost they only continue paper: then all of them are planned again
            # together.
            there = (
                [_beside(logic_volume, leader.name, journal) for logic_volume in behind]
                if losses[journal.target]
                else None
            )
            places = there or plan(ctx, snapshot, behind, journal.source)
            fetched, stuck = begin(ctx, snapshot, places, {journal.source: cause}.__getitem__)
            if not there:
                journals |= {name: view.journal for name, view in fetched.items()}
            left |= {result.volume: result.reason for result in stuck}
    return journals, left


def _beside(logic_volume: LogicVolume, leader: str, journal: Journal) -> placement.Placement:
    """Return the place where the leader goes."""
    together = tuple(sorted({leader, *journal.together} - {logic_volume.name}))
    return placement.Placement(logic_volume, journal.target, f"with {leader}", "", together)


def _target_losses(
    ctx: Context, targets: Iterable[str], nodes: dict[str, Node | None]
) -> dict[str, str]:
    """Return why each target is lost, empty for one that is not.

    Then its worker will answer sooner or later. The confirmation is waited for once.
    """
    losses = dict.fromkeys(sorted(targets), "")
    found: dict[str, object] = dict(
        confirm_absences(ctx, {name for name in losses if name not in nodes})
    )
    for name in losses.keys() & nodes.keys():
        node = nodes[name]
        if node is not None and not node.is_ready:
            try:
                found[name] = judge_not_ready(ctx, name)
            except CarinaTasksError as exc:
                found[name] = exc
    for name, loss in found.items():
        if isinstance(loss, node_loss.Lost):
            losses[name] = loss.reason
        elif isinstance(loss, CarinaTasksError):
            # What is not known of one node holds no volume of another up.
            one_object.check(ctx, loss)
            structlog.get_logger().warning(
                "whether a node is lost could not be asked", node=name, reason=loss.message
            )
    return losses


def _nodes(ctx: Context) -> dict[str, Node | None]:
    """Return the nodes by name.

    None: it cannot be read, and is a node all the same, neither deleted nor NotReady.
    """
    nodes = ctx.cluster.nodes()
    return {**nodes.values, **dict.fromkeys(nodes.unreadable)}
