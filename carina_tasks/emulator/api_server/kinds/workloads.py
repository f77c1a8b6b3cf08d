"""StatefulSets and Deployments: objects only, their controllers are not here."""

from __future__ import annotations

from ..errors import JSON, Cause, required
from .base import AGE, NAME, Column, Resource, WithStatus, dig
from .pod import default_pod_spec


class WorkloadBehaviour(WithStatus):
    """What both have in common: replicas, a pod template, a status of counters."""

    generation = True

    def default(self, obj: JSON) -> None:
        """One replica, ten old revisions, and the pod template's defaults."""
        spec = obj.setdefault("spec", {})
        spec.setdefault("replicas", 1)
        spec.setdefault("revisionHistoryLimit", 10)
        template = spec.setdefault("template", {})
        template.setdefault("metadata", {})
        default_pod_spec(template.setdefault("spec", {}))

    def validate(self, obj: JSON, old: JSON | None) -> list[Cause]:
        """Refuse a workload without a selector."""
        return [] if obj["spec"].get("selector") else [required("spec.selector")]


class StatefulSetBehaviour(WorkloadBehaviour):
    """A StatefulSet."""

    def on_create(self, obj: JSON) -> None:
        """Start with no replicas seen."""
        obj["status"] = {"replicas": 0, "availableReplicas": 0}

    def default(self, obj: JSON) -> None:
        """Ordered, rolling, claims retained."""
        super().default(obj)
        spec = obj["spec"]
        spec.setdefault("podManagementPolicy", "OrderedReady")
        spec.setdefault(
            "persistentVolumeClaimRetentionPolicy",
            {"whenDeleted": "Retain", "whenScaled": "Retain"},
        )
        strategy = spec.setdefault("updateStrategy", {})
        strategy.setdefault("type", "RollingUpdate")
        if strategy["type"] == "RollingUpdate":
            strategy.setdefault("rollingUpdate", {}).setdefault("partition", 0)
        for claim in spec.get("volumeClaimTemplates") or []:
            claim.setdefault("apiVersion", "v1")
            claim.setdefault("kind", "PersistentVolumeClaim")
            claim.setdefault("spec", {}).setdefault("volumeMode", "Filesystem")
            claim.setdefault("status", {}).setdefault("phase", "Pending")


class DeploymentBehaviour(WorkloadBehaviour):
    """A Deployment."""

    def default(self, obj: JSON) -> None:
        """Roll updates, with ten minutes to progress."""
        super().default(obj)
        spec = obj["spec"]
        spec.setdefault("progressDeadlineSeconds", 600)
        strategy = spec.setdefault("strategy", {})
        strategy.setdefault("type", "RollingUpdate")
        if strategy["type"] == "RollingUpdate":
            rolling = strategy.setdefault("rollingUpdate", {})
            rolling.setdefault("maxSurge", "25%")
            rolling.setdefault("maxUnavailable", "25%")


def _containers(obj: JSON, key: str) -> str:
    return ",".join(
        str(c.get(key, "")) for c in dig(obj, "spec", "template", "spec", "containers") or []
    )


def _count(obj: JSON, key: str) -> int:
    return int(dig(obj, "status", key) or 0)


def _ready(obj: JSON) -> str:
    return f"{dig(obj, 'status', 'readyReplicas') or 0}/{dig(obj, 'spec', 'replicas') or 0}"


def _selector(obj: JSON) -> str:
    labels = dig(obj, "spec", "selector", "matchLabels") or {}
    return ",".join(f"{key}={value}" for key, value in sorted(labels.items())) or "<none>"


_READY = Column("Ready", lambda obj, _: _ready(obj), description="Pods that are ready.")
_CONTAINERS = Column("Containers", lambda obj, _: _containers(obj, "name"), priority=1)
_IMAGES = Column("Images", lambda obj, _: _containers(obj, "image"), priority=1)

STATEFUL_SETS = Resource(
    "apps",
    "v1",
    "statefulsets",
    "StatefulSet",
    namespaced=True,
    short_names=("sts",),
    categories=("all",),
    subresources=("scale", "status"),
    behaviour=StatefulSetBehaviour(),
    columns=(NAME, _READY, AGE, _CONTAINERS, _IMAGES),
)
DEPLOYMENTS = Resource(
    "apps",
    "v1",
    "deployments",
    "Deployment",
    namespaced=True,
    short_names=("deploy",),
    categories=("all",),
    subresources=("scale", "status"),
    behaviour=DeploymentBehaviour(),
    columns=(
        NAME,
        _READY,
        Column("Up-to-date", lambda obj, _: _count(obj, "updatedReplicas")),
        Column("Available", lambda obj, _: _count(obj, "availableReplicas")),
        AGE,
        _CONTAINERS,
        _IMAGES,
        Column("Selector", lambda obj, _: _selector(obj), priority=1),
    ),
)
