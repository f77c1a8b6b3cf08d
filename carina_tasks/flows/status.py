"""What is going on now, for people."""

from __future__ import annotations

from carina_tasks.errors import BrokerUnavailable
from carina_tasks.flows.context import Context
from carina_tasks.flows.readiness import last
from carina_tasks.flows.results import NodeStatus, Readiness, Status, UnderWay


def status(ctx: Context) -> Status:
    """Return pause, nodes with their workers, the rebuilds under way and the last readiness. Raises the adapters' errors."""
    state, world = ctx.state.read(), ctx.cluster.observe()
    names = world.nodes.keys() | {v.node for v in world.logic_volumes.values()}
    nodes = [
        NodeStatus(
            node=name,
            ready=world.nodes[name].ready if name in world.nodes else "deleted",
            worker=_worker(ctx, name),
            volumes=sum(v.node == name for v in world.logic_volumes.values()),
        )
        for name in sorted(names)
    ]
    under_way = [
        UnderWay(v.name, v.journal.source, v.journal.target, int(world.now) - v.journal.started, v.journal.reason)
        for v in sorted(world.logic_volumes.values(), key=lambda v: v.name)
        if v.journal is not None
    ]
    return Status(
        paused=state.paused,
        latched=state.latched,
        nodes=tuple(nodes),
        under_way=tuple(under_way),
        at=int(world.now),
        readiness=_readiness(ctx),
    )


def _worker(ctx: Context, node: str) -> str:
    try:
        return "alive" if ctx.worker_alive(node) else "silent"
    except BrokerUnavailable:
        # The rest of the status is worth having when the broker is away.
        return "unknown: no broker"


def _readiness(ctx: Context) -> Readiness | None:
    try:
        return last(ctx)
    except BrokerUnavailable:
        return None
