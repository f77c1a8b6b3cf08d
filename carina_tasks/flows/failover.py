"""A node is lost: which of its volumes, whereto, and the journals that say so; then the rebuild itself.

Deletion (`rebuild_node`) and NotReady (`migrate_node`) differ in the proof that the node is lost and in which volumes may be
touched; the rest is one path.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import msgspec.structs
import structlog
from structlog.contextvars import bound_contextvars

from carina_tasks.decisions import node_loss, placement, rebuild, selection
from carina_tasks.errors import ApiConflict, CarinaTasksError, NotFound, PermanentError, Refused
from carina_tasks.flows import observe, one_object, tell
from carina_tasks.flows.advance import NeedsTarget, advance_all
from carina_tasks.flows.context import Context
from carina_tasks.flows.evict import evict_free, evict_users
from carina_tasks.flows.loss import check_mass_failure, confirm_absence, judge_not_ready, not_lost
from carina_tasks.flows.rehearse import rehearse
from carina_tasks.flows.results import FailoverResult, VolumeResult, shown
from carina_tasks.model import names
from carina_tasks.model.journal import Journal
from carina_tasks.model.local import Inventory
from carina_tasks.model.objects import LogicVolume
from carina_tasks.model.world import World
from carina_tasks.observability import metrics
from carina_tasks.observability.audit import about_node

Kind = Literal["rebuild", "migrate"]


@dataclass(frozen=True, slots=True)
class Cause:
    """Why volumes leave a node: the kind of failover, the node, its UID if known, and what people are told."""

    kind: Kind
    node: str
    uid: str
    reason: str


Selected = tuple[selection.Wanted | selection.Skip, ...]


def rebuild_node(ctx: Context, node: str) -> FailoverResult:
    """Rebuild every volume of the deleted node. Raises BadInput, and transient errors when nothing could be decided."""
    names.node_name(node)
    return counted("rebuild", guarded(ctx, node, lambda: _rebuild_node(ctx, node)))


def migrate_node(ctx: Context, node: str) -> FailoverResult:
    """Rebuild the volumes of the NotReady node's annotated pods elsewhere, and evict those pods. Raises BadInput."""
    names.node_name(node)
    return counted("migrate", guarded(ctx, node, lambda: _migrate_node(ctx, node)))


def guarded(ctx: Context, node: str, work: Callable[[], FailoverResult]) -> FailoverResult:
    """Do `work` unless everything is paused or another worker is at that node; a guard's no is a result."""
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


def counted(kind: Literal["rebuild", "migrate", "by-hand"], result: FailoverResult) -> FailoverResult:
    """Count a run of a failover by its result, and return that."""
    metrics.FAILOVERS.labels(kind, result.outcome).inc()
    return result


def _rebuild_node(ctx: Context, node: str) -> FailoverResult:
    ctx.progress(f"making sure that the node is gone, {ctx.settings.confirm_absence:g} s")
    loss = confirm_absence(ctx, node)
    if not isinstance(loss, node_loss.Lost):
        return not_lost(ctx, node, loss)
    world = observe.with_pods_again(ctx, ctx.cluster.observe())
    if node in world.nodes:
        return FailoverResult(node, "refused", f"node {node} has come back")
    selected = selection.of_deleted_node(world, node)
    if not selected:
        # Also what a doubled message finds when the first one is done.
        return FailoverResult(node, "refused", f"there is no node {node}, and no LogicVolume names it")
    check_mass_failure(ctx, world, node)
    return fail_over(ctx, node, world, selected, "rebuild", loss.reason)


def _migrate_node(ctx: Context, node: str) -> FailoverResult:
    loss = judge_not_ready(ctx, node)
    if not isinstance(loss, node_loss.Lost):
        return not_lost(ctx, node, loss)
    world = observe.with_pods_again(ctx, ctx.cluster.observe())
    check_mass_failure(ctx, world, node)
    evicted, stuck = evict_free(ctx, world, node, loss.reason)
    selected = selection.of_not_ready_node(world, node)
    for verdict in selected:
        if isinstance(verdict, selection.Skip) and verdict.blocked:
            tell.blocked(ctx, world, verdict.volume, node, verdict.reason)
    return fail_over(ctx, node, world, selected, "migrate", loss.reason, evicted, stuck)


def fail_over(
    ctx: Context, node: str, world: World, selected: Selected, kind: Kind, reason: str,
    evicted: tuple[str, ...] = (), stuck: tuple[str, ...] = (),
) -> FailoverResult:  # fmt: skip
    """Plan and rebuild what was selected of `node`, and say what became of each volume.

    Args:
        ctx: The outside world.
        node: The node that the volumes leave.
        world: The cluster as it was read.
        selected: Its volumes, each wanted or skipped.
        kind: What the journals say.
        reason: Why, for people.
        evicted: Pods without a volume there that were evicted already.
        stuck: Such pods that could not be, each with its reason.
    """
    results = [VolumeResult(s.volume.name, "skipped", s.reason) for s in selected if isinstance(s, selection.Skip)]
    wanted = [s.volume for s in selected if isinstance(s, selection.Wanted)]
    if wanted:
        results += _rebuild(ctx, node, world, wanted, kind, reason)
    count(results)
    open_ = [r for r in results if r.outcome not in ("rebuilt", "skipped")]
    return FailoverResult(
        node=node,
        outcome="unfinished" if open_ or stuck else "done" if wanted or evicted else "nothing-to-do",
        reason=reason,
        volumes=tuple(sorted(results, key=lambda r: r.volume)),
        evicted=evicted,
        stuck=stuck,
        unreadable=shown(world.unreadable),
    )


