"""For every node: would all its volumes find another node?

Reported before anything has failed; nothing is written.

The planner is that of `plan` and of the real run. The cluster is read once and each node's worker
asked once, for all nodes; all plans share one ledger. A process keeps what it found, and plans a
node again when something that its plan rests on is another than before.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import msgspec

from carina_tasks.decisions import guards
from carina_tasks.decisions.placement.reuse import facts_of, inputs_of
from carina_tasks.errors import BrokerUnavailable, CarinaTasksError
from carina_tasks.flows import ask_nodes
from carina_tasks.flows.context import Context
from carina_tasks.flows.plan_memory import Kept
from carina_tasks.flows.report.loss_plan import PlannedVolume, ledger_of, plan_loss
from carina_tasks.kube.state import OperatorState
from carina_tasks.model.local import Inventory
from carina_tasks.model.snapshot import ClusterSnapshot, unreadable_lines

RESULT_NAME = "readiness"
INTERVAL = 300
"""Seconds between two runs by the schedule."""
KEPT = 3 * INTERVAL
"""Seconds for which the result counts: after three missed runs it is unknown."""
NAMED = 10
"""Volumes unschedulable that are named for each node; `plan` names all of one node."""


class NodeReadiness(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the loss of one node would do now."""

    node: str
    ready: bool
    """All its volumes would be rebuilt elsewhere without the operator, but for those that are left
    alone anyway.
    """
    reason: str
    places: int = 0
    """Volumes that would be rebuilt elsewhere."""
    without_place: int = 0
    """Volumes that would be unschedulable."""
    skipped: int = 0
    """Volumes that are left alone (raw, bcache, no PersistentVolume, under way …)."""
    stopped: str = ""
    """Why the mass-failure guard would stop the failover until the operator resumes it; empty when
    it
    would not.
    """
    volumes: tuple[PlannedVolume, ...] = ()
    """The first of those unschedulable, with the reason; `carina.failover.plan` names all of a
    node.
    """
    state: str = ""
    """What the node was then: its Ready condition, and whether it was cordoned."""

    @property
    def in_short(self) -> str:
        """What is shown under *if lost*: ``survives``, ``loses 5 volumes``, ``stops failover``."""
        if self.without_place:
            return f"loses {self.without_place} volume{'' if self.without_place == 1 else 's'}"
        return "stops failover" if self.stopped else "survives"


class Readiness(msgspec.Struct, frozen=True, omit_defaults=True):
    """For every node: would its loss now leave a volume that no node fits?"""

    at: int
    """When the cluster was read."""
    reason: str
    nodes: tuple[NodeReadiness, ...] = ()
    unreadable: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Loss:
    """What the loss of one node would do to its volumes."""

    places: int
    stuck: int
    skipped: int
    named: tuple[PlannedVolume, ...]
    """The first of those unschedulable."""


def readiness(ctx: Context, after: int = 0) -> Readiness:
    """Judge every node and keep the result for `last`.

    Raises the adapters' errors, and nothing is kept then.

    Args:
        ctx: The outside world.
        after: Seconds since the epoch: an answer of that time or later is good enough. Failovers
            that end together ask for one each, and the first answers all. 0: judge them now.
    """
    if after and (found := last(ctx)) is not None and found.at >= after:
        return found
    snapshot, state = ctx.cluster.observe(), ctx.state.read()
    answers = ask_nodes.inventories(
        ctx, [node.name for node in snapshot.nodes.values() if node.is_ready]
    )
    _check_broker(answers)
    inventories = ask_nodes.answered(answers)
    with ctx.plans.turn:
        losses = losses_of(ctx, snapshot, inventories)
    nodes = tuple(
        _judge(ctx, snapshot, losses[name], name, state) for name in sorted(snapshot.nodes)
    )
    not_ready = sum(not node.ready for node in nodes)
    result = Readiness(
        at=int(snapshot.now),
        reason=f"{len(nodes) - not_ready} of {len(nodes)} nodes may be lost, one at a time",
        nodes=nodes,
        unreadable=unreadable_lines(snapshot.unreadable),
    )
    # One that began later may have ended before this one.
    found = last(ctx)
    if found is None or found.at <= result.at:
        ctx.latest_results.keep(RESULT_NAME, result, KEPT)
    return result


