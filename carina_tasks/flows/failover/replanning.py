"""Another target for the journalled logic volumes that the first one cannot take."""

from __future__ import annotations

import uuid
from collections.abc import Sequence, Set

import msgspec.structs
import structlog

from carina_tasks.decisions import colocation, placement, selection
from carina_tasks.errors import CarinaTasksError
from carina_tasks.flows import ask_nodes, one_object
from carina_tasks.flows.context import Context
from carina_tasks.flows.failover import events
from carina_tasks.flows.failover.evict import evict_users
from carina_tasks.flows.failover.planning import Kind, plan, write_journal
from carina_tasks.flows.failover.results import VolumeResult
from carina_tasks.flows.failover.steps import NeedsTarget
from carina_tasks.model.journal import Journal
from carina_tasks.model.objects import LogicVolume
from carina_tasks.model.snapshot import ClusterSnapshot


def replan(ctx: Context, target: str, needs: Sequence[NeedsTarget]) -> list[VolumeResult]:
    """Choose another target for the journalled logic volumes that `target` cannot take.

    Their journals are written again.

    All of them in one go, because volumes of one pod go together. resume continues from there. When
    the PV of one already is on the target that failed, that target is its source now.
    """
    maintenance = ctx.state.read().maintenance.keys()
    by_name = {need.logic_volume.name: need for need in needs}
    companions = {name for need in needs for name in need.journal.together}
    left = {target, *(need.journal.source for need in needs)}
    snapshot = ask_nodes.confirmed(ctx, ctx.cluster.observe(), left)
    snapshot = ask_nodes.with_pvs_by_name(ctx, snapshot, by_name.keys() | companions)
    fresh: dict[str, LogicVolume] = {}
    results = []
    for name, need in by_name.items():
        found = snapshot.logic_volumes.get(name)
        stays = _stays(ctx, snapshot, need, found, maintenance)
        if stays is not None:
            results.append(stays)
        elif found is not None:
            fresh[name] = found
    verdicts = plan(ctx, snapshot, list(fresh.values()), target) if fresh else ()
    # Those whose pods must be evicted first: what holds one of them up holds up the others of its
    # pod. Otherwise these would be finished elsewhere while the target, with that one, returns.
    held: set[str] = set()
    for verdict in sorted(verdicts, key=lambda one: not _moves_on(snapshot, one, target)):
        found = fresh[verdict.logic_volume.name]
        if found.journal is None:
            continue
        need = by_name[found.name]
        if other := min(held & {*found.journal.together, *_together(verdict)}, default=""):
            reason = f"{need.reason}; it waits for {other}, which its pod uses too"
            result = VolumeResult(found.name, "unfinished", reason, target=target)
        else:
            result = _replan_one(ctx, snapshot, verdict, found.journal, need, target)
        if not result.again:
            held.add(found.name)
        results.append(result)
    return results


def _stays(
    ctx: Context,
    snapshot: ClusterSnapshot,
    need: NeedsTarget,
    found: LogicVolume | None,
    maintenance: Set[str],
) -> VolumeResult | None:
    """Return the result of a logic volume that must not be planned again now, else None."""
    name, target = need.logic_volume.name, need.journal.target
    if found is None or found.journal is None or found.journal.intent != need.journal.intent:
        return VolumeResult(name, "unfinished", "another worker continued with it")
    if (
        found.journal.failback
        and not found.journal.given_up
        and selection.still_empty(snapshot, found)
    ):
        return _give_up(ctx, snapshot, found, found.journal, need.reason)
    reason = colocation.held_by(snapshot, found.journal, maintenance)
    if not reason:
        verdict = selection.of_lost_target(snapshot, found)
        reason = verdict.reason if isinstance(verdict, selection.Skip) else ""
    if not reason:
        return None
    events.report_progress(ctx, found, found.journal, 1, f"{need.reason}; {reason}")
    return VolumeResult(name, "unfinished", f"{need.reason}; {reason}", target=target)


