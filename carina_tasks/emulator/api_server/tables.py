"""What a response looks like: the whole object, its metadata only, or a row of a Table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from .errors import JSON
from .kinds import Resource

Shape = Literal["object", "table", "metadata"]


@dataclass(frozen=True, slots=True)
class View:
    """How the caller wants objects shown; `include` is the Table's includeObject."""

    shape: Shape = "object"
    include: str = "Metadata"

    def one(self, obj: JSON, resource: Resource, *, header: bool = True) -> JSON:
        """Show one object; `header` is off for all but the first Table of a watch."""
        if self.shape == "table":
            shown = table(
                resource,
                [obj],
                {"resourceVersion": obj["metadata"]["resourceVersion"]},
                self.include,
            )
            if not header:
                shown["columnDefinitions"] = []
            return shown
        return partial(obj) if self.shape == "metadata" else obj

    def many(self, objects: Sequence[JSON], resource: Resource, metadata: JSON) -> JSON:
        """Show a list."""
        if self.shape == "table":
            return table(resource, objects, metadata, self.include)
        if self.shape == "metadata":
            return {
                "kind": "PartialObjectMetadataList",
                "apiVersion": "meta.k8s.io/v1",
                "metadata": metadata,
                "items": [partial(obj) for obj in objects],
            }
        items = list(objects)
        if not resource.custom:  # the list's kind says it for built-in kinds
            items = [
                {k: v for k, v in obj.items() if k not in ("apiVersion", "kind")} for obj in objects
            ]
        return {
            "kind": resource.many,
            "apiVersion": resource.api_version,
            "metadata": metadata,
            "items": items,
        }


def partial(obj: JSON) -> JSON:
    """Return an object's PartialObjectMetadata."""
    return {
        "kind": "PartialObjectMetadata",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": obj["metadata"],
    }


def table(
    resource: Resource, objects: Sequence[JSON], metadata: JSON, include: str = "Metadata"
) -> JSON:
    """Return a Table with one row an object."""
    now = datetime.now(UTC)
    rows = []
    for obj in objects:
        row: JSON = {"cells": [column.cell(obj, now) for column in resource.columns]}
        if include == "Object":
            row["object"] = obj
        elif include != "None":
            row["object"] = partial(obj)
        rows.append(row)
    return {
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": metadata,
        "columnDefinitions": [column.definition() for column in resource.columns],
        "rows": rows,
    }
