"""Kinds that are little more than data.

ConfigMap, Secret, Service, ServiceAccount, Lease, StorageClass, CSIDriver.
"""

from __future__ import annotations

import base64

from ..errors import JSON
from .base import AGE, NAME, NAME_FIELDS, Behaviour, Column, Resource, WithStatus, dig


class SecretBehaviour(Behaviour):
    """A secret's stringData becomes data."""

    def default(self, obj: JSON) -> None:
        """Encode stringData."""
        for key, text in (obj.pop("stringData", None) or {}).items():
            obj.setdefault("data", {})[key] = base64.b64encode(str(text).encode()).decode()
        obj.setdefault("type", "Opaque")


class ServiceBehaviour(WithStatus):
    """A service, without the allocation of addresses: only headless ones are complete."""

    label_name = True

    def on_create(self, obj: JSON) -> None:
        """Start without a load balancer."""
        obj["status"] = {"loadBalancer": {}}

    def default(self, obj: JSON) -> None:
        """ClusterIP, TCP, no session affinity."""
        spec = obj.setdefault("spec", {})
        spec.setdefault("type", "ClusterIP")
        spec.setdefault("sessionAffinity", "None")
        if spec.get("clusterIP"):
            spec.setdefault("clusterIPs", [spec["clusterIP"]])
        spec.setdefault("ipFamilies", ["IPv4"])
        spec.setdefault("ipFamilyPolicy", "SingleStack")
        spec.setdefault("internalTrafficPolicy", "Cluster")
        for port in spec.get("ports") or []:
            port.setdefault("protocol", "TCP")
            port.setdefault("targetPort", port.get("port"))


class LeaseBehaviour(Behaviour):
    """A lease is created by its first update, too."""

    create_on_update = True
    unconditional_update = False

    def default(self, obj: JSON) -> None:
        """Show a spec even where none was sent."""
        obj.setdefault("spec", {})


class StorageClassBehaviour(Behaviour):
    """A storage class."""

    returns_deleted = True

    def default(self, obj: JSON) -> None:
        """Delete, at once."""
        obj.setdefault("reclaimPolicy", "Delete")
        obj.setdefault("volumeBindingMode", "Immediate")


class CSIDriverBehaviour(Behaviour):
    """A CSI driver's announcement."""

    returns_deleted = True

    def default(self, obj: JSON) -> None:
        """Fill in the API's defaults."""
        spec = obj.setdefault("spec", {})
        spec.setdefault("attachRequired", True)
        spec.setdefault("podInfoOnMount", False)
        spec.setdefault("storageCapacity", False)
        spec.setdefault("fsGroupPolicy", "ReadWriteOnceWithFSType")
        spec.setdefault("volumeLifecycleModes", ["Persistent"])
        spec.setdefault("requiresRepublish", False)
        spec.setdefault("seLinuxMount", False)


def _class_name(obj: JSON) -> str:
    annotations = obj["metadata"].get("annotations") or {}
    default = annotations.get("storageclass.kubernetes.io/is-default-class") == "true"
    return f"{obj['metadata']['name']} (default)" if default else str(obj["metadata"]["name"])


def _ports(obj: JSON) -> str:
    shown = []
    for port in dig(obj, "spec", "ports") or []:
        node = f":{port['nodePort']}" if port.get("nodePort") else ""
        shown.append(f"{port['port']}{node}/{port.get('protocol', 'TCP')}")
    return ",".join(shown) or "<none>"


def _pairs(labels: JSON | None) -> str:
    return ",".join(f"{key}={value}" for key, value in sorted((labels or {}).items())) or "<none>"


def _flag(obj: JSON, key: str) -> bool:
    return bool(dig(obj, "spec", key))


