"""Do cpu, memory, pods and extended resources suffice?

Source: scheduler plug-in NodeResourcesFit: only what is requested above zero is compared.
Preemption of pods with a lower priority is not counted on.
"""

from __future__ import annotations

from decimal import Decimal

from carina_tasks.decisions.placement.candidate import Candidate
from carina_tasks.decisions.placement.groups import PodGroup
from carina_tasks.decisions.placement.pods_by_node import PodsByNode
from carina_tasks.decisions.placement.space import Space
from carina_tasks.decisions.placement.verdict import FITS, DoesNotFit, FilterVerdict

_NONE = Decimal(0)


def resources(
    candidate: Candidate, group: PodGroup, standing: PodsByNode, space: Space
) -> FilterVerdict:
    """Require the sum of what all pods of the group request, beside the node's own pods."""
    if not group.pods:
        return FITS
    allocatable, used = candidate.node.allocatable, standing.used(candidate.name)
    if standing.pod_count(candidate.name) + len(group.pods) > allocatable.get("pods", _NONE):
        return DoesNotFit("Too many pods")
    for name, wanted in group.requests.items():
        if wanted > 0 and wanted > allocatable.get(name, _NONE) - used.get(name, _NONE):
            return DoesNotFit(f"Insufficient {name}")
    return FITS
