"""What is happening now, for users.

Every known part is reported, also when the broker or the API server is away.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import msgspec
import msgspec.structs

from carina_tasks.errors import ApiDenied, ApiUnavailable, BrokerUnavailable
from carina_tasks.flows.context import Context
from carina_tasks.flows.report.readiness import Readiness, last, still_true
from carina_tasks.flows.sweeps import local_volumes, logic_volumes
from carina_tasks.flows.sweeps.results import Swept
from carina_tasks.model import progress, times
from carina_tasks.model.maintenance import Maintenance
from carina_tasks.model.objects import LogicVolume, Node
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


class UnderWay(msgspec.Struct, frozen=True):
    """One rebuild that is not finished, and for how many seconds it has been under way."""

    volume: str
    source: str
    target: str
    seconds: int
    reason: str
    step: str = ""
    """Its step, as far as the objects show it."""


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

    @property
    def well(self) -> bool:
        """Nothing that is shown needs the operator now.

        What a loss would do (`readiness`) is a matter for tomorrow.
        """
        return not (
            self.paused
            or self.latched
            or self.api
            or self.broker
            or self.under_way
            or self.unreadable
            or any(
                node.ready != "True" or node.worker != "alive" or node.overdue
                for node in self.nodes
            )
            or (self.local_sweep is not None and self.local_sweep.missing)
        )


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
        return Status("", "", nodes, (), 0, None, api=exc.message, broker=broker)
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
                volumes=sum(v.node == name for v in snapshot.logic_volumes.values()),
                note=_note(ctx, snapshot.nodes.get(name), state.maintenance.get(name)),
                overdue=name in state.maintenance and state.maintenance[name].overdue(snapshot.now),
            )
            for name in sorted(names)
        ),
        under_way=tuple(
            UnderWay(
                v.name,
                v.journal.source,
                v.journal.target,
                int(snapshot.now) - v.journal.started,
                v.journal.reason,
                _step(snapshot, v, v.journal.target),
            )
            for v in sorted(snapshot.logic_volumes.values(), key=lambda v: v.name)
            if v.journal is not None
        ),
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


def _note(ctx: Context, node: Node | None, entry: Maintenance | None) -> str:
    """Return what delays the failover of a node or speeds it up; empty when nothing does."""
    if entry is not None:
        return str(entry)
    if node is None or node.is_ready:
        return "cordoned" if node is not None and node.cordoned else ""
    if node.out_of_service:
        return "out of service: failed over at once"
    if node.cordoned:
        at = node.ready_since + max(ctx.settings.not_ready_cordoned, ctx.settings.not_ready_after)
        return f"cordoned: failed over at {times.moment(int(at))}"
    return ""


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
    missing = tuple(one for one in swept.missing if (one.volume, one.node) in expected)
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
