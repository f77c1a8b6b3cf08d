"""The sweep of local volumes: each node's LVs against the cluster's LogicVolumes and PersistentVolumes.

The order is part of the safety: inventories first, the cluster's lists after them. Carina makes the LogicVolume before the
LV, so an LV that an inventory shows has its LogicVolume in a list that is read later. And before a volume is removed, both
objects are asked for once more by name.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sized

import msgspec
import structlog

from carina_tasks.decisions import answers, guards, orphans
from carina_tasks.errors import BadObject, CarinaTasksError
from carina_tasks.flows import ask_nodes, one_object
from carina_tasks.flows.context import Context
from carina_tasks.flows.failover import events
from carina_tasks.flows.sweeps.results import (
    KeptVolumes,
    LocalSweepNode,
    LocalSweepResult,
    MissingVolume,
    Swept,
    SweptNode,
    summary_of,
)
from carina_tasks.kube import paths
from carina_tasks.kube.cluster import parse
from carina_tasks.model import objects
from carina_tasks.model.local import Inventory, LocalVolume, reason_to_tag
from carina_tasks.model.messages import (  # fmt: skip
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
from carina_tasks.model.names import TRASH_PREFIX, VOLUME_PREFIX
from carina_tasks.model.snapshot import ClusterSnapshot, unreadable_lines
from carina_tasks.model.times import moment
from carina_tasks.observability import metrics
from carina_tasks.observability.audit import about_node, about_volume

MARK, REMOVE, PURGE = "carina.volume.mark", "carina.volume.remove", "carina.volume.purge"
RESULT_NAME = "sweep.local_volumes"
KEPT = 86400
"""Seconds for which the last good sweep is remembered: after a day nobody asks how long ago it was."""


def sweep_local_volumes(ctx: Context, confirm: Mapping[str, int] | None = None) -> LocalSweepResult:
    """Mark and remove orphans on every Ready node, and report LogicVolumes whose local volume is missing.

    `confirm` is a person's yes to a number of orphans above the cap: ``{node: number}``.
    """
    ctx.check_pause()
    began = ctx.monotonic()
    results: list[LocalSweepNode] = []
    swept: list[tuple[SweptNode, Counter[str]]] = []
    ready: list[str] = []
    for raw in ctx.cluster.api.list(paths.NODES).items:
        try:
            node = parse(raw, objects.parse_node)
        except BadObject as exc:
            results.append(LocalSweepNode(str(exc.facts.get("name", "?")), "failed", exc.message))
            continue
        if node.ready == "True":
            ready.append(node.name)
        else:
            results.append(LocalSweepNode(node.name, "skipped", "the node is not Ready"))
    ctx.progress(f"asking {len(ready)} nodes what they hold")
    inventories = ask_nodes.inventories(ctx, ready)
    snapshot = ctx.cluster.observe()
    for number, (name, inventory) in enumerate(sorted(inventories.items()), 1):
        ctx.progress(f"node {number} of {len(inventories)}: {name}")
        if isinstance(inventory, CarinaTasksError):
            results.append(LocalSweepNode(name, "failed", inventory.message))
            continue
        try:
            results.append(_sweep_node(ctx, inventory, snapshot, (confirm or {}).get(name, 0), swept))
        except CarinaTasksError as exc:
            # What went wrong on one node holds nobody else up.
            results.append(LocalSweepNode(name, "failed", exc.message))
    metrics.SWEEP_SECONDS.labels("local_volumes").observe(ctx.monotonic() - began)
    missing = tuple(MissingVolume(volume, node.node) for node in results for volume in node.missing)
    kept = tuple(KeptVolumes(*pair) for pair in sorted(_sum(kept for _, kept in swept).items()))
    found = tuple(msgspec.structs.replace(one, at=int(snapshot.now)) for one, _ in swept)
    if found or not ready:
        # A sweep that reached no node is no success.
        _keep(ctx, snapshot, Swept(int(snapshot.now), missing, found, kept))
    return LocalSweepResult(
        nodes=tuple(results), unreadable=unreadable_lines(snapshot.unreadable), summary=summary_of(results)
    )


def _keep(ctx: Context, snapshot: ClusterSnapshot, now: Swept) -> None:
    """Keep what was found, and of nodes that were not swept this time what was found there last."""
    before = ctx.findings.last(RESULT_NAME, Swept)
    reached = {one.node for one in now.nodes}
    old = [one for one in before.nodes if one.node not in reached and one.node in snapshot.nodes] if before else []
    nodes = tuple(sorted([*now.nodes, *old], key=lambda one: one.node))
    ctx.findings.keep(RESULT_NAME, msgspec.structs.replace(now, nodes=nodes), KEPT)


def _sum(counters: Iterable[Counter[str]]) -> Counter[str]:
    return sum(counters, Counter())


def _sweep_node(
    ctx: Context,
    inventory: Inventory,
    snapshot: ClusterSnapshot,
    confirmed: int,
    swept: list[tuple[SweptNode, Counter[str]]],
) -> LocalSweepNode:
    node = inventory.node
    failed: list[str] = []
    verdicts = [(lv, _judge_alone(ctx, lv, inventory, snapshot, failed)) for lv in inventory.volumes]
    to_mark = [lv for lv, verdict in verdicts if isinstance(verdict, orphans.MarkOrphan)]
    to_unmark = [lv for lv, verdict in verdicts if isinstance(verdict, orphans.UnmarkOrphan)]
    to_remove = [(lv, verdict.reason) for lv, verdict in verdicts if isinstance(verdict, orphans.RemoveOrphan)]
    missing, troubles = _report_missing(ctx, snapshot, inventory)
    outcome, reason = "swept", "; ".join(troubles)

    volumes = sum(lv.name.startswith(VOLUME_PREFIX) for lv in inventory.volumes)
    cap = guards.orphan_cap(len(to_remove), volumes, ctx.settings.orphan_limit, ctx.settings.orphan_share, confirmed)
    over = len(to_remove) if isinstance(cap, guards.GuardStops) else 0
    # Noted before anything is asked of the node: what is missing is so whatever comes of the rest.
    swept.append(
        (
            _found(ctx, inventory, snapshot, len(missing), over),
            Counter(v.why for _, v in verdicts if isinstance(v, orphans.KeepLv)),
        )
    )
    if isinstance(cap, guards.GuardStops):
        ctx.audit.guarded("OrphanCap", f"node {node}: {cap.reason}", about_node(node))
        outcome, reason, to_remove = "refused", cap.reason, []
    if to_mark or to_unmark:
        request = MarkLvs(
            at=int(snapshot.now), mark=tuple(map(_target, to_mark)), unmark=tuple(map(_target, to_unmark))
        )
        asked = (*request.mark, *request.unmark)
        said = ask_nodes.accepted_results(
            ctx, node, asked, answers.MARK,
            lambda: ctx.nodes.ask(node, MARK, request, LvResults, more=batch_time(len(asked))),
        )  # fmt: skip
        failed += [f"{v.group}/{v.name}: {v.reason}" for v in said if v.outcome == "failed"]
    trashed, removed = _remove_all(ctx, inventory, snapshot, to_remove, failed)
    purged = _purge(ctx, inventory, snapshot, failed)
    told: dict[str, Sized] = {
        "marked": to_mark,
        "unmarked": to_unmark,
        "trashed": trashed,
        "removed": removed,
        "purged": purged,
        "failed": failed,
    }
    for what, which in told.items():
        metrics.ORPHANS.labels(what).inc(len(which))
    return LocalSweepNode(
        node=node,
        outcome="refused" if outcome == "refused" else "swept",
        reason=reason,
        kept=sum(isinstance(verdict, orphans.KeepLv) for _, verdict in verdicts),
        marked=tuple(f"{v.group}/{v.name}" for v in to_mark),
        unmarked=tuple(f"{v.group}/{v.name}" for v in to_unmark),
        trashed=tuple(trashed),
        removed=tuple(removed),
        purged=tuple(purged),
        failed=tuple(failed),
        missing=missing,
    )


def _found(ctx: Context, inventory: Inventory, snapshot: ClusterSnapshot, missing: int, over_cap: int) -> SweptNode:
    sizes = [lv.size for lv in inventory.volumes if lv.trashed is not None]
    # In the trash, or still on their way there: all of them hold the data of before a failover.
    old = [
        v
        for v in inventory.volumes
        if v.name.startswith((VOLUME_PREFIX, TRASH_PREFIX)) and _old_copy(v, inventory.node, snapshot)
    ]
    kept = max(ctx.settings.trash_retention, ctx.settings.old_copy_retention)
    until = min((int((v.trashed.at if v.trashed else snapshot.now) + kept) for v in old), default=0)
    if old and kept:
        message = (
            f"node {inventory.node} holds the data that {len(old)} volumes had before they were failed over, until "
            f"{moment(until)} or until a rebuild needs the space: celery -A carina_tasks carina plan {inventory.node} --failback"
        )
        ctx.audit.event(about_node(inventory.node), "Normal", "OldCopiesKept", message)
    return SweptNode(
        inventory.node, missing, over_cap, len(sizes), sum(sizes), old_copies=len(old) if kept else 0, old_until=until
    )


def _judge(ctx: Context, lv: LocalVolume, inventory: Inventory, snapshot: ClusterSnapshot) -> orphans.OrphanVerdict:
    name = lv.name.removeprefix(VOLUME_PREFIX)
    if any(u.name == name for u in snapshot.unreadable):
        return orphans.KeepLv("an object of its name cannot be read", "unreadable")
    rules = orphan_rules(ctx)
    verdict = orphans.judge_local_volume(
        lv, inventory, snapshot.logic_volumes.get(name), snapshot.persistent_volumes.get(name), snapshot.now, rules
    )
    if not isinstance(verdict, orphans.MarkOrphan | orphans.RemoveOrphan):
        return verdict
    # A list can be stale or cut short by what stands between us and the API server: ask for these two by name.
    return orphans.judge_local_volume(
        lv, inventory, ctx.cluster.logic_volume(name), ctx.cluster.persistent_volume(name), snapshot.now, rules
    )


def _judge_alone(
    ctx: Context, lv: LocalVolume, inventory: Inventory, snapshot: ClusterSnapshot, failed: list[str]
) -> orphans.OrphanVerdict:
    """Judge one LV; keep it, and no other, when the API server refuses to say what it is."""
    try:
        return _judge(ctx, lv, inventory, snapshot)
    except CarinaTasksError as exc:
        one_object.check(ctx, exc)
        failed.append(f"{lv.group}/{lv.name}: {exc.message}")
        name = lv.name.removeprefix(VOLUME_PREFIX)
        if name in snapshot.logic_volumes:
            events.sweep_failed(ctx, snapshot, snapshot.logic_volumes[name], exc.message)
        return orphans.KeepLv("the API server does not say whether it is wanted", "unreadable")


def _judge_trash(
    ctx: Context, lv: LocalVolume, inventory: Inventory, now: float
) -> orphans.KeepLv | orphans.PurgeTrash:
    name = lv.trashed.name.removeprefix(VOLUME_PREFIX) if lv.trashed is not None else ""
    verdict = orphans.judge_trash(lv, inventory, None, None, now, orphan_rules(ctx))
    if isinstance(verdict, orphans.KeepLv):
        return verdict
    logic_volume, pv = ctx.cluster.logic_volume(name), ctx.cluster.persistent_volume(name)
    verdict = orphans.judge_trash(lv, inventory, logic_volume, pv, now, orphan_rules(ctx))
    if isinstance(verdict, orphans.KeepLv) and logic_volume is not None:
        message = f"{verdict.reason}: celery -A carina_tasks carina restore {inventory.node} {lv.name}"
        ctx.audit.warn(about_volume(logic_volume), "WantedFromTrash", message, node=inventory.node)
    return verdict


def orphan_rules(ctx: Context) -> orphans.OrphanRules:
    """Return the rules of the sweep, as the settings have them."""
    conf = ctx.settings
    return orphans.OrphanRules(
        grace=conf.orphan_grace,
        mark_age=conf.orphan_mark_age,
        groups=conf.managed_groups,
        retention=conf.trash_retention,
        restore_hold=conf.restore_hold,
        old_copies=conf.old_copy_retention,
    )


def _remove_all(
    ctx: Context,
    inventory: Inventory,
    snapshot: ClusterSnapshot,
    doomed: list[tuple[LocalVolume, str]],
    failed: list[str],
) -> tuple[list[str], list[str]]:
    """Remove the orphans of one node; return the names that are in its trash now, and those that were removed permanently.

    Old copies that a failover left have a retention of their own, so they may go into the trash when other orphans do not.
    """
    old = [one for one in doomed if _old_copy(one[0], inventory.node, snapshot)]
    others = [one for one in doomed if one not in old]
    conf = ctx.settings
    trashed, removed = _remove(ctx, inventory, others, int(snapshot.now) if conf.trash_retention else 0, failed)
    kept = max(conf.trash_retention, conf.old_copy_retention)
    more, gone = _remove(ctx, inventory, old, int(snapshot.now) if kept else 0, failed)
    return trashed + more, removed + gone


def _old_copy(lv: LocalVolume, node: str, snapshot: ClusterSnapshot) -> bool:
    name = lv.trashed.name if lv.trashed is not None else lv.name
    return orphans.old_copy(lv, node, snapshot.logic_volumes.get(name.removeprefix(VOLUME_PREFIX)))


def _remove(
    ctx: Context, inventory: Inventory, doomed: list[tuple[LocalVolume, str]], trash_at: int, failed: list[str]
) -> tuple[list[str], list[str]]:
    """Have the node remove these orphans; return the names that are in its trash now, and those that were removed permanently.

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
        volumes=tuple(LvToRemove(v.group, v.name, v.uuid, reason_to_tag(reason)) for v, reason in doomed),
        trash_at=trash_at,
    )
    # Three commands each: tags, deactivation, the new name.
    node = inventory.node
    said = ask_nodes.accepted_results(
        ctx, node, request.volumes, answers.REMOVE,
        lambda: ctx.nodes.ask(node, REMOVE, request, LvResults, more=batch_time(3 * len(doomed))),
    )  # fmt: skip
    reasons = {(lv.group, lv.name): reason for lv, reason in doomed}
    trashed, removed = [], []
    for done in _done(said, node, failed):
        reason = reasons.get((done.group, done.name), "")
        if done.outcome == "trashed":
            trashed.append(f"{done.group}/{done.name}")
            text = _told(node, done, "put into the trash", reason)
            ctx.audit.acted("trash-local-volume", about_node(node), text, "OrphanTrashed", node=node, volume=done.name)
        elif done.outcome == "removed":
            removed.append(f"{done.group}/{done.name}")
            text = _told(node, done, "removed for good", reason)
            ctx.audit.acted("remove-local-volume", about_node(node), text, "OrphanRemoved", node=node, volume=done.name)
    return trashed, removed


