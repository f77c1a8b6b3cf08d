"""The kubelets: a node that lives renews its Lease and is Ready.

Its pods run, and end when they are deleted.

A node that is not alive does nothing at all: its pods stay listed as they were, as with a machine
that lost its power.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

from carina_tasks.emulator.controllers.view import View, timestamp
from carina_tasks.errors import NotFound
from carina_tasks.kube import paths
from carina_tasks.model.objects import Node, Pod

HEARTBEAT = 1.0


class Kubelets:
    """Every node's kubelet; `live` and `die` switch one on and off."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._alive: set[str] = set()
        self._lock = threading.Lock()
        self._beat = 0.0

    def live(self, node: str) -> None:
        """Let the node's kubelet run."""
        with self._lock:
            self._alive.add(node)
        self._beat = 0.0
        self._view.changed.set()

    def die(self, node: str) -> None:
        """Silence the node."""
        with self._lock:
            self._alive.discard(node)

    def alive(self, node: str) -> bool:
        """Return whether the node lives."""
        with self._lock:
            return node in self._alive

    def step(self, now: float) -> None:
        """Send the heartbeats that are due, then run and end pods."""
        nodes = [node for node in self._view.nodes.all() if self.alive(node.name)]
        if now >= self._beat:
            self._beat = now + HEARTBEAT
            for node in nodes:
                with self._view.attempt(f"heartbeat of {node.name}"):
                    self._heartbeat(node)
        for node in nodes:
            if not node.is_ready:
                with self._view.attempt(f"status of {node.name}"):
                    self._ready(node)
        names = {node.name for node in nodes}
        for pod in self._view.pods.all():
            if pod.node in names:
                with self._view.attempt(f"pod {pod.meta.key}"):
                    self._pod(pod)

    def _heartbeat(self, node: Node) -> None:
        spec = {
            "holderIdentity": node.name,
            "leaseDurationSeconds": 3,
            "renewTime": timestamp(micro=True),
        }
        try:
            self._view.api.merge(f"{paths.NODE_LEASES}/{node.name}", {"spec": spec})
        except NotFound:
            body = {
                "apiVersion": "coordination.k8s.io/v1",
                "kind": "Lease",
                "metadata": {"name": node.name, "namespace": "kube-node-lease"},
                "spec": spec,
            }
            self._view.api.create(paths.NODE_LEASES, body)

    def _ready(self, node: Node) -> None:
        condition = {
            "type": "Ready",
            "status": "True",
            "reason": "KubeletReady",
            "message": "kubelet is posting ready status",
            "lastHeartbeatTime": timestamp(),
            "lastTransitionTime": timestamp(),
        }
        body = {"metadata": {"uid": node.meta.uid}, "status": {"conditions": [condition]}}
        self._view.api.merge(paths.node(node.name) + "/status", body)

    def _pod(self, pod: Pod) -> None:
        path = paths.pod(pod.meta.namespace, pod.meta.name)
        if pod.meta.deleting is not None:
            self._view.api.delete(path, uid=pod.meta.uid, grace=0)
        elif pod.phase == "Pending":
            spec = self._view.pods.raw(pod.meta.key).get("spec") or {}
            self._view.api.merge(
                path + "/status", {"metadata": {"uid": pod.meta.uid}, "status": _running(spec)}
            )


def _running(spec: Mapping[str, Any]) -> dict[str, object]:
    now = timestamp()
    conditions = [
        {"type": kind, "status": "True", "lastTransitionTime": now}
        for kind in ("PodScheduled", "Initialized", "ContainersReady", "Ready")
    ]
    containers = [
        {
            "name": one["name"],
            "image": one.get("image", ""),
            "imageID": "",
            "ready": True,
            "started": True,
            "restartCount": 0,
            "state": {"running": {"startedAt": now}},
        }
        for one in spec.get("containers") or ()
    ]
    return {
        "phase": "Running",
        "startTime": now,
        "conditions": conditions,
        "containerStatuses": containers,
    }
