"""Is the node there to take volumes at all?"""

from __future__ import annotations

from carina_tasks.decisions.placement.filter_input import FilterInput
from carina_tasks.decisions.placement.verdict import FITS, DoesNotFit, FilterVerdict


def ready(given: FilterInput) -> FilterVerdict:
    """Require a Ready node that is not being deleted and whose worker answers.

    All its pods must be readable.
    """
    if given.candidate.node.meta.deleting is not None:
        return DoesNotFit("is being deleted")
    if not given.candidate.node.is_ready:
        return DoesNotFit(f"is not ready (Ready is {given.candidate.node.ready})")
    if not given.candidate.answered:
        return DoesNotFit("its worker does not answer", "worker")
    if reason := given.pods.unreadable(given.candidate.name):
        return DoesNotFit(f"has a pod that cannot be read: {reason}")
    return FITS
