"""Which lists are merged, and by which key (the API's `patchMergeKey`)."""

from __future__ import annotations

from typing import Any

_KEYS: dict[str, tuple[str, ...]] = {
    "addresses": ("type",),
    "conditions": ("type",),
    "containers": ("name",),
    "containerStatuses": (),
    "env": ("name",),
    "ephemeralContainers": ("name",),
    "hostAliases": ("ip",),
    "imagePullSecrets": ("name",),
    "initContainers": ("name",),
    "ownerReferences": ("uid",),
    "podIPs": ("ip",),
    "ports": ("containerPort", "port"),
    "resourceClaims": ("name",),
    "schedulingGates": ("name",),
    "secrets": ("name",),
    "topologySpreadConstraints": ("topologyKey",),
    "volumeDevices": ("devicePath",),
    "volumeMounts": ("mountPath",),
    "volumes": ("name",),
}
MERGED_SETS = frozenset({"finalizers", "podCIDRs"})
"""Lists of plain values to which a strategic merge adds."""


def merge_key(field: str, *lists: list[Any]) -> str | None:
    """Return the key by which a list of objects is merged, or None for a list that is replaced."""
    items = [item for some in lists for item in some]
    if not all(isinstance(item, dict) for item in items):
        return None
    for key in _KEYS.get(field, ()):
        if all(key in item or set(item) == {"$patch"} for item in items):
            return key
    return None
