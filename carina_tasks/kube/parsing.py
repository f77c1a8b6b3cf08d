"""The API server's bytes as frozen values, or why an object is none.

A page or a watch's line is decoded straight into what is read of it, and each value is checked
while it is decoded. An object that has a field of a wrong type is told by its name, and hides no
other.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

import msgspec

from carina_tasks.errors import ApiUnavailable, BadObject
from carina_tasks.kube.kinds import Kind
from carina_tasks.kube.responses import list_of
from carina_tasks.model import shapes
from carina_tasks.model.meta import ObjectMeta, Raw, name_of, read


class Named(Protocol):
    """Any value that is made from an object."""

    @property
    def meta(self) -> ObjectMeta:
        """What every object has."""
        ...


T = TypeVar("T", bound=Named)

WRONG = (msgspec.DecodeError, ValueError, RecursionError)
"""What decoding raises for bytes that are not the JSON that was asked for."""


@dataclass(frozen=True, slots=True)
class Objects(Generic[T]):
    """All objects of one kind."""

    values: dict[str, T] = field(default_factory=dict)
    """The objects that can be read, by key (``namespace/name``)."""
    unreadable: dict[str, str] = field(default_factory=dict)
    """Why each of the others cannot, by key. They exist all the same."""
    version: str = ""
    now: float = 0.0
    """The API server's clock when it answered (seconds since the epoch)."""

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self.values) + len(self.unreadable)

    @property
    def names(self) -> frozenset[str]:
        """Every key."""
        return frozenset({*self.values, *self.unreadable})

    def all(self) -> tuple[T, ...]:
        """Return the objects.

        Raises:
            BadObject: One of them cannot be read.
        """
        for reason in self.unreadable.values():
            raise BadObject(reason)
        return tuple(self.values.values())


@dataclass(frozen=True, slots=True)
class Change(Generic[T]):
    """One event of a watch."""

    type: str
    """``ADDED``, ``MODIFIED``, ``DELETED``, or ``BOOKMARK``, which has no object."""
    version: str
    """After which the next watch may continue; empty when the event has none."""
    key: str = ""
    value: T | None = None
    why: str = ""
    """Why the object cannot be read; empty when it can."""


def key_of(raw: Raw) -> str:
    """Return ``namespace/name`` of an object, or the name alone when it has no namespace."""
    meta = raw.get("metadata")
    namespace = meta.get("namespace") if isinstance(meta, dict) else ""
    return f"{namespace}/{name_of(raw)}" if namespace else name_of(raw)


def read_page(path: str, kind: Kind[T], data: bytes, into: Objects[T]) -> tuple[str, str]:
    """Add the objects of one page of a list; return its version and its continue token.

    Args:
        path: What was listed.
        kind: How its objects are read.
        data: The page.
        into: Takes the objects.

    Raises:
        ApiUnavailable: It is no page of a list.
    """
    try:
        page = kind.page.decode(data)
    except WRONG:
        return _read_loose_page(path, kind, data, into)
    if not page.kind.endswith("List"):
        raise ApiUnavailable(f"GET {path}: the answer is not a list")
    for found in page.items or ():
        value, why = _made(kind, found)
        if value is None:
            into.unreadable[_key(found)] = why
        else:
            into.values[value.meta.key] = value
    return page.metadata.resource_version or "", page.metadata.more or ""


def _read_loose_page(path: str, kind: Kind[T], data: bytes, into: Objects[T]) -> tuple[str, str]:
    """Do the same object by object: one of them, or the page, has a field of a wrong type."""
    try:
        page = msgspec.json.decode(data)
    except WRONG as exc:
        raise ApiUnavailable(f"GET {path}: the answer is not JSON") from exc
    if not isinstance(page, dict):
        raise ApiUnavailable(f"GET {path}: the answer is not an object")
    meta, items = list_of(path, page)
    for raw in items:
        value, why = _read(kind, raw)
        if value is None:
            into.unreadable[key_of(raw)] = why
        else:
            into.values[value.meta.key] = value
    return str(meta.get("resourceVersion") or ""), str(meta.get("continue") or "")


def read_change(kind: Kind[T], type_: str, data: bytes) -> Change[T]:
    """Return one event of a watch.

    Args:
        kind: How its object is read.
        type_: The type of the event.
        data: Its object, an object of JSON.
    """
    if type_ == "BOOKMARK":
        return Change(type_, _version(msgspec.json.decode(data)))
    try:
        found = kind.object.decode(data)
    except WRONG:
        raw = msgspec.json.decode(data)
        value, why = _read(kind, raw)
        return Change(type_, _version(raw), key_of(raw), value, why)
    value, why = _made(kind, found)
    version = (found.metadata.resource_version if found.metadata else "") or ""
    return Change(type_, version, value.meta.key if value else _key(found), value, why)


def _made(kind: Kind[T], found: shapes.AnyObject) -> tuple[T | None, str]:
    """Return the value of what was decoded, or None and what is wrong with it."""
    try:
        return kind.make(found), ""
    except BadObject as exc:
        return None, exc.message
    except (ValueError, RecursionError) as exc:
        return None, f"{_key(found)}: {exc}"


def _read(kind: Kind[T], raw: Raw) -> tuple[T | None, str]:
    try:
        return read(raw, kind.shape, kind.make), ""
    except BadObject as exc:
        return None, exc.message


def _key(found: shapes.AnyObject) -> str:
    meta = found.metadata or shapes.Metadata()
    name = meta.name or "?"
    return f"{meta.namespace}/{name}" if meta.namespace else name


def _version(raw: Raw) -> str:
    meta = raw.get("metadata")
    return str(meta.get("resourceVersion") or "") if isinstance(meta, dict) else ""
