"""Inventories of nodes, asked of their workers."""

from __future__ import annotations

from collections.abc import Iterable

from carina_tasks.errors import CarinaTasksError, NodeSilent
from carina_tasks.flows.context import Context
from carina_tasks.model.local import Inventory

INVENTORY = "carina.node.inventory"


def inventories(ctx: Context, nodes: Iterable[str]) -> dict[str, Inventory | CarinaTasksError]:
    """Return each node's inventory, or why there is none.

    A node whose worker gives no sign of life is not waited for.
    """
    results: dict[str, Inventory | CarinaTasksError] = {}
    asked: dict[str, None] = {}
    for node in nodes:
        if ctx.worker_alive(node):
            asked[node] = None
        else:
            results[node] = NodeSilent(f"the worker of node {node} gives no sign of life")
    results.update(ctx.nodes.ask_all(asked, INVENTORY, Inventory))
    return results


def answered(results: dict[str, Inventory | CarinaTasksError]) -> dict[str, Inventory]:
    """Return only the inventories that came."""
    return {node: value for node, value in results.items() if isinstance(value, Inventory)}
