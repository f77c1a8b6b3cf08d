"""One journalled volume, step by step; and a batch of them, target by target.

Each pass asks `decisions.rebuild` for the next step, from the newest reading of each object, and
does it. Whatever fails leaves the journal where it is: resume, or another worker, continues.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from types import MappingProxyType

import structlog
from structlog.contextvars import bind_contextvars, bound_contextvars

from carina_tasks.decisions import rebuild
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
from carina_tasks.flows.context import Context
from carina_tasks.flows.failover import events
from carina_tasks.flows.failover.evict import source_alive
from carina_tasks.flows.failover.lv_batches import BATCH, CreatedLv, all_or_none, create
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
from carina_tasks.model.objects import Claim
from carina_tasks.observability import metrics

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
    ctx: Context,
    targets: Mapping[str, str],
    source: str = "",
    views: Mapping[str, rebuild.RebuildView] = MappingProxyType({}),
) -> list[VolumeResult | NeedsTarget]:
    """Bring the journalled volumes as far as they get.

    Each target node is a group of its own, so that one that does not answer delays no other.

    Args:
        ctx: The outside world.
        targets: The target node of each volume.
        source: The lost node that they leave; one of them when there are several that the operator
            approved alone.
        views: Volumes whose journal has just been written, as they are since.
    """
    groups: dict[str, list[str]] = {}
    for name, target in targets.items():
        groups.setdefault(target, []).append(name)
    if not groups:
        return []
    with ThreadPoolExecutor(min(len(groups), ctx.settings.concurrency)) as pool:
        tally = ProgressReporter(ctx.progress, len(targets))
        parts = spread(
            pool,
            lambda item: _advance_group(ctx, item[0], item[1], tally, source, views),
            groups.items(),
        )
        return [result for part in parts for result in part]


REPLANNED = "it was planned again meanwhile, for another node"


def _advance_group(
    ctx: Context,
    target: str,
    names: list[str],
    tally: ProgressReporter,
    source: str,
    views: Mapping[str, rebuild.RebuildView],
) -> list[VolumeResult | NeedsTarget]:
    done: list[VolumeResult | NeedsTarget] = []
    local: dict[str, CreatedLv] = {}
    waiting = names
    claims: dict[str, Claim | None] = {}
    with ThreadPoolExecutor(min(len(names), ctx.settings.concurrency)) as pool:
        # Round one stops at the LV, round two goes to the end, a third is for a volume expanded
        # meanwhile.
        for _ in range(4):
            try:
                ctx.check_pause(source)
            except Refused as exc:
                return done + [unfinished_result(name, exc.message) for name in waiting]
            steps = spread(pool, partial(_advance, ctx, local, views, claims), waiting)
            results = [
                tally.ended(result) if isinstance(result, VolumeResult) else result
                for result in steps
            ]
            needs = [result for result in results if isinstance(result, NeedsLocalVolume)]
            views, claims = {}, {need.logic_volume.name: need.claim for need in needs}
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
            local, failed = _create_all(ctx, target, needs, tally)
            done += failed
            waiting = list(local)
            if not waiting:
                return done
    return done + [
        unfinished_result(name, "it keeps growing while it is rebuilt") for name in waiting
    ]


def _create_all(
    ctx: Context, target: str, needs: Sequence[NeedsLocalVolume], tally: ProgressReporter
) -> tuple[dict[str, CreatedLv], list[VolumeResult]]:
    """Have the LVs made, batch by batch, until one is not answered; return the rest as unfinished.

    Args:
        ctx: The outside world.
        target: The node.
        needs: The volumes that need an LV there.
        tally: Counts them for the operator.
    """
    local: dict[str, CreatedLv] = {}
    for start in range(0, len(needs), BATCH):
        batch = needs[start : start + BATCH]
        try:
            local |= all_or_none(batch, create(ctx, target, batch))
            tally.made(len(batch), target)
        except CarinaTasksError as exc:
            left = needs[start:]
            # A node that is silent may be lost by now: worth another look at once.
            again = isinstance(exc, NodeSilent)
            for need in left:
                events.waits(ctx, need.logic_volume, need.claim, need.journal, 1, exc.message)
            return local, [
                unfinished_result(need.logic_volume.name, exc.message, need.journal, again=again)
                for need in left
            ]
    return local, []


def _advance(
    ctx: Context,
    local: Mapping[str, CreatedLv],
    views: Mapping[str, rebuild.RebuildView],
    claims: Mapping[str, Claim | None],
    name: str,
) -> Advance:
    with bound_contextvars(volume=name):
        return _step_by_step(ctx, name, local.get(name), views.get(name), claims)


def _step_by_step(
    ctx: Context,
    name: str,
    local: CreatedLv | None,
    known: rebuild.RebuildView | None,
    claims: Mapping[str, Claim | None],
) -> Advance:
    """Do step after step.

    Args:
        ctx: The outside world.
        name: The volume.
        local: What its target answered about its LV.
        known: The volume as its journal was written; None: it is read first.
        claims: Claims that were read in this run.
    """
    log = structlog.get_logger()
    view: rebuild.RebuildView | VolumeResult | None = None
    step: rebuild.Step | None = None
    gone = False
    for _ in range(MOST_STEPS):
        try:
            view = known or _view(ctx, name, local, claims)
            known, claims = None, {}
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
            if result is None or isinstance(result, rebuild.RebuildView):
                known = result
            else:
                return result
        except (ApiConflict, NotFound):
            # An object changed or went between our read and our write: read again, decide again.
            continue
        except ApiUnauthorized as exc:
            return unfinished_result(name, exc.message)
        except PermanentError as exc:
            return _failed(ctx, name, view, step, exc)
        except CarinaTasksError as exc:
            # Without an answer the API server is away, and there is nothing to write to.
            away = isinstance(exc, ApiUnavailable) and not exc.facts.get("status")
            if isinstance(view, rebuild.RebuildView) and step is not None and not away:
                report_waiting(ctx, view, rebuild.PHASES[type(step)], exc.message)
            return unfinished_result(name, exc.message)
    return unfinished_result(
        name, f"not finished after {MOST_STEPS} steps: another client keeps changing its objects"
    )


def _failed(
    ctx: Context,
    name: str,
    view: rebuild.RebuildView | VolumeResult | None,
    step: rebuild.Step | None,
    exc: PermanentError,
) -> VolumeResult:
    """Report an error that trying again does not cure."""
    if isinstance(view, rebuild.RebuildView):
        phase = rebuild.PHASES[type(step)] if step is not None else 0
        events.failed(ctx, view.logic_volume, view.claim, view.journal, phase, exc.message)
        return VolumeResult(name, "failed", exc.message, view.journal.source, view.journal.target)
    unread = About("LogicVolume", name, "", api_version="carina.storage.io/v1")
    ctx.audit.warn(unread, "RebuildFailed", exc.message, volume=name)
    return VolumeResult(name, "failed", exc.message)


def _view(
    ctx: Context,
    name: str,
    local: CreatedLv | None,
    claims: Mapping[str, Claim | None],
) -> rebuild.RebuildView | VolumeResult:
    """Read the volume.

    Args:
        ctx: The outside world.
        name: The volume.
        local: What its target answered about its LV.
        claims: Claims that were read in this run. One is read again only when its PV names the
            target: before that, nothing of the claim counts.
    """
    logic_volume = ctx.cluster.logic_volume(name)
    if logic_volume is None:
        return VolumeResult(name, "failed", "its LogicVolume is gone, and its journal with it")
    journal = logic_volume.journal
    if journal is None:
        if logic_volume.journal_error:
            return VolumeResult(name, "refused", logic_volume.journal_error)
        return VolumeResult(name, "rebuilt", "another worker finished it", target=logic_volume.node)
    pv = ctx.cluster.persistent_volume(name)
    if name in claims and (pv is None or pv.nodes != (journal.target,)):
        claim = claims[name]
    else:
        claim = ctx.cluster.claim(logic_volume.namespace, logic_volume.claim)
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


def _timed(
    ctx: Context, view: rebuild.RebuildView, step: rebuild.Step
) -> Advance | rebuild.RebuildView | None:
    if isinstance(step, rebuild.CreateLocalVolume):
        # Done for all volumes of the target at once, and timed there.
        return act(ctx, view, step)
    with metrics.STEP_SECONDS.labels(rebuild.METRIC_LABELS[type(step)]).time():
        return act(ctx, view, step)
