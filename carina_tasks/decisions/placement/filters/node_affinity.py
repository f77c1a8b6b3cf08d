"""nodeSelector and required node affinity (scheduler plug-in NodeAffinity)."""

from __future__ import annotations

from carina_tasks.decisions.placement.filter_input import FilterInput
from carina_tasks.decisions.placement.verdict import FITS, DoesNotFit, FilterVerdict


def node_affinity(given: FilterInput) -> FilterVerdict:
    """Fit when the node has what every pod requires of its labels and its name."""
    if all(pod.wants(given.candidate.node) for pod in given.group.pods):
        return FITS
    return DoesNotFit("node(s) didn't match Pod's node affinity/selector")
