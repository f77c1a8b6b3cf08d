"""A rebuild leaves its node, and never returns by itself to where its journal began."""

from __future__ import annotations

from carina_tasks.decisions.placement.filter_input import FilterInput
from carina_tasks.decisions.placement.verdict import FITS, DoesNotFit, FilterVerdict


def elsewhere(given: FilterInput) -> FilterVerdict:
    """Require a node that no volume of the group is on or is being rebuilt from."""
    for logic_volume in given.group.logic_volumes:
        if logic_volume.node == given.candidate.name:
            return DoesNotFit(f"{logic_volume.name} is there already")
        if logic_volume.journal and logic_volume.journal.source == given.candidate.name:
            return DoesNotFit(f"{logic_volume.name} is being rebuilt away from there")
    return FITS
