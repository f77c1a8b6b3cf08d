"""Where each kind lives in the API."""

from __future__ import annotations

from typing import Final

from carina_tasks.kube.responses import segment

EVENTS: Final = "/api/v1/events"
NODES: Final = "/api/v1/nodes"
PODS: Final = "/api/v1/pods"
CLAIMS: Final = "/api/v1/persistentvolumeclaims"
PERSISTENT_VOLUMES: Final = "/api/v1/persistentvolumes"
LOGIC_VOLUMES: Final = "/apis/carina.storage.io/v1/logicvolumes"
STORAGE_CLASSES: Final = "/apis/storage.k8s.io/v1/storageclasses"
ADMISSION_NAME: Final = "carina-tasks-no-carina-failover"
"""Name of the policy of deploy/admission, and of its binding."""
ADMISSION: Final = "/apis/admissionregistration.k8s.io/v1"
ADMISSION_POLICY: Final = f"{ADMISSION}/validatingadmissionpolicies/{ADMISSION_NAME}"
ADMISSION_BINDING: Final = f"{ADMISSION}/validatingadmissionpolicybindings/{ADMISSION_NAME}"
WHO_AM_I: Final = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
GROUPS: Final = "/apis"
"""The API groups that the server has."""
NODE_LEASES: Final = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"


def node(name: str) -> str:
    """Return the path of a Node."""
    return f"{NODES}/{segment(name)}"


def persistent_volume(name: str) -> str:
    """Return the path of a PersistentVolume."""
    return f"{PERSISTENT_VOLUMES}/{segment(name)}"


def logic_volume(name: str) -> str:
    """Return the path of a LogicVolume."""
    return f"{LOGIC_VOLUMES}/{segment(name)}"


def claim(namespace: str, name: str) -> str:
    """Return the path of a PersistentVolumeClaim."""
    return f"/api/v1/namespaces/{segment(namespace)}/persistentvolumeclaims/{segment(name)}"


def pod(namespace: str, name: str) -> str:
    """Return the path of a Pod."""
    return f"/api/v1/namespaces/{segment(namespace)}/pods/{segment(name)}"


def events(namespace: str) -> str:
    """Return the path of the Events of `namespace`."""
    return f"/api/v1/namespaces/{segment(namespace)}/events"


def new_events(namespace: str) -> str:
    """Return the path under which Events of `namespace` are made; they are read by `events`."""
    return f"/apis/events.k8s.io/v1/namespaces/{segment(namespace)}/events"


def config_map(namespace: str, name: str) -> str:
    """Return the path of a ConfigMap."""
    return f"{config_maps(namespace)}/{segment(name)}"


def config_maps(namespace: str) -> str:
    """Return the path of the ConfigMaps of `namespace`."""
    return f"/api/v1/namespaces/{segment(namespace)}/configmaps"


def failover_status(namespace: str, name: str) -> str:
    """Return the path of a FailoverStatus."""
    return f"{failover_statuses(namespace)}/{segment(name)}"


def failover_statuses(namespace: str) -> str:
    """Return the path of the FailoverStatuses of `namespace`."""
    return f"/apis/tasks.carina.storage.io/v1/namespaces/{segment(namespace)}/failoverstatuses"
