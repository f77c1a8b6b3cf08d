"""Has Carina's CSI driver registered on the node?

kubelet sets the label when the driver registers. The new PV's node affinity asks for it, so without
it no pod could ever be scheduled to the volume.
"""

from __future__ import annotations

from carina_tasks.decisions.placement.filter_input import FilterInput
from carina_tasks.decisions.placement.verdict import FITS, DoesNotFit, FilterVerdict
from carina_tasks.model import well_known


def registered(given: FilterInput) -> FilterVerdict:
    """Fit when the node's label ``topology.carina.storage.io/node`` is its own name."""
    if given.candidate.labels.get(well_known.TOPOLOGY_NODE) == given.candidate.name:
        return FITS
    return DoesNotFit(
        f"has no label {well_known.TOPOLOGY_NODE}={given.candidate.name}: Carina's CSI driver is "
        "not registered there"
    )
