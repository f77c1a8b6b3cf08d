"""CustomResourceDefinitions, and the resources that they make."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

from .. import durations
from ..errors import JSON, Cause
from ..schema import apply_defaults, check
from ..store import clone
from .base import AGE, NAME, NAME_FIELDS, Behaviour, Cell, Column, Resource, WithStatus, dig


class DefinitionBehaviour(WithStatus):
    """A definition is established at once: names never clash here."""

    unconditional_update = False
    generation = True

    def on_create(self, obj: JSON) -> None:
        """Set the conditions that its controllers would set."""
        spec = obj["spec"]
        now = durations.timestamp(datetime.now(UTC))
        names = clone(spec["names"])
        obj["status"] = {
            "acceptedNames": names,
            "conditions": [
                {
                    "lastTransitionTime": now,
                    "message": "no conflicts found",
                    "reason": "NoConflicts",
                    "status": "True",
                    "type": "NamesAccepted",
                },
                {
                    "lastTransitionTime": now,
                    "message": "the initial names have been accepted",
                    "reason": "InitialNamesAccepted",
                    "status": "True",
                    "type": "Established",
                },
            ],
            "storedVersions": [
                version["name"] for version in spec["versions"] if version.get("storage")
            ],
        }

    def default(self, obj: JSON) -> None:
        """Derive the names that were left out."""
        names = obj["spec"]["names"]
        names.setdefault("singular", names["kind"].lower())
        names.setdefault("listKind", names["kind"] + "List")
        obj["spec"].setdefault("conversion", {"strategy": "None"})


DEFINITIONS = Resource(
    "apiextensions.k8s.io",
    "v1",
    "customresourcedefinitions",
    "CustomResourceDefinition",
    namespaced=False,
    short_names=("crd", "crds"),
    categories=("api-extensions",),
    subresources=("status",),
    behaviour=DefinitionBehaviour(),
    columns=(
        NAME,
        Column("Created At", lambda obj, _: obj["metadata"]["creationTimestamp"], "date"),
    ),
)


class CustomBehaviour(Behaviour):
    """What every custom resource does: schema, and a strict split of status from the rest."""

    standard_finalizers = False
    unconditional_update = False
    generation = True

    def __init__(self, schema: JSON, *, status: bool) -> None:
        self._schema = schema
        self.status = status

    def on_create(self, obj: JSON) -> None:
        """Drop a status that comes with the object."""
        if self.status:
            obj.pop("status", None)

    def on_status_write(self, obj: JSON, old: JSON) -> None:
        """Keep everything but the status, metadata too."""
        status = obj.get("status")
        managed = obj["metadata"].get("managedFields")
        obj.clear()
        obj.update(clone(old))
        obj.pop("status", None)
        if status is not None:
            obj["status"] = status
        if managed is not None:
            obj["metadata"]["managedFields"] = managed

    def default(self, obj: JSON) -> None:
        """Fill in the schema's defaults."""
        apply_defaults(obj, self._schema)

    def validate(self, obj: JSON, old: JSON | None) -> list[Cause]:
        """Check against the schema."""
        return check(obj, self._schema)

    def changed(self, obj: JSON, old: JSON) -> bool:
        """Count any change but those of metadata and of a separate status."""
        ignored = {"metadata", "status"} if self.status else {"metadata"}
        return {k: v for k, v in obj.items() if k not in ignored} != {
            k: v for k, v in old.items() if k not in ignored
        }


def path_of(json_path: str) -> tuple[str, ...]:
    r"""Split a simple JSON path into its keys.

    For example `.spec.size`, `.metadata.labels.a\.b` or `.a['b.c']`.
    """
    keys = []
    for bracket, plain in re.findall(r"\['([^']+)'\]|\.?((?:\\.|[^.\[\\])+)", json_path):
        keys.append(bracket or plain.replace("\\.", "."))
    return tuple(keys)


def _column(definition: JSON) -> Column:
    path = path_of(definition["jsonPath"])
    date = definition["type"] == "date"

    def cell(obj: JSON, now: datetime) -> Any:
        value = dig(obj, *path)
        if date:
            return durations.age(value, now) if value is not None else None
        if definition["type"] == "string" and value is not None and not isinstance(value, str):
            return str(value).lower() if isinstance(value, bool) else str(value)
        return value

    typed: Cell = cell
    return Column(
        definition["name"],
        typed,
        definition["type"],
        definition.get("format", ""),
        definition.get("priority", 0),
        definition.get("description")
        or f"Custom resource definition column (in JSONPath format): {definition['jsonPath']}",
    )


def resources_of(definition: JSON) -> list[Resource]:
    """Return the resources that a CustomResourceDefinition serves, one a version."""
    spec = definition["spec"]
    names = spec["names"]
    made = []
    for version in spec["versions"]:
        if not version.get("served"):
            continue
        schema = dig(version, "schema", "openAPIV3Schema") or {
            "x-kubernetes-preserve-unknown-fields": True
        }
        subresources = version.get("subresources") or {}
        fields = {
            field["jsonPath"].lstrip("."): path_of(field["jsonPath"])
            for field in version.get("selectableFields") or []
        }
        printed = version.get("additionalPrinterColumns")
        created = Column(
            "Age",
            AGE.cell,
            "date",
            description="CreationTimestamp is the time when the server created the object.",
        )
        made.append(
            Resource(
                spec["group"],
                version["name"],
                names["plural"],
                names["kind"],
                namespaced=spec["scope"] == "Namespaced",
                singular=names.get("singular", ""),
                list_kind=names.get("listKind", ""),
                short_names=tuple(names.get("shortNames") or ()),
                categories=tuple(names.get("categories") or ()),
                subresources=("status",) if "status" in subresources else (),
                fields={**NAME_FIELDS, **fields},
                generic_fields=False,
                columns=(NAME, *map(_column, printed)) if printed else (NAME, created),
                behaviour=CustomBehaviour(schema, status="status" in subresources),
                schema=schema,
            )
        )
    return made
