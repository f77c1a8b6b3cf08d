"""One journalled volume, step by step; and a batch of them, target by target.

Each pass reads the objects again, asks `decisions.rebuild` for the next step, and does it. Whatever
fails leaves the journal where it is: resume, or another worker, continues.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial

import msgspec.structs
import structlog
from structlog.contextvars import bind_contextvars, bound_contextvars

from carina_tasks.decisions import answers, rebuild
from carina_tasks.errors import (
    ApiConflict,
    ApiUnauthorized,
    ApiUnavailable,
    CarinaTasksError,
    NodeSilent,
    NotFound,
    PermanentError,
    Refused,
)
from carina_tasks.flows import ask_nodes
from carina_tasks.flows.context import Context
from carina_tasks.flows.failover import events
from carina_tasks.flows.failover.evict import source_alive
from carina_tasks.flows.failover.results import VolumeResult
from carina_tasks.flows.failover.steps import (
    Advance,
    NeedsLocalVolume,
    NeedsTarget,
    act,
    report_waiting,
    unfinished_result,
)
from carina_tasks.flows.threads import spread
from carina_tasks.kube.events import About
from carina_tasks.model import task_names
from carina_tasks.model.messages import CreateLvs, LvResult, LvResults, LvToCreate, batch_time
from carina_tasks.model.names import local_volume_of
from carina_tasks.observability import metrics
from carina_tasks.observability.audit import about_node

BATCH = 50
"""Volumes of one request to a node: a node that falls silent is noticed within two minutes, however
many there are.
"""
MOST_STEPS = 60
"""Steps of one volume in one run: the path has 12; more means that another client keeps changing
the
objects.
"""


class ProgressReporter:
    """Counts the volumes of one run, for the operator who watches it.

    The groups' threads share it.
    """

    def __init__(self, progress: Callable[[str], None], volumes: int) -> None:
        self._progress, self._volumes = progress, volumes
        self._rebuilt = itertools.count(1)

    def made(self, number: int, target: str) -> None:
        """Count local volumes that a node has made."""
        self._progress(f"{number} of {self._volumes} local volumes made on {target}")

    def ended(self, result: VolumeResult) -> VolumeResult:
        """Count a volume that is rebuilt, and hand it on."""
        if result.outcome in ("rebuilt", "failed-back"):
            self._progress(
                f"{next(self._rebuilt)} of {self._volumes} volumes {result.outcome}, the last "
                f"{result.claim or result.volume}"
            )
        return result


def advance_all(
    ctx: Context, names: Sequence[str], targets: dict[str, str], source: str = ""
) -> list[VolumeResult | NeedsTarget]:
    """Bring the journalled volumes `names` as far as they get.

    Each target node is a group of its own, so that one that does not answer delays no other.

    Args:
        ctx: The outside world.
        names: The volumes.
        targets: The target node of each.
        source: The lost node that they leave; one of them when there are several that the operator
            approved alone.
    """
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(targets[name], []).append(name)
    if not groups:
        return []
    with ThreadPoolExecutor(min(len(groups), ctx.settings.concurrency)) as pool:
        tally = ProgressReporter(ctx.progress, len(names))
        parts = spread(
            pool, lambda item: _advance_group(ctx, item[0], item[1], tally, source), groups.items()
        )
        return [result for part in parts for result in part]


REPLANNED = "it was planned again meanwhile, for another node"


@dataclass(frozen=True, slots=True)
class CreatedLv:
    """A node's answer about the LV of one logic volume, and the intent it was asked for."""

    intent: str
    done: LvResult


