"""Small clusters for the placement tests, from raw Kubernetes JSON through the product's own
parsers.
"""

from collections.abc import Mapping
from typing import Any

from carina_tasks.decisions.placement import Placement, PlacementRules, Unschedulable, plan
from carina_tasks.model import objects
from carina_tasks.model.local import Inventory, LocalVolume, VolumeGroup
from carina_tasks.model.quantity import GIB
from carina_tasks.model.snapshot import ClusterSnapshot

Json = dict[str, Any]
LOST = "n1"
VG = "carina-vg-hdd"
HOSTNAME = "kubernetes.io/hostname"
NO_RESERVE = PlacementRules(reserve=0)


def node(name: str, *, labels: Json | None = None, ready: str = "True", **spec: Any) -> Json:
    """Make a node with room for everything; `allocatable` may be among `spec`."""
    allocatable = {"cpu": "8", "memory": "32Gi", "pods": "110"} | spec.pop("allocatable", {})
    own = {HOSTNAME: name, "topology.carina.storage.io/node": name}
    return {
        "metadata": {"name": name, "uid": f"uid-{name}", "labels": own | (labels or {})},
        "spec": spec,
        "status": {"conditions": [{"type": "Ready", "status": ready}], "allocatable": allocatable},
    }


def logic_volume(
    name: str, on: str = LOST, *, size: str = "5Gi", group: str = VG, **meta: Any
) -> Json:
    """Make a LogicVolume of the claim `claim-<name>` in the namespace `default`."""
    return {
        "metadata": {"name": name, "uid": f"uid-{name}", **meta},
        "spec": {
            "nodeName": on,
            "deviceGroup": group,
            "size": size,
            "pvc": f"claim-{name}",
            "nameSpace": "default",
        },
        "status": {"status": "Success", "volumeID": f"volume-{name}"},
    }


def claim(name: str, volume: str, **spec: Any) -> Json:
    """Make a claim in the namespace `default`."""
    return {
        "metadata": {"name": name, "namespace": "default", "uid": f"uid-{name}"},
        "spec": {"volumeName": volume, **spec},
        "status": {"phase": "Bound" if volume else "Pending"},
    }


def pod(
    name: str,
    *volumes: str,
    on: str = LOST,
    claims: tuple[str, ...] = (),
    labels: Json | None = None,
    owner: Json | None = None,
    meta: Json | None = None,
    phase: str = "Running",
    requests: Json | None = None,
    ports: list[Json] | None = None,
    **spec: Any,
) -> Json:
    """Make a pod that uses the LogicVolumes `volumes` (by their claims) and further `claims`."""
    names = [f"claim-{volume}" for volume in volumes] + list(claims)
    owners = {"ownerReferences": [{"controller": True, **owner}]} if owner else {}
    container: Json = {"name": "main", "image": "none", "resources": {"requests": requests or {}}}
    return {
        "metadata": {
            "name": name,
            "namespace": "default",
            "uid": f"uid-{name}",
            "labels": labels or {},
            **owners,
            **(meta or {}),
        },
        "spec": {
            "nodeName": on,
            "containers": [container | ({"ports": ports} if ports else {})],
            "volumes": [{"name": n, "persistentVolumeClaim": {"claimName": n}} for n in names],
            **spec,
        },
        "status": {"phase": phase},
    }


def inventory(
    name: str, *, free: int = 100, lvs: tuple[LocalVolume, ...] = (), group: str = VG
) -> Inventory:
    """Make what a node's worker says: one VG with `free` GiB."""
    vg = VolumeGroup(name=group, uuid=UUID_VG, size=1000 * GIB, free=free * GIB, extent=4 << 20)
    return Inventory(node=name, groups=(vg,), volumes=lvs)


UUID_VG = "aaaaaa-bbbb-cccc-dddd-eeee-ffff-gggggg"
UUID_LV = "zzzzzz-bbbb-cccc-dddd-eeee-ffff-gggggg"


def local_volume(
    name: str, *, size: int = 5, is_open: bool = False, group: str = VG, **more: Any
) -> LocalVolume:
    """Make an LV of `size` GiB."""
    return LocalVolume(
        group=group,
        name=name,
        uuid=UUID_LV,
        size=size * GIB,
        is_open=is_open,
        active=True,
        layout="linear",
        role="public",
        **more,
    )


def world(
    nodes: list[Json],
    volumes: list[Json],
    pods: list[Json] | None = None,
    *,
    claims: list[Json] | None = None,
    persistent: list[Json] | None = None,
    classes: list[Json] | None = None,
) -> ClusterSnapshot:
    """Make a cluster; the claims of `volumes` are there by themselves."""
    bound = [claim(v["spec"]["pvc"], v["metadata"]["name"]) for v in volumes] + (claims or [])
    parsed = [objects.parse_claim(one) for one in bound]
    return ClusterSnapshot(
        now=1e9,
        nodes={n["metadata"]["name"]: objects.parse_node(n) for n in nodes},
        pods=tuple(objects.parse_pod(p) for p in pods or []),
        claims={c.meta.key: c for c in parsed},
        persistent_volumes={
            v["metadata"]["name"]: objects.parse_persistent_volume(v) for v in persistent or []
        },
        logic_volumes={v["metadata"]["name"]: objects.parse_logic_volume(v) for v in volumes},
        classes={c["metadata"]["name"]: objects.parse_storage_class(c) for c in classes or []},
    )


def plan_all(
    cluster: ClusterSnapshot,
    inventories: Mapping[str, Inventory] | None = None,
    *,
    source: str = LOST,
    rules: PlacementRules = NO_RESERVE,
) -> dict[str, Placement | Unschedulable]:
    """Plan every volume of `source`; by default every node answers and has 100 GiB free."""
    if inventories is None:
        inventories = {name: inventory(name) for name in cluster.nodes}
    wanted = [
        logic_volume
        for logic_volume in cluster.logic_volumes.values()
        if logic_volume.node == source
    ]
    return {
        verdict.logic_volume.name: verdict
        for verdict in plan(cluster, inventories, wanted, source, rules)
    }


def targets(verdicts: Mapping[str, Placement | Unschedulable]) -> dict[str, str]:
    """Return the node of each volume, empty for one that fits nowhere."""
    return {
        name: verdict.node if isinstance(verdict, Placement) else ""
        for name, verdict in verdicts.items()
    }
