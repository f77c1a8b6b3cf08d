"""Raw Kubernetes objects and frozen values for the unit tests of decisions and flows, through the
product's own parsers.
"""

from __future__ import annotations

import copy
from datetime import UTC, datetime
from typing import Any

from carina_tasks.decisions.pv_manifest import manifest_of
from carina_tasks.model import objects, well_known
from carina_tasks.model.journal import Journal
from carina_tasks.model.local import Inventory, LocalVolume, VolumeGroup
from carina_tasks.model.messages import LvResult
from carina_tasks.model.quantity import GIB
from carina_tasks.model.snapshot import ClusterSnapshot

Json = dict[str, Any]
NOW = 1_800_000_000.0
"""The API server's clock in these tests."""
NAME = "pvc-1"
VG = "carina-vg-hdd"
INTENT = "01234567-89ab-cdef-0123-456789abcdef"
UUID_LV = "aaaaaa-bbbb-cccc-dddd-eeee-ffff-gggggg"
UUID_VG = "vvvvvv-bbbb-cccc-dddd-eeee-ffff-gggggg"
LONG_AGO = 100_000.0


def at(seconds: float) -> str:
    """Return a time as Kubernetes writes it."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def node(
    name: str, *, ready: str = "True", since: float = NOW - LONG_AGO, uid: str = "", **spec: Any
) -> Json:
    """Make a node with room for pods, Ready or not since `since`; `spec` as in the API
    (``unschedulable``, ``taints``).
    """
    labels = {"kubernetes.io/hostname": name, well_known.TOPOLOGY_NODE: name}
    return {
        "kind": "Node",
        "metadata": {
            "name": name,
            "uid": uid or f"uid-{name}",
            "labels": labels,
            "resourceVersion": "1",
        },
        "spec": spec,
        "status": {
            "conditions": [{"type": "Ready", "status": ready, "lastTransitionTime": at(since)}],
            "allocatable": {"cpu": "8", "memory": "32Gi", "pods": "110"},
        },
    }


def affinity(*nodes: str) -> Json:
    """Make a PV's nodeAffinity that names `nodes`."""
    return {
        "required": {
            "nodeSelectorTerms": [
                {
                    "matchExpressions": [
                        {"key": well_known.TOPOLOGY_NODE, "operator": "In", "values": list(nodes)}
                    ]
                }
            ]
        }
    }


def pv(
    name: str = NAME, on: str = "n1", *, size: str = "5Gi", policy: str = "Delete", **meta: Any
) -> Json:
    """Make a bound PV of Carina's, with a field that no release of ours knows."""
    return {
        "kind": "PersistentVolume",
        "metadata": {
            "name": name,
            "uid": f"uid-pv-{name}",
            "resourceVersion": "1",
            "creationTimestamp": at(NOW - LONG_AGO),
            "labels": {"team": "db"},
            "annotations": {well_known.PROVISIONED_BY: well_known.CSI_DRIVER, "owner": "somebody"},
            "finalizers": [
                "kubernetes.io/pv-protection",
                "external-provisioner.volume.kubernetes.io/finalizer",
            ],
            **meta,
        },
        "spec": {
            "capacity": {"storage": size},
            "accessModes": ["ReadWriteOnce"],
            "fieldOfTomorrow": {"kept": [1, 2, 3]},
            "persistentVolumeReclaimPolicy": policy,
            "storageClassName": "csi-carina-sc",
            "claimRef": {
                "apiVersion": "v1",
                "kind": "PersistentVolumeClaim",
                "name": f"claim-{name}",
                "namespace": "default",
                "uid": f"uid-claim-{name}",
                "resourceVersion": "77",
            },
            "csi": {
                "driver": well_known.CSI_DRIVER,
                "volumeHandle": f"volume-{name}",
                "volumeAttributes": {
                    well_known.ATTRIBUTE_NODE: on,
                    well_known.ATTRIBUTE_GROUP: VG,
                    well_known.ATTRIBUTE_PATH: f"/dev/{VG}/volume-{name}",
                    well_known.ATTRIBUTE_MAJOR: "252",
                    well_known.ATTRIBUTE_MINOR: "3",
                },
            },
            "nodeAffinity": affinity(on),
        },
        "status": {"phase": "Bound"},
    }


def logic_volume(
    name: str = NAME,
    on: str = "n1",
    *,
    size: str = "5Gi",
    status: str = "Success",
    journal: Journal | str | None = None,
    created: float = NOW - LONG_AGO,
    manage: str | None = "lvm",
    group: str = VG,
    **meta: Any,
) -> Json:
    """Make a LogicVolume of the claim `claim-<name>` in the namespace `default`."""
    annotations = {} if manage is None else {well_known.MANAGE_TYPE: manage}
    if journal is not None:
        annotations[well_known.JOURNAL] = journal if isinstance(journal, str) else journal.to_json()
    return {
        "kind": "LogicVolume",
        "metadata": {
            "name": name,
            "uid": f"uid-lv-{name}",
            "resourceVersion": "1",
            "creationTimestamp": at(created),
            "annotations": annotations,
            "finalizers": [well_known.LOGIC_VOLUME_FINALIZER],
            **meta,
        },
        "spec": {
            "nodeName": on,
            "deviceGroup": group,
            "size": size,
            "pvc": f"claim-{name}",
            "nameSpace": "default",
        },
        "status": {"status": status, "volumeID": f"volume-{name}", "code": 0, "currentSize": size},
    }


