"""One step of one journalled volume, done."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import msgspec.structs

from carina_tasks.decisions import eviction, pv_manifest, rebuild
from carina_tasks.errors import LostMidway
from carina_tasks.flows.context import Context
from carina_tasks.flows.failover import binding, events, rehearse
from carina_tasks.flows.failover.binding import Binding
from carina_tasks.flows.failover.evict import evict
from carina_tasks.flows.failover.results import VolumeResult
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


@dataclass(frozen=True, slots=True)
class AwaitsBinding:
    """The volume continues when its claim is Bound."""

    view: rebuild.RebuildView
    pv: WholePersistentVolume
    binding: Binding


Brought = VolumeResult | NeedsLocalVolume | NeedsTarget | AwaitsLastLook
"""How far a volume came, as far as it depends on us."""
Advance = Brought | AwaitsBinding


def act(
    ctx: Context, view: rebuild.RebuildView, step: rebuild.Step, begun: Binding | None = None
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
        begun: The binding that is waited for, when the step is that.
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
            return replace(view, pods=())
        case _ if pv is not None or isinstance(step, rebuild.CreatePersistentVolume):
            return _with_pv(ctx, view, step, begun)
    raise LostMidway(f"{logic_volume.name}: an object went away between reading and acting")


def _with_pv(
    ctx: Context, view: rebuild.RebuildView, step: rebuild.Step, begun: Binding | None
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
            return _bind(ctx, view, pv, claim, begun)
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
    ctx: Context,
    view: rebuild.RebuildView,
    pv: WholePersistentVolume,
    claim: Claim,
    begun: Binding | None,
) -> AwaitsBinding | rebuild.RebuildView | None:
    """Bring the binding of claim and PV on.

    Return the view with both once they are Bound, None when one of them went.

    Args:
        ctx: The outside world.
        view: What was observed.
        pv: The PV that was made for it.
        claim: The claim.
        begun: What is waited for since an earlier look; None: it begins.

    Raises:
        LostMidway: That takes too long.
    """
    found = binding.look(ctx, pv, claim, begun) if begun else binding.begin(ctx, claim)
    if isinstance(found, Binding):
        return AwaitsBinding(view, pv, found)
    if begun is None or found is None:
        return None
    seconds = metrics.STEP_SECONDS.labels(rebuild.METRIC_LABELS[rebuild.BindClaim])
    seconds.observe(ctx.monotonic() - begun.since)
    return replace(view, claim=found.claim, pv=found.pv)


def may_continue(ctx: Context, waiting: AwaitsBinding) -> bool:
    """Return whether there is something to do: both are Bound, or it is time to read them."""
    due = ctx.monotonic() >= waiting.binding.due
    return due or binding.shown(ctx, waiting.pv, waiting.binding) is not None


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
