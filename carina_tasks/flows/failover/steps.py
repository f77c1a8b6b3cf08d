"""One step of one journalled volume, done."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Literal

import msgspec.structs

from carina_tasks.decisions import eviction, pv_manifest, rebuild
from carina_tasks.errors import ApiConflict, LostMidway
from carina_tasks.flows.context import Context
from carina_tasks.flows.failover import events, rehearse
from carina_tasks.flows.failover.evict import evict
from carina_tasks.flows.failover.results import VolumeResult
from carina_tasks.model import well_known
from carina_tasks.model.journal import Journal
from carina_tasks.model.objects import Claim, LogicVolume, Pod, WholePersistentVolume
from carina_tasks.observability import metrics
from carina_tasks.observability.audit import about_volume


@dataclass(frozen=True, slots=True)
class NeedsLocalVolume:
    """The volume cannot continue until its target node has made the LV."""

    logic_volume: LogicVolume
    pv: WholePersistentVolume | None
    claim: Claim | None
    journal: Journal
    size: int
    zero: bool = False
    """Its pod would read what other volumes wrote there, and has not got it yet."""
    planned_pods: tuple[Pod, ...] | None = None
    """The pods on its source, as they were listed for the plan."""


@dataclass(frozen=True, slots=True)
class NeedsTarget:
    """The volume's target cannot take it: another must be planned."""

    logic_volume: LogicVolume
    journal: Journal
    reason: str


@dataclass(frozen=True, slots=True)
class AwaitsLastLook:
    """The volume is done but for its journal: the pods of its source are listed once more first."""

    view: rebuild.RebuildView


FIRST_LOOK = 0.01
"""Seconds from the touch of a claim to the first look at the watches; each pause doubles."""
LONGEST_WAIT = 1.0
"""Seconds between two touches at most: where the volume controller has much to do, more touches
only give it more.
"""


Advance = VolumeResult | NeedsLocalVolume | NeedsTarget | AwaitsLastLook


def act(
    ctx: Context, view: rebuild.RebuildView, step: rebuild.Step
) -> Advance | rebuild.RebuildView | None:
    """Do one step.

    Return a result when the volume is done with for now. Else the view after the step: what the
    API server answers to a write is the newest reading of that object. None when another component
    may have changed more than the step did: then everything is read again. A view that is older
    than it looks harms nothing, because every write names the version that it changes.

    Args:
        ctx: The outside world.
        view: What was observed.
        step: What `rebuild.next_step` returns of it.
    """
    result = _result_of(ctx, view, step)
    if result is not None:
        return result
    logic_volume, journal, pv, writes = view.logic_volume, view.journal, view.pv, ctx.writes
    match step:
        case rebuild.ClearStatus():
            what = f"{events.what_happens(journal)}: {journal.source} -> {journal.target}"
            return replace(view, logic_volume=writes.clear_status(logic_volume, what))
        case rebuild.RefreshManifest(manifest):
            fresh = msgspec.structs.replace(journal, manifest=manifest)
            written = writes.write_journal(logic_volume, fresh, rebuild.PHASES[type(step)])
            return replace(view, logic_volume=written, journal=fresh)
        case rebuild.SetSuccess():
            major, minor = (view.lv.major, view.lv.minor) if view.lv else (-1, -1)
            written = writes.set_success(logic_volume, major, minor)
            return replace(view, logic_volume=written, just_written=True)
        case rebuild.EvictPods(pods):
            # Another worker may have finished since the journal was read, and then these pods are
            # none of the rebuild's any more.
            if not (view.just_written or _is_unchanged(ctx, logic_volume)):
                return None
            evict(ctx, pods, logic_volume, view.claim, journal)
            return replace(view, pods=(), just_written=False)
        case _ if pv is not None or isinstance(step, rebuild.CreatePersistentVolume):
            return _with_pv(ctx, view, step)
    raise LostMidway(f"{logic_volume.name}: an object went away between reading and acting")


