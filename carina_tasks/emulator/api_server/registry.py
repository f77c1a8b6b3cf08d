"""Which resources are served: the built-in ones, and those that definitions add."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.resources import files

import yaml

from .errors import JSON
from .kinds import BUILT_IN, Resource, resources_of


class Registry:
    """Resources by group, version and plural name."""

    def __init__(self) -> None:
        self._resources = {(r.group, r.version, r.plural): r for r in BUILT_IN}

    def find(self, group: str, version: str, plural: str) -> Resource | None:
        """Return the resource, or None."""
        return self._resources.get((group, version, plural))

    def __iter__(self) -> Iterator[Resource]:
        return iter(self._resources.values())

    def define(self, definition: JSON) -> None:
        """Serve what a CustomResourceDefinition describes now."""
        self.undefine(definition)
        for resource in resources_of(definition):
            self._resources[resource.group, resource.version, resource.plural] = resource

    def undefine(self, definition: JSON) -> None:
        """Serve it no longer."""
        group, plural = definition["spec"]["group"], definition["spec"]["names"]["plural"]
        for key in [key for key in self._resources if (key[0], key[2]) == (group, plural)]:
            del self._resources[key]

    def groups(self) -> dict[str, list[str]]:
        """Return the versions of each named group."""
        found: dict[str, list[str]] = {}
        for resource in self:
            versions = found.setdefault(resource.group, [])
            if resource.version not in versions:
                versions.append(resource.version)
        found.pop("", None)
        return found


def carina_definitions() -> list[JSON]:
    """Return the manifests of Carina's two CustomResourceDefinitions."""
    folder = files(__package__) / "crds"
    return [
        yaml.safe_load(manifest.read_text(encoding="utf-8"))
        for manifest in sorted(folder.iterdir(), key=lambda path: path.name)
        if manifest.name.endswith(".yaml")
    ]
