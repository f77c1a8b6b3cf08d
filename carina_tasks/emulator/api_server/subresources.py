"""Writes to the subresources binding and scale."""

from __future__ import annotations

from typing import Any

from .cluster import Cluster, Target, now
from .errors import (
    JSON,
    Cause,
    conflict,
    invalid,
    required,
)
from .store import clone
from .writes import DEFAULT, WriteOptions, update


def bind(cluster: Cluster, target: Target, body: Any, options: WriteOptions = DEFAULT) -> JSON:
    """Bind a pod to a node, as a scheduler does; StatusError 409 when it is bound already."""
    pod = clone(cluster.get(target))
    node = (body.get("target") or {}).get("name") if isinstance(body, dict) else None
    if not node:
        raise invalid("Binding", "", target.name, [required("target.name")])
    if pod["metadata"].get("deletionTimestamp"):
        raise conflict(
            "pods/binding",
            "",
            target.name,
            f"pod {target.name} is being deleted, cannot be assigned to a host",
        )
    if pod["spec"].get("nodeName"):
        why = f"pod {target.name} is already assigned to node {pod['spec']['nodeName']!r}".replace(
            "'", '"'
        )
        raise conflict("pods/binding", "", target.name, why)
    pod["spec"]["nodeName"] = node
    conditions = pod["status"].setdefault("conditions", [])
    conditions[:] = [item for item in conditions if item.get("type") != "PodScheduled"]
    conditions.append(
        {
            "type": "PodScheduled",
            "status": "True",
            "lastProbeTime": None,
            "lastTransitionTime": now(),
        }
    )
    if not options.dry_run:
        cluster.store.put(target.resource.id, target.key, pod)
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}


def scale_of(obj: JSON) -> JSON:
    """Return the Scale of a workload."""
    metadata = obj["metadata"]
    labels = (obj["spec"].get("selector") or {}).get("matchLabels") or {}
    kept = {
        key: metadata[key]
        for key in ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
    }
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": kept,
        "spec": {"replicas": obj["spec"].get("replicas", 0)},
        "status": {
            "replicas": (obj.get("status") or {}).get("replicas", 0),
            "selector": ",".join(f"{key}={value}" for key, value in sorted(labels.items())),
        },
    }


def set_scale(
    cluster: Cluster, target: Target, scale: JSON, options: WriteOptions = DEFAULT
) -> JSON:
    """Write a workload's replicas through its Scale."""
    old = cluster.get(target)
    obj = clone(old)
    replicas = (scale.get("spec") or {}).get("replicas", 0)
    if not isinstance(replicas, int) or replicas < 0:
        cause = Cause(
            "FieldValueInvalid",
            f"Invalid value: {replicas}: must be greater than or equal to 0",
            "spec.replicas",
        )
        raise invalid("Scale", "autoscaling", target.name, [cause])
    obj["spec"]["replicas"] = replicas
    version = (scale.get("metadata") or {}).get("resourceVersion")
    if version:
        obj["metadata"]["resourceVersion"] = version
    return scale_of(update(cluster, Target(target.resource, *target.key), obj, old, options))
