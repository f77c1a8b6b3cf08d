"""What the sweep of local volumes asks a node to mark, move to the trash, remove or purge."""

from __future__ import annotations

from collections.abc import Iterable

import structlog

from carina_tasks.decisions import answers, orphans
from carina_tasks.errors import CarinaTasksError
from carina_tasks.flows import ask_nodes, one_object
from carina_tasks.flows.context import Context
from carina_tasks.flows.sweeps import rules as sweep_rules
from carina_tasks.model import task_names
from carina_tasks.model.local import Inventory, LocalVolume, reason_to_tag
from carina_tasks.model.messages import (
    LvInTrash,
    LvResult,
    LvResults,
    LvTarget,
    LvToRemove,
    PurgeLvs,
    RemoveLvs,
    batch_time,
)
from carina_tasks.model.names import VOLUME_PREFIX
from carina_tasks.model.snapshot import ClusterSnapshot
from carina_tasks.observability.audit import about_node


def remove_all(
    ctx: Context,
    inventory: Inventory,
    snapshot: ClusterSnapshot,
    doomed: list[tuple[LocalVolume, str]],
    failed: list[str],
) -> tuple[list[str], list[str]]:
    """Remove the orphans of one node.

    Return the names that are in its trash now, and those that were removed permanently.

    Old copies that a failover left have a retention of their own, so they may go into the trash
    when other orphans do not.

    Args:
        ctx: The outside world.
        inventory: What the node reported.
        snapshot: The cluster as it was read.
        doomed: The orphans, each with its reason.
        failed: Gets a line for each object that could not be handled.
    """
    old = [one for one in doomed if is_old_copy(one[0], inventory.node, snapshot)]
    others = [one for one in doomed if one not in old]
    conf = ctx.settings
    trashed, removed = _remove(
        ctx, inventory, others, int(snapshot.now) if conf.trash_retention else 0, failed
    )
    kept = max(conf.trash_retention, conf.old_copy_retention)
    more, gone = _remove(ctx, inventory, old, int(snapshot.now) if kept else 0, failed)
    return trashed + more, removed + gone


def is_old_copy(lv: LocalVolume, node: str, snapshot: ClusterSnapshot) -> bool:
    """Return whether a failover left this LV of `node` as the old copy of a volume.

    Args:
        lv: An LV of the node, in the trash or not.
        node: The node.
        snapshot: The cluster as it was read.
    """
    name = lv.trashed.name if lv.trashed is not None else lv.name
    return orphans.old_copy(lv, node, snapshot.logic_volumes.get(name.removeprefix(VOLUME_PREFIX)))


def _remove(
    ctx: Context,
    inventory: Inventory,
    doomed: list[tuple[LocalVolume, str]],
    trash_at: int,
    failed: list[str],
) -> tuple[list[str], list[str]]:
    """Have the node remove these orphans.

    Return the names that are in its trash now, and those that were removed permanently.

    Args:
        ctx: The outside world.
        inventory: What the node reported.
        doomed: The orphans, each with its reason.
        trash_at: Seconds since the epoch that the trash notes; 0: remove them permanently.
        failed: Gets a line for each that the node refused.
    """
    if not doomed:
        return [], []
    # The node checks mark, UUID and openness again, under its volume group's lock.
    request = RemoveLvs(
        marked_before=max(lv.marked_at or 0 for lv, _ in doomed),
        volumes=tuple(
            LvToRemove(v.group, v.name, v.uuid, reason_to_tag(reason)) for v, reason in doomed
        ),
        trash_at=trash_at,
    )
    # Three commands each: tags, deactivation, the new name.
    node = inventory.node
    results = ask_nodes.accepted_results(
        ctx,
        node,
        request.volumes,
        answers.REMOVE,
        lambda: ctx.nodes.ask(
            node, task_names.REMOVE_VOLUMES, request, LvResults, more=batch_time(3 * len(doomed))
        ),
    )
    reasons = {(lv.group, lv.name): reason for lv, reason in doomed}
    trashed, removed = [], []
    for done in accepted(results, node, failed):
        reason = reasons.get((done.group, done.name), "")
        if done.outcome == "trashed":
            trashed.append(f"{done.group}/{done.name}")
            text = report_line(node, done, "put into the trash", reason)
            ctx.audit.acted(
                "trash-local-volume",
                about_node(node),
                text,
                "OrphanTrashed",
                node=node,
                volume=done.name,
            )
        elif done.outcome == "removed":
            removed.append(f"{done.group}/{done.name}")
            text = report_line(node, done, "removed permanently", reason)
            ctx.audit.acted(
                "remove-local-volume",
                about_node(node),
                text,
                "OrphanRemoved",
                node=node,
                volume=done.name,
            )
    return trashed, removed


