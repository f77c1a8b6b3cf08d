"""OpenAPI, as far as `kubectl apply` reads it.

kubectl asks whether a kind's PATCH takes `fieldValidation`: then the server validates, and kubectl
needs no schema. The strategic merge media type is left out on purpose: with it kubectl would look
for merge keys in schemas that are not here; without it, it uses its own.
"""

from __future__ import annotations

from .discovery import VERSION
from .errors import JSON
from .kinds import Resource
from .registry import Registry

V2_PROTOBUF = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
V2_EMPTY = b""
"""An OpenAPI v2 document without schemas, in protobuf: kubectl reads it for a `List` only, and then
leaves the checks of
the items to the server.
"""


def index(registry: Registry) -> JSON:
    """Return /openapi/v3: where each group version is described."""
    paths = {}
    for resource in registry:
        path = _path(resource.group, resource.version)
        paths[path] = {"serverRelativeURL": f"/openapi/v3/{path}"}
    return {"paths": paths}


def _path(group: str, version: str) -> str:
    return f"apis/{group}/{version}" if group else f"api/{version}"


def document(registry: Registry, path: str) -> JSON | None:
    """Return the document of a group version (`api/v1`, `apis/apps/v1`), or None."""
    found = [r for r in registry if _path(r.group, r.version) == path]
    if not found:
        return None
    paths: JSON = {}
    schemas: JSON = {}
    for resource in found:
        prefix = f"/{path}/namespaces/{{namespace}}" if resource.namespaced else f"/{path}"
        paths[f"{prefix}/{resource.plural}/{{name}}"] = {"patch": _patch(resource)}
        schemas[f"{resource.group or 'core'}.{resource.version}.{resource.kind}"] = {
            **(resource.schema or {"type": "object"}),
            "x-kubernetes-group-version-kind": [_kind(resource)],
        }
    return {
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": VERSION},
        "paths": paths,
        "components": {"schemas": schemas},
    }


def _kind(resource: Resource) -> JSON:
    return {"group": resource.group, "version": resource.version, "kind": resource.kind}


def _patch(resource: Resource) -> JSON:
    names = ("dryRun", "fieldManager", "fieldValidation", "force")
    return {
        "operationId": f"patch{resource.kind}",
        "parameters": [
            {"name": name, "in": "query", "schema": {"type": "string"}} for name in names
        ],
        "requestBody": {
            "content": {"application/merge-patch+json": {"schema": {"type": "object"}}}
        },
        "responses": {"200": {"description": "OK"}},
        "x-kubernetes-action": "patch",
        "x-kubernetes-group-version-kind": _kind(resource),
    }