def _rebuild(
    ctx: Context, node: str, world: World, wanted: list[LogicVolume], kind: Kind, reason: str
) -> list[VolumeResult]:
    uid = world.nodes[node].meta.uid if node in world.nodes else ""
    # Planned in one go: they share what room there is.
    targets, results = begin(ctx, world, plan(ctx, world, wanted, node), Cause(kind, node, uid, reason))
    stuck = [result for result in results if result.outcome == "no-fit"]
    tell.node_planned(ctx, node, list(targets.values()), stuck, reason)
    return results + finish(ctx, advance_all(ctx, list(targets), targets, node))


def begin(
    ctx: Context, world: World, verdicts: Iterable[placement.Place | placement.NoFit], cause: Cause
) -> tuple[dict[str, str], list[VolumeResult]]:
    """Write the journals of what was planned; return the targets of those that may go on, and what became of the others.

    What the API server would refuse is left as it is, with what goes together with it. Every journal is written before the
    first volume is touched. A volume whose companion could not be journalled waits: resume journals the companion first.
    """
    results: list[VolumeResult] = []
    wanted: dict[str, tuple[LogicVolume, Journal]] = {}
    for verdict in verdicts:
        volume = verdict.volume
        if isinstance(verdict, placement.NoFit):
            tell.no_fit(ctx, world, volume, cause.node, verdict.reason)
            results.append(VolumeResult(volume.name, "no-fit", verdict.reason, cause.node))
        else:
            wanted[volume.name] = volume, _journal(world, verdict, cause)
            structlog.get_logger().info("planned", volume=volume.name, target=verdict.node, reason=verdict.reason)
    refused = rehearse(ctx, world, wanted)
    journals: dict[str, Journal] = {}
    for name, (volume, journal) in wanted.items():
        result = _refused(ctx, world, volume, journal, refused) or _write(ctx, world, volume, journal)
        if result is not None:
            results.append(result)
            continue
        journals[name] = journal
        tell.planned(ctx, world, volume, journal)
    unwritten = wanted.keys() - journals.keys()
    targets = {name: journal.target for name, journal in journals.items() if not unwritten & set(journal.together)}
    for name in journals.keys() - targets.keys():
        reason = "another volume of its pod changed since the plan, and is journalled first"
        results.append(VolumeResult(name, "unfinished", reason, cause.node, journals[name].target, again=True))
    return targets, results


def _journal(world: World, verdict: placement.Place, cause: Cause) -> Journal:
    pv = world.volumes[verdict.volume.name]
    return Journal(
        intent=str(uuid.uuid4()),
        kind=cause.kind,
        source=cause.node,
        source_uid=cause.uid,
        target=verdict.node,
        reason=cause.reason,
        started=int(world.now),
        manifest=rebuild.manifest_of(pv, pv.policy),
        stale=verdict.stale,
        together=verdict.together,
    )


def _refused(
    ctx: Context, world: World, volume: LogicVolume, journal: Journal, refused: Mapping[str, str]
) -> VolumeResult | None:
    """Return the result of a volume that is left as it is, because it or one that goes with it would be refused."""
    if reason := refused.get(volume.name, ""):
        tell.refused(ctx, world, volume, journal.source, reason)
        return VolumeResult(volume.name, "failed", reason, journal.source, journal.target)
    if other := next((name for name in journal.together if name in refused), ""):
        reason = f"it waits for {other}, which its pod uses too: {refused[other]}"
        tell.refused(ctx, world, volume, journal.source, reason)
        return VolumeResult(volume.name, "unfinished", reason, journal.source, journal.target)
    return None


def _write(ctx: Context, world: World, volume: LogicVolume, journal: Journal) -> VolumeResult | None:
    """Write the journal; return a result only when it was not written. Raises what concerns more than this volume."""
    try:
        ctx.writes.write_journal(volume, journal)
    except (ApiConflict, NotFound) as exc:
        return VolumeResult(volume.name, "unfinished", f"it changed since the plan: {exc.message}", journal.source)
    except CarinaTasksError as exc:
        one_object.check(ctx, exc)
        reason = f"its journal was not written: {exc.message}"
        tell.refused(ctx, world, volume, journal.source, reason)
        outcome: Literal["failed", "unfinished"] = "failed" if isinstance(exc, PermanentError) else "unfinished"
        return VolumeResult(volume.name, outcome, reason, journal.source, journal.target)
    return None


