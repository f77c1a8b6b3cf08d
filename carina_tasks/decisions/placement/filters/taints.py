"""Taints and tolerations.

Source: scheduler plug-in TaintToleration: PreferNoSchedule does not keep a pod away. A volume
without a pod tolerates nothing: the pod that uses it later may tolerate nothing either.
"""

from __future__ import annotations

from carina_tasks.decisions.placement.candidate import Candidate
from carina_tasks.decisions.placement.groups import PodGroup
from carina_tasks.decisions.placement.pods_by_node import PodsByNode
from carina_tasks.decisions.placement.space import Space
from carina_tasks.decisions.placement.verdict import FITS, DoesNotFit, FilterVerdict


def taints(
    candidate: Candidate, group: PodGroup, standing: PodsByNode, space: Space
) -> FilterVerdict:
    """Fit when every pod tolerates every NoSchedule and NoExecute taint of the node."""
    if group.pods:
        bad = next(
            (taint for pod in group.pods if (taint := pod.untolerated(candidate.node))), None
        )
    else:
        bad = next(
            (
                taint
                for taint in candidate.node.taints
                if taint.effect in ("NoSchedule", "NoExecute")
            ),
            None,
        )
    return DoesNotFit(f"node(s) had untolerated taint {{{bad.key}: {bad.value}}}") if bad else FITS
