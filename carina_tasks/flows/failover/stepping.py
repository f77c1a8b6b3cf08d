"""One journalled volume, step by step.

Each pass asks `decisions.rebuild` for the next step, from the newest reading of each object, and
does it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import structlog
from structlog.contextvars import bind_contextvars, bound_contextvars

from carina_tasks.decisions import rebuild
from carina_tasks.errors import (
    ApiConflict,
    ApiUnauthorized,
    ApiUnavailable,
    CarinaTasksError,
    NotFound,
    PermanentError,
)
from carina_tasks.flows.context import Context
from carina_tasks.flows.failover import events
from carina_tasks.flows.failover.binding import Binding
from carina_tasks.flows.failover.evict import source_alive
from carina_tasks.flows.failover.results import VolumeResult
from carina_tasks.flows.failover.steps import (
    Advance,
    AwaitsBinding,
    AwaitsLastLook,
    act,
    report_waiting,
    unfinished_result,
)
from carina_tasks.kube.events import About
from carina_tasks.model.messages import LvResult
from carina_tasks.model.objects import Claim, Pod, WholePersistentVolume
from carina_tasks.observability import metrics

for _label in rebuild.METRIC_LABELS.values():
    # From the start, at zero: rate() does not see a counter that appears with its first steps.
    metrics.STEP_SECONDS.labels(_label)

LastLook = Callable[[str], tuple[Pod, ...]]
"""Returns the pods that use a claim on one node, or raises why that is not known."""

MOST_STEPS = 60
"""Steps of one volume in one run: the path has 12; more means that another client keeps changing
the
objects.
"""


@dataclass(frozen=True, slots=True)
class CreatedLv:
    """A node's answer about the LV of one logic volume, and the intent it was asked for."""

    intent: str
    done: LvResult


@dataclass(frozen=True, slots=True)
class Seen:
    """What was read of a volume before its node was asked for the LV."""

    pv: WholePersistentVolume | None
    claim: Claim | None
    planned_pods: tuple[Pod, ...] | None = None


def advance(
    ctx: Context,
    local: Mapping[str, CreatedLv],
    views: Mapping[str, rebuild.RebuildView],
    seen: Mapping[str, Seen],
    name: str,
) -> Advance:
    """Bring one journalled volume as far as it gets.

    Args:
        ctx: The outside world.
        local: What its target answered about its LV, by LogicVolume.
        views: Volumes whose journal has just been written, as they are since.
        seen: PVs and claims that were read in this run, by LogicVolume.
        name: The volume.
    """
    with bound_contextvars(volume=name):
        return _step_by_step(ctx, name, local.get(name), views.get(name), seen.get(name))


def finish(
    ctx: Context,
    local: Mapping[str, CreatedLv],
    look: LastLook,
    view: rebuild.RebuildView,
) -> Advance:
    """Bring a volume on that waited for the last look at its source's pods.

    Args:
        ctx: The outside world.
        local: What its target answered about its LV, by LogicVolume.
        look: Returns the pods that use a claim on its source, listed a moment ago.
        view: The volume as it waited.
    """
    name = view.logic_volume.name
    with bound_contextvars(volume=name):
        return _step_by_step(ctx, name, local.get(name), view, None, look)


def bound(ctx: Context, local: Mapping[str, CreatedLv], waiting: AwaitsBinding) -> Advance:
    """Bring a volume on that waited until its claim is Bound.

    Args:
        ctx: The outside world.
        local: What its target answered about its LV, by LogicVolume.
        waiting: The volume as it waited.
    """
    name = waiting.view.logic_volume.name
    with bound_contextvars(volume=name):
        return _step_by_step(ctx, name, local.get(name), waiting.view, None, begun=waiting.binding)


