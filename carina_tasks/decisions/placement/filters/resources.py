"""Do cpu, memory, pods and extended resources suffice?

Source: scheduler plug-in NodeResourcesFit: only what is requested above zero is compared.
Preemption of pods with a lower priority is not counted on.
"""

from __future__ import annotations

from decimal import Decimal

from carina_tasks.decisions.placement.filter_input import FilterInput
from carina_tasks.decisions.placement.verdict import FITS, DoesNotFit, FilterVerdict

_NONE = Decimal(0)


def resources(given: FilterInput) -> FilterVerdict:
    """Require the sum of what all pods of the group request, beside the node's own pods."""
    if not given.group.pods:
        return FITS
    allocatable, used = given.candidate.node.allocatable, given.pods.used(given.candidate.name)
    if given.pods.pod_count(given.candidate.name) + len(given.group.pods) > allocatable.get(
        "pods", _NONE
    ):
        return DoesNotFit("Too many pods")
    for name, wanted in given.group.requests.items():
        if wanted > 0 and wanted > allocatable.get(name, _NONE) - used.get(name, _NONE):
            return DoesNotFit(f"Insufficient {name}")
    return FITS
