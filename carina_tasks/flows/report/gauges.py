"""What is true of the whole cluster now, as gauges: every control worker reads the same.

Nothing is written.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping

from carina_tasks import queues
from carina_tasks.broker.queue_lengths import QueueLength
from carina_tasks.decisions import volume_state
from carina_tasks.decisions.carina_failover import FailoverOn, FailoverUnknown
from carina_tasks.flows.context import Context
from carina_tasks.flows.report import affected, carina_failover, readiness
from carina_tasks.flows.sweeps import local_volumes, logic_volumes
from carina_tasks.flows.sweeps.results import Swept
from carina_tasks.observability.metrics import Families

SWEEPS = {"local_volumes": local_volumes.RESULT_NAME, "logic_volumes": logic_volumes.RESULT_NAME}

AskWaiting = Callable[[Iterable[str]], Mapping[str, QueueLength]]


def of_memory(families: Families, used: int, limit: int) -> None:
    """Add how much memory the broker uses.

    Args:
        families: Collects the gauges.
        used: Bytes in use.
        limit: Bytes that it may use; 0 without a limit.
    """
    families.put("carina_tasks_broker_memory_bytes", used)
    if limit:
        families.put("carina_tasks_broker_memory_limit_bytes", limit)


def of_api(ctx: Context, families: Families) -> tuple[str, ...]:
    """Add what the API server knows, and return the nodes' names. Raises the adapters' errors."""
    state = ctx.state.read()
    found = ctx.cluster.nodes()
    nodes = {name: node.is_ready for name, node in found.values.items()}
    # One that cannot be read exists, so the logic volumes on it are not lost.
    nodes |= dict.fromkeys(found.unreadable, False)
    listed = ctx.cluster.logic_volumes()
    logic_volumes = listed.values.values()
    affected.of_logic_volumes(families, logic_volumes, listed.unreadable, nodes)
    states = Counter(volume_state.state(logic_volume, nodes) for logic_volume in logic_volumes)
    states["unreadable"] = len(listed.unreadable)
    for one in volume_state.STATES:
        families.put("carina_tasks_logic_volumes", states[one], one)
    started = [
        logic_volume.journal.started
        for logic_volume in logic_volumes
        if logic_volume.journal is not None
    ]
    families.put("carina_tasks_rebuilds", len(started))
    if started:
        families.put("carina_tasks_rebuilds_oldest_start_timestamp_seconds", min(started))
    families.put("carina_tasks_paused", bool(state.paused))
    families.put("carina_tasks_latched", bool(state.latched))
    for name, entry in state.maintenance.items():
        families.put("carina_tasks_maintenance_end_timestamp_seconds", entry.until, name)
    for name, ready in nodes.items():
        families.put("carina_tasks_node_ready", ready, name)
    return tuple(nodes)


def carina_active(ctx: Context) -> bool | None:
    """Return whether Carina's own failover can act; None when that cannot be asked.

    Without a controller of Carina's there is none. Lists all pods. Raises the adapters' errors.
    """
    found = carina_failover.judge(ctx).values()
    if any(isinstance(one, FailoverOn) for one in found):
        return True
    return None if any(isinstance(one, FailoverUnknown) for one in found) else False


def of_broker(
    ctx: Context, families: Families, nodes: Iterable[str], ask: AskWaiting, now: float
) -> None:
    """Add what the broker knows: queues, heartbeats, and what tasks found last.

    Args:
        ctx: The outside world.
        families: Collects the gauges.
        nodes: Names of the nodes.
        ask: Returns the lengths of queues.
        now: Seconds since the epoch, by the API server's clock.

    Raises:
        BrokerUnavailable: The broker did not answer.
    """
    nodes = sorted(nodes)
    for name, found in ask(
        [queues.CONTROL, *(queues.NODE_PREFIX + node for node in nodes)]
    ).items():
        families.put("carina_tasks_queue_messages", found.messages, name)
        age = 0.0 if found.oldest is None else max(0.0, now - found.oldest)
        families.put("carina_tasks_queue_oldest_message_age_seconds", age, name)
    for node in nodes:
        families.put("carina_tasks_node_worker_up", ctx.worker_alive(node), node)
    _readiness(ctx, families, set(nodes))
    for sweep, finding in SWEEPS.items():
        _sweep(ctx, families, sweep, finding, set(nodes))


def _readiness(ctx: Context, families: Families, nodes: set[str]) -> None:
    found = readiness.last(ctx)
    if found is None:
        return
    families.put("carina_tasks_readiness_timestamp_seconds", found.at)
    affected.of_readiness(families, [one for one in found.nodes if one.node in nodes])
    for one in found.nodes:
        # A node that went since is no longer one that might be lost.
        if one.node in nodes:
            families.put("carina_tasks_node_readiness", one.ready, one.node)
            families.put("carina_tasks_volumes_without_place", one.without_place, one.node)


def _sweep(ctx: Context, families: Families, sweep: str, finding: str, nodes: set[str]) -> None:
    found = ctx.latest_results.last(finding, Swept)
    if found is None:
        return
    families.put("carina_tasks_sweep_last_success_timestamp_seconds", found.at, sweep)
    affected.of_sweep(families, [one for one in found.missing if one.node in nodes])
    for kept in found.kept:
        families.put("carina_tasks_local_volumes_kept", kept.volumes, kept.why)
    for one in found.nodes:
        if one.node in nodes:
            if one.at:
                families.put("carina_tasks_node_swept_timestamp_seconds", one.at, one.node)
            families.put("carina_tasks_volumes_missing", one.missing, one.node)
            families.put("carina_tasks_orphans_over_cap", one.over_cap, one.node)
            families.put("carina_tasks_trash_volumes", one.trash, one.node)
            families.put("carina_tasks_trash_bytes", one.trash_bytes, one.node)
            if one.old_copies:
                families.put(
                    "carina_tasks_old_copies_end_timestamp_seconds", one.old_until, one.node
                )
