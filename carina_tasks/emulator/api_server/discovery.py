"""Discovery: /version, /api, /apis and the resource lists."""

from __future__ import annotations

import platform

from .errors import JSON
from .kinds import NAMESPACES, Resource
from .registry import Registry

VERSION = "v1.34.4"
"""The Kubernetes version whose API server is emulated, and against which the contract test runs."""

_VERBS = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"]
_SUBRESOURCES: dict[str, tuple[list[str], dict[str, str]]] = {
    "binding": (["create"], {"kind": "Binding"}),
    "eviction": (["create"], {"group": "policy", "version": "v1", "kind": "Eviction"}),
    "finalize": (["update"], {}),
    "scale": (
        ["get", "patch", "update"],
        {"group": "autoscaling", "version": "v1", "kind": "Scale"},
    ),
    "status": (["get", "patch", "update"], {}),
}


def version() -> JSON:
    """Return /version."""
    major, minor, _ = VERSION.removeprefix("v").split(".")
    return {
        "major": major,
        "minor": minor,
        "gitVersion": f"{VERSION}+carina-tasks-emulator",
        "gitCommit": "",
        "gitTreeState": "",
        "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": "",
        "compiler": "",
        "platform": f"linux/{platform.machine()}",
    }


def core_versions(address: str) -> JSON:
    """Return /api."""
    clients = [{"clientCIDR": "0.0.0.0/0", "serverAddress": address}]
    return {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": clients}


def _group(name: str, versions: list[str]) -> JSON:
    listed = [{"groupVersion": f"{name}/{one}", "version": one} for one in versions]
    return {"name": name, "versions": listed, "preferredVersion": listed[0]}


def groups(registry: Registry) -> JSON:
    """Return /apis."""
    found = [_group(name, versions) for name, versions in registry.groups().items()]
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": found}


def group(registry: Registry, name: str) -> JSON | None:
    """Return /apis/<group>, or None for a group that is not served."""
    versions = registry.groups().get(name)
    return {"kind": "APIGroup", "apiVersion": "v1", **_group(name, versions)} if versions else None


def resources(registry: Registry, group_name: str, version_name: str) -> JSON | None:
    """Return /api/v1 or /apis/<group>/<version>, or None when it is not served."""
    found = [r for r in registry if (r.group, r.version) == (group_name, version_name)]
    if not found:
        return None
    listed: list[JSON] = []
    for resource in found:
        listed += _entries(resource)
    group_version = f"{group_name}/{version_name}" if group_name else version_name
    return {
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": group_version,
        "resources": listed,
    }


def _entries(resource: Resource) -> list[JSON]:
    verbs = [verb for verb in _VERBS if resource is not NAMESPACES or verb != "deletecollection"]
    entry: JSON = {
        "name": resource.plural,
        "singularName": resource.one,
        "namespaced": resource.namespaced,
        "kind": resource.kind,
        "verbs": verbs,
    }
    if resource.short_names:
        entry["shortNames"] = list(resource.short_names)
    if resource.categories:
        entry["categories"] = list(resource.categories)
    entries = [entry]
    for name in resource.subresources:
        sub_verbs, overrides = _SUBRESOURCES[name]
        entries.append(
            {
                "name": f"{resource.plural}/{name}",
                "singularName": "",
                "namespaced": resource.namespaced,
                "kind": resource.kind,
                **overrides,
                "verbs": sub_verbs,
            }
        )
    return entries
