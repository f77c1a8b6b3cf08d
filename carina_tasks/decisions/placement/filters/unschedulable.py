"""Is the node cordoned?

Source: scheduler plug-in NodeUnschedulable: a toleration of the cordon's own taint lets a pod in.
"""

from __future__ import annotations

from carina_tasks.decisions.placement.constraints import UNSCHEDULABLE
from carina_tasks.decisions.placement.filter_input import FilterInput
from carina_tasks.decisions.placement.verdict import FITS, DoesNotFit, FilterVerdict


def unschedulable(given: FilterInput) -> FilterVerdict:
    """Require a schedulable node, unless every pod tolerates the cordon taint."""
    if given.candidate.node.unschedulable and not (
        given.group.pods and all(pod.tolerates(UNSCHEDULABLE) for pod in given.group.pods)
    ):
        return DoesNotFit("node(s) were unschedulable")
    return FITS
