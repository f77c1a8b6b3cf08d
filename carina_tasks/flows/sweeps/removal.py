"""What the sweep of local volumes asks a node to mark, move to the trash, remove or purge."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields

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
    MarkLvs,
    PurgeLvs,
    RemoveLvs,
    batch_time,
)
from carina_tasks.model.names import VOLUME_PREFIX
from carina_tasks.model.snapshot import ClusterSnapshot
from carina_tasks.observability.audit import about_node


@dataclass(frozen=True, slots=True)
class Done:
    """What a node did for the sweep. LVs are ``group/name``; `failed` has the reason behind it."""

    marked: tuple[str, ...] = ()
    unmarked: tuple[str, ...] = ()
    trashed: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    purged: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()

    def __add__(self, other: Done) -> Done:
        """Return both together."""
        return Done(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))


def mark(
    ctx: Context, node: str, at: int, found: list[LocalVolume], wanted: list[LocalVolume]
) -> Done:
    """Mark orphans of one node, and remove the mark of what is wanted again.

    Args:
        ctx: The outside world.
        node: Name of the node.
        at: Seconds since the epoch that the mark notes, by the API server's clock.
        found: What is marked.
        wanted: What is marked and wanted.
    """
    if not found and not wanted:
        return Done()
    request = MarkLvs(
        at=at, mark=tuple(map(target_of, found)), unmark=tuple(map(target_of, wanted))
    )
    asked = (*request.mark, *request.unmark)
    results = ask_nodes.accepted_results(
        ctx,
        node,
        asked,
        answers.MARK,
        lambda: ctx.nodes.ask(
            node, task_names.MARK_VOLUMES, request, LvResults, more=batch_time(len(asked))
        ),
    )
    return Done(
        marked=tuple(f"{lv.group}/{lv.name}" for lv in found),
        unmarked=tuple(f"{lv.group}/{lv.name}" for lv in wanted),
        failed=tuple(f"{r.group}/{r.name}: {r.reason}" for r in results if r.outcome == "failed"),
    )


def remove_all(
    ctx: Context,
    inventory: Inventory,
    snapshot: ClusterSnapshot,
    doomed: list[tuple[LocalVolume, str]],
) -> Done:
    """Remove the orphans of one node.

    Old copies that a failover left have a retention of their own, so they may go into the trash
    when other orphans do not.

    Args:
        ctx: The outside world.
        inventory: What the node reported.
        snapshot: The cluster as it was read.
        doomed: The orphans, each with its reason.
    """
    old: list[tuple[LocalVolume, str]] = []
    others: list[tuple[LocalVolume, str]] = []
    for one in doomed:
        (old if is_old_copy(one[0], inventory.node, snapshot) else others).append(one)
    conf, now = ctx.settings, int(snapshot.now)
    kept = max(conf.trash_retention, conf.old_copy_retention)
    return _remove(ctx, inventory, others, now if conf.trash_retention else 0) + _remove(
        ctx, inventory, old, now if kept else 0
    )


def world_of(doomed: Iterable[LocalVolume], snapshot: ClusterSnapshot) -> ClusterSnapshot:
    """Return only what `remove_all` looks at of the cluster.

    Args:
        doomed: The LVs to remove.
        snapshot: The cluster as it was read.
    """
    found = (snapshot.logic_volumes.get(lv.name.removeprefix(VOLUME_PREFIX)) for lv in doomed)
    return ClusterSnapshot(now=snapshot.now, logic_volumes={v.name: v for v in found if v})


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
    ctx: Context, inventory: Inventory, doomed: list[tuple[LocalVolume, str]], trash_at: int
) -> Done:
    """Ask the node to remove these orphans.

    Args:
        ctx: The outside world.
        inventory: What the node reported.
        doomed: The orphans, each with its reason.
        trash_at: Seconds since the epoch that the trash notes; 0: remove them permanently.
    """
    if not doomed:
        return Done()
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
    for result in results:
        reason = reasons.get((result.group, result.name), "")
        if result.outcome == "trashed":
            text = report_line(node, result, "put into the trash", reason)
            ctx.audit.acted(
                "trash-local-volume",
                about_node(node),
                text,
                "OrphanTrashed",
                node=node,
                volume=result.name,
            )
        elif result.outcome == "removed":
            text = report_line(node, result, "removed permanently", reason)
            ctx.audit.acted(
                "remove-local-volume",
                about_node(node),
                text,
                "OrphanRemoved",
                node=node,
                volume=result.name,
            )
    return _done(node, results)


def purge(ctx: Context, inventory: Inventory, now: float) -> Done:
    """Remove permanently what has been in the trash for long enough.

    Args:
        ctx: The outside world.
        inventory: What the node reported.
        now: Seconds since the epoch, by the API server's clock.
    """
    reasons: dict[tuple[str, str], str] = {}
    failed: list[str] = []
    for lv in inventory.volumes:
        if lv.trashed is None:
            continue
        try:
            verdict = sweep_rules.judge_trash(ctx, lv, inventory, now)
        except CarinaTasksError as exc:
            one_object.check(ctx, exc)
            failed.append(f"{lv.group}/{lv.name}: {exc.message}")
            continue
        if isinstance(verdict, orphans.PurgeTrash):
            reasons[lv.group, lv.name] = f"{lv.trashed.name}, {verdict.reason}"
    doomed = [lv for lv in inventory.volumes if (lv.group, lv.name) in reasons]
    not_judged = Done(failed=tuple(failed))
    if not doomed:
        return not_judged
    request = PurgeLvs(
        trashed_before=int(now - ctx.settings.trash_retention),
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
    for result in results:
        if result.outcome == "purged":
            reason = reasons.get((result.group, result.name), "")
            text = report_line(node, result, "removed permanently", reason)
            ctx.audit.acted(
                "purge-local-volume",
                about_node(node),
                text,
                "TrashPurged",
                node=node,
                volume=result.name,
            )
    return not_judged + _done(node, results)


def _done(node: str, results: Iterable[LvResult]) -> Done:
    """Return the results by their outcome; a removal that failed is logged."""
    names: dict[str, list[str]] = {"trashed": [], "removed": [], "purged": [], "failed": []}
    for result in results:
        line = f"{result.group}/{result.name}"
        if result.outcome == "failed":
            line += f": {result.reason}"
            structlog.get_logger().warning(
                "a local volume was not removed",
                node=node,
                volume=result.name,
                reason=result.reason,
            )
        if result.outcome in names:
            names[result.outcome].append(line)
    return Done(**{outcome: tuple(lines) for outcome, lines in names.items()})


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
