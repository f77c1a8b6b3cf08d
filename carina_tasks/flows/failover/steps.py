"""One step of one journalled volume, done."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import msgspec.structs

from carina_tasks.decisions import eviction, pv_manifest, rebuild
from carina_tasks.errors import LostMidway
from carina_tasks.flows.context import Context
from carina_tasks.flows.failover import events, rehearse
from carina_tasks.flows.failover.evict import evict
from carina_tasks.flows.failover.results import VolumeResult
from carina_tasks.model.journal import Journal
from carina_tasks.model.objects import Claim, LogicVolume
from carina_tasks.observability import metrics
from carina_tasks.observability.audit import about_volume


@dataclass(frozen=True, slots=True)
class NeedsLocalVolume:
    """The volume cannot continue until its target node has made the LV."""

    logic_volume: LogicVolume
    claim: Claim | None
    journal: Journal
    size: int
    zero: bool = False
    """Its pod would read what other volumes wrote there, and has not got it yet."""


@dataclass(frozen=True, slots=True)
class NeedsTarget:
    """The volume's target cannot take it: another must be planned."""

    logic_volume: LogicVolume
    journal: Journal
    reason: str


Advance = VolumeResult | NeedsLocalVolume | NeedsTarget


def act(ctx: Context, view: rebuild.RebuildView, step: rebuild.Step) -> Advance | None:
    """Do one step; return a result when the volume is done with for now, None to look again."""
    result = _result_of(ctx, view, step)
    if result is not None:
        return result
    logic_volume, journal, pv, writes = view.logic_volume, view.journal, view.pv, ctx.writes
    match step:
        case rebuild.ClearStatus():
            writes.clear_status(
                logic_volume,
                f"{events.what_happens(journal)}: {journal.source} -> {journal.target}",
            )
        case rebuild.RefreshManifest(manifest):
            fresh = msgspec.structs.replace(journal, manifest=manifest)
            writes.write_journal(logic_volume, fresh, rebuild.PHASES[type(step)])
        case rebuild.RetainPersistentVolume() if pv is not None:
            writes.retain(pv)
        case rebuild.DeletePersistentVolume() if pv is not None:
            if reason := _parted_from(ctx, journal):
                return NeedsTarget(logic_volume, journal, reason)
            # The last moment at which nothing is lost.
            rehearse.replacement(ctx, pv, pv_manifest.replacement(journal, view.lv))
            writes.delete_persistent_volume(pv)
            events.replaced(ctx, logic_volume, view.claim, journal)
        case rebuild.StripFinalizers() if pv is not None:
            writes.strip_finalizers(pv)
        case rebuild.CreatePersistentVolume(body):
            writes.create_persistent_volume(body)
        case rebuild.BindClaim() if view.claim is not None:
            _bind(ctx, view.claim, logic_volume.name)
        case rebuild.EvictPods(pods):
            evict(ctx, pods, logic_volume, view.claim, journal)
        case rebuild.RemoveClaimAnnotation() if view.claim is not None:
            writes.remove_claim_annotation(view.claim)
        case rebuild.ClearResize() if view.claim is not None:
            writes.clear_resize(view.claim, rebuild.RESIZE_CONDITIONS)
        case rebuild.RestorePolicy(policy) if pv is not None:
            writes.restore_policy(pv, policy)
        case rebuild.ReportCapacity(size) if view.claim is not None:
            writes.report_capacity(view.claim, size)
            # Once: after that the claim is the kubelet's, which reports what it has expanded.
            reported = msgspec.structs.replace(journal, copy_bytes=0)
            writes.write_journal(logic_volume, reported, rebuild.PHASES[type(step)])
        case rebuild.SetSuccess():
            lv_result = view.lv
            writes.set_success(
                logic_volume,
                lv_result.major if lv_result else -1,
                lv_result.minor if lv_result else -1,
            )
        case _:
            raise LostMidway(f"{logic_volume.name}: an object went away between reading and acting")
    return None


def _result_of(ctx: Context, view: rebuild.RebuildView, step: rebuild.Step) -> Advance | None:
    """Do a step that ends this pass over the volume; return None for any other step."""
    logic_volume, journal, writes = view.logic_volume, view.journal, ctx.writes
    match step:
        case rebuild.CreateLocalVolume(size):
            return NeedsLocalVolume(logic_volume, view.claim, journal, size, _zero(ctx, view))
        case rebuild.RecordStaleLv(lv_uuid):
            named = msgspec.structs.replace(journal, stale=lv_uuid)
            return NeedsLocalVolume(
                writes.write_journal(logic_volume, named, rebuild.PHASES[type(step)]),
                view.claim,
                named,
                pv_manifest.wanted_size(logic_volume, journal.manifest),
                _zero(ctx, view),
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


def _bind(ctx: Context, claim: Claim, name: str) -> None:
    """Touch the claim until it and the PV are Bound. Raises LostMidway when that takes too long."""
    end = ctx.monotonic() + ctx.settings.bind_timeout
    while ctx.monotonic() < end:
        ctx.writes.annotate_claim(claim, ctx.monotonic())
        ctx.sleep(ctx.settings.touch_interval)
        fresh, pv = (
            ctx.cluster.claim(claim.meta.namespace, claim.meta.name),
            ctx.cluster.persistent_volume(name),
        )
        if fresh is None or pv is None or (fresh.phase == "Bound" and pv.phase == "Bound"):
            return
        claim = fresh
    raise LostMidway(
        f"claim {claim.meta.key} is not Bound {ctx.settings.bind_timeout:.0f} s after its volume "
        "was made: is kube-controller-manager running?"
    )


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
