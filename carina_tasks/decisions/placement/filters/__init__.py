"""The filters, in the order in which they are asked: the cheap and lasting reasons first.

Each takes a `FilterInput` and returns Fits or DoesNotFit(reason). A candidate passes when all of
them fit.

===================  ==================================================================
``ready``            the node is Ready and its worker answers
``elsewhere``        not where the volume is now, nor where its journal began
``unschedulable``    not cordoned
``taints``           NoSchedule and NoExecute, with tolerations
``node_affinity``    nodeSelector and required node affinity
``pinned``           Carina volumes of the pods that stay where they are
``volumes``          other volumes' node affinity and zones; allowed topologies
``registered``       Carina's CSI driver has put its label on the node
``capacity``         the VG is there and has room
``resources``        cpu, memory, pods, extended resources
``ports``            host ports
``pod_affinity``     required pod affinity and anti-affinity, both ways
``topology_spread``  topology spread constraints with DoNotSchedule
===================  ==================================================================
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from carina_tasks.decisions.placement.filter_input import FilterInput
from carina_tasks.decisions.placement.filters.capacity import capacity
from carina_tasks.decisions.placement.filters.elsewhere import elsewhere
from carina_tasks.decisions.placement.filters.node_affinity import node_affinity
from carina_tasks.decisions.placement.filters.pinned import pinned
from carina_tasks.decisions.placement.filters.pod_affinity import pod_affinity
from carina_tasks.decisions.placement.filters.ports import ports
from carina_tasks.decisions.placement.filters.ready import ready
from carina_tasks.decisions.placement.filters.registered import registered
from carina_tasks.decisions.placement.filters.resources import resources
from carina_tasks.decisions.placement.filters.taints import taints
from carina_tasks.decisions.placement.filters.topology_spread import topology_spread
from carina_tasks.decisions.placement.filters.unschedulable import unschedulable
from carina_tasks.decisions.placement.filters.volumes import volumes
from carina_tasks.decisions.placement.verdict import FilterVerdict

Filter = Callable[[FilterInput], FilterVerdict]

FILTERS: Final[tuple[Filter, ...]] = (
    ready,
    elsewhere,
    unschedulable,
    taints,
    node_affinity,
    pinned,
    volumes,
    registered,
    capacity,
    resources,
    ports,
    pod_affinity,
    topology_spread,
)
