"""Pods go to a Ready, schedulable, untainted node that all their volumes allow.

The one with the fewest pods.

A claim without a PV waits for its first consumer (WaitForFirstConsumer): the scheduler first
writes the selected node on the claim, and binds the pod when the claim is Bound. Resources, spread
and affinities are left out.
"""

from __future__ import annotations

from collections import Counter

from carina_tasks.demo.manifests import SELECTED_NODE
from carina_tasks.emulator.controllers.view import View, timestamp
from carina_tasks.kube import paths
from carina_tasks.model.objects import Claim, Node, Pod

_KEEP_OUT = ("NoSchedule", "NoExecute")


class Scheduler:
    """kube-scheduler and carina-scheduler in one."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._said: dict[str, str] = {}

    def step(self, now: float) -> None:
        """Place every pod that can be placed; say of the others why not."""
        pods = self._view.pods.all()
        load = Counter(pod.node for pod in pods)
        for pod in pods:
            if not pod.node and pod.meta.deleting is None and not pod.finished:
                with self._view.attempt(f"schedule {pod.meta.key}"):
                    target = self._place(pod, load)
                    if target:
                        load[target] += 1

    def _place(self, pod: Pod, load: Counter[str]) -> str:
        claims = [self._view.claims.get(f"{pod.meta.namespace}/{name}") for name in pod.claims]
        known = [claim for claim in claims if claim is not None]
        if len(known) < len(claims):
            return self._cannot(pod, "persistentvolumeclaim not found")
        lost = [claim for claim in known if claim.phase == "Lost"]
        if lost:
            return self._cannot(
                pod,
                f'persistentvolumeclaim "{lost[0].meta.name}" bound to non-existent '
                "persistentvolume",
            )
        fit = [
            node
            for node in self._view.nodes.all()
            if _open(node) and all(self._allows(node, c) for c in known)
        ]
        if not fit:
            total = len(self._view.nodes.all())
            return self._cannot(
                pod, f"0/{total} nodes are available: didn't match PersistentVolume's node affinity"
            )
        target = min(fit, key=lambda node: (load[node.name], node.name)).name
        waiting = [claim for claim in known if not claim.pv_name]
        for claim in waiting:
            if SELECTED_NODE not in claim.meta.annotations:
                body = {"metadata": {"uid": claim.meta.uid, "annotations": {SELECTED_NODE: target}}}
                self._view.api.merge(paths.claim(claim.meta.namespace, claim.meta.name), body)
        if waiting or any(claim.phase != "Bound" for claim in known):
            return ""
        meta = {"name": pod.meta.name, "namespace": pod.meta.namespace, "uid": pod.meta.uid}
        binding = {
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": meta,
            "target": {"kind": "Node", "name": target},
        }
        self._view.api.create(paths.pod(pod.meta.namespace, pod.meta.name) + "/binding", binding)
        return target

    def _allows(self, node: Node, claim: Claim) -> bool:
        if not claim.pv_name:
            return claim.meta.annotations.get(SELECTED_NODE, node.name) == node.name
        pv = self._view.volumes.get(claim.pv_name)
        return pv is not None and (not pv.nodes or node.name in pv.nodes)

    def _cannot(self, pod: Pod, why: str) -> str:
        if self._said.get(pod.meta.uid) != why:
            self._said[pod.meta.uid] = why
            condition = {
                "type": "PodScheduled",
                "status": "False",
                "reason": "Unschedulable",
                "message": why,
                "lastTransitionTime": timestamp(),
            }
            path = paths.pod(pod.meta.namespace, pod.meta.name) + "/status"
            self._view.api.merge(
                path, {"metadata": {"uid": pod.meta.uid}, "status": {"conditions": [condition]}}
            )
        return ""


def _open(node: Node) -> bool:
    return (
        node.is_ready
        and not node.unschedulable
        and not any(t.effect in _KEEP_OUT for t in node.taints)
    )
