"""Where can the volumes of a lost node go? One verdict for each volume, nothing is written.

Groups are placed the largest first; each takes the best node by score that passes every filter, and
stands there for the groups after it. A group that finds none is left as it is. One that waits for
another (pod affinity) is asked again as long as others find a place.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Final

from carina_tasks.decisions.placement.candidate import Candidate, candidate
from carina_tasks.decisions.placement.filter_input import FilterInput
from carina_tasks.decisions.placement.filters import FILTERS
from carina_tasks.decisions.placement.groups import PodGroup, make_groups
from carina_tasks.decisions.placement.pods_by_node import PodsByNode
from carina_tasks.decisions.placement.score import Score, score
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
    source: str,
    rules: PlacementRules = PlacementRules(),  # noqa: B008  frozen
    only: str = "",
) -> tuple[Placement | Unschedulable, ...]:
    """Return one verdict for each wanted volume, in the order of `wanted`.

    `source` is the node that they leave; it may or may not be in the world any more. A node without
    an inventory is a node whose worker does not answer. With `only`, no other node is a candidate.
    The same arguments give the same answer, in whatever order mappings are.

    Args:
        snapshot: The cluster as it was read.
        inventories: What each node reported.
        wanted: The logic volumes to place, all of `source`.
        source: The node that the logic volumes leave.
        rules: What the settings allow.
        only: The only node that may be chosen; empty: any.
    """
    unique = {logic_volume.name: logic_volume for logic_volume in wanted}
    groups = sorted(
        make_groups(snapshot, tuple(unique.values()), source), key=lambda group: group.rank
    )
    candidates = [
        candidate(node, inventories.get(name))
        for name, node in sorted(snapshot.nodes.items())
        if name != source and only in ("", name)
    ]
    planning = _Planning(snapshot, candidates, groups, rules)
    verdicts: dict[str, Placement | Unschedulable] = {}
    open_groups = groups
    while open_groups:
        retry = []
        placed = False
        for group in open_groups:
            found = planning.place(group)
            verdicts.update(found)
            fits = all(isinstance(verdict, Placement) for verdict in found.values())
            placed = placed or fits
            if not fits and any(pod.affinity for pod in group.pods):
                retry.append(group)
        open_groups = retry if placed else []
    return tuple(verdicts[logic_volume.name] for logic_volume in wanted)


class _Planning:
    """One plan under way: the candidates and the ledgers of pods, bytes and volumes."""

    def __init__(
        self,
        snapshot: ClusterSnapshot,
        candidates: Sequence[Candidate],
        groups: Sequence[PodGroup],
        rules: PlacementRules,
    ) -> None:
        self._snapshot = snapshot
        self._candidates = candidates
        self._rules = rules
        self._pods = PodsByNode(snapshot, (pod for group in groups for pod in group.leaving))
        self._space = Space(snapshot, candidates, rules.reserve)
        moving = {logic_volume.name for group in groups for logic_volume in group.logic_volumes}
        self._volumes = Counter(
            v.node for v in snapshot.logic_volumes.values() if v.name not in moving
        )

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
        for one in sorted(self._candidates, key=self._score_for(group)):
            misfit = self._first_misfit(one, group)
            if misfit is None:
                return self._book(one, group)
            misfits[one.name] = misfit
        self._stay(group)
        reason = _no_fit({name: misfit.reason for name, misfit in misfits.items()})
        obstacles = tuple(Obstacle(name, misfit.kind) for name, misfit in sorted(misfits.items()))
        return {
            logic_volume.name: Unschedulable(logic_volume, reason, obstacles)
            for logic_volume in group.logic_volumes
        }

    def _score_for(self, group: PodGroup) -> Callable[[Candidate], Score]:
        return lambda one: score(one, group, self._pods, self._space, self._volumes)

    def _first_misfit(self, one: Candidate, group: PodGroup) -> DoesNotFit | None:
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
