"""A silent node becomes Unknown and tainted, a returned one is freed.

Pods of deleted nodes are collected after a while.

As kube-controller-manager's node-lifecycle and pod-garbage-collector do it, with a shorter grace.
How long a node has been silent is measured by our own clock since its Lease last changed, never by
comparing two machines' clocks.
"""

from __future__ import annotations

from carina_tasks.emulator.controllers.view import View, timestamp
from carina_tasks.kube import paths
from carina_tasks.model.objects import Node

GRACE = 3.0
"""Seconds without a heartbeat before a node is Unknown; 50 in a real cluster."""
QUARANTINE = 40.0
"""Seconds a pod is left on a node that does not exist; the real collector's."""
UNREACHABLE = "node.kubernetes.io/unreachable"


class NodeLife:
    """Remembers when each Lease was last seen to change, and since when each pod's node is gone."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._renewed: dict[str, tuple[float | None, float]] = {}
        self._homeless: dict[str, float] = {}
        self._last = 0.0

    def step(self, now: float) -> None:
        """Judge every node, and collect what no other controller collects."""
        # After a pause of our own (a busy machine) the heartbeats have had no chance either.
        paused, self._last = now - self._last > GRACE / 2, now
        for node in self._view.nodes.all():
            lease = self._view.leases.get(f"kube-node-lease/{node.name}")
            renewed = lease.renewed if lease is not None else None
            seen, since = self._renewed.get(node.meta.uid, (None, now))
            if renewed != seen or paused:
                seen, since = renewed, now
            self._renewed[node.meta.uid] = (seen, since)
            with self._view.attempt(f"life of {node.name}"):
                self._judge(node, now - since)
        self._collect(now)

    def _judge(self, node: Node, silent: float) -> None:
        tainted = any(taint.key == UNREACHABLE for taint in node.taints)
        if node.is_ready and silent > GRACE:
            condition = {
                "type": "Ready",
                "status": "Unknown",
                "reason": "NodeStatusUnknown",
                "message": "Kubelet stopped posting node status.",
                "lastTransitionTime": timestamp(),
            }
            body = {"metadata": {"uid": node.meta.uid}, "status": {"conditions": [condition]}}
            self._view.api.merge(paths.node(node.name) + "/status", body)
        elif not node.is_ready and silent > GRACE and not tainted:
            self._taint(
                node,
                [{"key": UNREACHABLE, "effect": effect} for effect in ("NoSchedule", "NoExecute")],
            )
        elif node.is_ready and tainted:
            self._taint(node, [])

    def _taint(self, node: Node, ours: list[dict[str, str]]) -> None:
        others = [
            {"key": taint.key, "value": taint.value, "effect": taint.effect}
            for taint in node.taints
            if taint.key != UNREACHABLE
        ]
        body = {"metadata": {"uid": node.meta.uid}, "spec": {"taints": others + ours or None}}
        self._view.api.merge(paths.node(node.name), body)

    def _collect(self, now: float) -> None:
        nodes = {node.name for node in self._view.nodes.all()}
        homeless = [pod for pod in self._view.pods.all() if pod.node and pod.node not in nodes]
        self._homeless = {pod.meta.uid: self._homeless.get(pod.meta.uid, now) for pod in homeless}
        for pod in homeless:
            if now - self._homeless[pod.meta.uid] > QUARANTINE:
                with self._view.attempt(f"collect {pod.meta.key}"):
                    self._view.api.delete(
                        paths.pod(pod.meta.namespace, pod.meta.name), uid=pod.meta.uid, grace=0
                    )
