"""Carina volumes of the pods that are not moved: half moved before, or alive on another node."""

from __future__ import annotations

from carina_tasks.decisions.placement.filter_input import FilterInput
from carina_tasks.decisions.placement.verdict import FITS, DoesNotFit, FilterVerdict


def pinned(given: FilterInput) -> FilterVerdict:
    """Fit when every volume that stays is on this node.

    A pod runs where all its local volumes are.
    """
    for volume, node in given.group.pinned:
        if node != given.candidate.name:
            return DoesNotFit(f"its pod also uses {volume} on {node}")
    return FITS