def _advance_group(
    ctx: Context, target: str, names: list[str], tally: ProgressReporter, source: str
) -> list[VolumeResult | NeedsTarget]:
    done: list[VolumeResult | NeedsTarget] = []
    local: dict[str, CreatedLv] = {}
    waiting = names
    with ThreadPoolExecutor(min(len(names), ctx.settings.concurrency)) as pool:
        # Round one stops at the LV, round two goes to the end, a third is for a volume expanded
        # meanwhile.
        for _ in range(4):
            try:
                ctx.check_pause(source)
            except Refused as exc:
                return done + [unfinished_result(name, exc.message) for name in waiting]
            steps = spread(pool, partial(_advance, ctx, local), waiting)
            results = [
                tally.ended(result) if isinstance(result, VolumeResult) else result
                for result in steps
            ]
            needs = [result for result in results if isinstance(result, NeedsLocalVolume)]
            done += [result for result in results if not isinstance(result, NeedsLocalVolume)]
            # Another worker may have planned it again since `targets` was read: this node must not
            # make it.
            astray = [need for need in needs if need.journal.target != target]
            done += [
                unfinished_result(need.logic_volume.name, REPLANNED, need.journal, again=True)
                for need in astray
            ]
            needs = [need for need in needs if need.journal.target == target]
            if not needs:
                return done
            local = {}
            for start in range(0, len(needs), BATCH):
                batch = needs[start : start + BATCH]
                try:
                    local |= _all_or_none(batch, _create(ctx, target, batch))
                    tally.made(len(batch), target)
                except CarinaTasksError as exc:
                    left = needs[start:]
                    # A node that is silent may be lost by now: worth another look at once.
                    again = isinstance(exc, NodeSilent)
                    done += [
                        unfinished_result(
                            need.logic_volume.name, exc.message, need.journal, again=again
                        )
                        for need in left
                    ]
                    for need in left:
                        events.waits(
                            ctx, need.logic_volume, need.claim, need.journal, 1, exc.message
                        )
                    break
            waiting = list(local)
            if not waiting:
                return done
    return done + [
        unfinished_result(name, "it keeps growing while it is rebuilt") for name in waiting
    ]


def _all_or_none(
    needs: Sequence[NeedsLocalVolume], made: dict[str, CreatedLv]
) -> dict[str, CreatedLv]:
    """Return `made`, with the old copies that share a pod failed together.

    The pod needs all of them on one node.
    """
    failed = {name: one.done for name, one in made.items() if one.done.outcome == "failed"}
    result = dict(made)
    for need in needs:
        name = need.logic_volume.name
        other = next((each for each in need.journal.together if each in failed), "")
        if need.journal.failback and other and name not in failed:
            why = f"{other}, which its pod uses too, was not restored: {failed[other].reason}"
            done = msgspec.structs.replace(
                made[name].done,
                outcome="failed",
                reason=why[:2000],
                transient=failed[other].transient,
            )
            result[name] = CreatedLv(made[name].intent, done)
    return result


def _create(ctx: Context, target: str, needs: Sequence[NeedsLocalVolume]) -> dict[str, CreatedLv]:
    # The clock is asked for only when something may go to the trash: an old copy that an earlier
    # failover left.
    kept = max(ctx.settings.trash_retention, ctx.settings.old_copy_retention)
    trash = kept > 0 and any(need.journal.stale for need in needs)
    request = CreateLvs(
        reserve=ctx.settings.reserve,
        trash_at=int(ctx.cluster.now()) if trash else 0,
        volumes=tuple(
            LvToCreate(
                group=need.logic_volume.group,
                name=local_volume_of(need.logic_volume.name),
                size=need.size,
                intent=need.journal.intent,
                stale=need.journal.stale or None,
                copy=need.journal.copy or None,
                zero=need.zero,
                in_use=need.journal.given_up,
            )
            for need in needs
        ),
    )
    # A volume may take four commands: the stale copy deactivated and renamed, another purged for
    # its space.
    more = batch_time(4 * len(needs))
    with metrics.STEP_SECONDS.labels("create-local").time():
        said = ask_nodes.accepted_results(
            ctx,
            target,
            request.volumes,
            answers.CREATE,
            lambda: ctx.nodes.ask(target, task_names.CREATE_VOLUMES, request, LvResults, more=more),
        )
    for purged in said:
        if purged.outcome == "purged":
            ctx.audit.acted(
                "purge-local-volume",
                about_node(target),
                f"local volume {purged.group}/{purged.name} of node {target} removed permanently: "
                f"{purged.reason}",
                "TrashPurged",
                node=target,
                volume=purged.name,
            )
    by_name = {(done.group, done.name): done for done in said}
    result = {}
    for need, asked in zip(needs, request.volumes, strict=True):
        done = by_name.get((asked.group, asked.name))
        result[need.logic_volume.name] = CreatedLv(
            need.journal.intent,
            done
            or LvResult(
                asked.group,
                asked.name,
                "failed",
                f"node {target} did not say what became of it",
                transient=True,
            ),
        )
    return result


