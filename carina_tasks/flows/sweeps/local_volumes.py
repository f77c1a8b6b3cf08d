"""The sweep of local volumes.

Each node's LVs against the cluster's LogicVolumes and PersistentVolumes.

The order is part of the safety: inventories first, the cluster's lists after them. Carina makes the
LogicVolume before the LV, so an LV that an inventory shows has its LogicVolume in a list that is
read later. And before a volume is removed, both objects are asked for once more by name.

It is a stream: what some nodes answered is judged by one look at the cluster that follows, acted
on, and forgotten but for what the result tells. So its memory does not grow with the cluster, and
no node waits for a silent one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from carina_tasks.decisions import guards, orphans, whose
from carina_tasks.errors import CarinaTasksError
from carina_tasks.flows import ask_nodes, one_object
from carina_tasks.flows.context import Context
from carina_tasks.flows.failover import events
from carina_tasks.flows.sweeps import removal
from carina_tasks.flows.sweeps import rules as sweep_rules
from carina_tasks.flows.sweeps.results import (
    LocalSweepNode,
    LocalSweepResult,
    MissingVolume,
    SweptNode,
    summary_of,
)
from carina_tasks.flows.sweeps.tally import Tally
from carina_tasks.flows.threads import Crew, crew, each
from carina_tasks.model.local import Inventory, LocalVolume
from carina_tasks.model.names import TRASH_PREFIX, VOLUME_PREFIX
from carina_tasks.model.objects import LogicVolume
from carina_tasks.model.snapshot import ClusterSnapshot, unreadable_lines
from carina_tasks.model.times import moment
from carina_tasks.observability import metrics
from carina_tasks.observability.audit import about_node, about_volume

RESULT_NAME = "sweep.local_volumes"
KEPT = 86400
"""Seconds for which the last good sweep is remembered: after a day its age no longer matters.
"""
BATCH = 128
"""Nodes that are judged together, and those that are acted on meanwhile: what they reported is all
that a sweep keeps in memory (100 KB for a node of 100 volumes).
"""
LISTED = 1000
"""Nodes that are judged by one look at the cluster while that must be listed."""
ACTING = 8
"""Nodes that are acted on at the same time for each thread of the setting ``CONCURRENCY``: they
wait for the node.
"""

_Answers = dict[str, Inventory | CarinaTasksError]


def sweep_local_volumes(ctx: Context, confirm: Mapping[str, int] | None = None) -> LocalSweepResult:
    """Mark and remove orphans on every Ready node, and report missing local volumes.

    `confirm` is the operator's yes to a number of orphans above the cap: ``{node: number}``.
    """
    ctx.check_pause()
    began = ctx.monotonic()
    nodes = ctx.cluster.nodes()
    ready = sorted(node.name for node in nodes.values.values() if node.is_ready)
    left_out = [LocalSweepNode(name, "failed", why) for name, why in nodes.unreadable.items()]
    left_out += [
        LocalSweepNode(name, "skipped", "the node is not Ready")
        for name, node in nodes.values.items()
        if not node.is_ready
    ]
    tally = Tally()
    ctx.progress(f"asking {len(ready)} nodes what they hold")
    with crew(ACTING * ctx.settings.concurrency, BATCH) as acting:
        for come in _batches(ctx, ready):
            _sweep_some(ctx, come, confirm or {}, tally, acting)
            ctx.progress(f"{tally.nodes} of {len(ready)} nodes")
        swept = [*tally.results, *acting.results()]
    results = [*left_out, *sorted(swept, key=lambda one: one.node)]
    metrics.SWEEP_SECONDS.labels("local_volumes").observe(ctx.monotonic() - began)
    snapshot = tally.snapshot or ctx.cluster.observe()
    if tally.found or not ready:
        # A sweep that reached no node is no success.
        tally.keep(ctx, snapshot, RESULT_NAME, KEPT)
    return LocalSweepResult(
        nodes=tuple(results),
        unreadable=unreadable_lines(snapshot.unreadable),
        summary=summary_of(results, {one.volume: one.claim for one in tally.missing}),
    )


def _batches(ctx: Context, nodes: Sequence[str]) -> Iterator[_Answers]:
    """Yield what nodes answered, as much at a time as one look at the cluster judges.

    While the cluster is not watched, each look costs complete lists, so more is waited for.
    """
    held: _Answers = {}
    for come in ask_nodes.arriving(ctx, nodes, BATCH):
        held |= come
        if len(held) >= LISTED or ctx.cluster.is_watched:
            yield held
            held = {}
    if held:
        yield held


def _sweep_some(
    ctx: Context,
    come: _Answers,
    confirm: Mapping[str, int],
    tally: Tally,
    acting: Crew[LocalSweepNode],
) -> None:
    """Judge what some nodes answered, and begin to act on it.

    Args:
        ctx: The outside world.
        come: What they answered.
        confirm: The operator's yes to a number of orphans above the cap, by node.
        tally: Takes what is known of all nodes.
        acting: Asks nodes for what is to be done: one that does not answer holds one of its threads
            until the deadline, and no other node.
    """
    tally.nodes += len(come)
    tally.results += [
        LocalSweepNode(name, "failed", answer.message)
        for name, answer in come.items()
        if isinstance(answer, CarinaTasksError)
    ]
    inventories = ask_nodes.answered(come)
    if not inventories:
        return
    # A long sweep ends soon after it was paused.
    ctx.check_pause()
    # The next look lets the first go: its lists were copied when the cluster changed.
    tally.snapshot = None
    tally.snapshot = snapshot = ctx.cluster.observe()
    here = snapshot.logic_volumes_by_node(inventories.keys())

    def judged(inventory: Inventory) -> _Judged | LocalSweepNode:
        node = inventory.node
        try:
            return _judge_node(ctx, inventory, snapshot, here.get(node, ()), confirm.get(node, 0))
        except CarinaTasksError as exc:
            # An error on one node stops no other node.
            return LocalSweepNode(node, "failed", exc.message)

    def acted(found: _Judged) -> LocalSweepNode:
        try:
            return _act_on(ctx, found)
        except CarinaTasksError as exc:
            return LocalSweepNode(found.inventory.node, "failed", exc.message)

    ordered = [one for _, one in sorted(inventories.items())]
    for found in each(ctx.settings.concurrency, judged, ordered):
        if isinstance(found, LocalSweepNode):
            tally.results.append(found)
            continue
        # What was found counts whatever becomes of the requests to the node.
        tally.found.append(found.found)
        tally.kept.update(verdict.why for verdict in found.kept)
        tally.missing += [
            MissingVolume(name, found.inventory.node, whose.claim_of(snapshot, name))
            for name in found.missing
        ]
        if found.asks_nothing:
            tally.results.append(acted(found))
        else:
            acting.add(acted, found)


@dataclass(frozen=True, slots=True)
class _Judged:
    """What the sweep found on one node, before it asks the node for anything."""

    inventory: Inventory
    world: ClusterSnapshot
    """What the removal looks at: the LogicVolumes of the LVs to remove. The whole cluster would be
    kept alive until the node has answered.
    """
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
    def asks_nothing(self) -> bool:
        """Whether nothing is to be done on the node."""
        return all(isinstance(verdict, orphans.KeepLv) for _, verdict in self.verdicts) and all(
            lv.trashed is None for lv in self.inventory.volumes
        )

    @property
    def kept(self) -> list[orphans.KeepLv]:
        """The verdicts about the LVs that stay."""
        return [v for _, v in self.verdicts if isinstance(v, orphans.KeepLv)]


def _judge_node(
    ctx: Context,
    inventory: Inventory,
    snapshot: ClusterSnapshot,
    here: Iterable[LogicVolume],
    confirmed: int,
) -> _Judged:
    """Judge all LVs of one node.

    Args:
        ctx: The outside world.
        inventory: What the node reported.
        snapshot: The cluster as it was read after that.
        here: The LogicVolumes of `snapshot` that name the node.
        confirmed: The number of orphans that the operator said yes to.
    """
    verdicts = tuple((lv, _judge_alone(ctx, lv, inventory, snapshot)) for lv in inventory.volumes)
    missing, troubles = _report_missing(ctx, here, inventory, snapshot.now)
    doomed = [lv for lv, verdict in verdicts if isinstance(verdict, orphans.RemoveOrphan)]
    lvs = sum(lv.name.startswith(VOLUME_PREFIX) for lv in inventory.volumes)
    cap = guards.orphan_cap(
        len(doomed), lvs, ctx.settings.orphan_limit, ctx.settings.orphan_share, confirmed
    )
    over = len(doomed) if isinstance(cap, guards.GuardStops) else 0
    found = _found(ctx, inventory, snapshot, len(missing), over)
    world = removal.world_of(doomed, snapshot)
    return _Judged(inventory, world, verdicts, missing, troubles, cap, found)


def _act_on(ctx: Context, judged: _Judged) -> LocalSweepNode:
    node, doomed = judged.inventory.node, judged.doomed
    outcome: Literal["swept", "refused"] = "swept"
    reason = "; ".join(judged.troubles)
    if isinstance(judged.cap, guards.GuardStops):
        ctx.audit.guarded("OrphanCap", f"node {node}: {judged.cap.reason}", about_node(node))
        outcome, reason, doomed = "refused", judged.cap.reason, []
    not_judged = removal.Done(failed=tuple(v.error for v in judged.kept if v.error))
    done = (
        not_judged
        + removal.mark(
            ctx,
            node,
            int(judged.world.now),
            judged.lvs(orphans.MarkOrphan),
            judged.lvs(orphans.UnmarkOrphan),
        )
        + removal.remove_all(ctx, judged.inventory, judged.world, doomed)
        + removal.purge(ctx, judged.inventory, judged.world.now)
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
        at=int(snapshot.now),
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
    ctx: Context, here: Iterable[LogicVolume], inventory: Inventory, now: float
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the LogicVolumes whose LV is missing, and what is wrong with the node itself.

    Args:
        ctx: The outside world.
        here: The LogicVolumes that name the node.
        inventory: What the node reported.
        now: Seconds since the epoch, by the API server's clock.
    """
    found = orphans.missing_local_volumes(here, inventory, now, ctx.settings.orphan_grace)
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
