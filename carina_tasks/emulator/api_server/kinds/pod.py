"""Pods."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from .. import durations
from ..errors import JSON, Cause, required
from .base import AGE, NAME, NAME_FIELDS, Column, Resource, WithStatus, dig

_TOLERATION_SECONDS = 300
_ENDED = ("Succeeded", "Failed")


class PodBehaviour(WithStatus):
    """Keep a deleted bound pod until its kubelet deletes it with grace 0."""

    returns_deleted = True
    generation = True

    def on_create(self, obj: JSON) -> None:
        """Start Pending and tolerate a lost node for a while, as admission does."""
        tolerations = obj["spec"].setdefault("tolerations", [])
        for key in ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"):
            if not any(_tolerates(toleration, key) for toleration in tolerations):
                tolerations.append(
                    {
                        "key": key,
                        "operator": "Exists",
                        "effect": "NoExecute",
                        "tolerationSeconds": _TOLERATION_SECONDS,
                    }
                )
        obj["status"] = {"phase": "Pending", "qosClass": qos_class(obj)}

    def default(self, obj: JSON) -> None:
        """Fill in the pod template's defaults and the default tolerance of priority."""
        spec = obj.setdefault("spec", {})
        default_pod_spec(spec)
        spec.setdefault("enableServiceLinks", True)
        spec.setdefault("preemptionPolicy", "PreemptLowerPriority")
        spec.setdefault("priority", 0)
        for container in spec.get("containers") or []:
            limits = dig(container, "resources", "limits") or {}
            if limits:
                requests = container["resources"].setdefault("requests", {})
                for key, value in limits.items():
                    requests.setdefault(key, value)

    def validate(self, obj: JSON, old: JSON | None) -> list[Cause]:
        """Refuse a pod without containers."""
        return [] if obj["spec"].get("containers") else [required("spec.containers")]

    def grace(self, obj: JSON, wanted: int | None) -> int:
        """Return the asked or the pod's own period; 0 for a pod that no kubelet holds."""
        period = (
            wanted if wanted is not None else obj["spec"].get("terminationGracePeriodSeconds", 30)
        )
        if not obj["spec"].get("nodeName") or dig(obj, "status", "phase") in _ENDED:
            return 0
        return max(int(period), 0)


def _tolerates(toleration: JSON, key: str) -> bool:
    return toleration.get("key") in (key, None, "") and toleration.get("effect") in (
        "NoExecute",
        None,
        "",
    )


def default_pod_spec(spec: JSON) -> None:
    """Fill in a pod spec's defaults in place."""
    spec.setdefault("restartPolicy", "Always")
    spec.setdefault("terminationGracePeriodSeconds", 30)
    spec.setdefault("dnsPolicy", "ClusterFirst")
    spec.setdefault("securityContext", {})
    spec.setdefault("schedulerName", "default-scheduler")
    if spec.get("serviceAccountName"):
        spec["serviceAccount"] = spec["serviceAccountName"]
    for container in [*(spec.get("initContainers") or []), *(spec.get("containers") or [])]:
        container.setdefault("resources", {})
        container.setdefault("terminationMessagePath", "/dev/termination-log")
        container.setdefault("terminationMessagePolicy", "File")
        tag = str(container.get("image", "")).rpartition("/")[2]
        latest = "@" not in tag and (":" not in tag or tag.endswith(":latest"))
        container.setdefault("imagePullPolicy", "Always" if latest else "IfNotPresent")
        for port in container.get("ports") or []:
            port.setdefault("protocol", "TCP")


def qos_class(obj: JSON) -> str:
    """Return Guaranteed, Burstable or BestEffort from the containers' cpu and memory."""
    containers = [
        *(obj["spec"].get("initContainers") or []),
        *(obj["spec"].get("containers") or []),
    ]
    asked: list[Any] = []
    guaranteed = bool(containers)
    for container in containers:
        requests = dig(container, "resources", "requests") or {}
        limits = dig(container, "resources", "limits") or {}
        for key in ("cpu", "memory"):
            asked += [value for value in (requests.get(key), limits.get(key)) if value]
            guaranteed = (
                guaranteed
                and bool(limits.get(key))
                and requests.get(key, limits.get(key)) == limits.get(key)
            )
    if not asked:
        return "BestEffort"
    return "Guaranteed" if guaranteed else "Burstable"


