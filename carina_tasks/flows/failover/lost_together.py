"""Which other nodes are lost at the same moment: a rack, a zone.

A message names one node. The worker that takes it looks for all that are lost with it, so that one
plan covers them and the confirmation is waited for once. Messages about the others then find that
another worker is at it. None of them is needed: `resume` asks again for what is still lost.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager

import structlog

from carina_tasks.decisions import node_loss, selection
from carina_tasks.errors import CarinaTasksError
from carina_tasks.flows import one_object
from carina_tasks.flows.context import Context
from carina_tasks.flows.failover.loss import confirm_absences, judge_not_ready
from carina_tasks.flows.threads import each

LEAD = "failover.deleted"
"""The lock of the worker that confirms which nodes are deleted."""
UNNAMED = "there is no node {node}, and no LogicVolume names it"


def is_named(ctx: Context, node: str) -> bool:
    """Return whether a LogicVolume names the node."""
    return any(v.node == node for v in ctx.cluster.logic_volumes().values.values())


def deleted(
    ctx: Context, node: str
) -> dict[str, node_loss.Lost | node_loss.NotLost | CarinaTasksError] | None:
    """Confirm that `node` is deleted, and which others are; None when another worker does that.

    Args:
        ctx: The outside world.
        node: The node that was asked for; it has a verdict in any case.
    """
    with ctx.lock(LEAD) as lead:
        if lead is None:
            return None
        ctx.progress(f"making sure that the node is gone, {ctx.settings.confirm_absence:g} s")
        first = seem_deleted(ctx)
        verdicts = confirm_absences(
            ctx, {node}, lambda: seem_deleted(ctx) if ctx.cluster.is_watched else first
        )
    if ctx.cluster.is_watched:
        # A message about one of these came while we led, and was not waited for.
        for other in sorted(seem_deleted(ctx) - verdicts.keys())[:1]:
            ctx.ask_for_rebuild(other)
    return verdicts


def seem_deleted(ctx: Context) -> frozenset[str]:
    """Return the nodes that volumes to be rebuilt name and that do not seem to exist.

    Empty when that cannot be read, or is not the operator's will now.
    """
    try:
        only = ctx.approved_alone()
        nodes, logic_volumes = ctx.cluster.nodes().names, ctx.cluster.logic_volumes().values
    except CarinaTasksError as exc:
        structlog.get_logger().warning("what else is deleted could not be read", reason=exc.message)
        return frozenset()
    used = {v.node for v in logic_volumes.values() if v.journal is None and selection.managed(v)}
    return frozenset(used - nodes if only is None else (used - nodes) & only)


def not_ready(ctx: Context, node: str) -> dict[str, node_loss.Lost]:
    """Return the other NotReady nodes that are lost by now, each with why.

    Args:
        ctx: The outside world.
        node: The node that was asked for.
    """
    only = ctx.approved_alone()
    suspects = sorted(
        one.name
        for one in ctx.cluster.nodes().values.values()
        if not one.is_ready and one.name != node and (only is None or one.name in only)
    )

    def judged(name: str) -> tuple[str, object]:
        try:
            return name, judge_not_ready(ctx, name)
        except CarinaTasksError as exc:
            # What is not known of one node holds no volume of another up.
            one_object.check(ctx, exc)
            return name, exc

    found = each(ctx.settings.concurrency, judged, suspects)
    return {name: loss for name, loss in found if isinstance(loss, node_loss.Lost)}


@contextmanager
def held(ctx: Context, nodes: Iterable[str]) -> Iterator[tuple[str, ...]]:
    """Hold the failover of those of `nodes` that no other worker is at, and yield them."""
    with ExitStack() as stack:
        yield tuple(
            node
            for node in sorted(nodes)
            if stack.enter_context(ctx.lock(f"failover.{node}")) is not None
        )
