"""Is the volume group there, and is there room in it?"""

from __future__ import annotations

from carina_tasks.decisions.placement.filter_input import FilterInput
from carina_tasks.decisions.placement.space import stale_of
from carina_tasks.decisions.placement.verdict import FITS, DoesNotFit, FilterVerdict, readable


def capacity(given: FilterInput) -> FilterVerdict:
    """Require every VG with room for the group, and no open LV that has a wanted name."""
    missing = next(
        (vg for vg in sorted(given.group.needs) if vg not in given.candidate.groups), None
    )
    if missing is not None:
        return DoesNotFit(f"has no volume group {missing}")
    for vg in sorted(given.group.needs):
        if problem := given.candidate.groups[vg].problem:
            return DoesNotFit(f"cannot use its volume group {vg}: {problem}")
    for logic_volume in given.group.logic_volumes:
        stale = stale_of(given.candidate, logic_volume)
        if stale is not None and stale.is_open:
            return DoesNotFit(f"has an LV {stale.group}/{stale.name} already, and it is open")
        if stale is not None and stale.at_work:
            return DoesNotFit(f"has an LV {stale.group}/{stale.name} already, and {stale.at_work}")
    for vg, available in sorted(given.space.available(given.candidate, given.group).items()):
        needed = given.group.needs[vg]
        if available < needed:
            return DoesNotFit(f"has {readable(available)} free in {vg}, needs {readable(needed)}")
    return FITS
