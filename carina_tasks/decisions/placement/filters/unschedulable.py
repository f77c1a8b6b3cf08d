"""Is the node cordoned?

Source: scheduler plug-in NodeUnschedulable: a toleration of the cordon's own taint lets a pod in.
"""

from __future__ import annotations

from carina_tasks.decisions.placement.candidate import Candidate
from carina_tasks.decisions.placement.constraints import UNSCHEDULABLE
from carina_tasks.decisions.placement.groups import PodGroup
from carina_tasks.decisions.placement.pods_by_node import PodsByNode
from carina_tasks.decisions.placement.space import Space
from carina_tasks.decisions.placement.verdict import FITS, DoesNotFit, FilterVerdict


def unschedulable(
    candidate: Candidate, group: PodGroup, standing: PodsByNode, space: Space
) -> FilterVerdict:
    """Require a schedulable node, unless every pod tolerates the cordon taint."""
    if candidate.node.unschedulable and not (
        group.pods and all(pod.tolerates(UNSCHEDULABLE) for pod in group.pods)
    ):
        return DoesNotFit("node(s) were unschedulable")
    return FITS
