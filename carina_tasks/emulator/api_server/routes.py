"""From a path to what it is about."""

from __future__ import annotations

from urllib.parse import unquote

from .cluster import Target
from .errors import no_such_resource
from .kinds import NAMESPACES
from .registry import Registry


def resource_target(registry: Registry, path: str) -> Target | None:
    """Return what a resource path is about, or None when the path is no resource path.

    StatusError 404 for unknown ones.

    `/api/v1/…` or `/apis/<group>/<version>/…`, then
    `[namespaces/<ns>/]<resource>[/<name>[/<subresource>]]`.
    """
    parts = [unquote(part) for part in path.strip("/").split("/")]
    if parts[0] == "api" and len(parts) > 2:
        group, version, rest = "", parts[1], parts[2:]
    elif parts[0] == "apis" and len(parts) > 3:
        group, version, rest = parts[1], parts[2], parts[3:]
        if version not in registry.groups().get(group, ()):
            return None
    else:
        return None
    namespace = ""
    if (
        rest[0] == "namespaces"
        and len(rest) > 2
        and not (len(rest) == 3 and rest[2] in NAMESPACES.subresources)
    ):
        namespace, rest = rest[1], rest[2:]
    resource = registry.find(group, version, rest[0])
    name = rest[1] if len(rest) > 1 else ""
    subresource = rest[2] if len(rest) > 2 else ""
    if resource is None or len(rest) > 3:
        raise no_such_resource()
    if (namespace and not resource.namespaced) or (name and resource.namespaced and not namespace):
        raise no_such_resource()
    if subresource and subresource not in resource.subresources:
        raise no_such_resource()
    return Target(resource, namespace, name, subresource)
