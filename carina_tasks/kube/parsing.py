"""An object's JSON as a frozen value, or what is wrong with it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

import msgspec

from carina_tasks.errors import BadObject
from carina_tasks.kube.api import Raw

T = TypeVar("T")


def parse(raw: Raw, parser: Callable[[Raw], T]) -> T:
    """Return `raw` read by `parser`.

    Raises:
        BadObject: Whatever is wrong with it.
    """
    try:
        value = parser(raw)
        # A parser takes the values as they are; that each field has its declared type is checked
        # here, for all of them.
        msgspec.convert(msgspec.to_builtins(value), type(value))
    except (
        msgspec.ValidationError,
        TypeError,
        AttributeError,
        KeyError,
        ValueError,
        RecursionError,
    ) as exc:
        meta = raw.get("metadata")
        name = meta.get("name") if isinstance(meta, dict) else "?"
        raise BadObject(f"{name}: a field has a wrong type: {exc}", name=str(name)) from exc
    return value


def name_of(raw: Raw) -> str:
    """Return the name of an object, ``?`` when it has none."""
    meta = raw.get("metadata")
    return str(meta.get("name")) if isinstance(meta, dict) else "?"


def key_of(raw: Raw) -> str:
    """Return ``namespace/name`` of an object, or the name alone when it has no namespace."""
    meta = raw.get("metadata")
    namespace = meta.get("namespace") if isinstance(meta, dict) else ""
    return f"{namespace}/{name_of(raw)}" if namespace else name_of(raw)


def parse_all(
    items: Iterable[Raw], parser: Callable[[Raw], T]
) -> tuple[dict[str, T], dict[str, str]]:
    """Return the objects that can be read, and why each of the others cannot, both by key."""
    values: dict[str, T] = {}
    unreadable: dict[str, str] = {}
    for raw in items:
        try:
            values[key_of(raw)] = parse(raw, parser)
        except BadObject as exc:
            unreadable[key_of(raw)] = exc.message
    return values, unreadable
