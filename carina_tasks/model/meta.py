"""What every object has, and how single fields are read."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping
from datetime import datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any, TypeVar

import msgspec

from carina_tasks.errors import BadInput, BadObject
from carina_tasks.model import quantity, shapes, sharing

Raw = Mapping[str, Any]
T = TypeVar("T")
S = TypeVar("S", bound=shapes.AnyObject)


class Owner(msgspec.Struct, frozen=True, gc=False):
    """One ownerReference."""

    kind: str
    name: str
    uid: str
    controller: bool


class ObjectMeta(msgspec.Struct, frozen=True, gc=False):
    """What every object has."""

    name: str
    uid: str
    version: str
    created: float
    namespace: str = ""
    deleting: float | None = None
    """When its deletion was asked for (deletionTimestamp), or None."""
    labels: Mapping[str, str] = {}
    annotations: Mapping[str, str] = {}
    finalizers: tuple[str, ...] = ()
    owners: tuple[Owner, ...] = ()

    @property
    def key(self) -> str:
        """``namespace/name``, or the name alone for cluster-scoped objects."""
        return f"{self.namespace}/{self.name}" if self.namespace else self.name


def read(raw: Raw, shape: type[S], make: Callable[[S], T]) -> T:
    """Return an object of raw JSON as a value.

    Args:
        raw: The object, as a dict.
        shape: What of it is read.
        make: Makes the value from that; raises BadObject.

    Raises:
        BadObject: Whatever is wrong with it, with its name.
    """
    try:
        return make(msgspec.convert(raw, type=shape))
    except (msgspec.ValidationError, ValueError, RecursionError) as exc:
        raise wrong_type(raw, exc) from exc


def wrong_type(raw: Raw, exc: Exception) -> BadObject:
    """Return the error of an object that does not have the API's shape."""
    name = name_of(raw)
    return BadObject(f"{name}: a field has a wrong type: {exc}", name=name)


def name_of(raw: Raw) -> str:
    """Return the name of an object, ``?`` when it has none."""
    meta = raw.get("metadata")
    return str(meta.get("name")) if isinstance(meta, dict) else "?"


def parse_meta(raw: Raw) -> ObjectMeta:
    """Return the metadata of any object.

    Raises:
        BadObject: An object in the cluster lacks a field or has a wrong one.
    """
    return read(raw, shapes.AnyObject, meta_of)


def meta_of(found: shapes.AnyObject, annotations: Container[str] | None = None) -> ObjectMeta:
    """Return the metadata of any object.

    Args:
        found: The object.
        annotations: Keys of the annotations that are kept; None: all.

    Raises:
        BadObject: It has no name, or a time that is none.
    """
    meta = found.metadata
    if meta is None or not meta.name:
        raise BadObject("an object without metadata.name")
    kept = meta.annotations
    if kept and annotations is not None:
        kept = {key: value for key, value in kept.items() if key in annotations}
    return ObjectMeta(
        name=meta.name,
        namespace=sharing.word(meta.namespace),
        uid=meta.uid or "",
        version=meta.resource_version or "",
        created=time_of(meta.creation_timestamp, meta.name) or 0.0,
        deleting=time_of(meta.deletion_timestamp, meta.name),
        labels=sharing.mapping(meta.labels),
        annotations=sharing.mapping(kept),
        finalizers=sharing.whole(meta.finalizers),
        owners=sharing.whole(
            tuple(
                Owner(sharing.word(one.kind), one.name, one.uid, bool(one.controller))
                for one in meta.owner_references
            )
        )
        if meta.owner_references
        else (),
    )


def checked(read: Callable[[object], T], value: object, meta: ObjectMeta, where: str) -> T:
    """Return what `read` makes of a field's value.

    Args:
        read: Reads the field, and raises BadInput.
        value: The field's value.
        meta: The object's metadata.
        where: Path of the field.

    Raises:
        BadObject: It names the object and the field `where`.
    """
    try:
        return read(value)
    except BadInput as exc:
        raise BadObject(f"{meta.name}: {where}: {exc.message}", name=meta.name) from exc


def time_of(value: str | None, name: str) -> float | None:
    """Return an RFC 3339 time as seconds since the epoch, None without one.

    Raises:
        BadObject: An object in the cluster lacks a field or has a wrong one.
    """
    if not value:
        return None
    try:
        return datetime.fromisoformat(value).timestamp()
    except (ValueError, OverflowError) as exc:
        raise BadObject(f"{name}: {value[:40]!r} is not an RFC 3339 time") from exc


def amounts(raw: Raw | None, name: str) -> dict[str, Decimal]:
    """Return resources and their amounts.

    Raises:
        BadObject: An object in the cluster lacks a field or has a wrong one.
    """
    try:
        return {key: quantity.amount(value) for key, value in raw.items()} if raw else {}
    except BadInput as exc:
        raise BadObject(f"{name}: {exc.message}") from exc


def remembered(read: Callable[[object], T]) -> Callable[[object], T]:
    """Return a reader that returns the same object for an equal string.

    Thousands of volumes have the same few nodes, groups, namespaces and sizes.

    Args:
        read: Reads a field, and raises BadInput.
    """
    known = lru_cache(sharing.LIMIT)(read)
    return lambda value: known(value) if type(value) is str else read(value)


size_of = remembered(quantity.to_bytes)
"""Reads a size, as `quantity.to_bytes` does."""
