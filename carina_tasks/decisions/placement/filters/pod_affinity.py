"""Required pod affinity and anti-affinity, both ways.

Source: scheduler plug-in InterPodAffinity. The pods of a group end on one node, so for each of them
the others are either there already or still to come: anti-affinity must hold with all of them,
affinity in at least one order.
"""

from __future__ import annotations

from itertools import permutations

from carina_tasks.decisions.placement.candidate import Candidate
from carina_tasks.decisions.placement.constraints import Shape
from carina_tasks.decisions.placement.filter_input import FilterInput
from carina_tasks.decisions.placement.pods_by_node import PodsByNode
from carina_tasks.decisions.placement.verdict import FITS, DoesNotFit, FilterVerdict


def pod_affinity(given: FilterInput) -> FilterVerdict:
    """Require that affinity holds and that no anti-affinity separates the pods, both ways."""
    if any(_is_kept_away(given.candidate, pod, given.pods) for pod in given.group.pods):
        return DoesNotFit("node(s) didn't satisfy existing pods anti-affinity rules")
    if any(_shuns(given.candidate, pod, given.pods) for pod in given.group.pods):
        return DoesNotFit("node(s) didn't match pod anti-affinity rules")
    for one, other in permutations(given.group.pods, 2):
        if any(
            t.topology_key in given.candidate.labels and t.matches(other.pod)
            for t in one.anti_affinity
        ):
            return DoesNotFit("node(s) didn't match pod anti-affinity rules")
    if not _can_come_in_some_order(given.candidate, given.group.pods, given.pods):
        return DoesNotFit("node(s) didn't match pod affinity rules")
    return FITS


def _is_kept_away(candidate: Candidate, one: Shape, by_node: PodsByNode) -> bool:
    for term, nodes in by_node.keeping_away(one.pod):
        here = candidate.labels.get(term.topology_key)
        if here is not None and any(
            by_node.nodes[n].meta.labels.get(term.topology_key) == here for n in nodes
        ):
            return True
    return False


def _shuns(candidate: Candidate, one: Shape, by_node: PodsByNode) -> bool:
    return any(
        by_node.domains((term,), term.topology_key).get(
            candidate.labels.get(term.topology_key, ""), 0
        )
        > 0
        for term in one.anti_affinity
        if term.topology_key in candidate.labels
    )


def _can_come_in_some_order(
    candidate: Candidate, pods: tuple[Shape, ...], by_node: PodsByNode
) -> bool:
    """Return whether the pods can be scheduled one after another.

    Who is there helps the others, it never hinders.
    """
    there = [pod for pod in pods if not pod.affinity]
    waiting = [pod for pod in pods if pod.affinity]
    while waiting:
        able = [pod for pod in waiting if _is_content(candidate, pod, there, by_node)]
        if not able:
            return False
        there.append(able[0])
        waiting.remove(able[0])
    return True


def _is_content(candidate: Candidate, one: Shape, there: list[Shape], by_node: PodsByNode) -> bool:
    """Source: `satisfyPodAffinity`.

    The first of its kind in the cluster may go anywhere that has the labels.
    """
    if any(term.topology_key not in candidate.labels for term in one.affinity):
        return False
    if any(_is_liked(one, other) for other in there):
        return True
    found = [(term, by_node.domains(one.affinity, term.topology_key)) for term in one.affinity]
    if all(domains.get(candidate.labels[term.topology_key], 0) > 0 for term, domains in found):
        return True
    return not any(domains for _, domains in found) and _is_liked(one, one)


def _is_liked(one: Shape, other: Shape) -> bool:
    return all(term.matches(other.pod) for term in one.affinity)
