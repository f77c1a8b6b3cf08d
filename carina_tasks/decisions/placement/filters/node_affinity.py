"""nodeSelector and required node affinity (scheduler plug-in NodeAffinity)."""

from __future__ import annotations

from carina_tasks.decisions.placement.candidate import Candidate
from carina_tasks.decisions.placement.groups import PodGroup
from carina_tasks.decisions.placement.pods_by_node import PodsByNode
from carina_tasks.decisions.placement.space import Space
from carina_tasks.decisions.placement.verdict import FITS, DoesNotFit, FilterVerdict


def node_affinity(
    candidate: Candidate, group: PodGroup, standing: PodsByNode, space: Space
) -> FilterVerdict:
    """Fit when the node has what every pod requires of its labels and its name."""
    if all(pod.wants(candidate.node) for pod in group.pods):
        return FITS
    return DoesNotFit("node(s) didn't match Pod's node affinity/selector")
