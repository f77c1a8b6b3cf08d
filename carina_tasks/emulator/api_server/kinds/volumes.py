"""PersistentVolumes and PersistentVolumeClaims."""

from __future__ import annotations

import json
from datetime import UTC, datetime

from .. import durations
from ..errors import JSON, Cause, forbidden_value, invalid_value, required
from .base import AGE, NAME, NAME_FIELDS, Column, Resource, WithStatus, dig

_MODES = {
    "ReadWriteOnce": "RWO",
    "ReadOnlyMany": "ROX",
    "ReadWriteMany": "RWX",
    "ReadWriteOncePod": "RWOP",
}
_CLASS = "volume.beta.kubernetes.io/storage-class"
_NOT_SOURCE = frozenset(
    [
        "accessModes",
        "capacity",
        "claimRef",
        "mountOptions",
        "nodeAffinity",
        "persistentVolumeReclaimPolicy",
        "storageClassName",
        "volumeAttributesClassName",
        "volumeMode",
    ]
)
_CLAIM_MUTABLE = frozenset({"resources", "volumeAttributesClassName"})


def _protect(obj: JSON, finalizer: str) -> None:
    finalizers = obj["metadata"].setdefault("finalizers", [])
    if finalizer not in finalizers:
        finalizers.append(finalizer)


def _source(obj: JSON) -> JSON:
    return {key: value for key, value in obj["spec"].items() if key not in _NOT_SOURCE}


class PersistentVolumeBehaviour(WithStatus):
    """A volume's source and node affinity never change (mutable affinity is alpha, and off)."""

    returns_deleted = True

    def on_create(self, obj: JSON) -> None:
        """Start Pending, protected against deletion while a claim uses it."""
        obj["status"] = {
            "phase": "Pending",
            "lastPhaseTransitionTime": durations.timestamp(datetime.now(UTC)),
        }
        _protect(obj, "kubernetes.io/pv-protection")

    def default(self, obj: JSON) -> None:
        """Retain, as a file system."""
        spec = obj.setdefault("spec", {})
        spec.setdefault("persistentVolumeReclaimPolicy", "Retain")
        spec.setdefault("volumeMode", "Filesystem")
        if dig(spec, "claimRef") is not None:
            spec["claimRef"].setdefault("kind", "PersistentVolumeClaim")
            spec["claimRef"].setdefault("apiVersion", "v1")

    def on_status_write(self, obj: JSON, old: JSON) -> None:
        """Note when the phase changed."""
        super().on_status_write(obj, old)
        if dig(obj, "status", "phase") != dig(old, "status", "phase") and isinstance(
            obj.get("status"), dict
        ):
            obj["status"]["lastPhaseTransitionTime"] = durations.timestamp(datetime.now(UTC))

    def validate(self, obj: JSON, old: JSON | None) -> list[Cause]:
        """Check the required parts, and that what is immutable has not changed."""
        spec = obj["spec"]
        causes = []
        if not spec.get("accessModes"):
            causes.append(required("spec.accessModes"))
        if not spec.get("capacity"):
            causes.append(required("spec.capacity"))
        if not _source(obj):
            causes.append(required("spec", "must specify a volume type"))
        if old is not None:
            if _source(obj) != _source(old):
                why = "spec.persistentvolumesource is immutable after creation"
                causes.append(forbidden_value("spec.persistentvolumesource", why))
            if spec.get("volumeMode") != old["spec"].get("volumeMode"):
                causes.append(
                    invalid_value(
                        "volumeMode", json.dumps(spec.get("volumeMode")), "field is immutable"
                    )
                )
            before = old["spec"].get("nodeAffinity")
            if before is not None and spec.get("nodeAffinity") != before:
                shown = json.dumps(spec.get("nodeAffinity"))
                why = "field is immutable, except for updating from beta label to GA"
                causes.append(invalid_value("nodeAffinity", shown, why))
        return causes


