"""What a filter is asked about: one frozen value, so that a new setting changes one filter only."""

from __future__ import annotations

from dataclasses import dataclass

from carina_tasks.decisions.placement.candidate import Candidate
from carina_tasks.decisions.placement.groups import PodGroup
from carina_tasks.decisions.placement.pods_by_node import PodsByNode
from carina_tasks.decisions.placement.space import Space
from carina_tasks.decisions.placement.verdict import PlacementRules


@dataclass(frozen=True, slots=True)
class FilterInput:
    """Could this group of pods and logic volumes go to this node?"""

    candidate: Candidate
    group: PodGroup
    pods: PodsByNode
    """Every pod of the cluster, and those that this plan has placed already."""
    space: Space
    """The free bytes of every VG, less what this plan has placed already."""
    rules: PlacementRules
    """What an operator may set."""
