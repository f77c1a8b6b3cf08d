"""The objects of a Carina cluster: nodes, what Carina's agents report of them, claims, volumes and
pods.
"""

import contextlib
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import yaml

from tests.lab import kube as k
from tests.lab.kube import Json, Kube, KubeError
from tests.lab.kwok import ANNOTATION
from tests.lab.processes import wait_until
from tests.lab.provisioner import BY_HAND, Provisioner
from tests.lab.volumes import GIB, MIGRATE, STORAGE_CLASS, TOPOLOGY, Volume

MANIFESTS = Path(__file__).parent / "manifests"
RESERVED_GIB = 10
CAPACITY = {"cpu": "32", "memory": "256Gi", "pods": "110"}


def node(name: str) -> Json:
    """Return a Node whose kubelet is the kwok process of that name."""
    labels = {"kubernetes.io/hostname": name, "kubernetes.io/os": "linux", TOPOLOGY: name}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "annotations": {ANNOTATION: name}, "labels": labels},
        "status": {"allocatable": CAPACITY, "capacity": CAPACITY},
    }


def node_storage_resource(name: str, vgs: Iterable[Mapping[str, str]]) -> tuple[Json, Json]:
    """Return a NodeStorageResource and its status, from lvm2's report of the node's VGs (sizes in
    bytes).

    As Carina counts: whole GiB, and `allocatable` is what is free less 10 GiB.
    """
    capacity, allocatable, groups = {}, {}, []
    for vg in vgs:
        key, size, free = (
            f"carina.storage.io/{vg['vg_name']}",
            int(vg["vg_size"]),
            int(vg["vg_free"]),
        )
        capacity[key] = str(-(-size // GIB))
        allocatable[key] = str(max(0, free // GIB - RESERVED_GIB))
        groups.append(
            {
                "vgName": vg["vg_name"],
                "vgAttr": vg["vg_attr"],
                "vgSize": size,
                "vgFree": free,
                "lvCount": int(vg["lv_count"]),
                "pvCount": int(vg["pv_count"]),
            }
        )
    body = {
        "apiVersion": "carina.storage.io/v1beta1",
        "kind": "NodeStorageResource",
        "metadata": {"name": name},
        "spec": {"nodeName": name},
    }
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    status = {"syncTime": now, "capacity": capacity, "allocatable": allocatable, "vgGroups": groups}
    return body, {"status": status}


def claim(name: str, size: str = "5Gi", *, volume: str | None = None, **metadata: Any) -> Json:
    """Return a PersistentVolumeClaim, tied to `volume` when that is given; `metadata` adds labels
    and the like.
    """
    spec: Json = {
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": size}},
        "storageClassName": STORAGE_CLASS,
    }
    if volume:
        spec["volumeName"] = volume
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name, **metadata},
        "spec": spec,
    }


def pod(
    name: str, claims: Iterable[str], *, on: str | None = None, migrate: str | None = None
) -> Json:
    """Return a pod that mounts claims. `on` binds it to a node; `migrate` is the migration
    annotation's value.
    """
    claims = list(claims)
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "annotations": {} if migrate is None else {MIGRATE: migrate}},
        "spec": {
            "schedulerName": "carina-scheduler",
            **({"nodeName": on} if on else {}),
            "containers": [
                {
                    "name": "main",
                    "image": "main",
                    "volumeMounts": [{"name": one, "mountPath": f"/{one}"} for one in claims],
                }
            ],
            "volumes": [
                {"name": one, "persistentVolumeClaim": {"claimName": one}} for one in claims
            ],
        },
    }


