"""What the loss of a node would do.

The same selection and placement as the real run, and nothing written.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import msgspec

from carina_tasks.decisions import failback, placement, selection
from carina_tasks.errors import BadInput
from carina_tasks.flows import ask_nodes
from carina_tasks.flows.context import Context
from carina_tasks.flows.failover import planning
from carina_tasks.model import names
from carina_tasks.model.local import Inventory
from carina_tasks.model.snapshot import ClusterSnapshot


class PlannedVolume(msgspec.Struct, frozen=True, omit_defaults=True):
    """What would become of one volume."""

    volume: str
    outcome: Literal["place", "no-fit", "skipped"]
    reason: str
    target: str = ""


class PlanResult(msgspec.Struct, frozen=True):
    """What the loss of a node would do."""

    node: str
    reason: str
    volumes: tuple[PlannedVolume, ...] = ()
    old_copies: tuple[str, ...] = ()
    """One line for each other node that holds old copies of these volumes."""


def plan_node(ctx: Context, node: str, not_ready: bool = False) -> PlanResult:
    """Return verdict, target and reason for each volume of `node`.

    Raises:
        BadInput: The name is invalid.
        CarinaTasksError: The API server does not answer.
    """
    names.node_name(node)
    snapshot = ctx.cluster.observe()
    if node not in snapshot.nodes and not any(
        v.node == node for v in snapshot.logic_volumes.values()
    ):
        raise BadInput(
            f"there is no node {node}, and no LogicVolume names it: see kubectl get nodes"
        )
    candidates = [n.name for n in snapshot.nodes.values() if n.is_ready and n.name != node]
    inventories = ask_nodes.answered(ask_nodes.inventories(ctx, candidates))
    volumes = planned(ctx, snapshot, node, not_ready, inventories)
    places = sum(v.outcome == "place" for v in volumes)
    wanted = sum(v.outcome != "skipped" for v in volumes)
    loss = "went NotReady" if not_ready else "was deleted"
    return PlanResult(
        node=node,
        reason=f"if {node} {loss}: {places} of {wanted} volumes would be rebuilt elsewhere, "
        f"{len(volumes) - wanted} left",
        volumes=volumes,
        old_copies=tuple(
            filter(
                None,
                (_old_copies(snapshot, node, found) for _, found in sorted(inventories.items())),
            )
        ),
    )


def _old_copies(snapshot: ClusterSnapshot, node: str, inventory: Inventory) -> str:
    """Return a line about the old copies that another node holds of `node`'s volumes.

    Perhaps its machine was renamed.
    """
    volumes = {
        logic_volume.name
        for _, logic_volume in failback.old_copies(inventory, snapshot)
        if logic_volume.node == node
    }
    if not volumes:
        return ""
    return (
        f"node {inventory.node} holds old copies of {len(volumes)} of them: carina plan "
        f"{inventory.node} --failback"
    )


def planned(
    ctx: Context,
    snapshot: ClusterSnapshot,
    node: str,
    not_ready: bool = False,
    inventories: Mapping[str, Inventory] | None = None,
) -> tuple[PlannedVolume, ...]:
    """Return what would become of each volume of `node`, by name.

    The workers of the other nodes are asked, unless their answers are there already
    (`inventories`).

    Args:
        ctx: The outside world.
        snapshot: The cluster as it was read.
        node: Name of the node.
        not_ready: Whether the node is NotReady and not deleted.
        inventories: What each node reported.
    """
    if not not_ready:
        # As the failover will see it: without the node, what its pods and labels give to others is
        # gone too.
        snapshot = snapshot.without(node)
    selected = (selection.of_not_ready_node if not_ready else selection.of_deleted_node)(
        snapshot, node
    )
    wanted = [s.logic_volume for s in selected if isinstance(s, selection.Wanted)]
    volumes = [
        PlannedVolume(s.logic_volume.name, "skipped", s.reason)
        for s in selected
        if isinstance(s, selection.Skip)
    ]
    for verdict in planning.plan(ctx, snapshot, wanted, node, inventories) if wanted else ():
        if isinstance(verdict, placement.Placement):
            volumes.append(
                PlannedVolume(verdict.logic_volume.name, "place", verdict.reason, verdict.node)
            )
        else:
            volumes.append(PlannedVolume(verdict.logic_volume.name, "no-fit", verdict.reason))
    return tuple(sorted(volumes, key=lambda v: v.volume))
