"""Nodes."""

from __future__ import annotations

from ..errors import JSON
from .base import AGE, NAME, NAME_FIELDS, Column, Resource, WithStatus, dig

_ROLE = "node-role.kubernetes.io/"


class NodeBehaviour(WithStatus):
    """A node brings its own first status: the kubelet creates the object."""

    def on_create(self, obj: JSON) -> None:
        """Keep the status that was sent."""
        self.default(obj)

    def default(self, obj: JSON) -> None:
        """Allocatable is the capacity when nothing else is said."""
        obj.setdefault("spec", {})
        status = obj.setdefault("status", {})
        if "capacity" in status and "allocatable" not in status:
            status["allocatable"] = dict(status["capacity"])
        status.setdefault("daemonEndpoints", {"kubeletEndpoint": {"Port": 0}})
        info = status.setdefault("nodeInfo", {})
        for key in [
            "machineID",
            "systemUUID",
            "bootID",
            "kernelVersion",
            "osImage",
            "containerRuntimeVersion",
            "kubeletVersion",
            "kubeProxyVersion",
            "operatingSystem",
            "architecture",
        ]:
            info.setdefault(key, "")
        for condition in status.get("conditions") or []:
            condition.setdefault("lastHeartbeatTime", None)
            condition.setdefault("lastTransitionTime", None)


def _status(obj: JSON) -> str:
    shown = []
    for condition in dig(obj, "status", "conditions") or []:
        if condition.get("type") == "Ready":
            shown = ["Ready" if condition.get("status") == "True" else "NotReady"]
    shown = shown or ["Unknown"]
    if dig(obj, "spec", "unschedulable"):
        shown.append("SchedulingDisabled")
    return ",".join(shown)


def _roles(obj: JSON) -> str:
    roles = set()
    for key, value in (obj["metadata"].get("labels") or {}).items():
        if key.startswith(_ROLE) and len(key) > len(_ROLE):
            roles.add(key[len(_ROLE) :])
        elif key == "kubernetes.io/role" and value:
            roles.add(value)
    return ",".join(sorted(roles)) or "<none>"


def _address(obj: JSON, kind: str) -> str:
    for address in dig(obj, "status", "addresses") or []:
        if address.get("type") == kind:
            return str(address["address"])
    return "<none>"


def _info(obj: JSON, key: str) -> str:
    return dig(obj, "status", "nodeInfo", key) or "<unknown>"


NODES = Resource(
    "",
    "v1",
    "nodes",
    "Node",
    namespaced=False,
    short_names=("no",),
    subresources=("status",),
    fields={
        "metadata.name": NAME_FIELDS["metadata.name"],
        "spec.unschedulable": ("spec", "unschedulable"),
    },
    generic_fields=False,
    behaviour=NodeBehaviour(),
    columns=(
        NAME,
        Column("Status", lambda obj, _: _status(obj), description="The status of the node."),
        Column("Roles", lambda obj, _: _roles(obj), description="The roles of the node."),
        AGE,
        Column(
            "Version",
            lambda obj, _: dig(obj, "status", "nodeInfo", "kubeletVersion") or "",
            description="Kubelet.",
        ),
        Column("Internal-IP", lambda obj, _: _address(obj, "InternalIP"), priority=1),
        Column("External-IP", lambda obj, _: _address(obj, "ExternalIP"), priority=1),
        Column("OS-Image", lambda obj, _: _info(obj, "osImage"), priority=1),
        Column("Kernel-Version", lambda obj, _: _info(obj, "kernelVersion"), priority=1),
        Column(
            "Container-Runtime", lambda obj, _: _info(obj, "containerRuntimeVersion"), priority=1
        ),
    ),
)
