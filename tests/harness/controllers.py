"""The rest of the cluster, as quick and as hostile as it may be: one round after each write of the
product, until all is still.

What is modelled, and where it is harsher than reality:

* volume binder: PV phases; a claim is looked at when it changed, when its PV went, or at the resync
  of 15 s.
* pv-protection: its finalizer comes off a PV that is being deleted and is not Bound.
* CSI provisioner: its finalizer stands on every PV of policy Delete and goes with Retain. Harsher:
  a PV of policy Delete that is being deleted has its LogicVolume deleted at once (the real one
  waits for the claim to go).
* pod garbage collection (40 s), a StatefulSet-like maker of pods, a scheduler that only looks at PV
  affinity, kubelets that open and close LVs.
* carina-controller: deletes every LogicVolume with a status, its finalizer, no owner and no PV.
  Harsher: always, as if a pod were deleted after each write.
* Carina's node agent: makes the LV of a LogicVolume without volumeID and says Success; ends one
  that is being deleted.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from carina_tasks.emulator.api_server import deletion
from carina_tasks.emulator.api_server.cluster import Cluster, Target
from carina_tasks.emulator.api_server.kinds import (
    PERSISTENT_VOLUME_CLAIMS,
    PERSISTENT_VOLUMES,
    PODS,
    Resource,
)
from carina_tasks.emulator.api_server.kinds.node import NODES
from carina_tasks.emulator.api_server.store import clone
from carina_tasks.emulator.api_server.writes import create
from carina_tasks.model import quantity, well_known
from tests.harness.clock import Clock
from tests.harness.nodes import GIB, SimNode

JSON = dict[str, Any]
PV_PROTECTION = "kubernetes.io/pv-protection"
PROVISIONER = "external-provisioner.volume.kubernetes.io/finalizer"
RESYNC, QUARANTINE = 15.0, 40.0
ENDED = ("Succeeded", "Failed")
HELD = "batch.kubernetes.io/job-tracking"
"""A finalizer whose owner takes it off once the pod's phase reports that it has ended."""


