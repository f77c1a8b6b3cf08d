"""Namespaces."""

from __future__ import annotations

from ..errors import JSON
from .base import AGE, NAME, NAME_FIELDS, Column, Resource, WithStatus, dig


class NamespaceBehaviour(WithStatus):
    """A namespace ends through its `spec.finalizers`, which its controller empties by /finalize."""

    label_name = True

    def on_create(self, obj: JSON) -> None:
        """Start active, held by the namespace controller's finalizer."""
        spec = obj.get("spec") or {}
        if "kubernetes" not in spec.get("finalizers", []):
            spec["finalizers"] = [*spec.get("finalizers", []), "kubernetes"]
        obj["spec"] = spec
        obj["status"] = {"phase": "Active"}

    def default(self, obj: JSON) -> None:
        """Label the namespace with its own name."""
        name = obj["metadata"].get("name")
        if name:
            obj["metadata"].setdefault("labels", {})["kubernetes.io/metadata.name"] = name

    def on_main_write(self, obj: JSON, old: JSON) -> None:
        """Leave status and spec.finalizers alone."""
        super().on_main_write(obj, old)
        obj.setdefault("spec", {})["finalizers"] = list(old["spec"].get("finalizers", []))


NAMESPACES = Resource(
    "",
    "v1",
    "namespaces",
    "Namespace",
    namespaced=False,
    short_names=("ns",),
    subresources=("finalize", "status"),
    fields={"metadata.name": NAME_FIELDS["metadata.name"], "status.phase": ("status", "phase")},
    generic_fields=False,
    behaviour=NamespaceBehaviour(),
    columns=(
        NAME,
        Column(
            "Status", lambda obj, _: dig(obj, "status", "phase") or "", description="The phase."
        ),
        AGE,
    ),
)
