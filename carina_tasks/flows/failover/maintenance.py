"""Maintenance of a node.

The operator announces that its machine may be away, and nothing of it is failed over until it ends.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import msgspec

from carina_tasks.errors import BadInput
from carina_tasks.flows.context import Context
from carina_tasks.flows.stop import operator
from carina_tasks.model import maintenance, names
from carina_tasks.model.maintenance import Maintenance
from carina_tasks.observability.audit import about_node


class MaintenanceEntry(msgspec.Struct, frozen=True, omit_defaults=True):
    """One node in maintenance. Times are seconds since the epoch, by the API server's clock."""

    node: str
    since: int
    until: int
    reason: str
    by: str
    """Who announced it; empty when that is not known."""
    ready: Literal["True", "False", "Unknown", "deleted"]
    """The node's Ready condition, ``deleted`` without a node."""
    overdue: bool = False
    """The announced time is over; the maintenance continues until it is ended."""
    error: str = ""
    """Why the entry cannot be read; the node counts as in maintenance all the same."""


class MaintenanceList(msgspec.Struct, frozen=True):
    """All nodes in maintenance."""

    at: int
    """The API server's clock."""
    nodes: tuple[MaintenanceEntry, ...]


def start(ctx: Context, node: str, seconds: float, reason: str, by: str = "") -> Maintenance:
    """Announce that `node` is in maintenance from now on.

    An announcement that is there already gets the new end.

    Args:
        ctx: The outside world.
        node: The node; it need not exist any more while LogicVolumes name it.
        seconds: How long it will take.
        reason: Why, for the next operator.
        by: Who the operator is, in their own words.

    Raises:
        BadInput: There is no such node, or the time or the reason is none.
    """
    names.node_name(node)
    found, now = ctx.cluster.node(node)
    if found is None and not ctx.cluster.is_named(node):
        raise BadInput(
            f"there is no node {node}, and no LogicVolume names it: see kubectl get nodes"
        )
    before = ctx.state.read().maintenance.get(node)
    entry = maintenance.new(node, now, seconds, reason, operator(ctx, by))
    if before is not None and not before.error:
        entry = replace(entry, since=before.since)
    ctx.state.write(**{entry.key: entry.to_json()})
    ctx.audit.event(
        about_node(node),
        "Normal",
        "MaintenanceStarted",
        f"node {node} is {entry}: nothing of it is failed over",
    )
    return entry


def end(ctx: Context, node: str, by: str = "") -> Maintenance:
    """End the maintenance of `node`; return what it was.

    Args:
        ctx: The outside world.
        node: The node.
        by: Who the operator is, in their own words.

    Raises:
        BadInput: The node is in none.
    """
    names.node_name(node)
    entry = ctx.state.read().maintenance.get(node)
    if entry is None:
        raise BadInput(f"node {node} is not in maintenance: see `carina maintenance list`")
    ctx.state.write(**{entry.key: None})
    message = (
        f"the maintenance of node {node} was ended by {operator(ctx, by)}: it is failed over like "
        "any other"
    )
    ctx.audit.event(about_node(node), "Normal", "MaintenanceEnded", message)
    return entry


def listed(ctx: Context) -> MaintenanceList:
    """Return all nodes in maintenance, the one that ends first at the top."""
    now, found = ctx.cluster.now(), []
    for entry in ctx.state.read().maintenance.values():
        node, _ = ctx.cluster.node(entry.node)
        found.append(
            MaintenanceEntry(
                node=entry.node,
                since=int(entry.since),
                until=int(entry.until),
                reason=entry.reason,
                by=entry.by,
                ready="deleted" if node is None else node.ready,  # type: ignore[arg-type]
                overdue=entry.overdue(now),
                error=entry.error,
            )
        )
    return MaintenanceList(int(now), tuple(sorted(found, key=lambda one: (one.until, one.node))))
