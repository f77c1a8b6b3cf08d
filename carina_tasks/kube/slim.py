"""What a list keeps of each object, page by page: we read a small part of a cluster's bytes.

A pod of a real cluster holds environments, probes and mounts; 10 000 of them decoded whole are
some 400 MB for each thread that lists them.
"""

from __future__ import annotations

from typing import Any

Raw = dict[str, Any]

_POD_SPEC = (
    "nodeName",
    "nodeSelector",
    "affinity",
    "tolerations",
    "topologySpreadConstraints",
    "resourceClaims",
    "resources",
    "overhead",
    "serviceAccountName",
)
"""Fields that `model.pods`, the scheduler's filters (`placement.spec`) and `kube.rights` read."""
_CONTAINER = ("name", "image", "command", "ports", "resources", "restartPolicy")
_POD_STATUS = ("phase", "conditions")


def slim(raw: Raw) -> Raw:
    """Return the parts of a listed object that are read.

    An object whose shape is not the API's is returned whole, so that its reader reports it.

    Args:
        raw: An item of a list; it has no `kind` there.
    """
    meta, spec = raw.get("metadata"), raw.get("spec")
    if isinstance(meta, dict):
        # Who wrote which field, for server-side apply: often the largest part of an object.
        meta.pop("managedFields", None)
    if isinstance(spec, dict) and isinstance(spec.get("containers"), list):
        try:
            return _pod(raw, spec)
        except (TypeError, AttributeError):
            return raw
    return raw


def _pod(raw: Raw, spec: Raw) -> Raw:
    kept = _only(spec, _POD_SPEC)
    for key in ("containers", "initContainers"):
        if spec.get(key):
            kept[key] = [_only(container, _CONTAINER) for container in spec[key]]
    if spec.get("volumes"):
        kept["volumes"] = [
            {"name": volume.get("name"), "ephemeral": {}} if "ephemeral" in volume else volume
            for volume in spec["volumes"]
            if "persistentVolumeClaim" in volume or "ephemeral" in volume
        ]
    small = {**raw, "spec": kept}
    if raw.get("status"):
        small["status"] = _only(raw["status"], _POD_STATUS)
    return small


def _only(raw: object, keys: tuple[str, ...]) -> Raw:
    if not isinstance(raw, dict):
        raise TypeError
    return {key: raw[key] for key in keys if key in raw}