def _advance(ctx: Context, local: dict[str, CreatedLv], name: str) -> Advance:
    with bound_contextvars(volume=name):
        return _step_by_step(ctx, name, local.get(name))


def _step_by_step(ctx: Context, name: str, local: CreatedLv | None) -> Advance:
    log = structlog.get_logger()
    view: rebuild.RebuildView | VolumeResult | None = None
    step: rebuild.Step | None = None
    gone = False
    for _ in range(MOST_STEPS):
        try:
            view = _view(ctx, name, local)
            if isinstance(view, VolumeResult):
                return view
            # Planned again, it has another id; the thread's next volume has its own.
            bind_contextvars(
                intent=view.journal.intent, node=view.journal.source, target=view.journal.target
            )
            step = rebuild.next_step(view)
            if rebuild.asks_for_pods(step, gone=gone):
                view = _with_pods(ctx, view)
                step = rebuild.next_step(view)
                gone = not isinstance(step, rebuild.EvictPods)
            log.debug("next step", step=rebuild.METRIC_LABELS[type(step)])
            result = _timed(ctx, view, step)
            if result is not None:
                return result
        except (ApiConflict, NotFound):
            # An object changed or went between our read and our write: read again, decide again.
            continue
        except ApiUnauthorized as exc:
            return unfinished_result(name, exc.message)
        except PermanentError as exc:
            if isinstance(view, rebuild.RebuildView):
                phase = rebuild.PHASES[type(step)] if step is not None else 0
                events.failed(ctx, view.logic_volume, view.claim, view.journal, phase, exc.message)
                return VolumeResult(
                    name, "failed", exc.message, view.journal.source, view.journal.target
                )
            unread = About("LogicVolume", name, "", api_version="carina.storage.io/v1")
            ctx.audit.warn(unread, "RebuildFailed", exc.message, volume=name)
            return VolumeResult(name, "failed", exc.message)
        except CarinaTasksError as exc:
            # Without an answer the API server is away, and there is nothing to write to.
            away = isinstance(exc, ApiUnavailable) and not exc.facts.get("status")
            if isinstance(view, rebuild.RebuildView) and step is not None and not away:
                report_waiting(ctx, view, rebuild.PHASES[type(step)], exc.message)
            return unfinished_result(name, exc.message)
    return unfinished_result(
        name, f"not finished after {MOST_STEPS} steps: another client keeps changing its objects"
    )


def _view(ctx: Context, name: str, local: CreatedLv | None) -> rebuild.RebuildView | VolumeResult:
    logic_volume = ctx.cluster.logic_volume(name)
    if logic_volume is None:
        return VolumeResult(name, "failed", "its LogicVolume is gone, and its journal with it")
    journal = logic_volume.journal
    if journal is None:
        if logic_volume.journal_error:
            return VolumeResult(name, "refused", logic_volume.journal_error)
        return VolumeResult(name, "rebuilt", "another worker finished it", target=logic_volume.node)
    claim, pv = (
        ctx.cluster.claim(logic_volume.namespace, logic_volume.claim),
        ctx.cluster.persistent_volume(name),
    )
    return rebuild.RebuildView(
        logic_volume=logic_volume,
        journal=journal,
        pv=pv,
        claim=claim,
        # Planned again since the node was asked, it has another id: then the answer is about
        # another LV.
        lv=local.done if local is not None and local.intent == journal.intent else None,
    )


def _with_pods(ctx: Context, view: rebuild.RebuildView) -> rebuild.RebuildView:
    logic_volume, source = view.logic_volume, view.journal.source
    pods = ctx.cluster.pods_on(source, logic_volume.namespace, logic_volume.claim)
    return replace(view, pods=pods, source_alive=bool(pods) and source_alive(ctx, source))


def _timed(ctx: Context, view: rebuild.RebuildView, step: rebuild.Step) -> Advance | None:
    if isinstance(step, rebuild.CreateLocalVolume):
        # Done for all volumes of the target at once, and timed there.
        return act(ctx, view, step)
    with metrics.STEP_SECONDS.labels(rebuild.METRIC_LABELS[type(step)]).time():
        return act(ctx, view, step)
