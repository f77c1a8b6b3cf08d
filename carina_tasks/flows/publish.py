"""What viewers read of the status: composed of the reports, and kept to a bounded size.

Nodes are asked only while one is lost; what they hold otherwise is known from the last sweep.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import TypeVar

import msgspec

from carina_tasks.decisions import guards, volume_state
from carina_tasks.decisions.advice import CARINA, start_worker
from carina_tasks.errors import ApiUnavailable, CarinaTasksError
from carina_tasks.flows import ask_nodes
from carina_tasks.flows.context import Context
from carina_tasks.flows.report.problem import PATIENCE, Problem
from carina_tasks.flows.report.problems import find_problems
from carina_tasks.flows.report.readiness import NodeReadiness
from carina_tasks.flows.report.status import NodeStatus, Status, status
from carina_tasks.model import progress, published
from carina_tasks.model.local import Inventory
from carina_tasks.model.published import (
    Published,
    PublishedCopies,
    PublishedLoss,
    PublishedNode,
    PublishedProblem,
    PublishedRebuild,
    PublishedVolumes,
    cut,
)
from carina_tasks.model.snapshot import ClusterSnapshot
from carina_tasks.store.task_results import TaskResult

KEPT = 7 * 86400
"""Seconds for which Redis keeps the copy for Flower: it shows when it was written last."""

T = TypeVar("T")


class PublishResult(msgspec.Struct, frozen=True):
    """Whether the status was written.

    Nothing of the status itself: a search for a node in Flower would find every one of these tasks.
    """

    outcome: str
    """``written`` or ``unchanged``."""


def publish(
    ctx: Context, beating: Callable[[], Iterable[str]], stored: Sequence[TaskResult]
) -> PublishResult:
    """Write the status where viewers read it, when it changed or is a minute old.

    Args:
        ctx: The outside world.
        beating: Names the nodes whose workers live.
        stored: The results of control tasks that the broker keeps.

    Raises:
        ApiUnavailable: The API server did not answer.
        ApiDenied: The status may not be written, or there is no such kind of object.
    """
    now = compose(ctx, beating, stored)
    body = msgspec.json.decode(msgspec.json.encode(now))
    before = ctx.published.read()
    ctx.latest_results.keep(published.RESULT, now, KEPT)
    if _same(before, body) and _age(before, body) < published.REWRITTEN:
        return PublishResult("unchanged")
    ctx.published.write(body)
    return PublishResult("written")


def compose(
    ctx: Context, beating: Callable[[], Iterable[str]], stored: Sequence[TaskResult]
) -> Published:
    """Return the status as viewers read it. Nothing is written.

    Args:
        ctx: The outside world.
        beating: Names the nodes whose workers live.
        stored: The results of control tasks that the broker keeps.

    Raises:
        ApiUnavailable: The API server did not answer.
    """
    now, snapshot = status(ctx, beating), ctx.cluster.observe()
    if now.api:
        raise ApiUnavailable(now.api)
    asked = _asked(ctx, snapshot)
    found = find_problems(ctx, stored, asked)
    problems = [
        # Without the answers of nodes it is not known what fits.
        *(one for one in found.findings if asked or one.kind != "no-fit"),
        *(() if asked else _of_the_sweep(ctx, now)),
    ]
    return bounded(now, snapshot, problems, found.unknown)


def _asked(ctx: Context, snapshot: ClusterSnapshot) -> dict[str, Inventory | CarinaTasksError]:
    """Return the inventories of the nodes when a node is lost and none is busy with a rebuild."""
    lost = guards.lost_nodes(snapshot, planned=ctx.state.read().maintenance)
    busy = any(
        v.journal is not None and snapshot.now - v.journal.started < PATIENCE
        for v in snapshot.logic_volumes.values()
    )
    if busy or not any(v.node in lost for v in snapshot.logic_volumes.values()):
        return {}
    return ask_nodes.inventories(ctx, [n.name for n in snapshot.nodes.values() if n.is_ready])


def _of_the_sweep(ctx: Context, now: Status) -> Iterator[Problem]:
    """Yield what nodes would say if they were asked, as far as heartbeats and sweeps show it."""
    for node in now.nodes:
        if node.worker == "silent" and node.ready == "True":
            do = start_worker(ctx.settings.namespace, node.node)
            yield Problem("silent", node.node, "its worker sends no heartbeat", node.node, do=do)
    if now.local_sweep is None:
        return
    for one in now.local_sweep.missing:
        reason = f"the last sweep did not find its LV on node {one.node}"
        do = f"{CARINA} volumes {one.claim or one.node}"
        yield Problem("missing", one.volume, reason, one.node, do=do, claim=one.claim)
    for swept in now.local_sweep.nodes:
        if swept.over_cap:
            reason = f"{swept.over_cap} orphans are too many to be removed without the operator"
            yield Problem("orphans", swept.node, reason, swept.node, do=f"{CARINA} failed")


def bounded(
    now: Status, snapshot: ClusterSnapshot, problems: Sequence[Problem], unknown: Sequence[str]
) -> Published:
    """Return the reports as one object, far smaller than the 1 MiB that the API server takes.

    Args:
        now: The status.
        snapshot: The cluster as it was read.
        problems: What needs the operator, the most urgent first.
        unknown: What could not be asked, and why.
    """
    problems = sorted(problems, key=lambda one: one.kind == "waiting")
    ahead = now.readiness.nodes if now.readiness else ()
    losses = (
        PublishedLoss(v.claim or v.volume, v.pod, node.node, cut(v.reason))
        for node in ahead
        for v in node.volumes
    )
    swept = now.local_sweep.nodes if now.local_sweep else ()
    copies = [PublishedCopies(n.node, n.old_copies, _time(n.old_until)) for n in swept]
    copies = [one for one in copies if one.volumes]
    return Published(
        written=progress.timestamp(now.at),
        level=now.verdict.level,
        sentence=cut(now.verdict.line.removeprefix(f"{now.verdict.level}: ")),
        paused=cut(now.paused),
        latched=cut(now.latched),
        nodes=_nodes(now),
        nodes_total=len(now.nodes),
        volumes=_volumes(snapshot),
        attention=_first(map(_problem, problems[: published.ROWS])),
        attention_total=len(problems),
        needs_operator=sum(one.kind != "waiting" for one in problems),
        rebuilds=tuple(
            PublishedRebuild(
                claim=one.claim,
                pod=one.pod,
                source=one.source,
                target=one.target,
                since=_time(now.at - one.seconds),
                step=one.step,
                reason=cut(one.reason),
                volume=one.volume,
            )
            for one in now.under_way[: published.ROWS]
        ),
        rebuilds_total=len(now.under_way),
        readiness_asked=_time(now.readiness.at) if now.readiness else "",
        unschedulable=_first(losses, published.UNSCHEDULABLE),
        unschedulable_total=sum(node.without_place for node in ahead),
        old_copies=_first(copies),
        old_copies_total=sum(one.volumes for one in copies),
        trash=sum(node.trash for node in swept),
        local_sweep=_time(now.local_sweep.at) if now.local_sweep else "",
        logic_sweep=_time(now.logic_sweep.at) if now.logic_sweep else "",
        unknown=_first(map(cut, (*unknown, *([now.broker] if now.broker else [])))),
    )


def _nodes(now: Status) -> tuple[PublishedNode, ...]:
    """Return the nodes by name; of more than fit, those that an operator looks for stay."""
    ahead = {one.node: one for one in now.readiness.nodes} if now.readiness else {}
    missing = Counter(one.node for one in now.local_sweep.missing) if now.local_sweep else Counter()

    def calm(one: NodeStatus) -> bool:
        well = one.ready == "True" and one.worker != "silent" and not one.note
        return well and not missing[one.node] and (one.node not in ahead or ahead[one.node].ready)

    kept = sorted(now.nodes, key=calm)[: published.NODES]
    return tuple(
        PublishedNode(
            node=one.node,
            ready=one.ready,
            worker=one.worker,
            volumes=one.volumes,
            missing=missing[one.node],
            if_lost=_if_lost(ahead.get(one.node)),
            if_lost_reason=cut(ahead[one.node].reason, published.NOTE) if one.node in ahead else "",
            note=cut(("OVERDUE: " if one.overdue else "") + one.note, published.NOTE),
        )
        for one in sorted(kept, key=lambda one: one.node)
    )


def _if_lost(node: NodeReadiness | None) -> str:
    return node.in_short if node else ""


def _volumes(snapshot: ClusterSnapshot) -> PublishedVolumes:
    states = Counter(
        volume_state.state(one, snapshot.nodes).replace("-", "_")
        for one in snapshot.logic_volumes.values()
    )
    unreadable = sum(one.kind == "LogicVolume" for one in snapshot.unreadable)
    return PublishedVolumes(
        total=len(snapshot.logic_volumes) + unreadable, unreadable=unreadable, **states
    )


def _problem(one: Problem) -> PublishedProblem:
    volume = one.what if one.claim else ""
    what = one.claim or one.what
    since = _time(one.since)
    return PublishedProblem(
        cut(what), one.pod, one.node, one.kind, since, cut(one.reason), cut(one.do), volume
    )


def _first(items: Iterable[T], number: int = published.ROWS) -> tuple[T, ...]:
    return tuple(islice(items, number))


def _time(seconds: float) -> str:
    return progress.timestamp(seconds) if seconds else ""


def _same(before: Mapping[str, object], now: Mapping[str, object]) -> bool:
    return {**before, "written": ""} == {**now, "written": ""}


def _age(before: Mapping[str, object], now: Mapping[str, object]) -> float:
    return published.seconds(str(now["written"])) - published.seconds(str(before.get("written")))
