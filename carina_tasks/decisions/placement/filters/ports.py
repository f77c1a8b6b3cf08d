"""Are the host ports free? (scheduler plug-in NodePorts)"""

from __future__ import annotations

from itertools import combinations

from carina_tasks.decisions.placement.filter_input import FilterInput
from carina_tasks.decisions.placement.verdict import FITS, DoesNotFit, FilterVerdict


def ports(given: FilterInput) -> FilterVerdict:
    """Require host ports that no other pod on the node, or of the group, has."""
    reason = "node(s) didn't have free ports for the requested pod ports"
    wanted = [pod.footprint.ports for pod in given.group.pods if pod.footprint.ports]
    taken = tuple(given.pods.ports(given.candidate.name)) if wanted else ()
    if any(port.conflicts(other) for mine in wanted for port in mine for other in taken):
        return DoesNotFit(reason)
    if any(
        port.conflicts(other)
        for mine, theirs in combinations(wanted, 2)
        for port in mine
        for other in theirs
    ):
        return DoesNotFit(reason)
    return FITS
