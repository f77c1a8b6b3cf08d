"""Is the volume group there, and is there room in it?"""

from __future__ import annotations

from carina_tasks.decisions.placement.candidate import Candidate
from carina_tasks.decisions.placement.groups import PodGroup
from carina_tasks.decisions.placement.pods_by_node import PodsByNode
from carina_tasks.decisions.placement.space import Space, stale_of
from carina_tasks.decisions.placement.verdict import FITS, DoesNotFit, FilterVerdict, readable


def capacity(
    candidate: Candidate, group: PodGroup, standing: PodsByNode, space: Space
) -> FilterVerdict:
    """Require every VG with room for the group, and no open LV that has a wanted name."""
    missing = next((vg for vg in sorted(group.needs) if vg not in candidate.groups), None)
    if missing is not None:
        return DoesNotFit(f"has no volume group {missing}")
    for vg in sorted(group.needs):
        if problem := candidate.groups[vg].problem:
            return DoesNotFit(f"cannot use its volume group {vg}: {problem}")
    for logic_volume in group.logic_volumes:
        stale = stale_of(candidate, logic_volume)
        if stale is not None and stale.is_open:
            return DoesNotFit(f"has an LV {stale.group}/{stale.name} already, and it is open")
        if stale is not None and stale.at_work:
            return DoesNotFit(f"has an LV {stale.group}/{stale.name} already, and {stale.at_work}")
    for vg, available in sorted(space.available(candidate, group).items()):
        needed = group.needs[vg]
        if available < needed:
            return DoesNotFit(f"has {readable(available)} free in {vg}, needs {readable(needed)}")
    return FITS