def purge(
    ctx: Context, inventory: Inventory, snapshot: ClusterSnapshot, failed: list[str]
) -> list[str]:
    """Remove permanently what has been in the trash for long enough.

    Args:
        ctx: The outside world.
        inventory: What the node reported.
        snapshot: The cluster as it was read.
        failed: Gets a line for each object that could not be handled.
    """
    reasons: dict[tuple[str, str], str] = {}
    doomed: list[LocalVolume] = []
    for lv in inventory.volumes:
        if lv.trashed is None:
            continue
        try:
            verdict = sweep_rules.judge_trash(ctx, lv, inventory, snapshot.now)
        except CarinaTasksError as exc:
            one_object.check(ctx, exc)
            failed.append(f"{lv.group}/{lv.name}: {exc.message}")
            continue
        if isinstance(verdict, orphans.PurgeTrash):
            doomed.append(lv)
            reasons[lv.group, lv.name] = f"{lv.trashed.name}, {verdict.reason}"
    if not doomed:
        return []
    request = PurgeLvs(
        trashed_before=int(snapshot.now - ctx.settings.trash_retention),
        volumes=tuple(LvInTrash(v.group, v.name, v.uuid) for v in doomed),
    )
    node = inventory.node
    results = ask_nodes.accepted_results(
        ctx,
        node,
        request.volumes,
        answers.PURGE,
        lambda: ctx.nodes.ask(
            node, task_names.PURGE_VOLUMES, request, LvResults, more=batch_time(2 * len(doomed))
        ),
    )
    purged = []
    for done in accepted(results, node, failed):
        if done.outcome == "purged":
            purged.append(f"{done.group}/{done.name}")
            reason = reasons.get((done.group, done.name), "")
            text = report_line(node, done, "removed permanently", reason)
            ctx.audit.acted(
                "purge-local-volume",
                about_node(node),
                text,
                "TrashPurged",
                node=node,
                volume=done.name,
            )
    return purged


def accepted(results: Iterable[LvResult], node: str, failed: list[str]) -> list[LvResult]:
    """Return what was not refused, and note in `failed` what was.

    Args:
        results: The results.
        node: Name of the node.
        failed: Gets a line for each object that could not be handled.
    """
    for done in results:
        if done.outcome == "failed":
            failed.append(f"{done.group}/{done.name}: {done.reason}")
            structlog.get_logger().warning(
                "a local volume was not removed", node=node, volume=done.name, reason=done.reason
            )
    return [done for done in results if done.outcome != "failed"]


def report_line(node: str, done: LvResult, what: str, reason: str) -> str:
    """Return the text of an audit record: which LV of `node`, what was done with it, and why.

    Args:
        node: Name of the node.
        done: The result.
        what: What was done.
        reason: The reason, for users.
    """
    return f"local volume {done.group}/{done.name} of node {node} {what}: {reason}"


def target_of(lv: LocalVolume) -> LvTarget:
    """Return the request for this LV, which the node identifies by its UUID."""
    return LvTarget(group=lv.group, name=lv.name, uuid=lv.uuid)
