"""The sweep of LogicVolumes: each against the PersistentVolumes.

It also finds deleted nodes that the watch missed.
"""

from __future__ import annotations

from carina_tasks.decisions import logic_volumes, selection, whose
from carina_tasks.errors import CarinaTasksError
from carina_tasks.flows import one_object
from carina_tasks.flows.context import Context
from carina_tasks.flows.failover import events
from carina_tasks.flows.sweeps import local_volumes
from carina_tasks.flows.sweeps.results import LogicSweepResult, Swept
from carina_tasks.model import well_known
from carina_tasks.model.objects import LogicVolume
from carina_tasks.model.snapshot import ClusterSnapshot, unreadable_lines
from carina_tasks.observability import metrics
from carina_tasks.observability.audit import about_volume

RESULT_NAME = "sweep.logic_volumes"


def sweep_logic_volumes(ctx: Context) -> LogicSweepResult:
    """Delete LogicVolumes without a PV, and report the nodes that do not exist.

    Deletions that hang are completed.
    """
    ctx.check_pause()
    began = ctx.monotonic()
    snapshot = ctx.cluster.observe()
    kept, deleted, helped, failed, noted = 0, [], [], [], []
    for logic_volume in sorted(snapshot.logic_volumes.values(), key=lambda v: v.name):
        try:
            verdict = _judge(ctx, snapshot, logic_volume)
            match verdict:
                case logic_volumes.KeepLogicVolume(reason):
                    kept += 1
                    if logic_volume.name not in snapshot.persistent_volumes:
                        noted.append(f"{whose.titled(logic_volume)}: {reason}")
                case logic_volumes.DeleteLogicVolume(reason):
                    ctx.writes.delete_logic_volume(logic_volume)
                    ctx.audit.acted(
                        "delete-logic-volume",
                        about_volume(logic_volume),
                        f"LogicVolume {whose.titled(logic_volume)} deleted: {reason}",
                        "LogicVolumeDeleted",
                        volume=logic_volume.name,
                        node=logic_volume.node,
                    )
                    deleted.append(logic_volume.name)
                case logic_volumes.FinishDeletion(reason):
                    ctx.writes.finish_deletion(logic_volume)
                    ctx.audit.acted(
                        "help-logic-volume",
                        about_volume(logic_volume),
                        f"finalizer of LogicVolume {whose.titled(logic_volume)} removed: {reason}",
                        "FinalizerRemoved",
                        volume=logic_volume.name,
                        node=logic_volume.node,
                    )
                    helped.append(logic_volume.name)
        except CarinaTasksError as exc:
            # What went wrong with one volume holds no other up; it is looked at again by the next
            # sweep.
            one_object.check(ctx, exc)
            failed.append(f"{whose.titled(logic_volume)}: {exc.message}")
            events.sweep_failed(ctx, snapshot, logic_volume, exc.message)
    failed += _remove_annotations(ctx, snapshot)
    for line in (unreadable := unreadable_lines(snapshot.unreadable)):
        ctx.audit.guarded("Unreadable", line)
    metrics.SWEEP_SECONDS.labels("logic_volumes").observe(ctx.monotonic() - began)
    ctx.latest_results.keep(RESULT_NAME, Swept(int(snapshot.now)), local_volumes.KEPT)
    used = {
        v.node
        for v in snapshot.logic_volumes.values()
        if v.journal is None and selection.managed(v)
    }
    return LogicSweepResult(
        kept=kept,
        deleted=tuple(deleted),
        helped=tuple(helped),
        failed=tuple(failed),
        noted=tuple(noted),
        unreadable=unreadable,
        deleted_nodes=tuple(sorted(used - snapshot.nodes.keys())),
    )


def _remove_annotations(ctx: Context, snapshot: ClusterSnapshot) -> list[str]:
    """Remove the annotations that a slow or dead worker left on claims without a rebuild.

    Returns:
        One line for each claim that could not be changed.
    """
    failed = []
    for claim in snapshot.claims.values():
        logic_volume = snapshot.logic_volumes.get(claim.pv_name)
        if (
            well_known.TOUCH not in claim.meta.annotations
            or logic_volume is None
            or logic_volume.journalled
        ):
            continue
        try:
            ctx.writes.remove_claim_annotation(claim)
        except CarinaTasksError as exc:
            one_object.check(ctx, exc)
            failed.append(f"claim {claim.meta.key}: {exc.message}")
    return failed


def _judge(
    ctx: Context, snapshot: ClusterSnapshot, logic_volume: LogicVolume
) -> logic_volumes.LogicVolumeVerdict:
    grace = ctx.settings.logic_volume_grace
    verdict = logic_volumes.judge_logic_volume(
        logic_volume, snapshot.persistent_volumes.get(logic_volume.name), None, snapshot.now, grace
    )
    if isinstance(verdict, logic_volumes.KeepLogicVolume):
        return verdict
    # Before anything goes: the PV and the claim, asked for by name.
    pv, claim = (
        ctx.cluster.persistent_volume(logic_volume.name),
        ctx.cluster.claim(logic_volume.namespace, logic_volume.claim),
    )
    return logic_volumes.judge_logic_volume(logic_volume, pv, claim, snapshot.now, grace)
