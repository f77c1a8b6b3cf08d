"""What a served resource is.

Its names, its columns, and what it does beyond what every resource does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from .. import durations
from ..errors import JSON, Cause
from ..selectors import Fields
from ..store import clone

Cell = Callable[[JSON, datetime], Any]

NAME_FIELDS: Mapping[str, tuple[str, ...]] = {
    "metadata.name": ("metadata", "name"),
    "metadata.namespace": ("metadata", "namespace"),
}


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a Table; priority 1 is shown by `-o wide` only."""

    name: str
    cell: Cell
    type: str = "string"
    format: str = ""
    priority: int = 0
    description: str = ""

    def definition(self) -> JSON:
        """Return the columnDefinition of a Table."""
        return {
            "name": self.name,
            "type": self.type,
            "format": self.format,
            "description": self.description,
            "priority": self.priority,
        }


def dig(obj: Any, *path: str) -> Any:
    """Return the value at a path of keys, or None where the path ends early."""
    for part in path:
        obj = obj.get(part) if isinstance(obj, dict) else None
    return obj


NAME = Column(
    "Name", lambda obj, _: obj["metadata"]["name"], format="name", description="Name of the object."
)
AGE = Column(
    "Age",
    lambda obj, now: durations.age(obj["metadata"].get("creationTimestamp"), now),
    description="Time since the object was created.",
)


class Behaviour:
    """The rules of one kind. This base is the rule of plain data, such as a ConfigMap."""

    label_name = False
    """The name is a DNS label and not a subdomain."""
    standard_finalizers = True
    """A finalizer must be qualified or one of the standard ones (custom resources are only warned).
    """
    create_on_update = False
    """A PUT or a patch of an object that does not exist creates it."""
    unconditional_update = True
    """A PUT need not name the resourceVersion that it replaces."""
    returns_deleted = False
    """DELETE answers with the object and not with a Status."""
    generation = False
    """metadata.generation counts the changes of spec."""
    status = False
    """There is a status subresource, and ordinary writes leave the status alone."""

    def on_create(self, obj: JSON) -> None:
        """Set what creation sets, such as the first status, in place."""
        if self.status:
            obj["status"] = {}

    def default(self, obj: JSON) -> None:
        """Fill in defaults in place, on every write."""

    def validate(self, obj: JSON, old: JSON | None) -> list[Cause]:
        """Return what is wrong with the object, alone or as a change of `old`."""
        return []

    def on_main_write(self, obj: JSON, old: JSON) -> None:
        """Keep, in place, what an ordinary write must not touch."""
        if self.status:
            _keep(obj, old, "status")

    def on_status_write(self, obj: JSON, old: JSON) -> None:
        """Keep, in place, what a write to /status must not touch."""
        _keep(obj, old, "spec")

    def changed(self, obj: JSON, old: JSON) -> bool:
        """Return whether metadata.generation counts this change."""
        return bool(obj.get("spec") != old.get("spec"))

    def grace(self, obj: JSON, wanted: int | None) -> int:
        """Return the seconds that a deleted object stays; 0 removes it at once."""
        return 0


def _keep(obj: JSON, old: JSON, part: str) -> None:
    if part in old:
        obj[part] = clone(old[part])
    else:
        obj.pop(part, None)


class WithStatus(Behaviour):
    """A built-in kind with a status subresource."""

    status = True


@dataclass(frozen=True)
class Resource:
    """One served resource."""

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool
    singular: str = ""
    list_kind: str = ""
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    subresources: tuple[str, ...] = ()
    fields: Fields = field(default_factory=lambda: NAME_FIELDS)
    generic_fields: bool = True
    columns: tuple[Column, ...] = (NAME, AGE)
    behaviour: Behaviour = field(default_factory=Behaviour)
    schema: JSON | None = None
    """The structural schema, for custom resources only."""
    stored_as: str = ""
    """The id of another resource that has the same objects; empty for one of its own."""
    to_stored: Callable[[JSON], JSON] = lambda obj: obj
    to_shown: Callable[[JSON], JSON] = lambda obj: obj
    """Between the form of this resource and the one that is stored."""

    @property
    def id(self) -> str:
        """The store's name of the resource; versions share it."""
        return self.stored_as or f"{self.plural}.{self.group}"

    @property
    def api_version(self) -> str:
        """`group/version`, or `v1` for the core group."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def custom(self) -> bool:
        """Whether a CustomResourceDefinition made it."""
        return self.schema is not None

    @property
    def one(self) -> str:
        """The singular name."""
        return self.singular or self.kind.lower()

    @property
    def many(self) -> str:
        """The kind of its lists."""
        return self.list_kind or f"{self.kind}List"