def _with_pv(
    ctx: Context, view: rebuild.RebuildView, step: rebuild.Step
) -> Advance | rebuild.RebuildView | None:
    """Do a step of the PV or its claim."""
    logic_volume, pv, claim, writes = view.logic_volume, view.pv, view.claim, ctx.writes
    match step:
        case rebuild.RetainPersistentVolume() if pv is not None:
            return replace(view, pv=writes.retain(pv))
        case rebuild.DeletePersistentVolume() if pv is not None:
            if reason := _parted_from(ctx, view.journal):
                return NeedsTarget(logic_volume, view.journal, reason)
            # The last moment at which nothing is lost.
            rehearse.replacement(ctx, pv_manifest.replacement(view.journal, view.lv))
            left = writes.delete_persistent_volume(pv)
            events.replaced(ctx, logic_volume, view.journal)
            return replace(view, pv=left)
        case rebuild.StripFinalizers() if pv is not None:
            writes.strip_finalizers(pv)
            return replace(view, pv=None)
        case rebuild.CreatePersistentVolume(body):
            # A PV that is made has no version to name, so the journal is read again before.
            if not _is_unchanged(ctx, logic_volume):
                return None
            return replace(view, pv=writes.create_persistent_volume(body))
        case rebuild.RestorePolicy(policy) if pv is not None:
            return replace(view, pv=writes.restore_policy(pv, policy))
        case rebuild.BindClaim() if pv is not None and claim is not None:
            return _bind(ctx, view, pv, claim)
        case rebuild.RemoveClaimAnnotation() if claim is not None:
            return replace(view, claim=writes.remove_claim_annotation(claim))
        case rebuild.ClearResize() if claim is not None:
            return replace(view, claim=writes.clear_resize(claim, rebuild.RESIZE_CONDITIONS))
        case rebuild.ReportCapacity(size) if claim is not None:
            writes.report_capacity(claim, size)
            # Once: after that the claim is the kubelet's, which reports what it has expanded.
            reported = msgspec.structs.replace(view.journal, copy_bytes=0)
            writes.write_journal(logic_volume, reported, rebuild.PHASES[type(step)])
            return None
    raise LostMidway(f"{logic_volume.name}: an object went away between reading and acting")


def _is_unchanged(ctx: Context, logic_volume: LogicVolume) -> bool:
    """Return whether the LogicVolume, and the journal on it, is the one that was read."""
    now = ctx.cluster.logic_volume(logic_volume.name)
    return now is not None and now.meta.version == logic_volume.meta.version


def _result_of(ctx: Context, view: rebuild.RebuildView, step: rebuild.Step) -> Advance | None:
    """Do a step that ends this pass over the volume; return None for any other step."""
    logic_volume, journal, writes = view.logic_volume, view.journal, ctx.writes
    match step:
        case rebuild.CreateLocalVolume(size):
            return NeedsLocalVolume(
                logic_volume,
                view.pv,
                view.claim,
                journal,
                size,
                _zero(ctx, view),
                view.planned_pods,
            )
        case rebuild.RecordStaleLv(lv_uuid):
            named = msgspec.structs.replace(journal, stale=lv_uuid)
            return NeedsLocalVolume(
                writes.write_journal(logic_volume, named, rebuild.PHASES[type(step)]),
                view.pv,
                view.claim,
                named,
                pv_manifest.wanted_size(logic_volume, journal.manifest),
                _zero(ctx, view),
                view.planned_pods,
            )
        case rebuild.DropJournal():
            # The Event comes first. A worker that dies in between leaves the journal, and the next
            # worker writes the Event again. In the other order the owner of the claim would never
            # learn that the volume is empty.
            events.finished(ctx, logic_volume, view.claim, journal)
            writes.drop_journal(logic_volume, journal)
            outcome = outcome_of(journal)
            metrics.VOLUMES.labels(outcome).inc()
            return VolumeResult(
                logic_volume.name,
                outcome,
                journal.reason + _held(view),
                journal.source,
                journal.target,
                claim=logic_volume.claim_key,
            )
        case rebuild.RebuildWaits(reason):
            report_waiting(ctx, view, rebuild.PHASES[type(step)], reason)
            return unfinished_result(logic_volume.name, reason, journal)
        case rebuild.Zeroing(reason):
            events.report_progress(ctx, logic_volume, journal, rebuild.PHASES[type(step)], reason)
            return unfinished_result(logic_volume.name, reason, journal)
        case rebuild.Replan(reason):
            return NeedsTarget(logic_volume, journal, reason)
        case rebuild.RefuseRebuild(reason):
            ctx.audit.warn(
                about_volume(logic_volume), "RebuildRefused", reason, intent=journal.intent
            )
            return VolumeResult(
                logic_volume.name, "refused", reason, journal.source, journal.target
            )
    return None


def _zero(ctx: Context, view: rebuild.RebuildView) -> bool:
    """Return whether the LV is to be zeroed.

    Once the PV names the target, a pod may have written to it.
    """
    shown = view.pv is not None and view.pv.nodes == (view.journal.target,)
    return ctx.settings.zero_block and pv_manifest.is_block(view.journal.manifest) and not shown


def _parted_from(ctx: Context, journal: Journal) -> str:
    """Return why a failback would part the volumes of a pod, empty when it does not.

    Another worker may have given one of them up since the journals were written: without a broker
    there are no locks.
    """
    for name in journal.together if journal.failback and not journal.given_up else ():
        other = ctx.cluster.logic_volume(name)
        if other is not None and other.node == journal.source:
            return f"{name}, which its pod uses too, stays on {other.node}"
    return ""


