"""Is the node there to take volumes at all?"""

from __future__ import annotations

from carina_tasks.decisions.placement.candidate import Candidate
from carina_tasks.decisions.placement.groups import PodGroup
from carina_tasks.decisions.placement.pods_by_node import PodsByNode
from carina_tasks.decisions.placement.space import Space
from carina_tasks.decisions.placement.verdict import FITS, DoesNotFit, FilterVerdict


def ready(
    candidate: Candidate, group: PodGroup, standing: PodsByNode, space: Space
) -> FilterVerdict:
    """Require a Ready node that is not being deleted and whose worker answers.

    All its pods must be readable.
    """
    if candidate.node.meta.deleting is not None:
        return DoesNotFit("is being deleted")
    if candidate.node.ready != "True":
        return DoesNotFit(f"is not ready (Ready is {candidate.node.ready})")
    if not candidate.answered:
        return DoesNotFit("its worker does not answer")
    if reason := standing.unreadable.get(candidate.name):
        return DoesNotFit(f"has a pod that cannot be read: {reason}")
    return FITS
