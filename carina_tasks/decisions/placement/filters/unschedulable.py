"""Is the node cordoned?

Source: scheduler plug-in NodeUnschedulable: a toleration of the cordon's own taint lets a pod in.
"""

from __future__ import annotations

from carina_tasks.decisions.placement.candidate import Candidate
from carina_tasks.decisions.placement.constraints import UNSCHEDULABLE
from carina_tasks.decisions.placement.groups import PodGroup
from carina_tasks.decisions.placement.pods_by_node import Standing
from carina_tasks.decisions.placement.space import Space
from carina_tasks.decisions.placement.verdict import FITS, Misfit, Verdict


def unschedulable(candidate: Candidate, group: PodGroup, standing: Standing, space: Space) -> Verdict:
    """Fit when the node is schedulable, or every pod tolerates ``node.kubernetes.io/unschedulable``."""
    if candidate.node.unschedulable and not (group.pods and all(pod.tolerates(UNSCHEDULABLE) for pod in group.pods)):
        return Misfit("node(s) were unschedulable")
    return FITS
