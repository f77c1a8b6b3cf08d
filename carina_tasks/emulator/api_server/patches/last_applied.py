"""The way from `kubectl apply` to `kubectl apply --server-side`.

kubectl's client-side apply keeps its manifest in an annotation. The API server knows it: its fields
are no conflict for the manager `kubectl` as long as no client has changed them since, and kubectl's
server-side apply keeps it up to date.
"""

from __future__ import annotations

import json

from ..errors import JSON
from .fields import Path, leaves

MANAGER = "kubectl"
ANNOTATION = "kubectl.kubernetes.io/last-applied-configuration"


def unchanged_since(live: JSON, *, keyed_lists: bool) -> set[Path]:
    """Return the fields that still have the value of the annotation's manifest."""
    try:
        manifest = json.loads(live["metadata"]["annotations"][ANNOTATION])
    except (KeyError, TypeError, ValueError):
        return set()
    if not isinstance(manifest, dict):
        return set()
    manifest.setdefault("metadata", {})
    current = leaves(live, keyed_lists=keyed_lists)
    applied = leaves(manifest, keyed_lists=keyed_lists)
    return {path for path, value in applied.items() if path in current and current[path] == value}


def refresh(merged: JSON, config: JSON) -> None:
    """Write the applied manifest to the annotation in place, if the object has one."""
    annotations = merged["metadata"].get("annotations") or {}
    if ANNOTATION in annotations:
        manifest = json.dumps(config, separators=(",", ":"), sort_keys=True) + "\n"
        merged["metadata"]["annotations"] = {**annotations, ANNOTATION: manifest}
