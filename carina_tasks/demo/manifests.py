"""The objects of the demo as raw JSON, with the fields that Carina v0.14 writes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from carina_tasks.demo.nodes import GROUP
from carina_tasks.model import well_known

Raw = dict[str, Any]

NAMESPACE = "default"
STORAGE_CLASS = "csi-carina-sc"
SELECTED_NODE = "volume.kubernetes.io/selected-node"
VOLUME_NAME = "demo.carina.storage.io/volume-name"
"""A claim with this annotation gets a volume of that name, in place of ``pvc-<UID>``: the demo
shows known names.
"""
_CAPACITY = {"cpu": "8", "memory": "32Gi", "pods": "110"}
PROVISIONER_IDENTITY = "storage.kubernetes.io/csiProvisionerIdentity"


def node(name: str) -> Raw:
    """Return a node on which Carina's CSI driver has registered."""
    labels = {
        well_known.HOSTNAME: name,
        "kubernetes.io/os": "linux",
        well_known.TOPOLOGY_NODE: name,
    }
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": labels},
        "status": {"capacity": _CAPACITY, "allocatable": _CAPACITY},
    }


def storage_class() -> Raw:
    """Return the StorageClass of Carina's volumes."""
    return {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": STORAGE_CLASS},
        "provisioner": well_known.CSI_DRIVER,
        "parameters": {"csi.storage.k8s.io/fstype": "ext4", well_known.ATTRIBUTE_GROUP: GROUP},
        "reclaimPolicy": "Delete",
        "allowVolumeExpansion": True,
        "volumeBindingMode": "WaitForFirstConsumer",
    }


def claim(name: str, size: str, labels: Mapping[str, str], annotations: Mapping[str, str]) -> Raw:
    """Return a claim of Carina's class."""
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name, "labels": dict(labels), "annotations": dict(annotations)},
        "spec": _claim_spec(size),
    }


def stateful_set(name: str, size: str, replicas: int, *, migrate: str | None = None) -> Raw:
    """Return a StatefulSet with a claim ``data`` for each replica.

    `migrate` is the migration annotation's value.
    """
    labels = {"app": name}
    annotations = {} if migrate is None else {well_known.MIGRATION_ALLOWED: migrate}
    container = {
        "name": name,
        "image": name,
        "volumeMounts": [{"name": "data", "mountPath": "/data"}],
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {"name": name},
        "spec": {
            "serviceName": name,
            "replicas": replicas,
            "podManagementPolicy": "Parallel",
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels, "annotations": annotations},
                "spec": {"schedulerName": "carina-scheduler", "containers": [container]},
            },
            "volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": _claim_spec(size)}],
        },
    }


def logic_volume(name: str, node: str, size: str, claim: str, namespace: str = NAMESPACE) -> Raw:
    """Return a LogicVolume as Carina's CSI controller creates it."""
    return {
        "apiVersion": "carina.storage.io/v1",
        "kind": "LogicVolume",
        "metadata": {
            "name": name,
            "annotations": {well_known.MANAGE_TYPE: well_known.MANAGE_TYPE_LVM},
            "finalizers": [well_known.LOGIC_VOLUME_FINALIZER],
        },
        "spec": {
            "nodeName": node,
            "size": size,
            "deviceGroup": GROUP,
            "pvc": claim,
            "nameSpace": namespace,
        },
    }


def logic_volume_status(name: str, size: str, major: int, minor: int) -> Raw:
    """Return the status of a LogicVolume once Carina's agent on the node has made the LV."""
    return {
        "status": {
            "volumeID": f"volume-{name}",
            "status": well_known.STATUS_SUCCESS,
            "code": 0,
            "currentSize": size,
            "deviceMajor": major,
            "deviceMinor": minor,
        }
    }


def persistent_volume(
    name: str,
    node: str,
    size: str,
    claim: Raw,
    *,
    major: int,
    minor: int,
    modes: Sequence[str] = ("ReadWriteOnce",),
) -> Raw:
    """Return the PersistentVolume of `claim` with the provisioner's finalizer."""
    meta = claim["metadata"]
    affinity = {
        "matchExpressions": [{"key": well_known.TOPOLOGY_NODE, "operator": "In", "values": [node]}]
    }
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {
            "name": name,
            "annotations": {
                well_known.PROVISIONED_BY: well_known.CSI_DRIVER,
                "volume.kubernetes.io/provisioner-deletion-secret-name": "",
                "volume.kubernetes.io/provisioner-deletion-secret-namespace": "",
            },
            "finalizers": [
                "external-provisioner.volume.kubernetes.io/finalizer",
                "kubernetes.io/pv-protection",
            ],
        },
        "spec": {
            "capacity": {"storage": size},
            "accessModes": list(modes),
            "persistentVolumeReclaimPolicy": "Delete",
            "storageClassName": STORAGE_CLASS,
            "volumeMode": "Filesystem",
            "claimRef": {
                "apiVersion": "v1",
                "kind": "PersistentVolumeClaim",
                "namespace": meta["namespace"],
                "name": meta["name"],
                "uid": meta["uid"],
            },
            "csi": {
                "driver": well_known.CSI_DRIVER,
                "volumeHandle": f"volume-{name}",
                "fsType": "ext4",
                "volumeAttributes": {
                    "csi.storage.k8s.io/pv/name": name,
                    "csi.storage.k8s.io/pvc/name": meta["name"],
                    "csi.storage.k8s.io/pvc/namespace": meta["namespace"],
                    PROVISIONER_IDENTITY: f"1732400000000-8081-{well_known.CSI_DRIVER}",
                    well_known.ATTRIBUTE_NODE: node,
                    well_known.ATTRIBUTE_GROUP: GROUP,
                    well_known.ATTRIBUTE_PATH: f"/dev/{GROUP}/volume-{name}",
                    well_known.ATTRIBUTE_MAJOR: str(major),
                    well_known.ATTRIBUTE_MINOR: str(minor),
                },
            },
            "nodeAffinity": {"required": {"nodeSelectorTerms": [affinity]}},
        },
    }


def _claim_spec(size: str) -> Raw:
    return {
        "accessModes": ["ReadWriteOnce"],
        "storageClassName": STORAGE_CLASS,
        "resources": {"requests": {"storage": size}},
    }