def claim(name: str = NAME, *, phase: str = "Bound", uid: str = "", **meta: Any) -> Json:
    """Make the claim of PV `name`."""
    return {
        "kind": "PersistentVolumeClaim",
        "metadata": {
            "name": f"claim-{name}",
            "namespace": "default",
            "uid": uid or f"uid-claim-{name}",
            "resourceVersion": "1",
            "annotations": {},
            **meta,
        },
        "spec": {"volumeName": name, "storageClassName": "csi-carina-sc"},
        "status": {"phase": phase, "capacity": {"storage": "5Gi"}},
    }


def pod(
    name: str,
    *volumes: str,
    on: str = "n1",
    annotated: bool | None = None,
    owner: str = "StatefulSet",
    **meta: Any,
) -> Json:
    """Make a running pod that uses the claims of `volumes`; `annotated` is Carina's permission to
    move it.
    """
    annotations = (
        {}
        if annotated is None
        else {well_known.MIGRATION_ALLOWED: "true" if annotated else "false"}
    )
    owners = [{"kind": owner, "name": "web", "uid": "uid-web", "controller": True}] if owner else []
    return {
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": "default",
            "uid": f"uid-{name}",
            "resourceVersion": "1",
            "annotations": annotations,
            "ownerReferences": owners,
            **meta,
        },
        "spec": {
            "nodeName": on,
            "containers": [{"name": "main", "image": "none"}],
            "volumes": [
                {"name": v, "persistentVolumeClaim": {"claimName": f"claim-{v}"}} for v in volumes
            ],
        },
        "status": {"phase": "Running"},
    }


def journal(
    name: str = NAME,
    source: str = "n1",
    target: str = "n2",
    *,
    manifest: Json | None = None,
    **more: Any,
) -> Journal:
    """Make the journal of a rebuild of PV `name`."""
    if manifest is None:
        parsed = objects.parse_persistent_volume(pv(name, source))
        manifest = manifest_of(parsed, parsed.policy)
    values: Json = {
        "intent": INTENT,
        "kind": "rebuild",
        "reason": "node n1 was deleted",
        "started": int(NOW),
        **more,
    }
    return Journal(source=source, target=target, manifest=manifest, **values)


def done(
    name: str = NAME, outcome: Any = "created", *, size: int = 5 * GIB, **more: Any
) -> LvResult:
    """Make what a node answers of one LV that has its device."""
    return LvResult(VG, f"volume-{name}", outcome, size=size, **{"major": 252, "minor": 3, **more})


def local_volume(
    name: str = f"volume-{NAME}", *, marked: float | None = None, age: float = LONG_AGO, **more: Any
) -> LocalVolume:
    """Make a plain, closed, old LV of 5 GiB, marked as an orphan `marked` seconds ago or not at
    all.
    """
    tags = () if marked is None else (f"{well_known.TAG_ORPHAN}{int(NOW - marked)}",)
    values: Json = {
        "group": VG,
        "uuid": UUID_LV,
        "size": 5 * GIB,
        "is_open": False,
        "active": True,
        "layout": "linear",
        "role": "public",
        "tags": tags,
        "created": int(NOW - age),
        **more,
    }
    return LocalVolume(name=name, **values)


def inventory(name: str, *lvs: LocalVolume, free: int = 100) -> Inventory:
    """Make what a node's worker reports: one VG with `free` GiB, and `lvs`."""
    group = VolumeGroup(name=VG, uuid=UUID_VG, size=1000 * GIB, free=free * GIB, extent=4 << 20)
    return Inventory(node=name, groups=(group,), volumes=lvs)


PARSERS = {
    "Node": objects.parse_node,
    "Pod": objects.parse_pod,
    "PersistentVolumeClaim": objects.parse_claim,
    "PersistentVolume": objects.parse_persistent_volume,
    "LogicVolume": objects.parse_logic_volume,
}


def world(*raws: Json, now: float = NOW) -> ClusterSnapshot:
    """Make a cluster of raw objects, each read by its own parser."""
    read: dict[str, list[Any]] = {kind: [] for kind in PARSERS}
    for raw in raws:
        read[raw["kind"]].append(PARSERS[raw["kind"]](copy.deepcopy(raw)))
    return ClusterSnapshot(
        now=now,
        nodes={n.name: n for n in read["Node"]},
        pods=tuple(read["Pod"]),
        claims={c.meta.key: c for c in read["PersistentVolumeClaim"]},
        persistent_volumes={v.meta.name: v for v in read["PersistentVolume"]},
        logic_volumes={v.name: v for v in read["LogicVolume"]},
    )
