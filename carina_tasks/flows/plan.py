"""What the loss of a node would do: the same selection and placement as the real run, and nothing written."""

from __future__ import annotations

from carina_tasks.decisions import placement, selection
from carina_tasks.flows import failover
from carina_tasks.flows.context import Context
from carina_tasks.flows.results import PlannedVolume, PlanResult
from carina_tasks.model import names


def plan_node(ctx: Context, node: str, not_ready: bool = False) -> PlanResult:
    """Return verdict, target and reason for each volume of `node`. Raises BadInput, and the adapters' errors."""
    names.node_name(node)
    world = ctx.cluster.observe()
    select = selection.of_not_ready_node if not_ready else selection.of_deleted_node
    selected = select(world, node)
    wanted = [s.volume for s in selected if isinstance(s, selection.Wanted)]
    volumes = [PlannedVolume(s.volume.name, "skipped", s.reason) for s in selected if isinstance(s, selection.Skip)]
    if wanted:
        for verdict in failover.plan(ctx, world, wanted, node):
            if isinstance(verdict, placement.Place):
                volumes.append(PlannedVolume(verdict.volume.name, "place", verdict.reason, verdict.node))
            else:
                volumes.append(PlannedVolume(verdict.volume.name, "no-fit", verdict.reason))
    places = sum(v.outcome == "place" for v in volumes)
    loss = "went NotReady" if not_ready else "was deleted"
    return PlanResult(
        node=node,
        reason=f"if {node} {loss}: {places} of {len(wanted)} volumes would be rebuilt elsewhere, {len(volumes) - len(wanted)} left",
        volumes=tuple(sorted(volumes, key=lambda v: v.volume)),
    )