def plan(
    ctx: Context,
    world: World,
    wanted: Sequence[LogicVolume],
    source: str,
    inventories: Mapping[str, Inventory] | None = None,
) -> tuple[placement.Place | placement.NoFit, ...]:
    """Choose a node for each volume, with what the candidates' workers report now, or reported in `inventories`.

    When `source` is lost, whatever else leaves it by a plan of its own is planned along, so that the volumes of one pod do
    not wait for each other for ever when one is journalled and the other is not.
    """
    if inventories is None:
        candidates = [n.name for n in world.nodes.values() if n.ready == "True" and n.name != source]
        inventories = observe.answered(observe.inventories(ctx, candidates))
    lost = source not in world.nodes or world.nodes[source].ready != "True"
    along = selection.leaving(world, source, {volume.name for volume in wanted}) if lost else []
    rules = placement.Rules(reserve=ctx.settings.reserve)
    return placement.plan(world, inventories, [*wanted, *along], source, rules)[: len(wanted)]


def finish(ctx: Context, results: Iterable[VolumeResult | NeedsTarget]) -> list[VolumeResult]:
    """Plan again for the volumes whose target cannot take them, and leave the others as they are."""
    done: list[VolumeResult] = []
    again: dict[str, list[NeedsTarget]] = {}
    for result in results:
        if isinstance(result, VolumeResult):
            done.append(result)
        else:
            again.setdefault(result.journal.target, []).append(result)
    for target, needs in again.items():
        done += replan(ctx, target, needs)
    tell.node_finished(ctx, done)
    return done


def replan(ctx: Context, target: str, needs: Sequence[NeedsTarget]) -> list[VolumeResult]:
    """Choose another target for the journalled volumes that `target` cannot take, and write it into their journals.

    All of them in one go, because volumes of one pod go together. resume goes on from there. When the PV of one already is
    on the target that failed, that target is its source now.
    """
    world = observe.with_pods_again(ctx, ctx.cluster.observe())
    by_name = {need.volume.name: need for need in needs}
    fresh, results = [], []
    for name, need in by_name.items():
        found = world.logic_volumes.get(name)
        if found is None or found.journal is None or found.journal.intent != need.journal.intent:
            results.append(VolumeResult(name, "unfinished", "another worker went on with it"))
        elif isinstance(stays := selection.of_lost_target(world, found), selection.Skip):
            tell.progress(ctx, found, found.journal, 1, f"{need.reason}; {stays.reason}")
            results.append(VolumeResult(name, "unfinished", f"{need.reason}; {stays.reason}", target=target))
        else:
            fresh.append((found, found.journal))
    journals = {volume.name: journal for volume, journal in fresh}
    for verdict in plan(ctx, world, [volume for volume, _ in fresh], target) if fresh else ():
        volume, need, journal = verdict.volume, by_name[verdict.volume.name], journals[verdict.volume.name]
        pv = world.volumes.get(volume.name)
        moves_on = pv is not None and pv.nodes == (target,) and journal.source != target
        source = target if moves_on else journal.source
        if isinstance(verdict, placement.NoFit):
            tell.no_fit(ctx, world, volume, target, f"{need.reason}; and no other node: {verdict.reason}")
            tell.progress(ctx, volume, journal, 1, f"{need.reason}; and no other node: {verdict.reason}")
            results.append(VolumeResult(volume.name, "unfinished", f"{need.reason}; {verdict.reason}", source, target))
            continue
        changed = msgspec.structs.replace(
            journal,
            intent=str(uuid.uuid4()),
            source=source,
            target=verdict.node,
            stale=verdict.stale,
            together=_company(journal, verdict),
        )
        conflict = _evict_first(ctx, world, volume, journal) if moves_on else None
        conflict = conflict or _write(ctx, world, volume, changed)
        if conflict is not None:
            results.append(conflict)
            continue
        tell.planned(ctx, world, volume, changed, need.reason)
        structlog.get_logger().warning(
            "planned again", volume=volume.name, source=source, target=verdict.node, before=target, reason=need.reason
        )
        results.append(
            VolumeResult(volume.name, "unfinished", f"planned again: {need.reason}", source, verdict.node, again=True)
        )
    return results


def _evict_first(ctx: Context, world: World, volume: LogicVolume, journal: Journal) -> VolumeResult | None:
    """Evict the pods of the first source before the journal names another, under which nothing would look at them again."""
    try:
        evict_users(ctx, volume, journal)
    except CarinaTasksError as exc:
        one_object.check(ctx, exc)
        reason = f"its pods were not evicted from {journal.source}: {exc.message}"
        tell.refused(ctx, world, volume, journal.source, reason)
        return VolumeResult(volume.name, "unfinished", reason, journal.source, journal.target)
    return None


def _company(before: Journal, verdict: placement.Place) -> tuple[str, ...]:
    """Return whom the volume is together with: also those that it was planned with at first, which may be done by now."""
    return tuple(sorted({*before.together, *verdict.together}))


def count(results: Iterable[VolumeResult]) -> None:
    """Count what a failover ended with for each volume. The rebuilt are counted where their journal goes, each once."""
    for result in results:
        if result.outcome not in ("rebuilt", "unfinished"):
            metrics.VOLUMES.labels(result.outcome).inc()
