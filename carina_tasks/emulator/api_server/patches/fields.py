"""Who owns which field: `metadata.managedFields`.

A field is a path of FieldsV1 steps, such as `("f:spec", "f:size")` or `("f:spec", "f:containers",
'k:{"name":"c"}')`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from ..errors import JSON
from .keys import MERGED_SETS, merge_key

Path = tuple[str, ...]

_SYSTEM = frozenset(
    [
        "name",
        "namespace",
        "generateName",
        "uid",
        "resourceVersion",
        "generation",
        "creationTimestamp",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "managedFields",
        "selfLink",
    ]
)


def leaves(obj: JSON, *, keyed_lists: bool) -> dict[Path, Any]:
    """Return the object's leaf fields and their values, without what the server sets itself.

    `keyed_lists`: lists of built-in kinds are split by their merge key; in custom resources a list
    is one field.
    """
    found: dict[Path, Any] = {}
    for key, value in obj.items():
        if key == "metadata":
            own = {name: part for name, part in value.items() if name not in _SYSTEM}
            _walk(own, ("f:metadata",), found, keyed_lists=True)
        elif key not in ("apiVersion", "kind"):
            _step(key, value, (), found, keyed_lists)
    return found


def _walk(value: JSON, path: Path, found: dict[Path, Any], keyed_lists: bool) -> None:
    for key, item in value.items():
        _step(key, item, path, found, keyed_lists)


def _step(key: str, value: Any, path: Path, found: dict[Path, Any], keyed_lists: bool) -> None:
    here = (*path, f"f:{key}")
    if isinstance(value, dict) and value:
        _walk(value, here, found, keyed_lists)
        return
    if isinstance(value, list) and value and keyed_lists:
        if key in MERGED_SETS:
            for item in value:
                found[(*here, "v:" + json.dumps(item))] = item
            return
        if merge := merge_key(key, value):
            for item in value:
                step = "k:" + json.dumps({merge: item[merge]}, separators=(",", ":"))
                found[(*here, step, ".")] = True
                _walk(item, (*here, step), found, keyed_lists)
            return
    found[here] = value


def to_fields_v1(paths: Iterable[Path]) -> JSON:
    """Return paths as a FieldsV1 object."""
    root: JSON = {}
    for path in sorted(paths):
        node = root
        for part in path:
            node = node.setdefault(part, {})
    return root


def from_fields_v1(fields: JSON, prefix: Path = ()) -> set[Path]:
    """Return the paths of a FieldsV1 object; a `.` counts where it marks an item of a list."""
    found: set[Path] = set()
    for key, child in fields.items():
        if key == "." and not (prefix and prefix[-1].startswith("k:")):
            continue
        if child:
            found |= from_fields_v1(child, (*prefix, key))
        else:
            found.add((*prefix, key))
    return found


def shown(path: Path) -> str:
    """Return a path as an apply conflict names it: `.spec.containers[name="c"].image`."""
    text = ""
    for part in path:
        kind, _, rest = part.partition(":")
        if kind == "f":
            text += f".{rest}"
        elif kind == "k":
            text += (
                "[" + ",".join(f"{k}={json.dumps(v)}" for k, v in json.loads(rest).items()) + "]"
            )
        elif kind == "v":
            text += f"[={rest}]"
    return text


def track_update(
    obj: JSON, old: JSON | None, *, manager: str, subresource: str, now: str, keyed_lists: bool
) -> None:
    """Record in place that `manager` wrote what differs between `old` and `obj`."""
    before = leaves(old, keyed_lists=keyed_lists) if old else {}
    after = leaves(obj, keyed_lists=keyed_lists)
    changed = {path for path, value in after.items() if path not in before or before[path] != value}
    removed = before.keys() - after.keys()
    entries = (
        [] if old is None else [dict(entry) for entry in old["metadata"].get("managedFields") or []]
    )
    if obj["metadata"].get("managedFields") == []:
        entries = []
    if not changed and not removed:
        _store(obj, entries)
        return
    mine = None
    kept = []
    for entry in entries:
        paths = from_fields_v1(entry.get("fieldsV1") or {}) - removed
        if (entry["manager"], entry["operation"], entry.get("subresource", "")) == (
            manager,
            "Update",
            subresource,
        ):
            mine = paths
            continue
        paths -= changed
        if paths:
            kept.append({**entry, "fieldsV1": to_fields_v1(paths)})
    owned = (mine or set()) | changed
    if owned:
        kept.append(entry_of(obj, manager, "Update", subresource, now, owned))
    _store(obj, kept)


def entry_of(
    obj: JSON, manager: str, operation: str, subresource: str, now: str, paths: Iterable[Path]
) -> JSON:
    """Return one entry of managedFields."""
    entry: JSON = {
        "manager": manager,
        "operation": operation,
        "apiVersion": obj["apiVersion"],
        "time": now,
        "fieldsType": "FieldsV1",
        "fieldsV1": to_fields_v1(paths),
    }
    if subresource:
        entry["subresource"] = subresource
    return entry


def _store(obj: JSON, entries: list[JSON]) -> None:
    if entries:
        obj["metadata"]["managedFields"] = entries
    else:
        obj["metadata"].pop("managedFields", None)
