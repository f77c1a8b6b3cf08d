"""What every object has, and how single fields are read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any, TypeVar

from carina_tasks.errors import BadInput, BadObject
from carina_tasks.model import quantity

Raw = Mapping[str, Any]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Owner:
    """One ownerReference."""

    kind: str
    name: str
    uid: str
    controller: bool


@dataclass(frozen=True, slots=True)
class ObjectMeta:
    """What every object has."""

    name: str
    uid: str
    version: str
    created: float
    namespace: str = ""
    deleting: float | None = None
    """When its deletion was asked for (deletionTimestamp), or None."""
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    finalizers: tuple[str, ...] = ()
    owners: tuple[Owner, ...] = ()

    @property
    def key(self) -> str:
        """``namespace/name``, or the name alone for cluster-scoped objects."""
        return f"{self.namespace}/{self.name}" if self.namespace else self.name


def parse_meta(raw: Raw) -> ObjectMeta:
    """Return the metadata of any object.

    Raises:
        BadObject: An object in the cluster lacks a field or has a wrong one.
    """
    meta = raw.get("metadata") or {}
    name = meta.get("name")
    if not isinstance(name, str) or not name:
        raise BadObject("an object without metadata.name")
    return ObjectMeta(
        name=name,
        namespace=meta.get("namespace") or "",
        uid=meta.get("uid") or "",
        version=meta.get("resourceVersion") or "",
        created=time_of(meta.get("creationTimestamp"), name) or 0.0,
        deleting=time_of(meta.get("deletionTimestamp"), name),
        labels=meta.get("labels") or {},
        annotations=meta.get("annotations") or {},
        finalizers=tuple(meta.get("finalizers") or ()),
        owners=tuple(
            Owner(o.get("kind", ""), o.get("name", ""), o.get("uid", ""), bool(o.get("controller")))
            for o in meta.get("ownerReferences") or ()
        ),
    )


def checked(read: Callable[[], T], meta: ObjectMeta, where: str) -> T:
    """Return what `read` returns.

    Args:
        read: Reads the field, and raises BadInput.
        meta: The object's metadata.
        where: Path of the field.

    Raises:
        BadObject: It names the object and the field `where`.
    """
    try:
        return read()
    except BadInput as exc:
        raise BadObject(f"{meta.name}: {where}: {exc.message}", name=meta.name) from exc


def time_of(value: object, name: str) -> float | None:
    """Return an RFC 3339 time as seconds since the epoch, None without one.

    Raises:
        BadObject: An object in the cluster lacks a field or has a wrong one.
    """
    if not value:
        return None
    try:
        return datetime.fromisoformat(str(value)).timestamp()
    except ValueError as exc:
        raise BadObject(f"{name}: {str(value)[:40]!r} is not an RFC 3339 time") from exc


def amounts(raw: Raw, name: str) -> dict[str, Decimal]:
    """Return resources and their amounts.

    Raises:
        BadObject: An object in the cluster lacks a field or has a wrong one.
    """
    try:
        return {key: quantity.amount(value) for key, value in raw.items()}
    except BadInput as exc:
        raise BadObject(f"{name}: {exc.message}") from exc
