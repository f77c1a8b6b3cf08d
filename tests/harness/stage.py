"""The objects of a scenario, as Kubernetes and Carina v0.14 write them."""

from __future__ import annotations

import copy
from datetime import UTC, datetime
from typing import Any

from carina_tasks.emulator.api_server import bootstrap, durations
from carina_tasks.emulator.api_server import cluster as emulator_cluster
from carina_tasks.emulator.api_server.cluster import Target
from carina_tasks.emulator.api_server.deletion import delete
from carina_tasks.emulator.api_server.kinds import (
    PERSISTENT_VOLUME_CLAIMS,
    PERSISTENT_VOLUMES,
    PODS,
)
from carina_tasks.emulator.api_server.kinds.node import NODES
from carina_tasks.emulator.api_server.writes import create, patch
from carina_tasks.model import well_known
from tests.harness.clock import START, Clock, use
from tests.harness.controllers import JSON, PROVISIONER
from tests.harness.nodes import VG, SimNode

LONG_AGO = 100_000.0
MERGE = "application/merge-patch+json"


class Stage:
    """A cluster that is being set up; its clock stands long before the history begins."""

    def __init__(self, *nodes: str, emulator: emulator_cluster.Cluster | None = None) -> None:
        self.clock = Clock(START - LONG_AGO)
        use(self.clock)
        if emulator_cluster.now() != durations.timestamp(
            datetime.fromtimestamp(self.clock.now, UTC)
        ):
            raise AssertionError(
                "a stage is set up within virtual_world: its objects would be from today"
            )
        self.emulator = emulator or bootstrap.new_cluster()
        self.nodes = {name: SimNode(name) for name in nodes}
        self.pods: dict[str, JSON] = {}
        for name in nodes:
            ready = {
                "type": "Ready",
                "status": "True",
                "lastTransitionTime": "2026-01-01T00:00:00Z",
            }
            capacity = {"cpu": "8", "memory": "16Gi", "pods": "110"}
            body = {
                "metadata": {
                    "name": name,
                    "labels": {"kubernetes.io/hostname": name, well_known.TOPOLOGY_NODE: name},
                },
                "status": {"conditions": [ready], "capacity": capacity, "allocatable": capacity},
            }
            create(self.emulator, Target(NODES), body)

    def volume(
        self,
        name: str,
        node: str,
        gib: int = 5,
        *,
        policy: str = "Delete",
        parts: str = "lv logic pv",
        block: bool = False,
    ) -> None:
        """Make claim `name` and its volume `pvc-<name>`, or only some of its parts; `block`: its
        pod reads the device itself.
        """
        volume, size = f"pvc-{name}", f"{gib}Gi"
        minor = 0
        if "lv" in parts.split():
            minor = self.nodes[node].add(f"volume-{volume}", gib, self.clock.now).minor
        uid = ""
        if "pv" in parts.split():
            uid = self._claim(name, volume, size)
        if "logic" in parts.split():
            self._logic_volume(name, node, size, minor)
        if "pv" in parts.split():
            self._pv(name, node, size, uid, policy, minor, block)

    def _claim(self, name: str, volume: str, size: str) -> str:
        claim = create(
            self.emulator,
            Target(PERSISTENT_VOLUME_CLAIMS, "default"),
            {
                "metadata": {
                    "name": name,
                    "labels": {"app": name},
                    "annotations": {"pv.kubernetes.io/bind-completed": "yes", "team": "db"},
                },
                "spec": {
                    "accessModes": ["ReadWriteOnce"],
                    "resources": {"requests": {"storage": size}},
                    "storageClassName": "csi-carina-sc",
                    "volumeName": volume,
                },
            },
        )
        return str(claim["metadata"]["uid"])

    def _logic_volume(self, name: str, node: str, size: str, minor: int) -> None:
        volume = f"pvc-{name}"
        resource = self.emulator.registry.find("carina.storage.io", "v1", "logicvolumes")
        assert resource is not None
        body: dict[str, Any] = {
            "apiVersion": "carina.storage.io/v1",
            "kind": "LogicVolume",
            "metadata": {
                "name": volume,
                "annotations": {well_known.MANAGE_TYPE: "lvm"},
                "finalizers": [well_known.LOGIC_VOLUME_FINALIZER],
            },
            "spec": {
                "nodeName": node,
                "size": size,
                "deviceGroup": VG,
                "pvc": name,
                "nameSpace": "default",
            },
        }
        create(self.emulator, Target(resource), body)
        status = {
            "volumeID": f"volume-{volume}",
            "status": "Success",
            "code": 0,
            "currentSize": size,
            "deviceMajor": 254,
            "deviceMinor": minor,
        }
        patch(self.emulator, Target(resource, "", volume, "status"), MERGE, {"status": status})

    def _pv(
        self, name: str, node: str, size: str, uid: str, policy: str, minor: int, block: bool
    ) -> None:
        volume = f"pvc-{name}"
        body = {
            "metadata": {
                "name": volume,
                "annotations": {
                    well_known.PROVISIONED_BY: well_known.CSI_DRIVER,
                    "volume.kubernetes.io/provisioner-deletion-secret-name": "",
                },
                "finalizers": [PROVISIONER, "kubernetes.io/pv-protection"]
                if policy == "Delete"
                else [],
            },
            "spec": {
                "capacity": {"storage": size},
                "accessModes": ["ReadWriteOnce"],
                "persistentVolumeReclaimPolicy": policy,
                "volumeMode": "Block" if block else "Filesystem",
                "storageClassName": "csi-carina-sc",
                "claimRef": {"namespace": "default", "name": name, "uid": uid},
                "csi": {
                    "driver": well_known.CSI_DRIVER,
                    "volumeHandle": f"volume-{volume}",
                    "fsType": "ext4",
                    "volumeAttributes": {
                        well_known.ATTRIBUTE_NODE: node,
                        well_known.ATTRIBUTE_GROUP: VG,
                        well_known.ATTRIBUTE_MAJOR: "254",
                        well_known.ATTRIBUTE_MINOR: str(minor),
                    },
                },
                "nodeAffinity": {
                    "required": {
                        "nodeSelectorTerms": [
                            {
                                "matchExpressions": [
                                    {
                                        "key": well_known.TOPOLOGY_NODE,
                                        "operator": "In",
                                        "values": [node],
                                    }
                                ]
                            }
                        ]
                    }
                },
            },
        }
        create(self.emulator, Target(PERSISTENT_VOLUMES), body)

    def grow(self, name: str, gib: int) -> None:
        """Expand a claim as far as it goes while its pod's file system has not followed."""
        size = {"storage": f"{gib}Gi"}
        logic = self.emulator.registry.find("carina.storage.io", "v1", "logicvolumes")
        assert logic is not None
        volume = f"pvc-{name}"
        condition = {
            "type": "FileSystemResizePending",
            "status": "True",
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        }
        self._merge(Target(PERSISTENT_VOLUMES, "", volume), {"spec": {"capacity": size}})
        self._merge(Target(logic, "", volume), {"spec": {"size": size["storage"]}})
        claim = Target(PERSISTENT_VOLUME_CLAIMS, "default", name)
        self._merge(claim, {"spec": {"resources": {"requests": size}}})
        status = Target(PERSISTENT_VOLUME_CLAIMS, "default", name, "status")
        self._merge(
            status, {"status": {"phase": "Bound", "capacity": size, "conditions": [condition]}}
        )

    def pod(
        self,
        name: str,
        node: str,
        *claims: str,
        migrate: bool = False,
        phase: str = "Running",
        again: bool = True,
        **meta: Any,
    ) -> None:
        """Make a pod of a StatefulSet on `node` that uses `claims`.

        Args:
            name: Its name.
            node: The node that it is bound to.
            claims: The claims that it uses.
            migrate: It has Carina's annotation.
            phase: Its phase.
            again: The StatefulSet makes it again when it is gone.
            meta: More metadata.
        """
        body: JSON = {
            "metadata": {
                "name": name,
                "annotations": {well_known.MIGRATION_ALLOWED: "true"} if migrate else {},
                "ownerReferences": [
                    {
                        "apiVersion": "apps/v1",
                        "kind": "StatefulSet",
                        "name": "set",
                        "uid": "set",
                        "controller": True,
                    }
                ],
            },
            "spec": {
                "schedulerName": "carina-scheduler",
                "containers": [{"name": "main", "image": "app"}],
                "volumes": [
                    {"name": claim, "persistentVolumeClaim": {"claimName": claim}}
                    for claim in claims
                ],
            },
        }
        body["metadata"] |= {
            **meta,
            "annotations": body["metadata"]["annotations"] | meta.get("annotations", {}),
        }
        if again:
            self.pods[name] = copy.deepcopy(body)
        body["spec"]["nodeName"] = node
        create(self.emulator, Target(PODS, "default"), body)
        self._merge(Target(PODS, "default", name, "status"), {"status": {"phase": phase}})

    def ephemeral(self, name: str, pod: str) -> None:
        """Let the claim belong to the pod: it is a generic ephemeral volume's."""
        found = self.emulator.store.get(PODS.id, ("default", pod))
        assert found is not None
        owner = {
            "apiVersion": "v1",
            "kind": "Pod",
            "name": pod,
            "uid": found["metadata"]["uid"],
            "controller": True,
        }
        self._merge(
            Target(PERSISTENT_VOLUME_CLAIMS, "default", name),
            {"metadata": {"ownerReferences": [owner]}},
        )

    def not_ready(self, node: str, since: str) -> None:
        """Let the node be silent since that time."""
        condition = {"type": "Ready", "status": "Unknown", "lastTransitionTime": since}
        self._merge(Target(NODES, "", node, "status"), {"status": {"conditions": [condition]}})
        self.nodes[node].alive = False

    def delete_node(self, node: str) -> None:
        """Delete the node's object; its machine is gone."""
        delete(self.emulator, Target(NODES, "", node))
        self.nodes[node].alive = False

    def _merge(self, target: Target, body: JSON) -> None:
        patch(self.emulator, target, MERGE, body)