def _purge(ctx: Context, inventory: Inventory, snapshot: ClusterSnapshot, failed: list[str]) -> list[str]:
    """Remove for good what has been in the trash for long enough."""
    reasons: dict[tuple[str, str], str] = {}
    doomed: list[LocalVolume] = []
    for lv in inventory.volumes:
        if lv.trashed is None:
            continue
        try:
            verdict = _judge_trash(ctx, lv, inventory, snapshot.now)
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
    said = ask_nodes.accepted_results(
        ctx, node, request.volumes, answers.PURGE,
        lambda: ctx.nodes.ask(node, PURGE, request, LvResults, more=batch_time(2 * len(doomed))),
    )  # fmt: skip
    purged = []
    for done in _done(said, node, failed):
        if done.outcome == "purged":
            purged.append(f"{done.group}/{done.name}")
            reason = reasons.get((done.group, done.name), "")
            text = _told(node, done, "removed for good", reason)
            ctx.audit.acted("purge-local-volume", about_node(node), text, "TrashPurged", node=node, volume=done.name)
    return purged


def _done(said: Iterable[LvResult], node: str, failed: list[str]) -> list[LvResult]:
    """Return what was not refused, and note in `failed` what was."""
    for done in said:
        if done.outcome == "failed":
            failed.append(f"{done.group}/{done.name}: {done.reason}")
            structlog.get_logger().warning(
                "a local volume was not removed", node=node, volume=done.name, reason=done.reason
            )
    return [done for done in said if done.outcome != "failed"]


def _told(node: str, done: LvResult, what: str, reason: str) -> str:
    return f"local volume {done.group}/{done.name} of node {node} {what}: {reason}"


def _report_missing(
    ctx: Context, snapshot: ClusterSnapshot, inventory: Inventory
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the LogicVolumes whose local volume is missing, and what troubles the node beyond single volumes."""
    found = orphans.missing_local_volumes(snapshot, inventory, ctx.settings.orphan_grace)
    for item in found:
        ctx.audit.warn(about_volume(item.logic_volume), "LocalVolumeMissing", item.reason, node=inventory.node)
    return tuple(item.logic_volume.name for item in found), tuple(
        sorted({item.trouble for item in found if item.trouble})
    )


def _target(lv: LocalVolume) -> LvTarget:
    return LvTarget(group=lv.group, name=lv.name, uuid=lv.uuid)