class PersistentVolumeClaimBehaviour(WithStatus):
    """Of a claim's spec only the size may grow once it is bound."""

    returns_deleted = True

    def on_create(self, obj: JSON) -> None:
        """Start Pending, protected against deletion while a pod uses it."""
        obj["status"] = {"phase": "Pending"}
        _protect(obj, "kubernetes.io/pvc-protection")

    def default(self, obj: JSON) -> None:
        """Make it a file system, unless it is a block device."""
        spec = obj.setdefault("spec", {})
        spec.setdefault("volumeMode", "Filesystem")
        spec.setdefault("resources", {})

    def validate(self, obj: JSON, old: JSON | None) -> list[Cause]:
        """Check the required parts and the immutable ones."""
        spec = obj["spec"]
        causes = []
        if not spec.get("accessModes"):
            causes.append(required("spec.accessModes", "at least 1 access mode is required"))
        if dig(spec, "resources", "requests", "storage") is None:
            causes.append(required("spec.resources[storage]"))
        if old is not None:
            before = old["spec"]
            fixed = set(spec) | set(before)
            fixed -= _CLAIM_MUTABLE
            if not before.get("volumeName"):
                fixed.discard("volumeName")
            if any(spec.get(key) != before.get(key) for key in fixed):
                why = (
                    "spec is immutable after creation except resources.requests and "
                    "volumeAttributesClassName for bound claims"
                )
                causes.append(forbidden_value("spec", why))
        return causes


def _modes(modes: list[str] | None) -> str:
    return ",".join(_MODES.get(mode, mode) for mode in dict.fromkeys(modes or []))


def _class(obj: JSON) -> str:
    annotated = (obj["metadata"].get("annotations") or {}).get(_CLASS)
    return annotated if annotated is not None else dig(obj, "spec", "storageClassName") or ""


def _phase(obj: JSON) -> str:
    return (
        "Terminating"
        if obj["metadata"].get("deletionTimestamp")
        else dig(obj, "status", "phase") or ""
    )


def _claim(obj: JSON) -> str:
    ref = dig(obj, "spec", "claimRef")
    return f"{ref.get('namespace', '')}/{ref.get('name', '')}" if ref else ""


def _unset(obj: JSON, *path: str) -> str:
    return dig(obj, *path) or "<unset>"


PERSISTENT_VOLUMES = Resource(
    "",
    "v1",
    "persistentvolumes",
    "PersistentVolume",
    namespaced=False,
    short_names=("pv",),
    subresources=("status",),
    fields={"metadata.name": NAME_FIELDS["metadata.name"]},
    generic_fields=False,
    behaviour=PersistentVolumeBehaviour(),
    columns=(
        NAME,
        Column("Capacity", lambda obj, _: dig(obj, "spec", "capacity", "storage") or "0"),
        Column("Access Modes", lambda obj, _: _modes(obj["spec"].get("accessModes"))),
        Column(
            "Reclaim Policy", lambda obj, _: obj["spec"].get("persistentVolumeReclaimPolicy", "")
        ),
        Column("Status", lambda obj, _: _phase(obj)),
        Column("Claim", lambda obj, _: _claim(obj)),
        Column("StorageClass", lambda obj, _: _class(obj)),
        Column(
            "VolumeAttributesClass", lambda obj, _: _unset(obj, "spec", "volumeAttributesClassName")
        ),
        Column("Reason", lambda obj, _: dig(obj, "status", "reason") or ""),
        AGE,
        Column("VolumeMode", lambda obj, _: _unset(obj, "spec", "volumeMode"), priority=1),
    ),
)

PERSISTENT_VOLUME_CLAIMS = Resource(
    "",
    "v1",
    "persistentvolumeclaims",
    "PersistentVolumeClaim",
    namespaced=True,
    short_names=("pvc",),
    subresources=("status",),
    fields=NAME_FIELDS,
    generic_fields=False,
    behaviour=PersistentVolumeClaimBehaviour(),
    columns=(
        NAME,
        Column("Status", lambda obj, _: _phase(obj)),
        Column("Volume", lambda obj, _: obj["spec"].get("volumeName", "")),
        Column(
            "Capacity",
            lambda obj, _: (
                (dig(obj, "status", "capacity", "storage") or "0")
                if obj["spec"].get("volumeName")
                else ""
            ),
        ),
        Column(
            "Access Modes",
            lambda obj, _: (
                _modes(dig(obj, "status", "accessModes")) if obj["spec"].get("volumeName") else ""
            ),
        ),
        Column("StorageClass", lambda obj, _: _class(obj)),
        Column(
            "VolumeAttributesClass", lambda obj, _: _unset(obj, "spec", "volumeAttributesClassName")
        ),
        AGE,
        Column("VolumeMode", lambda obj, _: _unset(obj, "spec", "volumeMode"), priority=1),
    ),
)
