"""Where the logic volumes of a node go, and the journals that record it."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Literal

import structlog

from carina_tasks.decisions import placement, pv_manifest, rebuild, selection
from carina_tasks.errors import ApiConflict, CarinaTasksError, NotFound, PermanentError
from carina_tasks.flows import ask_nodes, one_object
from carina_tasks.flows.context import Context
from carina_tasks.flows.failover import events, whole_pvs
from carina_tasks.flows.failover.rehearse import rehearse
from carina_tasks.flows.failover.results import VolumeResult
from carina_tasks.flows.threads import spread
from carina_tasks.model.journal import Journal
from carina_tasks.model.local import Inventory
from carina_tasks.model.objects import LogicVolume, Pod, WholePersistentVolume
from carina_tasks.model.snapshot import ClusterSnapshot

Kind = Literal["rebuild", "migrate", "failback"]


@dataclass(frozen=True, slots=True)
class Cause:
    """Why volumes leave a node.

    The kind of failover, the node, its UID if known, and the reason that users read.
    """

    kind: Kind
    node: str
    uid: str
    reason: str


@dataclass(frozen=True, slots=True)
class Copies:
    """The two copies of a volume that is failed back."""

    old: str
    """UUID of the LV that becomes the volume again."""
    in_use: str
    """UUID of the LV that is the volume now; empty when its node has none."""
    old_bytes: int = 0
    """What a file system on the old LV can hold, when that is less than the volume has now; else 0.
    """


def begin(
    ctx: Context,
    snapshot: ClusterSnapshot,
    verdicts: Iterable[placement.Placement | placement.Unschedulable],
    cause_of: Callable[[str], Cause],
    copies: Mapping[str, Copies] = MappingProxyType({}),
) -> tuple[dict[str, rebuild.RebuildView], list[VolumeResult]]:
    """Write the journals of what was planned.

    Return those that may continue, as they were written, and what became of the others.

    What the API server would refuse is left as it is, with what goes together with it. Every
    journal, of all lost nodes, is written before the first volume is touched. A volume whose
    companion could not be journalled waits: resume journals the companion first. `copies` has the
    LVs of the volumes that are failed back, by name.

    Args:
        ctx: The outside world.
        snapshot: The cluster as it was read.
        verdicts: Where each logic volume goes.
        cause_of: Returns why volumes leave the node of that name.
        copies: The LVs of those that are failed back, by name.
    """
    verdicts = tuple(verdicts)
    places = [one for one in verdicts if isinstance(one, placement.Placement)]
    pvs, results = whole_pvs.read(ctx, places)
    snapshot = replace(snapshot, persistent_volumes={**snapshot.persistent_volumes, **pvs})
    wanted: dict[str, tuple[LogicVolume, Journal]] = {}
    for verdict in verdicts:
        logic_volume = verdict.logic_volume
        cause = cause_of(logic_volume.node)
        if isinstance(verdict, placement.Unschedulable):
            events.no_fit(ctx, snapshot, logic_volume, cause.node, verdict.reason)
            results.append(
                VolumeResult(
                    logic_volume.name,
                    "no-fit",
                    verdict.reason,
                    cause.node,
                    claim=logic_volume.claim_key,
                )
            )
        elif pv := pvs.get(logic_volume.name):
            wanted[logic_volume.name] = (
                logic_volume,
                _journal(snapshot, verdict, pv, cause, copies.get(logic_volume.name)),
            )
            structlog.get_logger().info(
                "planned",
                volume=logic_volume.name,
                node=cause.node,
                target=verdict.node,
                reason=verdict.reason,
            )
    views: dict[str, rebuild.RebuildView] = {}
    for view in _write_all(ctx, snapshot, wanted, pvs):
        if isinstance(view, VolumeResult):
            results.append(view)
        else:
            views[view.logic_volume.name] = view
    unwritten = {place.logic_volume.name for place in places} - views.keys()
    parted = [name for name, one in views.items() if unwritten & set(one.journal.together)]
    for name in parted:
        reason = "another volume of its pod changed since the plan, and is journalled first"
        journal = views.pop(name).journal
        results.append(
            VolumeResult(name, "unfinished", reason, journal.source, journal.target, again=True)
        )
    return views, results


def _write_all(
    ctx: Context,
    snapshot: ClusterSnapshot,
    wanted: Mapping[str, tuple[LogicVolume, Journal]],
    pvs: Mapping[str, WholePersistentVolume],
) -> list[rebuild.RebuildView | VolumeResult]:
    """Write the journals, several at a time, but those that the API server would refuse."""
    refused = rehearse(ctx, snapshot, wanted)
    held = _no_longer_movable(ctx, snapshot, [journal for _, journal in wanted.values()])

    def begun(item: tuple[LogicVolume, Journal]) -> rebuild.RebuildView | VolumeResult:
        logic_volume, journal = item
        for name in (logic_volume.name, *journal.together):
            if name in held:
                return VolumeResult(
                    logic_volume.name, "unfinished", held[name], journal.source, journal.target
                )
        result = _refused(ctx, snapshot, logic_volume, journal, refused) or write_journal(
            ctx, snapshot, logic_volume, journal
        )
        if isinstance(result, VolumeResult):
            return result
        events.planned(ctx, snapshot, logic_volume, journal)
        claim = snapshot.claims.get(logic_volume.claim_key)
        return rebuild.RebuildView(
            result,
            journal,
            pvs[logic_volume.name],
            claim,
            lv=None,
            planned_pods=_planned_pods(snapshot, logic_volume, journal),
        )

    if not wanted:
        return []
    with ThreadPoolExecutor(min(len(wanted), ctx.settings.concurrency)) as pool:
        return list(spread(pool, begun, wanted.values()))


def _no_longer_movable(
    ctx: Context, snapshot: ClusterSnapshot, journals: Iterable[Journal]
) -> dict[str, str]:
    """Return the volumes of NotReady nodes whose pods must stay by now, with why.

    A plan, its dry runs and the reading of its PVs may take a minute, in which an operator may take
    the annotation off a pod.

    Args:
        ctx: The outside world.
        snapshot: The cluster as it was planned for.
        journals: The journals that are to be written.

    Raises:
        CarinaTasksError: The pods could not be listed.
    """
    sources = {journal.source for journal in journals if journal.kind == "migrate"}
    if not sources:
        return {}
    pods = {pod.meta.uid: pod for pod in (*snapshot.pods, *ctx.cluster.pods_to_move(sources))}
    now = replace(snapshot, pods=tuple(pods.values()))
    return {
        verdict.logic_volume.name: f"it changed since the plan: {verdict.reason}"
        for source in sources
        for verdict in selection.of_not_ready_node(now, source)
        if isinstance(verdict, selection.Skip)
    }


def _planned_pods(
    snapshot: ClusterSnapshot, logic_volume: LogicVolume, journal: Journal
) -> tuple[Pod, ...] | None:
    """Return the pods that were listed on the source for the plan, None when they do not count.

    A deleted node starts no pod and changes none. On a node that is there, the annotation that
    lets a pod move may have been taken off since.
    """
    if journal.kind != "rebuild" or journal.source in snapshot.nodes:
        return None
    users = snapshot.pods_of(logic_volume.claim_key)
    return tuple(pod for pod in users if pod.node == journal.source)


def _journal(
    snapshot: ClusterSnapshot,
    verdict: placement.Placement,
    pv: WholePersistentVolume,
    cause: Cause,
    copies: Copies | None,
) -> Journal:
    return Journal(
        intent=str(uuid.uuid4()),
        kind=cause.kind,
        source=cause.node,
        source_uid=cause.uid,
        target=verdict.node,
        reason=cause.reason,
        started=int(snapshot.now),
        manifest=pv_manifest.manifest_of(pv, pv.policy),
        stale=verdict.stale,
        together=verdict.together,
        copy=copies.old if copies else "",
        copy_bytes=copies.old_bytes if copies else 0,
        before=copies.in_use if copies else "",
    )


def _refused(
    ctx: Context,
    snapshot: ClusterSnapshot,
    logic_volume: LogicVolume,
    journal: Journal,
    refused: Mapping[str, str],
) -> VolumeResult | None:
    """Return the result of a logic volume that the API server would refuse.

    One that belongs together with it gets the same result.
    """
    if reason := refused.get(logic_volume.name, ""):
        events.refused(ctx, snapshot, logic_volume, journal.source, reason)
        return VolumeResult(logic_volume.name, "failed", reason, journal.source, journal.target)
    if other := next((name for name in journal.together if name in refused), ""):
        reason = f"it waits for {other}, which its pod uses too: {refused[other]}"
        events.refused(ctx, snapshot, logic_volume, journal.source, reason)
        return VolumeResult(logic_volume.name, "unfinished", reason, journal.source, journal.target)
    return None


def write_journal(
    ctx: Context, snapshot: ClusterSnapshot, logic_volume: LogicVolume, journal: Journal
) -> LogicVolume | VolumeResult:
    """Write the journal; return the LogicVolume with it, or the result when it was not written.

    Args:
        ctx: The outside world.
        snapshot: The cluster as it was read.
        logic_volume: The LogicVolume as it was planned.
        journal: The journal that it gets.

    Raises:
        CarinaTasksError: What concerns more than this volume.
    """
    try:
        return ctx.writes.write_journal(logic_volume, journal)
    except (ApiConflict, NotFound) as exc:
        return VolumeResult(
            logic_volume.name,
            "unfinished",
            f"it changed since the plan: {exc.message}",
            journal.source,
        )
    except CarinaTasksError as exc:
        one_object.check(ctx, exc)
        reason = f"its journal was not written: {exc.message}"
        events.refused(ctx, snapshot, logic_volume, journal.source, reason)
        outcome: Literal["failed", "unfinished"] = (
            "failed" if isinstance(exc, PermanentError) else "unfinished"
        )
        return VolumeResult(logic_volume.name, outcome, reason, journal.source, journal.target)


def plan(
    ctx: Context,
    snapshot: ClusterSnapshot,
    wanted: Sequence[LogicVolume],
    source: str | Set[str],
    inventories: Mapping[str, Inventory] | None = None,
) -> tuple[placement.Placement | placement.Unschedulable, ...]:
    """Choose a node for each logic volume, from the candidates' current inventories.

    When a source is lost, whatever else leaves it by a plan of its own is planned along, so that
    the volumes of one pod do not wait for each other forever when one is journalled and the other
    is not.

    Args:
        ctx: The outside world.
        snapshot: The cluster as it was read.
        wanted: The logic volumes to place, all of `source`.
        source: The node that they leave, or all the nodes that are lost together.
        inventories: What each node reported.
    """
    sources = frozenset((source,) if isinstance(source, str) else source)
    if inventories is None:
        candidates = [
            n.name for n in snapshot.nodes.values() if n.is_ready and n.name not in sources
        ]
        inventories = ask_nodes.answered(ask_nodes.inventories(ctx, candidates))
    every = [*wanted, *along(snapshot, wanted, sources)]
    return placement.plan(snapshot, inventories, every, sources, rules(ctx))[: len(wanted)]


def along(
    snapshot: ClusterSnapshot, wanted: Sequence[LogicVolume], sources: Iterable[str]
) -> list[LogicVolume]:
    """Return what else leaves the lost ones of `sources` by a plan of its own.

    Args:
        snapshot: The cluster as it was read.
        wanted: The logic volumes that are planned anyway.
        sources: The nodes that they leave.
    """
    names = {logic_volume.name for logic_volume in wanted}
    return [
        logic_volume
        for source in sorted(sources)
        if source not in snapshot.nodes or not snapshot.nodes[source].is_ready
        for logic_volume in selection.leaving(snapshot, source, names)
    ]


def rules(ctx: Context) -> placement.PlacementRules:
    """Return what the settings say about placement."""
    return placement.PlacementRules(reserve=ctx.settings.reserve)
