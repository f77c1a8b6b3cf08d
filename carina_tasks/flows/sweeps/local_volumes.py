"""The sweep of local volumes.

Each node's LVs against the cluster's LogicVolumes and PersistentVolumes.

The order is part of the safety: inventories first, the cluster's lists after them. Carina makes the
LogicVolume before the LV, so an LV that an inventory shows has its LogicVolume in a list that is
read later. And before a volume is removed, both objects are asked for once more by name.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import msgspec

from carina_tasks.decisions import answers, guards, orphans, whose
from carina_tasks.errors import CarinaTasksError
from carina_tasks.flows import ask_nodes, one_object
from carina_tasks.flows.context import Context
from carina_tasks.flows.failover import events
from carina_tasks.flows.sweeps import removal
from carina_tasks.flows.sweeps import rules as sweep_rules
from carina_tasks.flows.sweeps.results import (
    KeptVolumes,
    LocalSweepNode,
    LocalSweepResult,
    MissingVolume,
    Swept,
    SweptNode,
    summary_of,
)
from carina_tasks.flows.threads import each
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
    nodes = ctx.cluster.nodes()
    ready = [node.name for node in nodes.values.values() if node.is_ready]
    results = [LocalSweepNode(name, "failed", why) for name, why in nodes.unreadable.items()]
    results += [
        LocalSweepNode(name, "skipped", "the node is not Ready")
        for name, node in nodes.values.items()
        if not node.is_ready
    ]
    ctx.progress(f"asking {len(ready)} nodes what they hold")
    inventories = ask_nodes.inventories(ctx, ready)
    snapshot = ctx.cluster.observe()
    judged: list[_Judged] = []
    numbers = itertools.count(1)

    def swept(item: tuple[str, Inventory | CarinaTasksError]) -> LocalSweepNode:
        name, inventory = item
        ctx.progress(f"node {next(numbers)} of {len(inventories)}: {name}")
        if isinstance(inventory, CarinaTasksError):
            return LocalSweepNode(name, "failed", inventory.message)
        try:
            # What was found counts whatever becomes of the requests to the node.
            found = _judge_node(ctx, inventory, snapshot, (confirm or {}).get(name, 0))
            judged.append(found)
            return _act_on(ctx, found, snapshot)
        except CarinaTasksError as exc:
            # An error on one node stops no other node.
            return LocalSweepNode(name, "failed", exc.message)

    # A node that does not answer holds one thread until its deadline, and no other node.
    results += each(ctx.settings.concurrency, swept, sorted(inventories.items()))
    judged.sort(key=lambda one: one.inventory.node)
    metrics.SWEEP_SECONDS.labels("local_volumes").observe(ctx.monotonic() - began)
    if judged or not ready:
        # A sweep that reached no node is no success.
        _keep(ctx, snapshot, judged, results)
    return LocalSweepResult(
        nodes=tuple(results),
        unreadable=unreadable_lines(snapshot.unreadable),
        summary=summary_of(results, {v.name: v.claim_key for v in snapshot.logic_volumes.values()}),
    )


@dataclass(frozen=True, slots=True)
class _Judged:
    """What the sweep found on one node, before it asks the node for anything."""

    inventory: Inventory
    verdicts: tuple[tuple[LocalVolume, orphans.OrphanVerdict], ...]
    missing: tuple[str, ...]
    """LogicVolumes whose LV the node has not."""
    troubles: tuple[str, ...]
    """What is wrong with the node itself."""
    cap: guards.GuardAllows | guards.GuardStops
    """Whether so many orphans may be removed."""
    found: SweptNode

    def lvs(self, kind: type[orphans.MarkOrphan | orphans.UnmarkOrphan]) -> list[LocalVolume]:
        """Return the LVs with that verdict."""
        return [lv for lv, verdict in self.verdicts if isinstance(verdict, kind)]

    @property
    def doomed(self) -> list[tuple[LocalVolume, str]]:
        """The LVs to remove, each with its reason."""
        return [(lv, v.reason) for lv, v in self.verdicts if isinstance(v, orphans.RemoveOrphan)]

    @property
    def kept(self) -> list[orphans.KeepLv]:
        """The verdicts about the LVs that stay."""
        return [v for _, v in self.verdicts if isinstance(v, orphans.KeepLv)]


def _keep(
    ctx: Context,
    snapshot: ClusterSnapshot,
    judged: Sequence[_Judged],
    results: Sequence[LocalSweepNode],
) -> None:
    """Keep what was found, and of nodes that were not swept this time what was found there last."""
    before = ctx.latest_results.last(RESULT_NAME, Swept)
    now = [msgspec.structs.replace(one.found, at=int(snapshot.now)) for one in judged]
    reached = {one.node for one in now}
    if before:
        now += [n for n in before.nodes if n.node not in reached and n.node in snapshot.nodes]
    kept = Counter(verdict.why for one in judged for verdict in one.kept)
    swept = Swept(
        int(snapshot.now),
        tuple(
            MissingVolume(name, node.node, whose.claim_of(snapshot, name))
            for node in results
            for name in node.missing
        ),
        tuple(sorted(now, key=lambda one: one.node)),
        tuple(KeptVolumes(*pair) for pair in sorted(kept.items())),
    )
    ctx.latest_results.keep(RESULT_NAME, swept, KEPT)


def _judge_node(
    ctx: Context, inventory: Inventory, snapshot: ClusterSnapshot, confirmed: int
) -> _Judged:
    verdicts = tuple((lv, _judge_alone(ctx, lv, inventory, snapshot)) for lv in inventory.volumes)
    missing, troubles = _report_missing(ctx, snapshot, inventory)
    doomed = sum(isinstance(verdict, orphans.RemoveOrphan) for _, verdict in verdicts)
    lvs = sum(lv.name.startswith(VOLUME_PREFIX) for lv in inventory.volumes)
    cap = guards.orphan_cap(
        doomed, lvs, ctx.settings.orphan_limit, ctx.settings.orphan_share, confirmed
    )
    over = doomed if isinstance(cap, guards.GuardStops) else 0
    found = _found(ctx, inventory, snapshot, len(missing), over)
    return _Judged(inventory, verdicts, missing, troubles, cap, found)


def _act_on(ctx: Context, judged: _Judged, snapshot: ClusterSnapshot) -> LocalSweepNode:
    node, doomed = judged.inventory.node, judged.doomed
    outcome: Literal["swept", "refused"] = "swept"
    reason = "; ".join(judged.troubles)
    if isinstance(judged.cap, guards.GuardStops):
        ctx.audit.guarded("OrphanCap", f"node {node}: {judged.cap.reason}", about_node(node))
        outcome, reason, doomed = "refused", judged.cap.reason, []
    not_judged = removal.Done(failed=tuple(v.error for v in judged.kept if v.error))
    done = (
        not_judged
        + _mark(ctx, judged, snapshot)
        + removal.remove_all(ctx, judged.inventory, snapshot, doomed)
        + removal.purge(ctx, judged.inventory, snapshot)
    )
    for what in ("marked", "unmarked", "trashed", "removed", "purged", "failed"):
        metrics.ORPHANS.labels(what).inc(len(getattr(done, what)))
    return LocalSweepNode(
        node=node,
        outcome=outcome,
        reason=reason,
        kept=len(judged.kept),
        marked=done.marked,
        unmarked=done.unmarked,
        trashed=done.trashed,
        removed=done.removed,
        purged=done.purged,
        failed=done.failed,
        missing=judged.missing,
    )


def _mark(ctx: Context, judged: _Judged, snapshot: ClusterSnapshot) -> removal.Done:
    mark, unmark = judged.lvs(orphans.MarkOrphan), judged.lvs(orphans.UnmarkOrphan)
    if not mark and not unmark:
        return removal.Done()
    node = judged.inventory.node
    request = MarkLvs(
        at=int(snapshot.now),
        mark=tuple(map(removal.target_of, mark)),
        unmark=tuple(map(removal.target_of, unmark)),
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
    return removal.Done(
        marked=tuple(f"{lv.group}/{lv.name}" for lv in mark),
        unmarked=tuple(f"{lv.group}/{lv.name}" for lv in unmark),
        failed=tuple(f"{r.group}/{r.name}: {r.reason}" for r in results if r.outcome == "failed"),
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
        and removal.is_old_copy(v, inventory.node, snapshot)
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
    if name in snapshot.unreadable_names:
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
    # A proxy can make a list stale or cut it short: ask for these two by name.
    return orphans.judge_local_volume(
        lv,
        inventory,
        ctx.cluster.logic_volume(name),
        ctx.cluster.persistent_volume(name),
        snapshot.now,
        rules,
    )


def _judge_alone(
    ctx: Context, lv: LocalVolume, inventory: Inventory, snapshot: ClusterSnapshot
) -> orphans.OrphanVerdict:
    """Judge one LV; keep it, and no other, when the API server refuses to say what it is."""
    try:
        return _judge(ctx, lv, inventory, snapshot)
    except CarinaTasksError as exc:
        one_object.check(ctx, exc)
        name = lv.name.removeprefix(VOLUME_PREFIX)
        if name in snapshot.logic_volumes:
            events.sweep_failed(ctx, snapshot, snapshot.logic_volumes[name], exc.message)
        return orphans.KeepLv(
            "the API server does not report whether it is needed",
            "unreadable",
            error=f"{lv.group}/{lv.name}: {exc.message}",
        )


def _report_missing(
    ctx: Context, snapshot: ClusterSnapshot, inventory: Inventory
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the LogicVolumes whose LV is missing, and what is wrong with the node itself."""
    found = orphans.missing_local_volumes(snapshot, inventory, ctx.settings.orphan_grace)
    for item in found:
        ctx.audit.warn(
            about_volume(item.logic_volume),
            "LocalVolumeMissing",
            f"{whose.titled(item.logic_volume)}: {item.reason}",
            node=inventory.node,
        )
    return tuple(item.logic_volume.name for item in found), tuple(
        sorted({item.trouble for item in found if item.trouble})
    )