CONFIG_MAPS = Resource(
    "",
    "v1",
    "configmaps",
    "ConfigMap",
    namespaced=True,
    short_names=("cm",),
    columns=(
        NAME,
        Column(
            "Data", lambda obj, _: len(obj.get("data") or {}) + len(obj.get("binaryData") or {})
        ),
        AGE,
    ),
)
SECRETS = Resource(
    "",
    "v1",
    "secrets",
    "Secret",
    namespaced=True,
    fields={**NAME_FIELDS, "type": ("type",)},
    generic_fields=False,
    behaviour=SecretBehaviour(),
    columns=(
        NAME,
        Column("Type", lambda obj, _: obj.get("type", "")),
        Column("Data", lambda obj, _: len(obj.get("data") or {})),
        AGE,
    ),
)
SERVICES = Resource(
    "",
    "v1",
    "services",
    "Service",
    namespaced=True,
    short_names=("svc",),
    categories=("all",),
    subresources=("status",),
    fields={**NAME_FIELDS, "spec.clusterIP": ("spec", "clusterIP"), "spec.type": ("spec", "type")},
    generic_fields=False,
    behaviour=ServiceBehaviour(),
    columns=(
        NAME,
        Column("Type", lambda obj, _: obj["spec"].get("type", "")),
        Column("Cluster-IP", lambda obj, _: obj["spec"].get("clusterIP") or "<none>"),
        Column(
            "External-IP", lambda obj, _: ",".join(obj["spec"].get("externalIPs") or []) or "<none>"
        ),
        Column("Port(s)", lambda obj, _: _ports(obj)),
        AGE,
        Column("Selector", lambda obj, _: _pairs(obj["spec"].get("selector")), priority=1),
    ),
)
SERVICE_ACCOUNTS = Resource(
    "",
    "v1",
    "serviceaccounts",
    "ServiceAccount",
    namespaced=True,
    short_names=("sa",),
    columns=(NAME, Column("Secrets", lambda obj, _: len(obj.get("secrets") or [])), AGE),
)
LEASES = Resource(
    "coordination.k8s.io",
    "v1",
    "leases",
    "Lease",
    namespaced=True,
    behaviour=LeaseBehaviour(),
    columns=(NAME, Column("Holder", lambda obj, _: dig(obj, "spec", "holderIdentity") or ""), AGE),
)
STORAGE_CLASSES = Resource(
    "storage.k8s.io",
    "v1",
    "storageclasses",
    "StorageClass",
    namespaced=False,
    short_names=("sc",),
    behaviour=StorageClassBehaviour(),
    columns=(
        Column("Name", lambda obj, _: _class_name(obj), format="name"),
        Column("Provisioner", lambda obj, _: obj.get("provisioner", "")),
        Column("ReclaimPolicy", lambda obj, _: obj.get("reclaimPolicy", "")),
        Column("VolumeBindingMode", lambda obj, _: obj.get("volumeBindingMode", "")),
        Column("AllowVolumeExpansion", lambda obj, _: bool(obj.get("allowVolumeExpansion"))),
        AGE,
    ),
)
CSI_DRIVERS = Resource(
    "storage.k8s.io",
    "v1",
    "csidrivers",
    "CSIDriver",
    namespaced=False,
    behaviour=CSIDriverBehaviour(),
    columns=(
        NAME,
        Column("AttachRequired", lambda obj, _: _flag(obj, "attachRequired"), "boolean"),
        Column("PodInfoOnMount", lambda obj, _: _flag(obj, "podInfoOnMount"), "boolean"),
        Column("StorageCapacity", lambda obj, _: _flag(obj, "storageCapacity"), "boolean"),
        Column(
            "TokenRequests",
            lambda obj, _: (
                ",".join(t.get("audience", "") for t in dig(obj, "spec", "tokenRequests") or [])
                or "<unset>"
            ),
        ),
        Column("RequiresRepublish", lambda obj, _: _flag(obj, "requiresRepublish"), "boolean"),
        Column("Modes", lambda obj, _: ",".join(dig(obj, "spec", "volumeLifecycleModes") or [])),
        AGE,
    ),
)
