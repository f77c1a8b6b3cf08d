"""Manifests that the tests create."""

from typing import Any

JSON = dict[str, Any]


def logic_volume(name: str, **spec: Any) -> JSON:
    """Return a LogicVolume of 5 GiB on node n1."""
    full = {
        "deviceGroup": "carina-vg-hdd",
        "nameSpace": "default",
        "nodeName": "n1",
        "pvc": "data",
        "size": "5Gi",
    }
    return {
        "apiVersion": "carina.storage.io/v1",
        "kind": "LogicVolume",
        "metadata": {"name": name},
        "spec": {**full, **spec},
    }


def node(name: str, **status: Any) -> JSON:
    """Return a node."""
    return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}, "status": status}


def pod(name: str, node_name: str | None = None, **spec: Any) -> JSON:
    """Return a pod of one container, bound when a node is named."""
    full: JSON = {"containers": [{"name": "app", "image": "app:1"}], **spec}
    if node_name:
        full["nodeName"] = node_name
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": full}


def config_map(name: str, data: JSON | None = None, **labels: str) -> JSON:
    """Return a ConfigMap."""
    metadata: JSON = {"name": name}
    if labels:
        metadata["labels"] = labels
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data or {}}


def volume(name: str, node_name: str = "n1") -> JSON:
    """Return a PersistentVolume as Carina's provisioner makes it."""
    terms = [
        {
            "matchExpressions": [
                {"key": "topology.carina.storage.io/node", "operator": "In", "values": [node_name]}
            ]
        }
    ]
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": name},
        "spec": {
            "capacity": {"storage": "5Gi"},
            "accessModes": ["ReadWriteOnce"],
            "persistentVolumeReclaimPolicy": "Delete",
            "storageClassName": "csi-carina",
            "csi": {
                "driver": "carina.storage.io",
                "volumeHandle": f"volume-{name}",
                "volumeAttributes": {"carina.storage.io/node": node_name},
            },
            "nodeAffinity": {"required": {"nodeSelectorTerms": terms}},
        },
    }


def claim(name: str, **spec: Any) -> JSON:
    """Return a PersistentVolumeClaim of 5 GiB."""
    full = {
        "accessModes": ["ReadWriteOnce"],
        "storageClassName": "csi-carina",
        "resources": {"requests": {"storage": "5Gi"}},
    }
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name},
        "spec": {**full, **spec},
    }


def stateful_set(name: str) -> JSON:
    """Return a StatefulSet with one claim a pod."""
    template = {
        "metadata": {"labels": {"app": name}},
        "spec": {
            "containers": [
                {
                    "name": "app",
                    "image": "app:1",
                    "volumeMounts": [{"name": "data", "mountPath": "/d"}],
                }
            ]
        },
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {"name": name},
        "spec": {
            "serviceName": name,
            "selector": {"matchLabels": {"app": name}},
            "template": template,
            "volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": claim("")["spec"]}],
        },
    }


def event(name: str, namespace: str, kind: str, about: str, message: str = "said") -> JSON:
    """Return an Event about an object of the namespace."""
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": name},
        "involvedObject": {"kind": kind, "name": about, "namespace": namespace},
        "type": "Normal",
        "reason": "Said",
        "message": message,
        "source": {"component": "contract"},
    }