def still_true(found: Readiness, snapshot: ClusterSnapshot) -> bool:
    """Return whether `found` is about the nodes of `snapshot` as they are now.

    The same nodes must exist, be Ready and be cordoned.
    """
    return {one.node: one.state for one in found.nodes} == {
        name: _state(snapshot, name) for name in snapshot.nodes
    }


def last(ctx: Context) -> Readiness | None:
    """Return the last result, or None when there is none that still counts.

    Raises:
        BrokerUnavailable: The broker did not answer.
    """
    return ctx.latest_results.last(RESULT_NAME, Readiness)


def _check_broker(answers: Mapping[str, Inventory | CarinaTasksError]) -> None:
    """Raise the error that kept the requests from every node: it is not about the nodes."""
    for answer in answers.values():
        if isinstance(answer, BrokerUnavailable):
            raise answer


def losses_of(
    ctx: Context, snapshot: ClusterSnapshot, inventories: Mapping[str, Inventory]
) -> dict[str, Loss]:
    """Return what the loss of each node would do: as it was found last where that still holds."""
    ledger, memory = ledger_of(ctx, snapshot, inventories), ctx.plans
    facts = facts_of(snapshot, ledger, ctx.settings.reserve)
    changed = facts.changed(memory.facts) if memory.facts is not None else None
    losses: dict[str, Loss] = {}
    kept: dict[str, Kept[Loss]] = {}
    for node in snapshot.nodes:
        inputs = inputs_of(snapshot, node)
        found = memory.found(node, inputs, changed, ledger)
        if found is not None:
            kept[node] = memory.kept[node]
        else:
            made = plan_loss(ctx, snapshot, node, ledger)
            found = _loss(made.volumes)
            if inputs is not None:
                kept[node] = Kept(inputs, replace(made.plan, verdicts=()), found)
        losses[node] = found
    memory.facts, memory.kept = facts, kept
    return losses


def _loss(volumes: Sequence[PlannedVolume]) -> Loss:
    stuck = tuple(v for v in volumes if v.outcome == "no-fit")
    places = sum(v.outcome == "place" for v in volumes)
    skipped = len(volumes) - len(stuck) - places
    return Loss(places, len(stuck), skipped, stuck[:NAMED])


def _judge(
    ctx: Context, snapshot: ClusterSnapshot, loss: Loss, node: str, state: OperatorState
) -> NodeReadiness:
    stuck, places, skipped = loss.stuck, loss.places, loss.skipped
    planned_away = state.maintenance.keys() - {node}
    share = ctx.settings.mass_failure_share
    guard = guards.mass_failure(snapshot.without(node), share, state.approved, planned=planned_away)
    stopped = guard.reason if isinstance(guard, guards.GuardStops) and places + stuck else ""
    if stuck:
        reason = f"{stuck} of {places + stuck} volumes would be unschedulable"
    elif stopped:
        reason = f"the operator would have to resume: {stopped}"
    elif places:
        reason = f"{places} volumes would be rebuilt elsewhere"
    else:
        reason = "no volume to rebuild"
    return NodeReadiness(
        node=node,
        ready=not stuck and not stopped,
        reason=reason + (f", {skipped} are left alone" if skipped else ""),
        places=places,
        without_place=stuck,
        skipped=skipped,
        stopped=stopped,
        volumes=loss.named,
        state=_state(snapshot, node),
    )


def _state(snapshot: ClusterSnapshot, node: str) -> str:
    found = snapshot.nodes[node]
    return found.ready + (" cordoned" if found.cordoned else "")
