"""Kubernetes objects as frozen values.

Only the fields that a decision needs; strings, labels and other parts that objects have in common
are shared between them.

``*_of`` take one object as msgspec decoded it (`model.shapes`), ``parse_*`` take it as raw JSON (a
dict of the API server). Both raise BadObject naming the field that is missing or wrong. Times are
seconds since the epoch, sizes bytes. The fields of Carina's objects are those of its CRDs, v0.14.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, TypeVar

import msgspec

from carina_tasks.errors import BadObject
from carina_tasks.model import names, progress, quantity, shapes, sharing, well_known
from carina_tasks.model.journal import Journal
from carina_tasks.model.meta import ObjectMeta as ObjectMeta
from carina_tasks.model.meta import Owner as Owner
from carina_tasks.model.meta import (
    Raw,
    amounts,
    checked,
    meta_of,
    read,
    remembered,
    size_of,
    time_of,
)
from carina_tasks.model.meta import parse_meta as parse_meta
from carina_tasks.model.pods import Pod as Pod
from carina_tasks.model.pods import claims_of_raw as claims_of_raw
from carina_tasks.model.pods import parse_pod as parse_pod
from carina_tasks.model.pods import pod_of as pod_of
from carina_tasks.model.progress import PastFailover
from carina_tasks.model.pvs import PersistentVolume as PersistentVolume
from carina_tasks.model.pvs import WholePersistentVolume as WholePersistentVolume
from carina_tasks.model.pvs import parse_persistent_volume as parse_persistent_volume
from carina_tasks.model.pvs import persistent_volume_of as persistent_volume_of

T = TypeVar("T")


class Taint(msgspec.Struct, frozen=True, gc=False):
    """One taint of a node."""

    key: str
    value: str
    effect: str


class Node(msgspec.Struct, frozen=True, gc=False):
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


class Claim(msgspec.Struct, frozen=True, gc=False):
    """A PersistentVolumeClaim."""

    meta: ObjectMeta
    pv_name: str
    """spec.volumeName, empty while unbound."""
    phase: str
    storage_class: str = ""
    capacity: str | int | None = None
    """What its status reports as its size, a quantity; None while it reports none."""
    conditions: tuple[Raw, ...] = ()
    """The conditions of its status, as raw JSON."""

    @property
    def pod(self) -> str:
        """Name of the pod that it goes with, empty without one.

        Then it is a generic ephemeral volume's, or soon deleted.

        The garbage collector deletes it when its last owner is gone.
        """
        owners = self.meta.owners
        return owners[0].name if owners and all(owner.kind == "Pod" for owner in owners) else ""


class LogicVolume(msgspec.Struct, frozen=True, gc=False):
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


class StorageClass(msgspec.Struct, frozen=True, gc=False):
    """A StorageClass: only its topology matters here."""

    meta: ObjectMeta
    allowed_topologies: tuple[Raw, ...]


class Lease(msgspec.Struct, frozen=True, gc=False):
    """A Lease: when its holder last renewed it."""

    meta: ObjectMeta
    renewed: float | None


def parse_node(raw: Raw) -> Node:
    """Return a Node.

    Raises:
        BadObject: An object in the cluster lacks a field or has a wrong one.
    """
    return read(raw, shapes.Node, node_of)


def node_of(found: shapes.Node) -> Node:
    """Return a Node.

    Raises:
        BadObject: An object in the cluster lacks a field or has a wrong one.
    """
    meta = meta_of(found)
    spec, status = found.spec or shapes.NodeSpec(), found.status or shapes.NodeStatus()
    ready = next((one for one in status.conditions or () if one.type == "Ready"), None)
    return Node(
        meta=meta,
        ready=ready.status if ready else "Unknown",
        ready_since=time_of(ready.last_transition_time if ready else None, meta.name)
        or meta.created,
        unschedulable=bool(spec.unschedulable),
        taints=tuple(Taint(one.key, one.value or "", one.effect) for one in spec.taints or ()),
        allocatable=amounts(status.allocatable, meta.name),
    )


def parse_claim(raw: Raw) -> Claim:
    """Return a Claim.

    Raises:
        BadObject: An object in the cluster lacks a field or has a wrong one.
    """
    return read(raw, shapes.Claim, claim_of)


def claim_of(found: shapes.Claim) -> Claim:
    """Return a Claim.

    Raises:
        BadObject: An object in the cluster lacks a field or has a wrong one.
    """
    spec, status = found.spec or shapes.ClaimSpec(), found.status or shapes.ClaimStatus()
    return Claim(
        meta=meta_of(found),
        pv_name=spec.volume_name or "",
        phase=sharing.word(status.phase),
        storage_class=sharing.word(spec.storage_class_name),
        capacity=status.capacity.get("storage") if status.capacity else None,
        conditions=status.conditions or (),
    )


def parse_logic_volume(raw: Raw) -> LogicVolume:
    """Return a LogicVolume.

    Raises:
        BadObject: A required field is missing or is no valid name.
    """
    return read(raw, shapes.LogicVolume, logic_volume_of)


def logic_volume_of(found: shapes.LogicVolume) -> LogicVolume:
    """Return a LogicVolume.

    Raises:
        BadObject: A required field is missing or is no valid name.
    """
    meta = meta_of(found)
    spec, status = found.spec or _NO_SPEC, found.status or _NO_STATUS
    current, text = status.current_size, meta.annotations.get(well_known.JOURNAL)
    journal, journal_error = None, ""
    if text is not None:
        try:
            journal = Journal.from_json(text)
        except BadObject as exc:
            journal_error = exc.message
    return LogicVolume(
        meta=meta,
        node=checked(_node_name, spec.node_name, meta, "spec.nodeName"),
        group=checked(_group_name, spec.device_group, meta, "spec.deviceGroup"),
        size=checked(size_of, spec.size, meta, "spec.size"),
        claim=checked(names.object_name, spec.pvc, meta, "spec.pvc"),
        namespace=checked(_namespace, spec.name_space, meta, "spec.nameSpace"),
        manage_type=sharing.word(meta.annotations.get(well_known.MANAGE_TYPE)),
        status=sharing.word(status.status),
        volume_id=status.volume_id or "",
        current_size=checked(size_of, current, meta, "status.currentSize") if current else 0,
        journal=journal,
        journal_error=journal_error,
    )


def parse_storage_class(raw: Raw) -> StorageClass:
    """Return a StorageClass.

    Raises:
        BadObject: An object in the cluster lacks a field or has a wrong one.
    """
    return read(raw, shapes.StorageClass, storage_class_of)


def storage_class_of(found: shapes.StorageClass) -> StorageClass:
    """Return a StorageClass.

    Raises:
        BadObject: An object in the cluster lacks a field or has a wrong one.
    """
    return StorageClass(meta_of(found), tuple(found.allowed_topologies or ()))


def parse_lease(raw: Raw) -> Lease:
    """Return a Lease.

    Raises:
        BadObject: An object in the cluster lacks a field or has a wrong one.
    """
    return read(raw, shapes.Lease, _lease_of)


def _lease_of(found: shapes.Lease) -> Lease:
    meta = meta_of(found)
    return Lease(meta, time_of(found.spec.renew_time if found.spec else None, meta.name))


def copy_of(raw: Raw) -> dict[str, Any]:
    """Return a deep, plain copy of raw JSON."""
    plain: dict[str, Any] = json.loads(json.dumps(raw))
    return plain


_NO_CSI, _NO_SPEC, _NO_STATUS = (
    shapes.CsiSource(),
    shapes.LogicVolumeSpec(),
    shapes.LogicVolumeStatus(),
)


_node_name, _group_name = remembered(names.node_name), remembered(names.volume_group_name)
_namespace = remembered(names.namespace_name)
