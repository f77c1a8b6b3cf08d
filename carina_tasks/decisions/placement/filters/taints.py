"""Taints and tolerations.

Source: scheduler plug-in TaintToleration: PreferNoSchedule does not keep a pod away. A volume
without a pod tolerates nothing: the pod that uses it later may tolerate nothing either.
"""

from __future__ import annotations

from carina_tasks.decisions.placement.filter_input import FilterInput
from carina_tasks.decisions.placement.verdict import FITS, DoesNotFit, FilterVerdict


def taints(given: FilterInput) -> FilterVerdict:
    """Fit when every pod tolerates every NoSchedule and NoExecute taint of the node."""
    if given.group.pods:
        bad = next(
            (taint for pod in given.group.pods if (taint := pod.untolerated(given.candidate.node))),
            None,
        )
    else:
        bad = next(
            (
                taint
                for taint in given.candidate.node.taints
                if taint.effect in ("NoSchedule", "NoExecute")
            ),
            None,
        )
    return DoesNotFit(f"node(s) had untolerated taint {{{bad.key}: {bad.value}}}") if bad else FITS
