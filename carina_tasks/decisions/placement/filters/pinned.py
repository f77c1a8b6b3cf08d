"""Carina volumes of the pods that are not moved: half moved before, or alive on another node."""

from __future__ import annotations

from carina_tasks.decisions.placement.candidate import Candidate
from carina_tasks.decisions.placement.groups import PodGroup
from carina_tasks.decisions.placement.pods_by_node import PodsByNode
from carina_tasks.decisions.placement.space import Space
from carina_tasks.decisions.placement.verdict import FITS, DoesNotFit, FilterVerdict


def pinned(
    candidate: Candidate, group: PodGroup, standing: PodsByNode, space: Space
) -> FilterVerdict:
    """Fit when every volume that stays is on this node.

    A pod runs where all its local volumes are.
    """
    for volume, node in group.pinned:
        if node != candidate.name:
            return DoesNotFit(f"its pod also uses {volume} on {node}")
    return FITS
