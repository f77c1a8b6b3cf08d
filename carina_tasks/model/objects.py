"""Kubernetes objects as frozen values.

Only the fields that a decision needs, plus raw JSON where it is copied back.

``parse_*`` take one object as raw JSON (a dict of the API server) and raise BadObject naming the
field that is missing or wrong. Times are seconds since the epoch, sizes bytes. The fields of
Carina's objects are those of its CRDs, v0.14.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from carina_tasks.errors import BadObject
from carina_tasks.model import names, progress, quantity, well_known
from carina_tasks.model.journal import Journal
from carina_tasks.model.meta import ObjectMeta as ObjectMeta
from carina_tasks.model.meta import Owner as Owner
from carina_tasks.model.meta import Raw, amounts, checked, time_of
from carina_tasks.model.meta import parse_meta as parse_meta
from carina_tasks.model.pods import Pod as Pod
from carina_tasks.model.pods import parse_pod as parse_pod
from carina_tasks.model.progress import PastFailover


@dataclass(frozen=True, slots=True)
class Taint:
    """One taint of a node."""

    key: str
    value: str
    effect: str


@dataclass(frozen=True, slots=True)
class Node:
    """A node: its readiness and what the scheduler's filters look at."""

    meta: ObjectMeta
    ready: str
    """The Ready condition's status: ``True``, ``False`` or ``Unknown`` (also when the node has no
    such condition).
    """
    ready_since: float
    """lastTransitionTime of that condition; the node's creation when it has none."""
    unschedulable: bool
    taints: tuple[Taint, ...]
    allocatable: Mapping[str, Decimal]

    @property
    def is_ready(self) -> bool:
        """Whether its condition Ready is True; Unknown counts as not ready."""
        return self.ready == "True"

    @property
    def name(self) -> str:
        """The node's name."""
        return self.meta.name

    @property
    def cordoned(self) -> bool:
        """Whether it is cordoned (`kubectl cordon`, `kubectl drain`).

        An operator plans to work on it.
        """
        return self.unschedulable or any(
            taint.key == well_known.TAINT_UNSCHEDULABLE for taint in self.taints
        )

    @property
    def out_of_service(self) -> bool:
        """Whether the operator vouches that the machine is off ("Non-graceful node shutdown")."""
        return any(taint.key == well_known.TAINT_OUT_OF_SERVICE for taint in self.taints)


@dataclass(frozen=True, slots=True)
class Claim:
    """A PersistentVolumeClaim."""

    meta: ObjectMeta
    pv_name: str
    """spec.volumeName, empty while unbound."""
    phase: str
    raw: Raw

    @property
    def pod(self) -> str:
        """Name of the pod that it goes with, empty without one.

        Then it is a generic ephemeral volume's, or soon deleted.

        The garbage collector deletes it when its last owner is gone.
        """
        owners = self.meta.owners
        return owners[0].name if owners and all(owner.kind == "Pod" for owner in owners) else ""


@dataclass(frozen=True, slots=True)
class PersistentVolume:
    """A PersistentVolume; `raw` is what a replacement is made from."""

    meta: ObjectMeta
    driver: str
    handle: str
    capacity: int
    policy: str
    phase: str
    storage_class: str
    nodes: tuple[str, ...]
    """Values of its required node affinity for Carina's topology key; empty when it has none."""
    claim_key: str
    """``namespace/name`` of claimRef, empty without one."""
    claim_uid: str
    attributes: Mapping[str, str]
    raw: Raw

    @property
    def ours(self) -> bool:
        """It is a plain Carina volume under the names that Carina gives (handle, no bcache)."""
        cached = any(key.startswith(well_known.ATTRIBUTE_CACHE) for key in self.attributes)
        return (
            self.driver == well_known.CSI_DRIVER
            and self.handle == names.VOLUME_PREFIX + self.meta.name
            and not cached
        )


@dataclass(frozen=True, slots=True)
class LogicVolume:
    """Carina's LogicVolume."""

    meta: ObjectMeta
    node: str
    group: str
    size: int
    claim: str
    namespace: str
    manage_type: str
    status: str
    volume_id: str
    current_size: int
    journal: Journal | None
    journal_error: str = ""
    """Why the journal annotation does not parse; such a volume is left alone and reported."""

    def rebuilt_size(self, promised: int) -> int:
        """Return the bytes of its new LV: never below `promised`, the PV's capacity, in whole GiB.

        An LV that is smaller than the PV's capacity breaks a promise to its pod, and Carina makes
        LVs of whole GiB.
        """
        return quantity.whole_gib(max(self.size, promised))

    @property
    def is_lvm(self) -> bool:
        """Whether Carina manages it as an LV and wrote so; `raw` and `host` have no LV."""
        return self.manage_type == well_known.MANAGE_TYPE_LVM

    @property
    def has_lv(self) -> bool:
        """Whether it has an LV; old releases of Carina wrote no manage type for theirs."""
        return self.is_lvm or not self.manage_type

    @property
    def claim_key(self) -> str:
        """Its claim as ``namespace/name``, the key of `ClusterSnapshot.claims`."""
        return f"{self.namespace}/{self.claim}"

    @property
    def name(self) -> str:
        """The LogicVolume's name, which is the PV's."""
        return self.meta.name

    @property
    def journalled(self) -> bool:
        """A rebuild is under way, or was: even an unreadable journal counts."""
        return self.journal is not None or bool(self.journal_error)

    @property
    def progress(self) -> str:
        """The progress annotation, empty without one."""
        return str(self.meta.annotations.get(well_known.PROGRESS) or "")

    @property
    def history(self) -> tuple[PastFailover, ...]:
        """Its last failovers, the oldest first."""
        return progress.parse_history(str(self.meta.annotations.get(well_known.HISTORY) or ""))


