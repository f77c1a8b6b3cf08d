"""What is happening now, for users.

Every known part is reported, also when the broker or the API server is away.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import msgspec
import msgspec.structs

from carina_tasks.decisions import verdict, whose
from carina_tasks.decisions.verdict import Unplaced, Verdict
from carina_tasks.errors import ApiDenied, ApiUnavailable, BrokerUnavailable
from carina_tasks.flows.context import Context
from carina_tasks.flows.report import lost_volumes
from carina_tasks.flows.report.problem import PATIENCE
from carina_tasks.flows.report.readiness import Readiness, last, still_true
from carina_tasks.flows.sweeps import local_volumes, logic_volumes
from carina_tasks.flows.sweeps.results import Swept
from carina_tasks.kube.state import OperatorState
from carina_tasks.model import progress, times
from carina_tasks.model.maintenance import Maintenance
from carina_tasks.model.objects import LogicVolume
from carina_tasks.model.snapshot import ClusterSnapshot


class NodeStatus(msgspec.Struct, frozen=True):
    """One node: its Ready condition (or ``deleted``), worker and number of LogicVolumes."""

    node: str
    ready: str
    worker: str
    volumes: int
    note: str = ""
    """What holds its failover back or makes it faster: maintenance, a cordon, the taint
    out-of-service.
    """
    overdue: bool = False
    """Its maintenance takes longer than was announced, or its entry cannot be read."""
    cordoned: bool = False
    maintenance: bool = False
    """The operator announced that its machine is away: nothing of it is failed over."""


class UnderWay(msgspec.Struct, frozen=True):
    """One rebuild that is not finished, and for how many seconds it has been under way."""

    volume: str
    source: str
    target: str
    seconds: int
    reason: str
    step: str = ""
    """Its step, as far as the objects show it."""
    claim: str = ""
    """``namespace/name`` of its claim."""
    pod: str = ""
    """The pod that uses it, in the claim's namespace; empty without one."""


class Status(msgspec.Struct, frozen=True):
    """What is happening now."""

    paused: str
    latched: str
    nodes: tuple[NodeStatus, ...]
    under_way: tuple[UnderWay, ...]
    at: int
    """The API server's clock."""
    readiness: Readiness | None
    """The last answer to whether each node may be lost; None when there is none, it is of other
    nodes, or no broker answers.
    """
    nodes_changed: bool = False
    """There is an answer, but nodes were added, deleted, cordoned or changed their readiness since:
    it is asked again.
    """
    local_sweep: Swept | None = None
    """The last sweep of local volumes that ended well; None when none is known."""
    logic_sweep: Swept | None = None
    unreadable: int = 0
    """Objects that cannot be read."""
    api: str = ""
    """Why the API server could not be asked; then only the workers are known."""
    broker: str = ""
    """Why the broker could not be asked; then workers, readiness and sweeps are not known."""
    unplaced: tuple[Unplaced, ...] = ()
    """The volumes of lost nodes that no node fits."""
    verdict: Verdict = Verdict("UNKNOWN", "nothing was asked")
    """The one sentence about all of this, and what helps."""


def status(ctx: Context, beating: Callable[[], Iterable[str]] = tuple) -> Status:
    """Return pause, nodes with their workers, the rebuilds under way, readiness and sweeps.

    `beating` names the nodes whose workers live: all that is known while the API server is away.
    Errors of broker and API server are part of the status; others are raised.
    """
    broker, workers = _workers(beating)
    try:
        state, snapshot = ctx.state.read(), ctx.cluster.observe()
    except (ApiUnavailable, ApiDenied) as exc:
        nodes = tuple(NodeStatus(name, "unknown", "alive", 0) for name in sorted(workers))
        away = verdict.judge(verdict.Facts(api=exc.message))
        return Status("", "", nodes, (), 0, None, api=exc.message, broker=broker, verdict=away)
    now = _read(ctx, state, snapshot, workers, broker)
    lost = lost_volumes.of(ctx, snapshot, state) if not broker else lost_volumes.LostVolumes()
    now = msgspec.structs.replace(now, unplaced=lost.unplaced)
    return msgspec.structs.replace(now, verdict=verdict.judge(_facts(ctx, now, snapshot, lost)))


def _read(
    ctx: Context,
    state: OperatorState,
    snapshot: ClusterSnapshot,
    workers: frozenset[str],
    broker: str,
) -> Status:
    """Return everything but the verdict."""
    names = (
        snapshot.nodes.keys()
        | {v.node for v in snapshot.logic_volumes.values()}
        | state.maintenance.keys()
    )
    found = None if broker else last(ctx)
    current = found is not None and still_true(found, snapshot)
    return Status(
        paused=state.paused,
        latched=state.latched,
        nodes=tuple(
            NodeStatus(
                node=name,
                ready=snapshot.nodes[name].ready if name in snapshot.nodes else "deleted",
                worker="unknown" if broker else "alive" if name in workers else "silent",
                volumes=len(snapshot.logic_volumes_on(name)),
                note=_note(ctx, snapshot, name, state.maintenance.get(name)),
                overdue=name in state.maintenance and state.maintenance[name].overdue(snapshot.now),
                cordoned=name in snapshot.nodes and snapshot.nodes[name].cordoned,
                maintenance=name in state.maintenance,
            )
            for name in sorted(names)
        ),
        under_way=_under_way(snapshot),
        at=int(snapshot.now),
        readiness=found if current else None,
        nodes_changed=found is not None and not current,
        local_sweep=None
        if broker
        else _still(ctx.latest_results.last(local_volumes.RESULT_NAME, Swept), snapshot),
        logic_sweep=None if broker else ctx.latest_results.last(logic_volumes.RESULT_NAME, Swept),
        unreadable=len(snapshot.unreadable)
        + sum(bool(v.journal_error) for v in snapshot.logic_volumes.values()),
        broker=broker,
    )


