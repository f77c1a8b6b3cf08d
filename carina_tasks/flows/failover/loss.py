"""Is this node lost, and may its failover begin?

The API server, the witnesses and the operator's entries are asked.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence, Set
from typing import NoReturn

from carina_tasks.decisions import guards, node_loss
from carina_tasks.errors import CarinaTasksError, MassFailure
from carina_tasks.flows.context import Context
from carina_tasks.flows.failover.results import FailoverResult
from carina_tasks.flows.threads import each
from carina_tasks.model.objects import Node
from carina_tasks.model.snapshot import ClusterSnapshot
from carina_tasks.observability.audit import about_node

ASKED_EVERY = 1.0
"""Seconds between two questions for a node whose absence is being confirmed."""
ASKED_EACH_SECOND = 100
"""Nodes that are asked for each second; a whole zone is asked for less often."""
GATHERED = 2.0
"""Seconds for which a node that is confirmed waits for others: a rack is not deleted at one moment.
"""


def check_mass_failure(
    ctx: Context, snapshot: ClusterSnapshot, nodes: Collection[str] = ()
) -> frozenset[str]:
    """Return which of the lost `nodes` may be failed over now; stop everything when too many are.

    Args:
        ctx: The outside world.
        snapshot: The cluster as it was read.
        nodes: The lost nodes that the work is about. Those that the operator approved may go
            whatever else is lost.

    Raises:
        MassFailure: Too many nodes are lost, and none of `nodes` is approved.
    """
    state = ctx.state.read()
    approved, planned = state.approved, state.maintenance.keys()
    lost = guards.lost_nodes(snapshot, planned=planned)
    if approved - lost:
        # Well again: the approval was for that loss, and the next loss of the same node is another
        # one.
        approved &= lost
        ctx.state.write(approved=",".join(sorted(approved)) or None)
    free = approved & frozenset(nodes)
    if nodes and free == frozenset(nodes):
        return free
    share, after = ctx.settings.mass_failure_share, ctx.settings.not_ready_after
    verdict = guards.mass_failure(snapshot, share, approved, after, planned)
    if isinstance(verdict, guards.GuardAllows):
        return frozenset(nodes)
    try:
        _stop(ctx, lost - snapshot.nodes.keys(), verdict)
    except MassFailure:
        if not free:
            raise
    return free


def _stop(
    ctx: Context, absent: Iterable[str], verdict: guards.GuardWaits | guards.GuardStops
) -> NoReturn:
    """Stop everything when it must be, and raise MassFailure."""
    if isinstance(verdict, guards.GuardWaits):
        raise MassFailure(f"nothing is done for now: {verdict.reason}")
    for name in sorted(absent):
        # Each absence is confirmed by name: a list that lacks nodes must not stop everything
        # and page the operator.
        if ctx.cluster.node(name)[0] is not None:
            raise MassFailure(
                f"nothing is done for now: the list of nodes lacks {name}, which exists"
            )
    ctx.state.write(latched=verdict.reason)
    raise MassFailure(f"stopped until the operator resumes it: {verdict.reason}")


def confirm_absences(
    ctx: Context, nodes: Collection[str], more: Callable[[], Set[str]] = frozenset
) -> dict[str, node_loss.Lost | node_loss.NotLost | CarinaTasksError]:
    """Ask the API server for all of them, every second, for `confirm_absence` seconds.

    It is waited for once, however many there are. One that comes back and goes again in between was
    not absent. A node that is confirmed waits up to `GATHERED` seconds for others that will be by
    then; whatever needs longer has no verdict.

    Args:
        ctx: The outside world.
        nodes: The nodes in question.
        more: Returns further nodes that may be gone by now; asked for in every round.
    """
    confirm = ctx.settings.confirm_absence
    asked, since = {*nodes, *more()}, dict[str, float]()
    verdicts: dict[str, node_loss.Lost | node_loss.NotLost | CarinaTasksError] = {}
    _leave_out_planned(ctx, asked, verdicts)
    while True:
        now = ctx.monotonic()
        for node, found in _ask(ctx, sorted(asked - verdicts.keys())):
            if isinstance(found, CarinaTasksError):
                verdicts[node] = found
            elif found is not None:
                before = None if node in since else found
                verdicts[node] = node_loss.absent(node, before, found, confirm)
            else:
                since.setdefault(node, now)
        left = {n: at + confirm - now for n, at in since.items() if n not in verdicts}
        soon = _next_due(left.values())
        if soon is None or not left.keys() & set(nodes):
            for node in (name for name, seconds in left.items() if seconds <= 0):
                verdicts[node] = node_loss.absent(node, None, None, confirm)
            return verdicts
        ctx.sleep(min(max(ASKED_EVERY, len(left) / ASKED_EACH_SECOND), soon))
        fresh = more() - asked
        asked |= fresh
        _leave_out_planned(ctx, fresh, verdicts)


def _next_due(left: Collection[float]) -> float | None:
    """Return the seconds until the next node is due that is waited for; None when none is.

    Args:
        left: Seconds that each node has left; zero and below for one that is due.
    """
    first = min(left, default=0.0)
    return min((s for s in left if s > 0 and (first > 0 or s <= first + GATHERED)), default=None)


def _leave_out_planned(
    ctx: Context,
    asked: Set[str],
    verdicts: dict[str, node_loss.Lost | node_loss.NotLost | CarinaTasksError],
) -> None:
    """Give the nodes in maintenance their verdict: they are not asked for."""
    entries = ctx.state.read().maintenance if asked else {}
    for node in asked & entries.keys():
        verdicts[node] = node_loss.in_maintenance(entries[node])


def _ask(
    ctx: Context, nodes: Sequence[str]
) -> Iterable[tuple[str, Node | CarinaTasksError | None]]:
    """Ask for each of the nodes by name, several at a time."""

    def one(name: str) -> tuple[str, Node | CarinaTasksError | None]:
        try:
            return name, ctx.cluster.node(name)[0]
        except CarinaTasksError as exc:
            return name, exc

    return each(ctx.settings.concurrency, one, nodes)


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
