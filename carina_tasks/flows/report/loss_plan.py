"""What the loss of a node would do.

The same selection and placement as the real run, and nothing written.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import msgspec
import msgspec.structs

from carina_tasks.decisions import failback, placement, selection, whose
from carina_tasks.decisions.advice import CARINA, for_no_fit
from carina_tasks.decisions.placement.ledger import Ledger
from carina_tasks.decisions.placement.plan import Plan, plan_with
from carina_tasks.decisions.placement.verdict import Obstacle
from carina_tasks.decisions.verdict import Verdict
from carina_tasks.errors import BadInput
from carina_tasks.flows import ask_nodes
from carina_tasks.flows.context import Context
from carina_tasks.flows.failover import planning
from carina_tasks.model import names
from carina_tasks.model.local import Inventory
from carina_tasks.model.objects import LogicVolume
from carina_tasks.model.snapshot import ClusterSnapshot


class PlannedVolume(msgspec.Struct, frozen=True, omit_defaults=True):
    """What would become of one volume."""

    volume: str
    outcome: Literal["place", "no-fit", "skipped"]
    reason: str
    target: str = ""
    claim: str = ""
    """``namespace/name`` of its claim."""
    pod: str = ""
    """The pod that uses it, in the claim's namespace; empty without one."""
    obstacles: tuple[Obstacle, ...] = ()
    """Of ``no-fit``: what stands in the way on each node."""


class PlanResult(msgspec.Struct, frozen=True):
    """What the loss of a node would do."""

    node: str
    reason: str
    volumes: tuple[PlannedVolume, ...] = ()
    old_copies: tuple[str, ...] = ()
    """One line for each other node that holds old copies of these volumes."""

    @property
    def verdict(self) -> Verdict:
        """The first line of `carina plan`."""
        stuck = [volume for volume in self.volumes if volume.outcome == "no-fit"]
        if not stuck:
            return Verdict("HEALTHY", self.reason)
        obstacles = [one for volume in stuck for one in volume.obstacles]
        advice = for_no_fit(obstacles, self.node)
        # The plan itself is what is read already.
        do = "" if advice.do.startswith(f"{CARINA} plan") else advice.do
        return Verdict("AT RISK", f"{self.reason}; {advice.reason}", do)


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
    ledger = ledger_of(ctx, snapshot, inventories)
    volumes = plan_loss(ctx, snapshot, node, ledger, not_ready).volumes
    places = sum(v.outcome == "place" for v in volumes)
    wanted = sum(v.outcome != "skipped" for v in volumes)
    what = f"if node {node} {'went NotReady' if not_ready else 'was deleted'}"
    if node not in snapshot.nodes:
        what = f"node {node} is deleted"
    return PlanResult(
        node=node,
        reason=_summary(what, places, wanted, len(volumes) - wanted),
        volumes=volumes,
        old_copies=tuple(
            filter(
                None,
                (_old_copies(snapshot, node, found) for _, found in sorted(inventories.items())),
            )
        ),
    )


def _summary(what: str, places: int, wanted: int, skipped: int) -> str:
    """Return what the loss would do, in one clause."""
    if not wanted and not skipped:
        return f"{what}: it has no volume of Carina's"
    left = f", {skipped} left alone" if skipped else ""
    return f"{what}: {places} of {wanted} volumes would be rebuilt elsewhere{left}"


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


@dataclass(frozen=True, slots=True)
class LossPlan:
    """What would become of each volume of a node, by claim, and the plan that says so."""

    volumes: tuple[PlannedVolume, ...]
    plan: Plan


def ledger_of(
    ctx: Context, snapshot: ClusterSnapshot, inventories: Mapping[str, Inventory]
) -> Ledger:
    """Return the ledger that all plans of a snapshot share.

    Args:
        ctx: The outside world.
        snapshot: The cluster as it was read.
        inventories: What each node reported.
    """
    return Ledger(snapshot, inventories, ctx.settings.reserve)


def plan_loss(
    ctx: Context, snapshot: ClusterSnapshot, node: str, ledger: Ledger, not_ready: bool = False
) -> LossPlan:
    """Plan the loss of `node` with the ledger of the snapshot.

    Args:
        ctx: The outside world.
        snapshot: The cluster as it was read.
        node: Name of the node.
        ledger: Made of that snapshot, with what each of the other nodes reported.
        not_ready: Whether the node is NotReady and not deleted.
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
        _volume(snapshot, s.logic_volume, "skipped", s.reason)
        for s in selected
        if isinstance(s, selection.Skip)
    ]
    made = Plan(())
    if wanted:
        every = [*wanted, *planning.along(snapshot, wanted, (node,))]
        made = plan_with(ledger, snapshot, every, node, planning.rules(ctx))
    for verdict in made.verdicts[: len(wanted)]:
        if isinstance(verdict, placement.Placement):
            one = _volume(snapshot, verdict.logic_volume, "place", verdict.reason, verdict.node)
        else:
            one = _volume(snapshot, verdict.logic_volume, "no-fit", verdict.reason)
            one = msgspec.structs.replace(one, obstacles=verdict.obstacles)
        volumes.append(one)
    return LossPlan(tuple(sorted(volumes, key=lambda v: (v.claim, v.volume))), made)


def _volume(
    snapshot: ClusterSnapshot,
    logic_volume: LogicVolume,
    outcome: Literal["place", "no-fit", "skipped"],
    reason: str,
    target: str = "",
) -> PlannedVolume:
    claim = logic_volume.claim_key
    pod = whose.pod_of(snapshot, claim)
    return PlannedVolume(logic_volume.name, outcome, reason, target, claim, pod)
