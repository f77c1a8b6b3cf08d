"""Where can the volumes of a lost node go? One verdict for each volume, nothing is written.

Groups are placed the largest first; each takes the best node by score that passes every filter, and
stands there for the groups after it. A group that finds none is left as it is. One that waits for
another (pod affinity) is asked again as long as others find a place.
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, replace
from typing import Final

from carina_tasks.decisions.placement.candidate import Candidate
from carina_tasks.decisions.placement.filter_input import FilterInput
from carina_tasks.decisions.placement.filters import FILTERS
from carina_tasks.decisions.placement.groups import PodGroup, make_groups
from carina_tasks.decisions.placement.ledger import Ledger
from carina_tasks.decisions.placement.ranking import Ranking
from carina_tasks.decisions.placement.score import Score
from carina_tasks.decisions.placement.space import Space, stale_of
from carina_tasks.decisions.placement.verdict import (
    DoesNotFit,
    Obstacle,
    Placement,
    PlacementRules,
    Unschedulable,
    readable,
)
from carina_tasks.model.local import Inventory
from carina_tasks.model.objects import LogicVolume
from carina_tasks.model.snapshot import ClusterSnapshot

NODES_NAMED: Final = 10
"""How many nodes a reason names; it ends in an Event, whose message may have 1024 bytes."""
REASON_LENGTH: Final = 1000
"""Characters of a whole reason (the journal takes no more)."""
NODE_REASON_LENGTH: Final = 200


def plan(
    snapshot: ClusterSnapshot,
    inventories: Mapping[str, Inventory],
    wanted: Sequence[LogicVolume],
    source: str | Set[str],
    rules: PlacementRules = PlacementRules(),  # noqa: B008  frozen
    only: str = "",
) -> tuple[Placement | Unschedulable, ...]:
    """Return one verdict for each wanted volume, in the order of `wanted`.

    A node without an inventory is a node whose worker does not answer. With `only`, no other node
    is a candidate. The same arguments give the same answer, in whatever order mappings are.

    Args:
        snapshot: The cluster as it was read.
        inventories: What each node reported.
        wanted: The logic volumes to place, all of `source`.
        source: The node that they leave, or all the nodes that are lost together. They may or may
            not be in the snapshot any more.
        rules: What the settings allow.
        only: The only node that may be chosen; empty: any.
    """
    ledger = Ledger(snapshot, inventories, rules.reserve)
    return plan_with(ledger, snapshot, wanted, source, rules, only).verdicts


@dataclass(frozen=True, slots=True)
class Plan:
    """The verdicts, and what they rest on."""

    verdicts: tuple[Placement | Unschedulable, ...]
    looked: frozenset[str] = frozenset()
    """Nodes that the filters were asked about; empty when `wide`."""
    chosen: tuple[Chosen, ...] = ()
    """What was placed."""
    wide: bool = False
    """Every node counts: a group has constraints about pods of other nodes, or fits nowhere."""


@dataclass(frozen=True, slots=True, eq=False)
class Chosen:
    """A group that was placed, as far as a score reads it, and the score of its node."""

    logic_volumes: tuple[LogicVolume, ...]
    needs: Mapping[str, int]
    size: int
    owners: frozenset[str]
    score: Score


def plan_with(
    ledger: Ledger,
    snapshot: ClusterSnapshot,
    wanted: Sequence[LogicVolume],
    source: str | Set[str],
    rules: PlacementRules,
    only: str = "",
) -> Plan:
    """Plan as `plan` does, with a ledger that many plans share.

    Args:
        ledger: Made of the snapshot, or of one that had more nodes and was otherwise the same.
        snapshot: The cluster as it was read.
        wanted: The logic volumes to place, all of `source`.
        source: The node that they leave, or all the nodes that are lost together.
        rules: What the settings allow.
        only: The only node that may be chosen; empty: any.
    """
    lost = frozenset((source,) if isinstance(source, str) else source)
    unique = {logic_volume.name: logic_volume for logic_volume in wanted}
    groups = sorted(
        make_groups(snapshot, tuple(unique.values()), lost), key=lambda group: group.rank
    )
    names = snapshot.nodes.keys() - lost
    planning = _Planning(ledger, snapshot, names & {only} if only else names, groups, rules)
    leaving = (pod for group in groups for pod in group.leaving)
    with ledger.pods.lend(snapshot.nodes, leaving):
        verdicts = planning.place_all(groups)
    answer = tuple(verdicts[logic_volume.name] for logic_volume in wanted)
    if planning.nowhere or any(
        one.affinity or one.anti_affinity or one.spread for g in groups for one in g.pods
    ):
        return Plan(answer, wide=True)
    return Plan(answer, frozenset(planning.looked), tuple(planning.chosen))


class _Planning:
    """One plan under way: the candidates and the ledgers of pods, bytes and volumes."""

    def __init__(
        self,
        ledger: Ledger,
        snapshot: ClusterSnapshot,
        names: Set[str],
        groups: Sequence[PodGroup],
        rules: PlacementRules,
    ) -> None:
        """Begin a plan.

        Args:
            ledger: What is known of all nodes.
            snapshot: The cluster as it was read.
            names: The nodes that may be chosen.
            groups: What goes together.
            rules: What the settings allow.
        """
        self._ledger, self._snapshot, self._names = ledger, snapshot, names
        self._rules, self._pods = rules, ledger.pods
        self._space = Space(ledger.free)
        self._changed: dict[str, int] = {}
        self._volumes = ChainMap(self._changed, ledger.volumes)
        self.looked: set[str] = set()
        self.chosen: list[Chosen] = []
        self.nowhere = False
        """Whether a group was refused by every node."""
        for name in (v.name for group in groups for v in group.logic_volumes):
            found = snapshot.logic_volumes.get(name)
            if found is not None and found.node in ledger.volumes:
                self._volumes[found.node] -= 1
        self._ranking = Ranking(ledger, self._space, self._volumes)
        self._ranking.moved(self._changed)

    def place_all(self, groups: Sequence[PodGroup]) -> dict[str, Placement | Unschedulable]:
        """Return the verdict for each volume of the groups, by name."""
        verdicts: dict[str, Placement | Unschedulable] = {}
        open_groups = groups
        while open_groups:
            retry = []
            placed = False
            for group in open_groups:
                found = self.place(group)
                verdicts.update(found)
                fits = all(isinstance(verdict, Placement) for verdict in found.values())
                placed = placed or fits
                if not fits and any(pod.affinity for pod in group.pods):
                    retry.append(group)
            open_groups = retry if placed else []
        return verdicts

    def place(self, group: PodGroup) -> dict[str, Placement | Unschedulable]:
        """Return the verdict for each volume of the group, and book it where it goes."""
        if group.refusal:
            self._stay(group)
            return {
                logic_volume.name: Unschedulable(logic_volume, group.refusal[:REASON_LENGTH])
                for logic_volume in group.logic_volumes
            }
        self._leave(group)
        misfits: dict[str, DoesNotFit] = {}
        for score in self._ranking.best_first(group):
            if score[-1] in self._names:
                misfit = self._first_misfit(score[-1], group)
                if misfit is None:
                    self.chosen.append(
                        Chosen(group.logic_volumes, group.needs, group.size, group.owners, score)
                    )
                    return self._book(self._ledger.candidates[score[-1]], group)
                misfits[score[-1]] = misfit
        self.nowhere = True
        for name in self._names - misfits.keys():
            # It lacks a VG; which filter says no first is what people read.
            if (misfit := self._first_misfit(name, group)) is not None:
                misfits[name] = misfit
        self._stay(group)
        reason = _no_fit({name: misfit.reason for name, misfit in misfits.items()})
        obstacles = tuple(Obstacle(name, misfit.kind) for name, misfit in sorted(misfits.items()))
        return {
            logic_volume.name: Unschedulable(logic_volume, reason, obstacles)
            for logic_volume in group.logic_volumes
        }

    def _first_misfit(self, name: str, group: PodGroup) -> DoesNotFit | None:
        self.looked.add(name)
        one = self._ledger.candidates[name]
        given = FilterInput(one, group, self._pods, self._space, self._rules)
        for fit in FILTERS:
            verdict = fit(given)
            if isinstance(verdict, DoesNotFit):
                return verdict if verdict.kind else replace(verdict, kind=fit.__name__)
        return None

    def _book(self, one: Candidate, group: PodGroup) -> dict[str, Placement | Unschedulable]:
        left = self._space.take(one, group)
        for pod in group.pods:
            self._pods.put(pod.pod, one.name, pod.footprint)
        self._volumes[one.name] += len(group.logic_volumes)
        self._ranking.moved({one.name, *self._space.differs(group)})
        reason = f"{self._volumes[one.name]} Carina volumes there with it"
        for vg, free in sorted(left.items()):
            reason += f", {readable(free)} left in {vg}"
        if group.pinned:
            reason = f"its pod also uses {group.pinned[0][0]} there; {reason}"
        names = [logic_volume.name for logic_volume in group.logic_volumes]
        places: dict[str, Placement | Unschedulable] = {}
        for logic_volume in group.logic_volumes:
            stale = stale_of(one, logic_volume)
            others = tuple(name for name in names if name != logic_volume.name)
            places[logic_volume.name] = Placement(
                logic_volume, one.name, reason, stale.uuid if stale else "", others
            )
        return places

    def _stay(self, group: PodGroup) -> None:
        """Add the group's pods to the nodes where they are.

        They count for the groups that come after it.
        """
        for pod in group.leaving:
            if pod.node in self._snapshot.nodes:
                self._pods.put(pod, pod.node)

    def _leave(self, group: PodGroup) -> None:
        for pod in group.leaving:
            self._pods.take(pod)


def _no_fit(misfits: Mapping[str, str]) -> str:
    """Return the reason in the scheduler's format: ``0/3 nodes fit: n1: …; n2: …``."""
    if not misfits:
        return "there is no other Ready node"
    named = [
        f"{name}: {misfits[name][:NODE_REASON_LENGTH]}" for name in sorted(misfits)[:NODES_NAMED]
    ]
    more = [f"and {len(misfits) - NODES_NAMED} more"] if len(misfits) > NODES_NAMED else []
    text = f"0/{len(misfits)} nodes fit: " + "; ".join(named + more)
    return text if len(text) <= REASON_LENGTH else text[: REASON_LENGTH - 3] + "..."