class World:
    """Makes, waits for and removes a cluster's objects."""

    def __init__(self, kube: Kube, provisioner: Provisioner) -> None:
        self._kube = kube
        self._provisioner = provisioner

    def add_node(self, name: str) -> Json:
        """Create a node, wait until its kubelet has made it Ready, return it."""
        self._kube.ensure(k.NODES, node(name))
        self.wait(f"{name} is Ready", lambda: self.ready(name) == "True", 20)
        return self._kube.get(f"{k.NODES}/{name}")

    def ready(self, name: str) -> str | None:
        """Return the status of a node's Ready condition: True, False, Unknown; None when there is
        none.
        """
        found = self._kube.find(f"{k.NODES}/{name}")
        conditions = found["status"].get("conditions", []) if found else []
        return next((str(one["status"]) for one in conditions if one["type"] == "Ready"), None)

    def report_storage(self, name: str, vgs: Iterable[Mapping[str, str]]) -> None:
        """Write a node's NodeStorageResource as Carina's agent does."""
        body, status = node_storage_resource(name, vgs)
        self._kube.ensure(k.NODE_STORAGE_RESOURCES, body)
        self._kube.patch(f"{k.NODE_STORAGE_RESOURCES}/{name}/status", status)

    def add_volume(
        self,
        claim_name: str,
        on: str,
        size: str = "5Gi",
        *,
        name: str | None = None,
        with_pod: bool = True,
        migrate: str | None = None,
        mode: str = "Filesystem",
        **metadata: Any,
    ) -> Volume:
        """Make a volume on a node manually: claim, LV, LogicVolume, PV and, unless told not to, a
        pod `pod-<claim>`.

        `name` is the PV's and LogicVolume's name, `migrate` the value of the pod's migration
        annotation, `metadata` goes to the claim (labels, annotations). Returns when the claim is
        Bound and the pod Running.
        """
        body = claim(claim_name, size, **metadata)
        body["spec"]["volumeMode"] = mode
        body["metadata"]["annotations"] = {
            **body["metadata"].get("annotations", {}),
            "volume.kubernetes.io/selected-node": on,
            BY_HAND: "true",
        }
        volume = self._provisioner.provision(self._kube.create(k.claims(), body), name)
        path = f"{k.claims()}/{claim_name}"
        self.wait(
            f"{claim_name} is Bound", lambda: self._kube.get(path)["status"]["phase"] == "Bound", 30
        )
        if with_pod:
            pod_name = f"pod-{claim_name}"
            self._kube.create(k.pods(), pod(pod_name, [claim_name], on=on, migrate=migrate))
            self.wait(f"{pod_name} is Running", lambda: self.phase(pod_name) == "Running", 30)
        return volume

    def add_mysql(self, timeout: float = 60) -> list[Json]:
        """Apply `manifests/mysql.yaml`, wait until its three pods are Running, return them."""
        for document in yaml.safe_load_all((MANIFESTS / "mysql.yaml").read_text()):
            self._kube.create(k.stateful_sets(), document)
        return self.wait_running("app=mysql", 3, timeout)

    def wait_running(self, selector: str, count: int, timeout: float = 60) -> list[Json]:
        """Wait until `count` pods of a label selector are Running and not being deleted; return
        them.
        """

        def running() -> list[Json]:
            found = self._kube.list(f"{k.pods()}?labelSelector={quote(selector)}")
            return [
                one
                for one in found
                if one["status"]["phase"] == "Running"
                and "deletionTimestamp" not in one["metadata"]
            ]

        self.wait(
            f"{count} pods of {selector} are Running", lambda: len(running()) == count, timeout
        )
        return running()

    def phase(self, pod_name: str, namespace: str = "default") -> str | None:
        """Return a pod's phase, None when there is no such pod."""
        found = self._kube.find(f"{k.pods(namespace)}/{pod_name}")
        return found["status"].get("phase") if found else None

    def wait(self, what: str, check: Callable[[], object], timeout: float = 30) -> float:
        """Wait until `check` is true; return the seconds it took; raises LabError after
        `timeout`.
        """
        return wait_until(what, check, timeout, every=0.1)

    def clear(self, timeout: float = 30) -> None:
        """Remove every object that a test can have made, finalizers or not; raises LabError when
        some do not go.

        Nodes go too: the caller adds them again, with no label, taint or condition of the test
        before.
        """
        self._provisioner.pause()
        try:
            self.wait("the cluster is empty", self._clear_once, timeout)
        finally:
            self._provisioner.errors.clear()
            self._provisioner.resume()

    def _clear_once(self) -> bool:
        """Delete what is there; return whether nothing was."""
        kube = self._kube
        namespaces = [
            one for one in kube.names("/api/v1/namespaces") if not one.startswith("kube-")
        ]
        left = 0
        for namespace in namespaces:
            for path in (k.stateful_sets(namespace), k.pods(namespace), k.claims(namespace)):
                left += self._remove(path)
            for path in (k.events(namespace), f"/api/v1/namespaces/{namespace}/configmaps"):
                self._remove(path)
        for path in (k.PVS, k.LOGIC_VOLUMES, k.NODE_STORAGE_RESOURCES, k.NODES):
            left += self._remove(path)
        return left == 0

    def _remove(self, collection: str) -> int:
        found = [one["metadata"] for one in self._kube.list(collection)]
        found = [one for one in found if one["name"] != "kube-root-ca.crt"]
        for one in found:
            path = f"{collection}/{one['name']}"
            self._kube.delete(path, grace=0)
            if one.get("finalizers"):
                with contextlib.suppress(
                    KubeError
                ):  # gone, or changed by its owner: the next round sees
                    self._kube.patch(path, {"metadata": {"finalizers": None}})
        return len(found)
