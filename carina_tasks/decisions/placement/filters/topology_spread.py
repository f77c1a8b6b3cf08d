"""Topology spread constraints with DoNotSchedule.

Source: scheduler plug-in PodTopologySpread: terminating pods and other namespaces are not counted,
an empty selector counts only the pod itself, domains are those of nodes that have every key
and pass the inclusion policies, and with fewer domains than minDomains the minimum is zero. The
lost node is a domain as long as its object exists.
"""

from __future__ import annotations

from collections.abc import Mapping

from carina_tasks.decisions.placement.candidate import Candidate
from carina_tasks.decisions.placement.constraints import AffinityTerm, Shape, SpreadRule
from carina_tasks.decisions.placement.filter_input import FilterInput
from carina_tasks.decisions.placement.pods_by_node import PodsByNode
from carina_tasks.decisions.placement.verdict import FITS, DoesNotFit, FilterVerdict
from carina_tasks.model.objects import Node

_REASON = "node(s) didn't match pod topology spread constraints"


def topology_spread(given: FilterInput) -> FilterVerdict:
    """Require a skew of at most maxSkew, with the other pods of the group already there."""
    for pod in given.group.pods:
        for spread in pod.spread:
            here = given.candidate.labels.get(spread.topology_key)
            if here is None:
                return DoesNotFit(f"{_REASON} (missing required label)")
            others = [other for other in given.group.pods if other is not pod]
            if _skew(given.candidate, here, pod, others, spread, given.pods) > spread.max_skew:
                return DoesNotFit(_REASON)
    return FITS


def _skew(
    candidate: Candidate,
    here: str,
    one: Shape,
    others: list[Shape],
    spread: SpreadRule,
    by_node: PodsByNode,
) -> int:
    counts = _counts(one, spread, by_node)
    there = counts.get(here, 0)
    if _is_counted(candidate.node, one, spread):
        there += sum(_is_seen(spread, one, other) for other in others)
    minimum = 0
    if len(counts) >= spread.min_domains:
        minimum = min([there, *(number for value, number in counts.items() if value != here)])
        if here not in counts:
            minimum = min(counts.values())
    itself = spread.selector.matches(one.pod.meta.labels)
    return there + itself - minimum


def _counts(one: Shape, spread: SpreadRule, by_node: PodsByNode) -> Mapping[str, int]:
    """Return how many selected pods each domain has, empty domains included."""
    key = (id(one), spread)
    if key not in by_node.spread_counts:
        counts: dict[str, int] = {}
        term = AffinityTerm(
            frozenset((one.pod.meta.namespace,)), spread.selector, spread.topology_key
        )
        seen = {} if spread.selector.empty else by_node.census((term,), terminating=False)
        for node in by_node.nodes.values():
            if _is_counted(node, one, spread):
                value = node.meta.labels[spread.topology_key]
                counts[value] = counts.get(value, 0) + seen.get(node.name, 0)
        by_node.spread_counts[key] = counts
    return by_node.spread_counts[key]


def _is_counted(node: Node, one: Shape, spread: SpreadRule) -> bool:
    if any(other.topology_key not in node.meta.labels for other in one.spread):
        return False
    if spread.honor_affinity and not one.wants(node):
        return False
    return not (spread.honor_taints and one.untolerated(node) is not None)


def _is_seen(spread: SpreadRule, one: Shape, other: Shape) -> bool:
    if spread.selector.empty or other.pod.meta.namespace != one.pod.meta.namespace:
        return False
    return spread.selector.matches(other.pod.meta.labels)
