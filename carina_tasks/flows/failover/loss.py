"""Is this node lost, and may its failover begin?

The API server, the witnesses and the operator's entries are asked.
"""

from __future__ import annotations

from carina_tasks.decisions import guards, node_loss
from carina_tasks.errors import MassFailure
from carina_tasks.flows.context import Context
from carina_tasks.flows.failover.results import FailoverResult
from carina_tasks.model.snapshot import ClusterSnapshot
from carina_tasks.observability.audit import about_node

ASKED_EVERY = 1.0
"""Seconds between two questions for a node whose absence is being confirmed."""


def check_mass_failure(ctx: Context, snapshot: ClusterSnapshot, node: str = "") -> None:
    """Raise MassFailure when too many nodes are lost; stop everything when that lasts.

    Args:
        ctx: The outside world.
        snapshot: The cluster as it was read.
        node: The lost node that the work is about: one that the operator approved may go.
    """
    state = ctx.state.read()
    approved, planned = state.approved, state.maintenance.keys()
    lost = guards.lost_nodes(snapshot, planned=planned)
    if approved - lost:
        # Well again: the approval was for that loss, and the next loss of the same node is another
        # one.
        approved &= lost
        ctx.state.write(approved=",".join(sorted(approved)) or None)
    if node in approved:
        return
    share, after = ctx.settings.mass_failure_share, ctx.settings.not_ready_after
    verdict = guards.mass_failure(snapshot, share, approved, after, planned)
    if isinstance(verdict, guards.GuardWaits):
        raise MassFailure(f"nothing is done for now: {verdict.reason}")
    if isinstance(verdict, guards.GuardStops):
        for name in sorted(lost - snapshot.nodes.keys()):
            # Each absence is confirmed by name: a list that lacks nodes must not stop everything
            # and page the operator.
            if ctx.cluster.node(name)[0] is not None:
                raise MassFailure(
                    f"nothing is done for now: the list of nodes lacks {name}, which exists"
                )
        ctx.state.write(latched=verdict.reason)
        raise MassFailure(f"stopped until the operator resumes it: {verdict.reason}")


def confirm_absence(ctx: Context, node: str) -> node_loss.Lost | node_loss.NotLost:
    """Ask the API server for `confirm_absence` seconds.

    One that comes back and goes again in between was not absent.
    """
    entry = ctx.state.read().maintenance.get(node)
    if entry is not None:
        return node_loss.in_maintenance(entry)
    confirm, begun = ctx.settings.confirm_absence, ctx.monotonic()
    first, _ = ctx.cluster.node(node)
    latest, left = first, confirm
    while latest is None and left > 0:
        ctx.sleep(min(ASKED_EVERY, left))
        latest, _ = ctx.cluster.node(node)
        left = begun + confirm - ctx.monotonic()
    return node_loss.absent(node, first, latest, confirm)


def judge_not_ready(
    ctx: Context, node: str
) -> node_loss.Lost | node_loss.NotLost | node_loss.NotYet:
    """Read how long the node has been NotReady, and whether a witness sees it alive."""
    fresh, now = ctx.cluster.node(node)
    if fresh is None:
        return node_loss.NotLost(
            f"node {node} does not exist: that is a deletion, see rebuild_node"
        )
    entry = ctx.state.read().maintenance.get(node)
    if entry is not None and not fresh.is_ready:
        return node_loss.in_maintenance(entry)
    return node_loss.not_ready(
        fresh, ctx.cluster.lease(node), ctx.worker_alive(node), now, not_ready_rules(ctx)
    )


def not_ready_rules(ctx: Context) -> node_loss.NotReadyRules:
    """Return how long a node must have been NotReady, as the settings have it."""
    conf = ctx.settings
    return node_loss.NotReadyRules(
        after=conf.not_ready_after,
        witnessed=conf.not_ready_witnessed,
        lease_fresh=conf.lease_fresh,
        cordoned=conf.not_ready_cordoned,
    )


def not_lost(
    ctx: Context, node: str, verdict: node_loss.NotLost | node_loss.NotYet
) -> FailoverResult:
    """Return the refusal.

    An Event on the node reports a failover that is delayed because the absence is planned.
    """
    if node in ctx.state.read().maintenance:
        ctx.audit.event(about_node(node), "Normal", "FailoverSuspended", verdict.reason)
    elif isinstance(verdict, node_loss.NotYet) and verdict.held:
        ctx.audit.event(about_node(node), "Normal", "FailoverDelayed", verdict.held)
    return FailoverResult(node, "refused", verdict.reason)
