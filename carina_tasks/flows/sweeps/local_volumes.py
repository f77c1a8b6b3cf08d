"""The sweep of local volumes.

Each node's LVs against the cluster's LogicVolumes and PersistentVolumes.

The order is part of the safety: inventories first, the cluster's lists after them. Carina makes the
LogicVolume before the LV, so an LV that an inventory shows has its LogicVolume in a list that is
read later. And before a volume is removed, both objects are asked for once more by name.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sized

import msgspec

from carina_tasks.decisions import answers, guards, orphans
from carina_tasks.errors import CarinaTasksError
from carina_tasks.flows import ask_nodes, one_object
from carina_tasks.flows.context import Context
from carina_tasks.flows.failover import events
from carina_tasks.flows.sweeps import rules as sweep_rules
from carina_tasks.flows.sweeps.removal import is_old_copy, purge, remove_all, target_of
from carina_tasks.flows.sweeps.results import (
    KeptVolumes,
    LocalSweepNode,
    LocalSweepResult,
    MissingVolume,
    Swept,
    SweptNode,
    summary_of,
)
from carina_tasks.model import task_names
from carina_tasks.model.local import Inventory, LocalVolume
from carina_tasks.model.messages import (
    LvResults,
    MarkLvs,
    batch_time,
)
from carina_tasks.model.names import TRASH_PREFIX, VOLUME_PREFIX
from carina_tasks.model.snapshot import ClusterSnapshot, unreadable_lines
from carina_tasks.model.times import moment
from carina_tasks.observability import metrics
from carina_tasks.observability.audit import about_node, about_volume

RESULT_NAME = "sweep.local_volumes"
KEPT = 86400
"""Seconds for which the last good sweep is remembered: after a day its age no longer matters.
"""


def sweep_local_volumes(ctx: Context, confirm: Mapping[str, int] | None = None) -> LocalSweepResult:
    """Mark and remove orphans on every Ready node, and report missing local volumes.

    `confirm` is the operator's yes to a number of orphans above the cap: ``{node: number}``.
    """
    ctx.check_pause()
    began = ctx.monotonic()
    swept: list[tuple[SweptNode, Counter[str]]] = []
    ready: list[str] = []
    nodes = ctx.cluster.nodes()
    results = [LocalSweepNode(name, "failed", why) for name, why in nodes.unreadable.items()]
    for node in nodes.values.values():
        if node.is_ready:
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
            results.append(
                _sweep_node(ctx, inventory, snapshot, (confirm or {}).get(name, 0), swept)
            )
        except CarinaTasksError as exc:
            # An error on one node stops no other node.
            results.append(LocalSweepNode(name, "failed", exc.message))
    metrics.SWEEP_SECONDS.labels("local_volumes").observe(ctx.monotonic() - began)
    missing = tuple(MissingVolume(volume, node.node) for node in results for volume in node.missing)
    kept = tuple(KeptVolumes(*pair) for pair in sorted(_sum(kept for _, kept in swept).items()))
    found = tuple(msgspec.structs.replace(one, at=int(snapshot.now)) for one, _ in swept)
    if found or not ready:
        # A sweep that reached no node is no success.
        _keep(ctx, snapshot, Swept(int(snapshot.now), missing, found, kept))
    return LocalSweepResult(
        nodes=tuple(results),
        unreadable=unreadable_lines(snapshot.unreadable),
        summary=summary_of(results),
    )


def _keep(ctx: Context, snapshot: ClusterSnapshot, now: Swept) -> None:
    """Keep what was found, and of nodes that were not swept this time what was found there last."""
    before = ctx.findings.last(RESULT_NAME, Swept)
    reached = {one.node for one in now.nodes}
    old = (
        [one for one in before.nodes if one.node not in reached and one.node in snapshot.nodes]
        if before
        else []
    )
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
    verdicts = [
        (lv, _judge_alone(ctx, lv, inventory, snapshot, failed)) for lv in inventory.volumes
    ]
    to_mark = [lv for lv, verdict in verdicts if isinstance(verdict, orphans.MarkOrphan)]
    to_unmark = [lv for lv, verdict in verdicts if isinstance(verdict, orphans.UnmarkOrphan)]
    to_remove = [
        (lv, verdict.reason)
        for lv, verdict in verdicts
        if isinstance(verdict, orphans.RemoveOrphan)
    ]
    missing, troubles = _report_missing(ctx, snapshot, inventory)
    outcome, reason = "swept", "; ".join(troubles)

    volumes = sum(lv.name.startswith(VOLUME_PREFIX) for lv in inventory.volumes)
    cap = guards.orphan_cap(
        len(to_remove), volumes, ctx.settings.orphan_limit, ctx.settings.orphan_share, confirmed
    )
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
            at=int(snapshot.now),
            mark=tuple(map(target_of, to_mark)),
            unmark=tuple(map(target_of, to_unmark)),
        )
        asked = (*request.mark, *request.unmark)
        said = ask_nodes.accepted_results(
            ctx,
            node,
            asked,
            answers.MARK,
            lambda: ctx.nodes.ask(
                node, task_names.MARK_VOLUMES, request, LvResults, more=batch_time(len(asked))
            ),
        )
        failed += [f"{v.group}/{v.name}: {v.reason}" for v in said if v.outcome == "failed"]
    trashed, removed = remove_all(ctx, inventory, snapshot, to_remove, failed)
    purged = purge(ctx, inventory, snapshot, failed)
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


def _found(
    ctx: Context, inventory: Inventory, snapshot: ClusterSnapshot, missing: int, over_cap: int
) -> SweptNode:
    sizes = [lv.size for lv in inventory.volumes if lv.trashed is not None]
    # In the trash, or still on their way there: all of them hold the data of before a failover.
    old = [
        v
        for v in inventory.volumes
        if v.name.startswith((VOLUME_PREFIX, TRASH_PREFIX))
        and is_old_copy(v, inventory.node, snapshot)
    ]
    kept = max(ctx.settings.trash_retention, ctx.settings.old_copy_retention)
    until = min((int((v.trashed.at if v.trashed else snapshot.now) + kept) for v in old), default=0)
    if old and kept:
        message = (
            f"node {inventory.node} holds the data that {len(old)} volumes had before they were "
            f"failed over, until {moment(until)} or until a rebuild needs the space: celery -A "
            f"carina_tasks carina plan {inventory.node} --failback"
        )
        ctx.audit.event(about_node(inventory.node), "Normal", "OldCopiesKept", message)
    return SweptNode(
        inventory.node,
        missing,
        over_cap,
        len(sizes),
        sum(sizes),
        old_copies=len(old) if kept else 0,
        old_until=until,
    )


def _judge(
    ctx: Context, lv: LocalVolume, inventory: Inventory, snapshot: ClusterSnapshot
) -> orphans.OrphanVerdict:
    name = lv.name.removeprefix(VOLUME_PREFIX)
    if any(u.name == name for u in snapshot.unreadable):
        return orphans.KeepLv("an object of its name cannot be read", "unreadable")
    rules = sweep_rules.orphan_rules(ctx)
    verdict = orphans.judge_local_volume(
        lv,
        inventory,
        snapshot.logic_volumes.get(name),
        snapshot.persistent_volumes.get(name),
        snapshot.now,
        rules,
    )
    if not isinstance(verdict, orphans.MarkOrphan | orphans.RemoveOrphan):
        return verdict
    # A list can be stale or cut short by a proxy in between: ask for these
    # two by name.
    return orphans.judge_local_volume(
        lv,
        inventory,
        ctx.cluster.logic_volume(name),
        ctx.cluster.persistent_volume(name),
        snapshot.now,
        rules,
    )


def _judge_alone(
    ctx: Context,
    lv: LocalVolume,
    inventory: Inventory,
    snapshot: ClusterSnapshot,
    failed: list[str],
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


def _report_missing(
    ctx: Context, snapshot: ClusterSnapshot, inventory: Inventory
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the LogicVolumes whose LV is missing, and what is wrong with the node itself."""
    found = orphans.missing_local_volumes(snapshot, inventory, ctx.settings.orphan_grace)
    for item in found:
        ctx.audit.warn(
            about_volume(item.logic_volume), "LocalVolumeMissing", item.reason, node=inventory.node
        )
    return tuple(item.logic_volume.name for item in found), tuple(
        sorted({item.trouble for item in found if item.trouble})
    )