@dataclass(frozen=True, slots=True)
class StorageClass:
    """A StorageClass: only its topology matters here."""

    meta: ObjectMeta
    allowed_topologies: tuple[Raw, ...]


@dataclass(frozen=True, slots=True)
class Lease:
    """A Lease: when its holder last renewed it."""

    meta: ObjectMeta
    renewed: float | None


def parse_node(raw: Raw) -> Node:
    """Return a Node.

    Raises:
        BadObject: An object in the cluster lacks a field or has a wrong one.
    """
    meta, spec, status = parse_meta(raw), raw.get("spec") or {}, raw.get("status") or {}
    ready = next((c for c in status.get("conditions") or () if c.get("type") == "Ready"), None)
    return Node(
        meta=meta,
        ready=(ready or {}).get("status", "Unknown"),
        ready_since=time_of((ready or {}).get("lastTransitionTime"), meta.name) or meta.created,
        unschedulable=bool(spec.get("unschedulable")),
        taints=tuple(
            Taint(t.get("key", ""), t.get("value") or "", t.get("effect", ""))
            for t in spec.get("taints") or ()
        ),
        allocatable=amounts(status.get("allocatable") or {}, meta.name),
    )


def parse_claim(raw: Raw) -> Claim:
    """Return a Claim.

    Raises:
        BadObject: An object in the cluster lacks a field or has a wrong one.
    """
    spec, status = raw.get("spec") or {}, raw.get("status") or {}
    return Claim(parse_meta(raw), spec.get("volumeName") or "", status.get("phase") or "", raw)


def parse_persistent_volume(raw: Raw) -> PersistentVolume:
    """Return a PersistentVolume of any driver.

    Raises:
        BadObject: An object in the cluster lacks a field or has a wrong one.
    """
    meta, spec = parse_meta(raw), raw.get("spec") or {}
    csi, ref = spec.get("csi") or {}, spec.get("claimRef") or {}
    terms = ((spec.get("nodeAffinity") or {}).get("required") or {}).get("nodeSelectorTerms") or ()
    return PersistentVolume(
        meta=meta,
        driver=csi.get("driver") or "",
        handle=csi.get("volumeHandle") or "",
        capacity=checked(
            lambda: quantity.to_bytes((spec.get("capacity") or {}).get("storage")), meta, "capacity"
        ),
        policy=spec.get("persistentVolumeReclaimPolicy") or "Retain",
        phase=(raw.get("status") or {}).get("phase") or "",
        storage_class=spec.get("storageClassName") or "",
        nodes=tuple(
            value
            for term in terms
            for expression in term.get("matchExpressions") or ()
            if expression.get("key") == well_known.TOPOLOGY_NODE
            and expression.get("operator") == "In"
            for value in expression.get("values") or ()
        ),
        claim_key=f"{ref.get('namespace', '')}/{ref.get('name', '')}" if ref else "",
        claim_uid=ref.get("uid") or "",
        attributes=csi.get("volumeAttributes") or {},
        raw=raw,
    )


def parse_logic_volume(raw: Raw) -> LogicVolume:
    """Return a LogicVolume.

    Raises:
        BadObject: A required field is missing or is no valid name.
    """
    meta, spec, status = parse_meta(raw), raw.get("spec") or {}, raw.get("status") or {}
    current = status.get("currentSize")
    text = meta.annotations.get(well_known.JOURNAL)
    journal, journal_error = None, ""
    if text is not None:
        try:
            journal = Journal.from_json(text)
        except BadObject as exc:
            journal_error = exc.message
    return LogicVolume(
        meta=meta,
        node=checked(lambda: names.node_name(spec.get("nodeName")), meta, "spec.nodeName"),
        group=checked(
            lambda: names.volume_group_name(spec.get("deviceGroup")), meta, "spec.deviceGroup"
        ),
        size=checked(lambda: quantity.to_bytes(spec.get("size")), meta, "spec.size"),
        claim=checked(lambda: names.object_name(spec.get("pvc")), meta, "spec.pvc"),
        namespace=checked(
            lambda: names.namespace_name(spec.get("nameSpace")), meta, "spec.nameSpace"
        ),
        manage_type=meta.annotations.get(well_known.MANAGE_TYPE) or "",
        status=status.get("status") or "",
        volume_id=status.get("volumeID") or "",
        current_size=checked(lambda: quantity.to_bytes(current), meta, "status.currentSize")
        if current
        else 0,
        journal=journal,
        journal_error=journal_error,
    )


def parse_storage_class(raw: Raw) -> StorageClass:
    """Return a StorageClass.

    Raises:
        BadObject: An object in the cluster lacks a field or has a wrong one.
    """
    return StorageClass(parse_meta(raw), tuple(raw.get("allowedTopologies") or ()))


def parse_lease(raw: Raw) -> Lease:
    """Return a Lease.

    Raises:
        BadObject: An object in the cluster lacks a field or has a wrong one.
    """
    meta = parse_meta(raw)
    return Lease(meta, time_of((raw.get("spec") or {}).get("renewTime"), meta.name))


def copy_of(raw: Raw) -> dict[str, Any]:
    """Return a deep, plain copy of raw JSON."""
    plain: dict[str, Any] = json.loads(json.dumps(raw))
    return plain
