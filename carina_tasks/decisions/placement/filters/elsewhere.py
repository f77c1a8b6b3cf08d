"""A rebuild leaves its node, and never returns by itself to where its journal began."""

from __future__ import annotations

from carina_tasks.decisions.placement.candidate import Candidate
from carina_tasks.decisions.placement.groups import PodGroup
from carina_tasks.decisions.placement.pods_by_node import PodsByNode
from carina_tasks.decisions.placement.space import Space
from carina_tasks.decisions.placement.verdict import FITS, DoesNotFit, FilterVerdict


def elsewhere(
    candidate: Candidate, group: PodGroup, standing: PodsByNode, space: Space
) -> FilterVerdict:
    """Require a node that no volume of the group is on or is being rebuilt from."""
    for logic_volume in group.logic_volumes:
        if logic_volume.node == candidate.name:
            return DoesNotFit(f"{logic_volume.name} is there already")
        if logic_volume.journal and logic_volume.journal.source == candidate.name:
            return DoesNotFit(f"{logic_volume.name} is being rebuilt away from there")
    return FITS
