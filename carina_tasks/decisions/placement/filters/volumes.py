"""What volumes ask of a node: PVs of other drivers, zone labels, allowed topologies of classes.

Source: scheduler plug-ins VolumeBinding and VolumeZone. The scheduler asks for allowedTopologies
only when a volume is provisioned; a rebuild is a provisioning, so here the class is asked for a
volume that is created again too.
"""

from __future__ import annotations

from carina_tasks.decisions.placement.filter_input import FilterInput
from carina_tasks.decisions.placement.verdict import FITS, DoesNotFit, FilterVerdict


def volumes(given: FilterInput) -> FilterVerdict:
    """Fit when every volume of the group and of its pods can be used on the node."""
    bad = next(
        (demand for demand in given.group.demands if not demand.allows(given.candidate.node)), None
    )
    return DoesNotFit(bad.reason) if bad else FITS
