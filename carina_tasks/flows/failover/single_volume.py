"""One volume of a live node, rebuilt elsewhere because the operator reports it.

The same planner, journal, guards and steps.
"""

from __future__ import annotations

from carina_tasks.decisions import guards, selection, single_volume
from carina_tasks.flows import ask_nodes
from carina_tasks.flows.context import Context
from carina_tasks.flows.failover.loss import check_mass_failure
from carina_tasks.flows.failover.lost_node import Leaving, count_run, fail_over, guarded
from carina_tasks.flows.failover.results import FailoverResult
from carina_tasks.model import names
from carina_tasks.model.local import Inventory


def rebuild_volume(ctx: Context, node: str, volume: str, force: str) -> FailoverResult:
    """Rebuild `volume` of `node` on another node if `force` is its name.

    The node is named so that a message that comes twice does not move the volume twice.

    Args:
        ctx: The outside world.
        node: Name of the node.
        volume: Name of the volume.
        force: The volume's name, as confirmation.

    Raises:
        BadInput: A name is invalid.
        TransientError: Nothing could be decided; the task is tried again.
    """
    names.node_name(node)
    names.object_name(volume)
    return count_run(
        "by-hand", guarded(ctx, node, lambda: _rebuild_volume(ctx, node, volume, force))
    )


def _rebuild_volume(ctx: Context, node: str, name: str, force: str) -> FailoverResult:
    snapshot = ask_nodes.confirmed(ctx, ctx.cluster.observe(), [node])
    logic_volume = snapshot.logic_volumes.get(name)
    if logic_volume is None or logic_volume.node != node:
        where = f"it is on {logic_volume.node}" if logic_volume is not None else "there is none"
        return FailoverResult(node, "refused", f"node {node} has no LogicVolume {name}: {where}")
    selected = selection.of_volume(snapshot, logic_volume)
    if isinstance(selected, selection.Skip):
        return FailoverResult(node, "refused", f"{name}: {selected.reason}")
    check_mass_failure(ctx, snapshot, [node])
    for verdict in (
        single_volume.live(snapshot, logic_volume),
        single_volume.forced(logic_volume, force),
    ):
        if isinstance(verdict, guards.GuardStops):
            return FailoverResult(node, "refused", verdict.reason)
    inventory = ask_nodes.inventories(ctx, [node])[node]
    use = single_volume.unused(
        snapshot, logic_volume, inventory if isinstance(inventory, Inventory) else None
    )
    if isinstance(use, guards.GuardStops):
        return FailoverResult(node, "refused", use.reason)
    reason = (
        f"the operator had it rebuilt manually; its old copy stays on {node} until the sweeps "
        "remove it"
    )
    return fail_over(ctx, snapshot, [Leaving(node, "rebuild", reason, (selected,))])