def _ready(obj: JSON) -> str:
    statuses = dig(obj, "status", "containerStatuses") or []
    ready = sum(
        1
        for status in statuses
        if status.get("ready") and dig(status, "state", "running") is not None
    )
    return f"{ready}/{len(obj['spec'].get('containers') or [])}"


def _status(obj: JSON) -> str:
    reason = dig(obj, "status", "reason") or dig(obj, "status", "phase") or ""
    if reason == "Pending" and any(
        condition.get("type") == "PodScheduled" and condition.get("reason") == "SchedulingGated"
        for condition in dig(obj, "status", "conditions") or []
    ):
        reason = "SchedulingGated"
    for status in reversed(dig(obj, "status", "containerStatuses") or []):
        state = status.get("state") or {}
        waiting, terminated = dig(state, "waiting", "reason"), state.get("terminated")
        if waiting:
            reason = waiting
        elif terminated is not None:
            signal = terminated.get("signal")
            code = f"Signal:{signal}" if signal else f"ExitCode:{terminated.get('exitCode', 0)}"
            reason = terminated.get("reason") or code
    if obj["metadata"].get("deletionTimestamp"):
        return "Unknown" if dig(obj, "status", "reason") == "NodeLost" else "Terminating"
    return str(reason)


def _restarts(obj: JSON, now: datetime) -> str:
    statuses = dig(obj, "status", "containerStatuses") or []
    count = sum(int(status.get("restartCount", 0)) for status in statuses)
    ended = [dig(status, "lastState", "terminated", "finishedAt") for status in statuses]
    latest = max((moment for moment in ended if moment), default=None)
    return f"{count} ({durations.age(latest, now)} ago)" if count and latest else str(count)


def _gates(obj: JSON) -> str:
    gates = obj["spec"].get("readinessGates") or []
    if not gates:
        return "<none>"
    true = {
        c.get("type") for c in dig(obj, "status", "conditions") or [] if c.get("status") == "True"
    }
    return f"{sum(1 for gate in gates if gate.get('conditionType') in true)}/{len(gates)}"


PODS = Resource(
    "",
    "v1",
    "pods",
    "Pod",
    namespaced=True,
    short_names=("po",),
    categories=("all",),
    subresources=("binding", "eviction", "status"),
    fields={
        **NAME_FIELDS,
        "spec.nodeName": ("spec", "nodeName"),
        "spec.restartPolicy": ("spec", "restartPolicy"),
        "spec.schedulerName": ("spec", "schedulerName"),
        "spec.serviceAccountName": ("spec", "serviceAccountName"),
        "status.phase": ("status", "phase"),
        "status.podIP": ("status", "podIP"),
        "status.nominatedNodeName": ("status", "nominatedNodeName"),
    },
    generic_fields=False,
    behaviour=PodBehaviour(),
    columns=(
        NAME,
        Column("Ready", lambda obj, _: _ready(obj), description="Containers that are ready."),
        Column(
            "Status",
            lambda obj, _: _status(obj),
            description="The state of the containers in one word.",
        ),
        Column("Restarts", _restarts, description="Restarts of the containers."),
        AGE,
        Column("IP", lambda obj, _: dig(obj, "status", "podIP") or "<none>", priority=1),
        Column("Node", lambda obj, _: dig(obj, "spec", "nodeName") or "<none>", priority=1),
        Column(
            "Nominated Node",
            lambda obj, _: dig(obj, "status", "nominatedNodeName") or "<none>",
            priority=1,
        ),
        Column("Readiness Gates", lambda obj, _: _gates(obj), priority=1),
    ),
)