def _replan_one(
    ctx: Context,
    snapshot: ClusterSnapshot,
    verdict: placement.Placement | placement.Unschedulable,
    journal: Journal,
    need: NeedsTarget,
    target: str,
) -> VolumeResult:
    logic_volume = verdict.logic_volume
    moves_on = _moves_on(snapshot, verdict, target) and journal.source != target
    source = target if moves_on else journal.source
    if isinstance(verdict, placement.Unschedulable):
        reason = f"{need.reason}; and no other node: {verdict.reason}"
        events.no_fit(ctx, snapshot, logic_volume, target, reason)
        events.report_progress(ctx, logic_volume, journal, 1, reason)
        short = f"{need.reason}; {verdict.reason}"
        return VolumeResult(logic_volume.name, "unfinished", short, source, target)
    changed = msgspec.structs.replace(
        journal,
        intent=str(uuid.uuid4()),
        source=source,
        target=verdict.node,
        stale=verdict.stale,
        together=_company(journal, verdict),
    )
    if journal.failback:
        # It is a volume of the lost node like any other now: its old and its newer copy stay where
        # they are.
        kind: Kind = "migrate" if target in snapshot.nodes else "rebuild"
        changed = msgspec.structs.replace(
            changed,
            kind=kind,
            reason=need.reason[:1000],
            copy="",
            copy_bytes=0,
            before="",
            given_up=False,
        )
    conflict = _evict_first(ctx, snapshot, logic_volume, journal) if moves_on else None
    written = conflict or write_journal(ctx, snapshot, logic_volume, changed)
    if isinstance(written, VolumeResult):
        return written
    events.planned(ctx, snapshot, logic_volume, changed, need.reason)
    structlog.get_logger().warning(
        "planned again",
        volume=logic_volume.name,
        source=source,
        target=verdict.node,
        before=target,
        reason=need.reason,
    )
    reason = f"planned again: {need.reason}"
    return VolumeResult(logic_volume.name, "unfinished", reason, source, verdict.node, again=True)


def _moves_on(
    snapshot: ClusterSnapshot,
    verdict: placement.Placement | placement.Unschedulable,
    target: str,
) -> bool:
    """Return whether the PV is on the target that failed: a pod may use it there."""
    pv = snapshot.persistent_volumes.get(verdict.logic_volume.name)
    return pv is not None and pv.nodes == (target,)


def _together(verdict: placement.Placement | placement.Unschedulable) -> tuple[str, ...]:
    return verdict.together if isinstance(verdict, placement.Placement) else ()


def _give_up(
    ctx: Context,
    snapshot: ClusterSnapshot,
    logic_volume: LogicVolume,
    journal: Journal,
    reason: str,
) -> VolumeResult:
    """Turn a failback round whose old copy cannot be restored.

    The LV that was in use stays the volume.
    """
    back = msgspec.structs.replace(
        journal,
        intent=str(uuid.uuid4()),
        source=journal.target,
        target=journal.source,
        reason=f"the failback to {journal.target} was given up: {reason}"[:1000],
        copy=journal.before,
        copy_bytes=0,
        before="",
        given_up=True,
        stale="",
        together=(),
    )
    written = write_journal(ctx, snapshot, logic_volume, back)
    if isinstance(written, VolumeResult):
        return written
    structlog.get_logger().warning(
        "a failback is given up", volume=logic_volume.name, target=journal.target, reason=reason
    )
    return VolumeResult(
        logic_volume.name, "unfinished", back.reason, back.source, back.target, again=True
    )


def _evict_first(
    ctx: Context, snapshot: ClusterSnapshot, logic_volume: LogicVolume, journal: Journal
) -> VolumeResult | None:
    """Evict the pods of the first source before the journal names another source.

    Afterwards nothing would find them.
    """
    try:
        evict_users(ctx, logic_volume, journal)
    except CarinaTasksError as exc:
        one_object.check(ctx, exc)
        reason = f"its pods were not evicted from {journal.source}: {exc.message}"
        events.refused(ctx, snapshot, logic_volume, journal.source, reason)
        return VolumeResult(logic_volume.name, "unfinished", reason, journal.source, journal.target)
    return None


def _company(before: Journal, verdict: placement.Placement) -> tuple[str, ...]:
    """Return the logic volumes that belong together with this one.

    Those that it was planned with at first count too, although they may be finished by now.
    """
    return tuple(sorted({*before.together, *verdict.together}))