@dataclass
class Controllers:
    """Everything that acts in the cluster beside the product."""

    cluster: Cluster
    clock: Clock
    nodes: dict[str, SimNode]
    pods: dict[str, JSON] = field(default_factory=dict)
    """Pods that a StatefulSet wants, by name."""
    carina: bool = True
    """Whether Carina's own controller and agents run beside the product."""
    _seen: int = -1
    _looked: dict[tuple[str, str], str] = field(default_factory=dict)
    _known: dict[str, JSON] = field(default_factory=dict)
    _resync: float = 0.0
    _homeless: dict[str, float] = field(default_factory=dict)

    def step(self) -> None:
        """Let everybody act until nothing changes any more."""
        if self.clock.now >= self._resync:
            self._resync, self._seen = self.clock.now + RESYNC, -1
            self._looked.clear()
        for _ in range(50):
            if self.cluster.store.version == self._seen:
                return
            self._seen = self.cluster.store.version
            self.bind()
            self.protect()
            self.provision()
            self.collect_and_make_pods()
            self.run_pods()
            if self.carina:
                self.carina_controller()
                self.carina_agent()
        raise AssertionError("the controllers never come to rest")

    # --- helpers ---

    @property
    def logic_volumes(self) -> Resource:
        """The LogicVolumes' definition."""
        found = self.cluster.registry.find("carina.storage.io", "v1", "logicvolumes")
        assert found is not None
        return found

    def all(self, resource: Resource) -> list[JSON]:
        """Return every object of that kind."""
        return [obj for _, obj in self.cluster.store.items(resource.id)]

    def get(self, resource: Resource, name: str, namespace: str = "") -> JSON | None:
        """Return one object."""
        return self.cluster.store.get(resource.id, (namespace, name))

    def put(self, resource: Resource, obj: JSON) -> None:
        """Store an object; one that is being deleted and has no finalizer left goes."""
        meta = obj["metadata"]
        target = Target(resource, meta.get("namespace", ""), meta["name"])
        if not deletion.finish_if_released(self.cluster, target, obj):
            self.cluster.store.put(resource.id, target.key, obj)

    def set_status(self, resource: Resource, obj: JSON, **status: Any) -> None:
        """Change the status where it differs."""
        before = obj.get("status") or {}
        if any(key not in before or before[key] != value for key, value in status.items()):
            self.put(resource, clone(obj) | {"status": clone(before) | status})

    def finalizers(self, resource: Resource, obj: JSON, names: list[str]) -> None:
        """Set the finalizers where they differ."""
        if names != (obj["metadata"].get("finalizers") or []):
            changed = clone(obj)
            changed["metadata"]["finalizers"] = names
            self.put(resource, changed)

    # --- Kubernetes ---

    def bind(self) -> None:
        """Let the volume binder look once."""
        volumes = {pv["metadata"]["name"]: pv for pv in self.all(PERSISTENT_VOLUMES)}
        claims = {
            (c["metadata"]["namespace"], c["metadata"]["name"]): c
            for c in self.all(PERSISTENT_VOLUME_CLAIMS)
        }
        due = {
            claim_key(old)
            for name, old in self._known.items()
            if name not in volumes or volumes[name]["metadata"]["uid"] != old["metadata"]["uid"]
        }
        self._known = volumes
        for name, pv in volumes.items():
            claim, ref = claims.get(claim_key(pv)), pv["spec"]["claimRef"]
            if claim is None or claim["metadata"]["uid"] != ref.get("uid"):
                self.set_status(PERSISTENT_VOLUMES, pv, phase="Released")
            elif claim["spec"].get("volumeName") == name:
                self.set_status(PERSISTENT_VOLUMES, pv, phase="Bound")
        for key, claim in claims.items():
            if key not in due and self._looked.get(key) == claim["metadata"]["resourceVersion"]:
                continue
            pv = volumes.get(claim["spec"].get("volumeName", ""))
            ours = pv is not None and pv["spec"]["claimRef"].get("uid") == claim["metadata"]["uid"]
            if ours:
                self.set_status(
                    PERSISTENT_VOLUME_CLAIMS, claim, phase="Bound", capacity=pv["spec"]["capacity"]
                )  # type: ignore[index]
            else:
                self.set_status(PERSISTENT_VOLUME_CLAIMS, claim, phase="Lost")
            fresh = self.get(PERSISTENT_VOLUME_CLAIMS, key[1], key[0])
            self._looked[key] = fresh["metadata"]["resourceVersion"] if fresh else ""

    def protect(self) -> None:
        """Let pv-protection look once."""
        for pv in self.all(PERSISTENT_VOLUMES):
            meta = pv["metadata"]
            if meta.get("deletionTimestamp") and pv["status"].get("phase") != "Bound":
                self.finalizers(
                    PERSISTENT_VOLUMES,
                    pv,
                    [f for f in meta.get("finalizers") or [] if f != PV_PROTECTION],
                )

    def provision(self) -> None:
        """Let the provisioner look once."""
        for pv in self.all(PERSISTENT_VOLUMES):
            meta, delete = pv["metadata"], pv["spec"]["persistentVolumeReclaimPolicy"] == "Delete"
            names = meta.get("finalizers") or []
            if well_known.PROVISIONED_BY not in (meta.get("annotations") or {}):
                continue
            if not meta.get("deletionTimestamp"):
                others = [f for f in names if f != PROVISIONER]
                self.finalizers(
                    PERSISTENT_VOLUMES, pv, sorted([*others, PROVISIONER] if delete else others)
                )
            elif delete and PROVISIONER in names:
                self.delete(self.logic_volumes, meta["name"])
                self.finalizers(PERSISTENT_VOLUMES, pv, [f for f in names if f != PROVISIONER])

    def delete(self, resource: Resource, name: str, namespace: str = "") -> None:
        """Delete an object at once, as far as its finalizers let it."""
        if self.get(resource, name, namespace) is not None:
            deletion.delete(
                self.cluster, Target(resource, namespace, name), deletion.DeleteOptions(grace=0)
            )

    def collect_and_make_pods(self) -> None:
        """Let the garbage collector of pods and the StatefulSets look once."""
        nodes = {node["metadata"]["name"] for node in self.all(NODES)}
        for pod in self.all(PODS):
            meta, node = pod["metadata"], pod["spec"].get("nodeName")
            if not node or node in nodes:
                continue
            since = self._homeless.setdefault(meta["uid"], self.clock.now)
            if self.clock.now - since > QUARANTINE:
                if pod["status"].get("phase") not in ENDED:
                    self.set_status(PODS, pod, phase="Failed")
                self.delete(PODS, meta["name"], meta["namespace"])
        for pod in self.all(PODS):
            # As the Job controller does it: only a pod whose phase reports that it has ended is let
            # go.
            meta = pod["metadata"]
            if (
                meta.get("deletionTimestamp")
                and pod["status"].get("phase") in ENDED
                and HELD in (meta.get("finalizers") or ())
            ):
                self.finalizers(PODS, pod, [f for f in meta["finalizers"] if f != HELD])
        for name, body in self.pods.items():
            if self.get(PODS, name, "default") is None:
                create(self.cluster, Target(PODS, "default"), clone(body))

    def run_pods(self) -> None:
        """Let scheduler and kubelets look once."""
        ready = {node["metadata"]["name"] for node in self.all(NODES) if is_ready(node)}
        held: dict[str, set[str]] = {name: set() for name in self.nodes}
        for pod in self.all(PODS):
            meta, node = pod["metadata"], pod["spec"].get("nodeName", "")
            if meta.get("deletionTimestamp") and node in ready and self.nodes[node].alive:
                if meta.get("finalizers") and pod["status"].get("phase") not in ENDED:
                    self.set_status(PODS, pod, phase="Failed")
                self.delete(PODS, meta["name"], meta["namespace"])
            elif not node:
                self.schedule(pod, ready)
        for pod in self.all(PODS):
            node = pod["spec"].get("nodeName", "")
            if node in held and pod["status"].get("phase") == "Running":
                held[node] |= {f"volume-{pv}" for pv in self.volumes_of(pod)}
        for name, node in self.nodes.items():
            if name in ready:
                for volume in node.volumes().values():
                    volume.open = volume.name in held[name]

    def schedule(self, pod: JSON, ready: set[str]) -> None:
        """Bind a pod to a node where all its volumes are."""
        fits = set(ready)
        for claim_name in claims_of(pod):
            claim = self.get(PERSISTENT_VOLUME_CLAIMS, claim_name, "default")
            pv = self.get(PERSISTENT_VOLUMES, claim["spec"]["volumeName"]) if claim else None
            if claim is None or pv is None or claim["status"].get("phase") != "Bound":
                return
            fits &= set(nodes_of(pv))
        for node in sorted(fits):
            disks = self.nodes[node]
            if all(disks.find(f"volume-{pv}") for pv in self.volumes_of(pod)):
                changed = clone(pod)
                changed["spec"]["nodeName"] = node
                changed["status"]["phase"] = "Running"
                self.put(PODS, changed)
                return

    def volumes_of(self, pod: JSON) -> list[str]:
        """Return the names of the PVs that a pod uses."""
        claims = (self.get(PERSISTENT_VOLUME_CLAIMS, name, "default") for name in claims_of(pod))
        return [claim["spec"]["volumeName"] for claim in claims if claim is not None]

    # --- Carina ---

    def carina_controller(self) -> None:
        """Let Carina's controller look once."""
        for volume in self.all(self.logic_volumes):
            meta = volume["metadata"]
            orphan = self.get(PERSISTENT_VOLUMES, meta["name"]) is None and not meta.get(
                "ownerReferences"
            )
            if (
                orphan
                and (volume.get("status") or {}).get("status")
                and not meta.get("deletionTimestamp")
            ):
                self.delete(self.logic_volumes, meta["name"])

    def carina_agent(self) -> None:
        """Let Carina's node agents look once."""
        alive = {n["metadata"]["name"] for n in self.all(NODES) if is_ready(n)}
        for volume in self.all(self.logic_volumes):
            meta, spec, status = volume["metadata"], volume["spec"], volume.get("status") or {}
            node = self.nodes.get(spec["nodeName"])
            if node is None or node.name not in alive or not node.alive:
                continue
            name = f"volume-{meta['name']}"
            if meta.get("deletionTimestamp"):
                node.state.groups[0].volumes = [
                    v for v in node.state.groups[0].volumes if v.name != name or v.open
                ]
                self.finalizers(
                    self.logic_volumes,
                    volume,
                    [
                        f
                        for f in meta.get("finalizers") or []
                        if f != well_known.LOGIC_VOLUME_FINALIZER
                    ],
                )
            elif not status.get("volumeID") and not status.get("code"):
                if node.find(name) is None:
                    node.add(name, -(-quantity.to_bytes(spec["size"]) // GIB), self.clock.now)
                self.set_status(
                    self.logic_volumes,
                    volume,
                    volumeID=name,
                    status="Success",
                    code=0,
                    currentSize=spec["size"],
                )


def claim_key(pv: JSON) -> tuple[str, str]:
    """Return namespace and name of the claim of a PV."""
    ref = pv["spec"]["claimRef"]
    return ref["namespace"], ref["name"]


def claims_of(pod: JSON) -> list[str]:
    """Return the names of the claims of a pod."""
    return [
        v["persistentVolumeClaim"]["claimName"]
        for v in pod["spec"].get("volumes") or ()
        if "persistentVolumeClaim" in v
    ]


def nodes_of(pv: JSON) -> list[str]:
    """Return the nodes that a PV names."""
    terms = pv["spec"]["nodeAffinity"]["required"]["nodeSelectorTerms"]
    return [value for term in terms for one in term["matchExpressions"] for value in one["values"]]


def is_ready(node: JSON) -> bool:
    """Return whether a node is Ready."""
    return any(
        c["type"] == "Ready" and c["status"] == "True"
        for c in node["status"].get("conditions") or ()
    )
