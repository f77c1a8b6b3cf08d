"""Strategic merge patch, for built-in kinds."""

from __future__ import annotations

from typing import Any

from ..errors import JSON
from ..store import clone
from .keys import MERGED_SETS, merge_key

_DELETE_ITEMS = "$deleteFromPrimitiveList/"
_ORDER = "$setElementOrder/"


def strategic_merge(target: Any, patch: JSON) -> JSON:
    """Return `target` with `patch` merged in.

    Lists with a merge key item by item, the `$` directives obeyed.
    """
    if patch.get("$patch") == "replace":
        return {key: clone(value) for key, value in patch.items() if key != "$patch"}
    merged: JSON = dict(target) if isinstance(target, dict) else {}
    if (retained := patch.get("$retainKeys")) is not None:
        merged = {key: value for key, value in merged.items() if key in retained}
    for key, value in patch.items():
        if key.startswith(_DELETE_ITEMS):
            field = key.removeprefix(_DELETE_ITEMS)
            merged[field] = [item for item in merged.get(field) or [] if item not in value]
        elif key.startswith("$"):
            continue
        elif value is None or (isinstance(value, dict) and value.get("$patch") == "delete"):
            merged.pop(key, None)
        elif isinstance(value, dict):
            merged[key] = strategic_merge(merged.get(key), value)
        elif isinstance(value, list):
            merged[key] = _merge_list(key, merged.get(key) or [], value)
        else:
            merged[key] = value
    for key, order in patch.items():
        if key.startswith(_ORDER):
            field = key.removeprefix(_ORDER)
            if isinstance(merged.get(field), list):
                merged[field] = _ordered(field, merged[field], order)
    return merged


def _merge_list(field: str, current: list[Any], patch: list[Any]) -> list[Any]:
    if {"$patch": "replace"} in patch:
        return [clone(item) for item in patch if item != {"$patch": "replace"}]
    if field in MERGED_SETS:
        return [*current, *(item for item in patch if item not in current)]
    key = merge_key(field, current, patch)
    if key is None:
        return [clone(item) for item in patch]
    merged = {item[key]: item for item in current}
    for item in patch:
        if item.get("$patch") == "delete":
            merged.pop(item[key], None)
        else:
            merged[item[key]] = strategic_merge(merged.get(item[key]), item)
    return list(merged.values())


def _ordered(field: str, items: list[Any], order: list[Any]) -> list[Any]:
    """Put the items that the patch names into its order.

    The others keep their places after them.
    """
    key = merge_key(field, items, order)
    wanted = [item[key] for item in order] if key else list(order)

    def place(item: Any) -> int:
        value = item[key] if key else item
        return wanted.index(value) if value in wanted else len(wanted)

    return sorted(items, key=place)