def _step_by_step(
    ctx: Context,
    name: str,
    local: CreatedLv | None,
    known: rebuild.RebuildView | None,
    seen: Seen | None,
    look: LastLook | None = None,
    begun: Binding | None = None,
) -> Advance:
    """Do step after step.

    Args:
        ctx: The outside world.
        name: The volume.
        local: What its target answered about its LV.
        known: The volume as its journal was written; None: it is read first.
        seen: Its PV and claim, as they were read in this run.
        look: Returns the pods that use a claim on its source, listed a moment ago.
        begun: The binding that it waits for.
    """
    log = structlog.get_logger()
    view: rebuild.RebuildView | VolumeResult | None = None
    step: rebuild.Step | None = None
    gone = False
    for _ in range(MOST_STEPS):
        try:
            view = known or _view(ctx, name, local, seen)
            known = seen = None
            if isinstance(view, VolumeResult):
                return view
            # Planned again, it has another id; the thread's next volume has its own.
            bind_contextvars(
                intent=view.journal.intent, node=view.journal.source, target=view.journal.target
            )
            step = rebuild.next_step(view)
            if rebuild.asks_for_last_look(step):
                if look is None:
                    return AwaitsLastLook(view)
                view = _with_pods(ctx, view, look)
                look, step = None, rebuild.next_step(view)
            elif rebuild.asks_for_pods(step, gone=gone):
                view = _with_pods(ctx, view)
                step, gone = rebuild.next_step(view), True
            log.debug("next step", step=rebuild.METRIC_LABELS[type(step)])
            result, begun = _timed(ctx, view, step, begun), None
            if result is None or isinstance(result, rebuild.RebuildView):
                known = result
            else:
                return result
        except (ApiConflict, NotFound):
            # An object changed or went between our read and our write: read again, decide again.
            gone = False
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
    seen: Seen | None,
) -> rebuild.RebuildView | VolumeResult:
    """Read the volume.

    Args:
        ctx: The outside world.
        name: The volume.
        local: What its target answered about its LV.
        seen: Its PV and claim, as they were read in this run. While that PV does not name the
            target, nothing of the claim counts, and every write of the PV names the version that
            was read: both are read again only when the PV names the target, or has changed.
    """
    logic_volume = ctx.cluster.logic_volume(name)
    if logic_volume is None:
        return VolumeResult(name, "failed", "its LogicVolume is gone, and its journal with it")
    journal = logic_volume.journal
    if journal is None:
        if logic_volume.journal_error:
            return VolumeResult(name, "refused", logic_volume.journal_error)
        return VolumeResult(name, "rebuilt", "another worker finished it", target=logic_volume.node)
    pv = seen.pv if seen is not None else None
    if seen is not None and pv is not None and pv.nodes != (journal.target,):
        claim = seen.claim
    else:
        pv = ctx.cluster.persistent_volume(name)
        claim = ctx.cluster.claim(logic_volume.namespace, logic_volume.claim)
    return rebuild.RebuildView(
        logic_volume=logic_volume,
        journal=journal,
        pv=pv,
        claim=claim,
        # Planned again since the node was asked, it has another id: then the answer is about
        # another LV.
        lv=local.done if local is not None and local.intent == journal.intent else None,
        planned_pods=seen.planned_pods if seen is not None else None,
    )


def _with_pods(
    ctx: Context, view: rebuild.RebuildView, look: LastLook | None = None
) -> rebuild.RebuildView:
    """Return the view with the pods that use the volume on its source.

    Args:
        ctx: The outside world.
        view: What was observed.
        look: Returns them; None: those of the plan are taken where the source is still away, and
            listed again otherwise. One that has changed since the plan is not evicted: its
            eviction names the version that was read.
    """
    logic_volume, source = view.logic_volume, view.journal.source
    planned = view.planned_pods if look is None else None
    if planned is not None and not (planned and source_alive(ctx, source)):
        return replace(view, pods=planned, source_alive=False, just_written=False)
    if look is None:
        look = ctx.cluster.pods_on(source, logic_volume.namespace).using
    pods = look(logic_volume.claim)
    return replace(
        view,
        pods=pods,
        source_alive=bool(pods) and source_alive(ctx, source),
        just_written=False,
    )


def _timed(
    ctx: Context, view: rebuild.RebuildView, step: rebuild.Step, begun: Binding | None
) -> Advance | rebuild.RebuildView | None:
    if isinstance(step, rebuild.CreateLocalVolume | rebuild.BindClaim):
        # The one is done for all volumes of the target at once, the other in several looks: both
        # are timed there.
        return act(ctx, view, step, begun)
    with metrics.STEP_SECONDS.labels(rebuild.METRIC_LABELS[type(step)]).time():
        return act(ctx, view, step)
