"""StatefulSets: each ordinal has its claims and its pod, and gets them again when they are gone."""

from __future__ import annotations

import copy
from typing import Any

from carina_tasks.emulator.controllers.stateful_set import StatefulSet
from carina_tasks.emulator.controllers.view import View
from carina_tasks.errors import AlreadyExists
from carina_tasks.model.objects import Pod


class Workloads:
    """The StatefulSet controller, as if every set had podManagementPolicy Parallel."""

    def __init__(self, view: View) -> None:
        self._view = view

    def step(self, now: float) -> None:
        """Make what is missing, delete what is too much, and count."""
        for one in self._view.stateful_sets.all():
            if one.meta.deleting is None:
                for ordinal in range(one.replicas):
                    self._ordinal(one, ordinal)
                self._count(one)

    def _ordinal(self, one: StatefulSet, ordinal: int) -> None:
        namespace, name = one.meta.namespace, f"{one.meta.name}-{ordinal}"
        base = f"/api/v1/namespaces/{namespace}"
        for template in one.claim_templates:
            claim = f"{template['metadata']['name']}-{name}"
            if self._view.claims.get(f"{namespace}/{claim}") is None:
                meta = {**template["metadata"], "name": claim}
                body = {
                    "apiVersion": "v1",
                    "kind": "PersistentVolumeClaim",
                    "metadata": meta,
                    "spec": template["spec"],
                }
                self._create(f"{base}/persistentvolumeclaims", body)
        if self._view.pods.get(f"{namespace}/{name}") is None:
            self._create(f"{base}/pods", _pod(one, name))

    def _create(self, path: str, body: dict[str, Any]) -> None:
        with self._view.attempt(f"create {body['kind']} {body['metadata']['name']}"):
            try:
                self._view.api.create(path, body)
            except AlreadyExists:
                # The watch has not shown it yet.
                return

    def _count(self, one: StatefulSet) -> None:
        pods = [
            p
            for p in self._view.pods.all()
            if any(owner.uid == one.meta.uid for owner in p.meta.owners)
        ]
        for pod in pods:
            if pod.meta.deleting is None and int(pod.meta.name.rsplit("-", 1)[1]) >= one.replicas:
                with self._view.attempt(f"scale down {one.meta.key}"):
                    self._view.api.delete(_path(pod), uid=pod.meta.uid)
        ready = sum(pod.phase == "Running" and pod.meta.deleting is None for pod in pods)
        status = {
            "replicas": len(pods),
            "readyReplicas": ready,
            "availableReplicas": ready,
            "currentReplicas": len(pods),
        }
        if any(one.status.get(key, 0) != value for key, value in status.items()):
            path = (
                f"/apis/apps/v1/namespaces/{one.meta.namespace}/statefulsets/{one.meta.name}/status"
            )
            with self._view.attempt(f"status of {one.meta.key}"):
                self._view.api.merge(path, {"metadata": {"uid": one.meta.uid}, "status": status})


def _pod(one: StatefulSet, name: str) -> dict[str, Any]:
    template = copy.deepcopy(dict(one.template))
    spec, meta = template.get("spec") or {}, template.get("metadata") or {}
    volumes = [
        {
            "name": claim["metadata"]["name"],
            "persistentVolumeClaim": {"claimName": f"{claim['metadata']['name']}-{name}"},
        }
        for claim in one.claim_templates
    ]
    owner = {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "name": one.meta.name,
        "uid": one.meta.uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }
    labels = {**(meta.get("labels") or {}), "statefulset.kubernetes.io/pod-name": name}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {**meta, "name": name, "labels": labels, "ownerReferences": [owner]},
        "spec": {**spec, "hostname": name, "volumes": [*(spec.get("volumes") or []), *volumes]},
    }


def _path(pod: Pod) -> str:
    return f"/api/v1/namespaces/{pod.meta.namespace}/pods/{pod.meta.name}"
