"""The sweep of LogicVolumes: each against the PersistentVolumes. It also finds deleted nodes that the watch missed."""

from __future__ import annotations

from carina_tasks.decisions import logic_volumes, selection
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
    """Delete LogicVolumes without a PV, help those that hang in deletion, and name the nodes that are gone."""
    ctx.check_pause()
    began = ctx.monotonic()
    world = ctx.cluster.observe()
    kept, deleted, helped, failed, noted = 0, [], [], [], []
    for volume in sorted(world.logic_volumes.values(), key=lambda v: v.name):
        try:
            verdict = _judge(ctx, world, volume)
            match verdict:
                case logic_volumes.KeepLogicVolume(reason):
                    kept += 1
                    if volume.name not in world.volumes:
                        noted.append(f"{volume.name}: {reason}")
                case logic_volumes.DeleteLogicVolume(reason):
                    ctx.writes.delete_logic_volume(volume)
                    ctx.audit.acted(
                        "delete-logic-volume", about_volume(volume), f"LogicVolume {volume.name} deleted: {reason}",
                        "LogicVolumeDeleted", volume=volume.name, node=volume.node,
                    )  # fmt: skip
                    deleted.append(volume.name)
                case logic_volumes.FinishDeletion(reason):
                    ctx.writes.help_logic_volume(volume)
                    ctx.audit.acted(
                        "help-logic-volume", about_volume(volume), f"finalizer of LogicVolume {volume.name} taken off: {reason}",
                        "FinalizerRemoved", volume=volume.name, node=volume.node,
                    )  # fmt: skip
                    helped.append(volume.name)
        except CarinaTasksError as exc:
            # What went wrong with one volume holds no other up; it is looked at again by the next sweep.
            one_object.check(ctx, exc)
            failed.append(f"{volume.name}: {exc.message}")
            events.sweep_failed(ctx, world, volume, exc.message)
    _untouch(ctx, world, failed)
    for line in (unreadable := unreadable_lines(world.unreadable)):
        ctx.audit.guarded("Unreadable", line)
    metrics.SWEEP_SECONDS.labels("logic_volumes").observe(ctx.monotonic() - began)
    ctx.findings.keep(RESULT_NAME, Swept(int(world.now)), local_volumes.KEPT)
    used = {v.node for v in world.logic_volumes.values() if v.journal is None and selection.managed(v)}
    return LogicSweepResult(
        kept=kept,
        deleted=tuple(deleted),
        helped=tuple(helped),
        failed=tuple(failed),
        noted=tuple(noted),
        unreadable=unreadable,
        deleted_nodes=tuple(sorted(used - world.nodes.keys())),
    )


def _untouch(ctx: Context, world: ClusterSnapshot, failed: list[str]) -> None:
    """Take off the touches that a slow or dead worker left on claims which nobody rebuilds."""
    for claim in world.claims.values():
        volume = world.logic_volumes.get(claim.volume)
        if well_known.TOUCH not in claim.meta.annotations or volume is None or volume.journalled:
            continue
        try:
            ctx.writes.untouch(claim)
        except CarinaTasksError as exc:
            one_object.check(ctx, exc)
            failed.append(f"claim {claim.meta.key}: {exc.message}")


def _judge(ctx: Context, world: ClusterSnapshot, volume: LogicVolume) -> logic_volumes.LogicVolumeVerdict:
    grace = ctx.settings.logic_volume_grace
    verdict = logic_volumes.judge_logic_volume(volume, world.volumes.get(volume.name), None, world.now, grace)
    if isinstance(verdict, logic_volumes.KeepLogicVolume):
        return verdict
    # Before anything goes: the PV and the claim, asked for by name.
    pv, claim = ctx.cluster.volume(volume.name), ctx.cluster.claim(volume.namespace, volume.claim)
    return logic_volumes.judge_logic_volume(volume, pv, claim, world.now, grace)