def _under_way(snapshot: ClusterSnapshot) -> tuple[UnderWay, ...]:
    """Return the rebuilds that are under way, by claim."""
    return tuple(
        UnderWay(
            volume=v.name,
            source=v.journal.source,
            target=v.journal.target,
            seconds=int(snapshot.now) - v.journal.started,
            reason=progress.waiting_reason(v.progress) or v.journal.reason,
            step=_step(snapshot, v, v.journal.target),
            claim=v.claim_key,
            pod=whose.pod_of(snapshot, v.claim_key),
        )
        for v in sorted(snapshot.logic_volumes.values(), key=lambda v: (v.claim_key, v.name))
        if v.journal is not None
    )


def _facts(
    ctx: Context, now: Status, snapshot: ClusterSnapshot, lost: lost_volumes.LostVolumes
) -> verdict.Facts:
    """Return what the verdict is decided on."""
    ahead = {n.node: n for n in now.readiness.nodes} if now.readiness else {}
    nodes = tuple(
        verdict.NodeFacts(
            name=n.node,
            ready=n.ready,
            worker=n.worker,
            volumes=n.volumes,
            note=n.note,
            cordoned=n.cordoned,
            planned=n.maintenance,
            overdue=n.overdue,
            staying=lost.staying.get(n.node, 0),
            without_place=ahead[n.node].without_place if n.node in ahead else 0,
            obstacles=tuple(o for v in ahead[n.node].volumes for o in v.obstacles)
            if n.node in ahead
            else (),
            stops=bool(ahead[n.node].stopped) if n.node in ahead else False,
        )
        for n in now.nodes
    )
    missing = now.local_sweep.missing if now.local_sweep else ()
    return verdict.Facts(
        nodes=nodes,
        volumes=len(snapshot.logic_volumes),
        rebuilding=len(now.under_way),
        stuck=tuple((u.claim, u.reason) for u in now.under_way if u.seconds >= PATIENCE),
        unplaced=lost.unplaced,
        missing=tuple((whose.claim_of(snapshot, m.volume), m.node) for m in missing),
        unreadable=now.unreadable,
        paused=now.paused,
        latched=now.latched,
        broker=now.broker,
        ready_known=now.readiness is not None,
        namespace=ctx.settings.namespace,
    )


def _note(ctx: Context, snapshot: ClusterSnapshot, name: str, entry: Maintenance | None) -> str:
    """Return what delays the failover of a node or speeds it up; empty when nothing does."""
    node = snapshot.nodes.get(name)
    if entry is not None:
        return str(entry)
    if node is None or node.is_ready:
        return "cordoned" if node is not None and node.cordoned else ""
    if node.out_of_service:
        return "out of service: failed over at once"
    if node.cordoned:
        at = node.ready_since + max(ctx.settings.not_ready_cordoned, ctx.settings.not_ready_after)
        return f"cordoned: failed over at {times.moment(int(at))}"
    return f"NotReady for {times.age(snapshot.now - node.ready_since)}"


def _workers(beating: Callable[[], Iterable[str]]) -> tuple[str, frozenset[str]]:
    try:
        return "", frozenset(beating())
    except BrokerUnavailable as exc:
        return exc.message, frozenset()


def _still(swept: Swept | None, snapshot: ClusterSnapshot) -> Swept | None:
    """Return the missing LVs of the last sweep, without volumes that have moved since."""
    if swept is None:
        return None
    expected = {(v.name, v.node) for v in snapshot.logic_volumes.values() if not v.journalled}
    missing = tuple(
        msgspec.structs.replace(one, claim=whose.claim_of(snapshot, one.volume))
        for one in swept.missing
        if (one.volume, one.node) in expected
    )
    return msgspec.structs.replace(swept, missing=missing)


def _step(snapshot: ClusterSnapshot, logic_volume: LogicVolume, target: str) -> str:
    """Return which of the five steps (docs/concepts.md) the objects show.

    They do not show whether the node has created the LV.
    """
    return progress.phase_text(_phase(snapshot, logic_volume, target))


def _phase(snapshot: ClusterSnapshot, logic_volume: LogicVolume, target: str) -> int:
    pv = snapshot.persistent_volumes.get(logic_volume.name)
    claim = snapshot.claims.get(logic_volume.claim_key)
    if pv is None or pv.meta.deleting is not None:
        return 2
    if pv.nodes != (target,):
        return 0 if logic_volume.status else 1
    if claim is not None and claim.phase != "Bound":
        return 2
    pods = snapshot.pods_of(claim.meta.key if claim else "")
    return 3 if any(pod.node and pod.node != target for pod in pods) else 4
