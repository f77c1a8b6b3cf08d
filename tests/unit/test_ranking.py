"""The order in which a plan looks at nodes: as if each were scored for each group, and cheaper."""

import random
from typing import Any
from unittest import mock

import pytest

from carina_tasks.decisions.placement import ranking
from carina_tasks.decisions.placement.ranking import Ranking
from carina_tasks.decisions.placement.score import score
from carina_tasks.model import well_known
from tests.builders.kubernetes import journal
from tests.builders.placement import (
    LOST,
    VG,
    inventory,
    local_volume,
    logic_volume,
    node,
    plan_all,
    pod,
    world,
)

pytestmark = pytest.mark.unit
SSD = "carina-vg-ssd"


def checked(self: Ranking, group: Any) -> Any:
    """Yield what the ranking does, after every node was scored for this group alone."""
    ledger, vgs = self._ledger, group.needs.keys()
    naive = sorted(
        score(one, group, ledger.pods, self._space, self._volumes)
        for one in ledger.candidates.values()
        if vgs <= one.groups.keys()
    )
    found = list(ORIGINAL(self, group))
    assert found == naive
    CHECKED.append(len(found))
    yield from found


ORIGINAL, CHECKED = Ranking.best_first, list[int]()


@pytest.mark.parametrize("seed", range(40))
def test_the_order_is_that_of_the_scores(seed: int) -> None:
    """Whatever was booked before: old copies and journals on other nodes, pods of one owner, two
    VGs, a source that still exists.
    """
    rng = random.Random(seed)
    names = [f"n{number}" for number in range(1 if rng.random() < 0.5 else 2, 9)]
    volumes, pods = [], []
    held: dict[str, list[Any]] = {name: [] for name in names}
    for number in range(20):
        name, on = f"v{number}", LOST if rng.random() < 0.6 else rng.choice(names)
        group, meta = rng.choice((VG, VG, SSD)), {}
        if on == LOST and rng.random() < 0.2:
            begun = journal(name, LOST, rng.choice(names))
            meta = {"annotations": {well_known.JOURNAL: begun.to_json()}}
        if rng.random() < 0.4:
            held[rng.choice(names)].append(
                local_volume(f"volume-{name}", size=rng.randint(1, 9), group=group)
            )
        volumes.append(logic_volume(name, on, size=f"{rng.randint(1, 9)}Gi", group=group, **meta))
        owner = {"kind": "StatefulSet", "name": "db", "uid": f"uid-{rng.randrange(3)}"}
        pods.append(pod(f"p{number}", name, on=on, owner=owner))
    inventories = {
        name: inventory(
            name,
            free=rng.randint(0, 60),
            lvs=tuple(lvs),
            group=SSD if rng.random() < 0.2 else VG,
        )
        for name, lvs in held.items()
    }
    CHECKED.clear()
    with mock.patch.object(Ranking, "best_first", checked):
        plan_all(world([node(name) for name in names], volumes, pods), inventories)
    assert CHECKED


def test_a_booked_node_is_not_scored_again_for_every_group() -> None:
    """300 volumes on 60 nodes, so that each is booked: nobody is scored alone."""
    names = [f"n{number}" for number in range(2, 62)]
    volumes = [logic_volume(f"v{number}", size="1Gi") for number in range(300)]
    pods = [
        pod(f"p{n}", f"v{n}", owner={"kind": "StatefulSet", "name": f"s{n}", "uid": f"uid-{n}"})
        for n in range(300)
    ]
    with mock.patch.object(ranking, "score", side_effect=score) as scored:
        found = plan_all(world([node(name) for name in names], volumes, pods))
    placed = [verdict.node for verdict in found.values() if hasattr(verdict, "node")]
    assert {name: placed.count(name) for name in names} == dict.fromkeys(names, 5)
    assert scored.call_count == 0