def outcome_of(journal: Journal) -> Literal["rebuilt", "failed-back", "given-up"]:
    """Return what a volume whose journal is done has become."""
    if not journal.failback:
        return "rebuilt"
    return "given-up" if journal.given_up else "failed-back"


def _held(view: rebuild.RebuildView) -> str:
    """Return a text that names the pods which a finalizer keeps.

    The volume does not wait for them.
    """
    leaves = [v for v in view.leavings if isinstance(v, eviction.LeavePod) and v.held]
    return "".join(f"; pod {leave.pod.meta.key}: {leave.reason}" for leave in leaves)


def _bind(
    ctx: Context, view: rebuild.RebuildView, pv: WholePersistentVolume, claim: Claim
) -> rebuild.RebuildView | None:
    """Touch the claim until it and the PV are Bound.

    Return the view with both, None when one of them went. The watches are asked first, because
    they cost nothing; what they do not show in time is read by name.

    Args:
        ctx: The outside world.
        view: What was observed.
        pv: The PV that was made for it.
        claim: The claim.

    Raises:
        LostMidway: That takes too long.
    """
    end, wait = ctx.monotonic() + ctx.settings.bind_timeout, ctx.settings.touch_interval
    touched = _touch_as_watched(ctx, claim)
    while True:
        if touched:
            if (bound := _wait_for_watches(ctx, pv, touched, wait)) is not None:
                return replace(view, claim=bound[0], pv=bound[1])
            wait = min(2 * wait, LONGEST_WAIT)
        # The volume controller has seen the PV go, and marked the claim.
        fresh = ctx.cluster.claim(claim.meta.namespace, claim.meta.name)
        if fresh is None:
            return None
        if touched and fresh.phase == "Bound":
            now = ctx.cluster.persistent_volume(pv.meta.name)
            if now is None:
                return None
            if now.phase == "Bound":
                return replace(view, claim=fresh, pv=now)
        if ctx.monotonic() >= end:
            raise LostMidway(
                f"claim {claim.meta.key} is not Bound {ctx.settings.bind_timeout:.0f} s after its "
                "volume was made: is kube-controller-manager running?"
            )
        touched = ctx.writes.annotate_claim(fresh, ctx.monotonic())


def _touch_as_watched(ctx: Context, claim: Claim) -> str:
    """Touch the claim in the version that its watch shows.

    Return the touch, empty when the watch is behind or shows none: then it must be read.
    """
    seen = ctx.cluster.claim_by_watch(claim.meta.namespace, claim.meta.name)
    if seen is None or seen.meta.uid != claim.meta.uid:
        return ""
    with suppress(ApiConflict):
        return ctx.writes.annotate_claim(seen, ctx.monotonic())
    return ""


def _wait_for_watches(
    ctx: Context, pv: WholePersistentVolume, touched: str, seconds: float
) -> tuple[Claim, WholePersistentVolume] | None:
    """Wait until the watches show both Bound; None when they do not in time.

    Args:
        ctx: The outside world.
        pv: The PV that was made: one of another UID is another's.
        touched: The touch that its claim must show: without it, this is what it was before.
        seconds: How long.
    """
    end, pause = ctx.monotonic() + seconds, FIRST_LOOK
    namespace, _, name = pv.claim_key.partition("/")
    while (left := end - ctx.monotonic()) > 0:
        ctx.sleep(min(pause, left))
        pause *= 2
        seen = ctx.cluster.claim_by_watch(namespace, name)
        now = ctx.cluster.pv_by_watch(pv.meta.name)
        if (
            seen is not None
            and now is not None
            and seen.meta.annotations.get(well_known.TOUCH) == touched
            and now.meta.uid == pv.meta.uid
            and seen.phase == now.phase == "Bound"
        ):
            return seen, msgspec.structs.replace(pv, meta=now.meta, phase=now.phase)
    return None


def report_waiting(ctx: Context, view: rebuild.RebuildView, phase: int, reason: str) -> None:
    """Record what holds the volume up, when that is news.

    Args:
        ctx: The outside world.
        view: What was observed.
        phase: Index of the step in `progress.PHASES`.
        reason: The reason, for users.
    """
    events.waits(ctx, view.logic_volume, view.claim, view.journal, phase, reason)


def unfinished_result(
    name: str, reason: str, journal: Journal | None = None, *, again: bool = False
) -> VolumeResult:
    """Return the result of a volume whose journal stays, for resume.

    Args:
        name: Name of the logic volume.
        reason: The reason, for users.
        journal: Its journal, when it has one.
        again: Whether it can be resumed at once.
    """
    source, target = (journal.source, journal.target) if journal else ("", "")
    return VolumeResult(name, "unfinished", reason, source, target, again)
