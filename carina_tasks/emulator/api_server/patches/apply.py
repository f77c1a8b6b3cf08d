"""Server-side apply: create or merge, with field owners and conflicts."""

from __future__ import annotations

import json
from typing import Any

from ..errors import JSON, StatusError
from ..store import clone
from . import last_applied
from .fields import Path, entry_of, from_fields_v1, leaves, shown, to_fields_v1
from .keys import MERGED_SETS, merge_key

_MISSING = object()


def server_side_apply(
    live: JSON | None,
    config: JSON,
    *,
    manager: str,
    subresource: str,
    force: bool,
    now: str,
    keyed_lists: bool,
) -> JSON:
    """Return the object after `manager` applied `config` over `live`.

    Fields that the manager applied earlier and leaves out now are removed, unless another manager
    owns them too. Raises StatusError 409 when another manager owns a field with another value,
    unless `force`.
    """
    config = clone(config)
    config["metadata"].pop("managedFields", None)
    applied = leaves(config, keyed_lists=keyed_lists)
    base: JSON = live or {
        "apiVersion": config["apiVersion"],
        "kind": config["kind"],
        "metadata": {},
    }
    current = leaves(base, keyed_lists=keyed_lists)
    differing = {path for path, value in applied.items() if current.get(path, _MISSING) != value}

    mine: set[Path] = set()
    others: list[tuple[JSON, set[Path]]] = []
    for entry in base["metadata"].get("managedFields") or []:
        paths = from_fields_v1(entry.get("fieldsV1") or {})
        if (entry["manager"], entry["operation"], entry.get("subresource", "")) == (
            manager,
            "Apply",
            subresource,
        ):
            mine = paths
        else:
            others.append((entry, paths))
    contested = differing
    if manager == last_applied.MANAGER:
        contested = differing - last_applied.unchanged_since(base, keyed_lists=keyed_lists)
    conflicts = [(entry, path) for entry, paths in others for path in sorted(paths & contested)]
    if conflicts and not force:
        raise _conflict(conflicts)

    merged: JSON = _merge("", base, config, keyed_lists)
    if manager == last_applied.MANAGER and not subresource:
        last_applied.refresh(merged, config)
    foreign: set[Path] = set().union(*(paths for _, paths in others))
    for path in mine - applied.keys() - foreign:
        _remove(merged, path)
    entries = [
        {**entry, "fieldsV1": to_fields_v1(paths - differing)}
        for entry, paths in others
        if paths - differing
    ]
    if applied:
        entries.append(entry_of(config, manager, "Apply", subresource, now, applied))
    merged["metadata"]["managedFields"] = entries
    return merged


def _conflict(conflicts: list[tuple[JSON, Path]]) -> StatusError:
    causes = []
    for entry, path in conflicts:
        using = "" if entry["operation"] == "Apply" else f" using {entry['apiVersion']}"
        causes.append(
            {
                "reason": "FieldManagerConflict",
                "message": f"conflict with {json.dumps(entry['manager'])}{using}",
                "field": shown(path),
            }
        )
    if len(causes) == 1:
        listed = f"1 conflict: {causes[0]['message']}: {causes[0]['field']}"
    else:
        by_manager: dict[str, list[str]] = {}
        for cause in causes:
            by_manager.setdefault(
                cause["message"].replace("conflict with", "conflicts with", 1), []
            ).append(cause["field"])
        lines = [
            f"{who}:\n" + "\n".join(f"- {field}" for field in fields)
            for who, fields in by_manager.items()
        ]
        listed = f"{len(causes)} conflicts: " + "\n".join(lines)
    return StatusError(409, "Conflict", f"Apply failed with {listed}", {"causes": causes})


def _merge(field: str, live: Any, config: Any, keyed_lists: bool) -> Any:
    if isinstance(config, dict) and isinstance(live, dict):
        merged = dict(live)
        for key, value in config.items():
            keyed = keyed_lists or key == "metadata" or field == "metadata"
            merged[key] = _merge(key, live[key], value, keyed) if key in live else value
        return merged
    if isinstance(config, list) and isinstance(live, list) and keyed_lists:
        if field in MERGED_SETS:
            return [*live, *(item for item in config if item not in live)]
        if key := merge_key(field, live, config):
            items = {item[key]: item for item in live}
            for item in config:
                items[item[key]] = _merge("", items.get(item[key]), item, keyed_lists)
            return list(items.values())
    return config


def _remove(obj: JSON, path: Path) -> None:
    """Take a field out in place, and what it leaves empty with it."""
    trail: list[tuple[Any, Any]] = []
    node: Any = obj
    for part in path:
        if part == ".":
            break
        kind, _, rest = part.partition(":")
        if kind == "f":
            if not isinstance(node, dict) or rest not in node:
                return
            step: Any = rest
        elif kind == "k":
            wanted = json.loads(rest)
            step = next(
                (
                    i
                    for i, item in enumerate(node)
                    if all(item.get(k) == v for k, v in wanted.items())
                ),
                None,
            )
        else:
            value = json.loads(rest)
            step = node.index(value) if value in node else None
        if step is None:
            return
        child = node[step]
        if isinstance(
            child, dict | list
        ):  # stored objects are shared: copy what is about to change
            child = node[step] = child.copy()
        trail.append((node, step))
        node = child
    container, step = trail.pop()
    del container[step]
    while trail and not container:
        container, step = trail.pop()
        if step in ("metadata", "spec", "status") and container is obj:
            return
        del container[step]
