"""JSON merge patch (RFC 7396)."""

from __future__ import annotations

from typing import Any

from ..store import clone


def merge_patch(target: Any, patch: Any) -> Any:
    """Return `target` with `patch` merged in; null removes, lists are replaced."""
    if not isinstance(patch, dict):
        return clone(patch)
    merged = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = merge_patch(merged.get(key), value)
    return merged
