"""What volumes ask of a node: PVs of other drivers, zone labels, allowed topologies of classes.

Source: scheduler plug-ins VolumeBinding and VolumeZone. The scheduler asks for allowedTopologies
only when a volume is provisioned; a rebuild is a provisioning, so here the class is asked for a
volume that is created again too.
"""

from __future__ import annotations

from carina_tasks.decisions.placement.candidate import Candidate
from carina_tasks.decisions.placement.groups import PodGroup
from carina_tasks.decisions.placement.pods_by_node import PodsByNode
from carina_tasks.decisions.placement.space import Space
from carina_tasks.decisions.placement.verdict import FITS, DoesNotFit, FilterVerdict


def volumes(
    candidate: Candidate, group: PodGroup, standing: PodsByNode, space: Space
) -> FilterVerdict:
    """Fit when every volume of the group and of its pods can be used on the node."""
    bad = next((demand for demand in group.demands if not demand.allows(candidate.node)), None)
    return DoesNotFit(bad.reason) if bad else FITS
