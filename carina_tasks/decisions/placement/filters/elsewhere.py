"""A rebuild goes somewhere else than where the volume is."""

from __future__ import annotations

from carina_tasks.decisions.placement.candidate import Candidate
from carina_tasks.decisions.placement.groups import PodGroup
from carina_tasks.decisions.placement.space import Space
from carina_tasks.decisions.placement.standing import Standing
from carina_tasks.decisions.placement.verdict import FITS, Misfit, Verdict


def elsewhere(candidate: Candidate, group: PodGroup, standing: Standing, space: Space) -> Verdict:
    """Fit when none of the group's volumes names this node now: a volume is never rebuilt over itself."""
    here = next((volume for volume in group.volumes if volume.node == candidate.name), None)
    return Misfit(f"{here.name} is there already") if here else FITS
