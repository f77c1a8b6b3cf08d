"""Which of the nodes that fit is best: spread first, then best fit.

1. fewest Carina volumes, so that the next lost node takes few with it
2. fewest pods of the same controllers
3. least free space left, so that large volumes still find a place
4. the name, so that the answer is always the same
"""

from __future__ import annotations

from collections.abc import Mapping

from carina_tasks.decisions.placement.candidate import Candidate
from carina_tasks.decisions.placement.load import Load
from carina_tasks.decisions.placement.pods_by_node import PodsByNode
from carina_tasks.decisions.placement.space import Space

Score = tuple[int, int, int, str]


def score(
    one: Candidate, group: Load, by_node: PodsByNode, space: Space, volumes: Mapping[str, int]
) -> Score:
    """Return the sort key of a node for a group, lowest is best.

    `volumes` is Carina volumes by node, plan included.

    Args:
        one: The node.
        group: What goes together.
        by_node: Every pod of the cluster.
        space: The free bytes of every VG.
        volumes: Number of Carina volumes on each node.
    """
    left = 0
    if group.needs.keys() <= one.groups.keys():
        left = sum(space.available(one, group).values()) - group.size
    owned = by_node.owned(group.owners, one.name)
    return (volumes.get(one.name, 0) + len(group.logic_volumes), owned, left, one.name)
