"""Structural schemas of custom resources: what is pruned, what is defaulted, what is refused."""

from __future__ import annotations

import json
import re
from typing import Any

from .errors import JSON, Cause, invalid_value, required
from .store import clone

_TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
}


def prune(value: Any, schema: JSON, path: str = "") -> list[str]:
    """Drop unknown fields in place and return their paths (`spec.foo`).

    The root's apiVersion, kind and metadata are never pruned.
    """
    dropped: list[str] = []
    if schema.get("x-kubernetes-preserve-unknown-fields") and not schema.get("properties"):
        return dropped
    if isinstance(value, dict):
        dropped += _prune_object(value, schema, path)
    elif isinstance(value, list) and isinstance(schema.get("items"), dict):
        for index, item in enumerate(value):
            dropped += prune(item, schema["items"], f"{path}[{index}]")
    return dropped


def _prune_object(value: JSON, schema: JSON, path: str) -> list[str]:
    dropped: list[str] = []
    properties: JSON = schema.get("properties") or {}
    additional = schema.get("additionalProperties")
    for key in list(value):
        if not path and key in ("apiVersion", "kind", "metadata"):
            continue
        where = f"{path}.{key}" if path else key
        if key in properties:
            dropped += prune(value[key], properties[key], where)
        elif isinstance(additional, dict):
            dropped += prune(value[key], additional, where)
        elif not (additional or schema.get("x-kubernetes-preserve-unknown-fields")):
            del value[key]
            dropped.append(where)
    return dropped


def apply_defaults(value: Any, schema: JSON) -> None:
    """Fill in the schema's defaults in place."""
    if isinstance(value, dict):
        for key, child in (schema.get("properties") or {}).items():
            if key not in value and "default" in child:
                value[key] = clone(child["default"])
            if key in value:
                apply_defaults(value[key], child)
    elif isinstance(value, list) and isinstance(schema.get("items"), dict):
        for item in value:
            apply_defaults(item, schema["items"])


def _type_name(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    return next(name for name, types in _TYPES.items() if isinstance(value, types))


def check(value: Any, schema: JSON, path: str = "") -> list[Cause]:
    """Return what the schema refuses about a value, in the API server's words."""
    if value is None and schema.get("nullable"):
        return []
    name = _type_name(value)
    wanted = schema.get("type")
    if schema.get("x-kubernetes-int-or-string"):
        if name not in ("integer", "string"):
            return [_wrong_type(path, "integer,string", name)]
    elif wanted and wanted != name and not (wanted == "number" and name == "integer"):
        return [_wrong_type(path, wanted, name)]
    causes = _check_scalar(value, schema, path)
    if isinstance(value, dict):
        properties: JSON = schema.get("properties") or {}
        additional = schema.get("additionalProperties")
        for key, item in value.items():
            child = properties.get(key, additional if isinstance(additional, dict) else None)
            if child is not None and (path or key not in ("apiVersion", "kind", "metadata")):
                causes += check(item, child, f"{path}.{key}" if path else key)
        causes += [
            required(f"{path}.{k}" if path else k)
            for k in schema.get("required") or []
            if k not in value
        ]
    elif isinstance(value, list) and isinstance(schema.get("items"), dict):
        for index, item in enumerate(value):
            causes += check(item, schema["items"], f"{path}[{index}]")
    return causes


def _wrong_type(path: str, wanted: str, name: str) -> Cause:
    message = f'Invalid value: "{name}": {path} in body must be of type {wanted}: "{name}"'
    return Cause("FieldValueTypeInvalid", message, path)


def _check_scalar(value: Any, schema: JSON, path: str) -> list[Cause]:
    causes: list[Cause] = []
    if isinstance(value, str) and "pattern" in schema and not re.search(schema["pattern"], value):
        causes.append(
            invalid_value(
                path, json.dumps(value), f"{path} in body should match '{schema['pattern']}'"
            )
        )
    if "enum" in schema and value not in schema["enum"]:
        listed = ", ".join(json.dumps(item) for item in schema["enum"])
        causes.append(
            Cause(
                "FieldValueNotSupported",
                f"Unsupported value: {json.dumps(value)}: supported values: {listed}",
                path,
            )
        )
    if isinstance(value, int) and not isinstance(value, bool):
        if "minimum" in schema and value < schema["minimum"]:
            detail = f"{path} in body should be greater than or equal to {schema['minimum']}"
            causes.append(invalid_value(path, json.dumps(value), detail))
        if "maximum" in schema and value > schema["maximum"]:
            detail = f"{path} in body should be less than or equal to {schema['maximum']}"
            causes.append(invalid_value(path, json.dumps(value), detail))
    return causes
