"""The JSON of the API server, as far as it is read: what msgspec decodes objects into.

Field names are the API's, and every other field is skipped while decoding. A value of a wrong type
fails the object that has it. What `model.objects` checks itself is `Any` here, so that its error
names the field as users know it. Clients may write null wherever a field may be left out.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import UNSET, UnsetType


class Shape(msgspec.Struct, frozen=True, rename="camel", gc=False):
    """A piece of Kubernetes JSON. The garbage collector need not look at it: it has no cycles."""


class OwnerReference(Shape, frozen=True):
    """OwnerReference."""

    kind: str = ""
    name: str = ""
    uid: str = ""
    controller: bool | None = None


class Metadata(Shape, frozen=True):
    """ObjectMeta."""

    name: str | None = None
    namespace: str | None = None
    uid: str | None = None
    resource_version: str | None = None
    creation_timestamp: str | None = None
    deletion_timestamp: str | None = None
    deletion_grace_period_seconds: int | None = None
    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None
    finalizers: tuple[str, ...] | None = None
    owner_references: tuple[OwnerReference, ...] | None = None


class AnyObject(Shape, frozen=True):
    """An object of any kind."""

    metadata: Metadata | None = None


class NodeTaint(Shape, frozen=True):
    """Taint."""

    key: str = ""
    value: str | None = None
    effect: str = ""


class NodeSpec(Shape, frozen=True):
    """NodeSpec."""

    unschedulable: bool | None = None
    taints: tuple[NodeTaint, ...] | None = None


class NodeCondition(Shape, frozen=True):
    """NodeCondition."""

    type: str = ""
    status: str = "Unknown"
    last_transition_time: str | None = None


class NodeStatus(Shape, frozen=True):
    """NodeStatus."""

    conditions: tuple[NodeCondition, ...] | None = None
    allocatable: dict[str, Any] | None = None


class Node(AnyObject, frozen=True):
    """Node."""

    spec: NodeSpec | None = None
    status: NodeStatus | None = None


class ClaimSpec(Shape, frozen=True):
    """PersistentVolumeClaimSpec."""

    volume_name: str | None = None
    storage_class_name: str | None = None


class ClaimStatus(Shape, frozen=True):
    """PersistentVolumeClaimStatus."""

    phase: str | None = None
    capacity: dict[str, str | int] | None = None
    conditions: tuple[dict[str, Any], ...] | None = None


class Claim(AnyObject, frozen=True):
    """PersistentVolumeClaim."""

    spec: ClaimSpec | None = None
    status: ClaimStatus | None = None


class ObjectReference(Shape, frozen=True):
    """ObjectReference."""

    namespace: str | None = None
    name: str | None = None
    uid: str | None = None


class CsiSource(Shape, frozen=True):
    """CSIPersistentVolumeSource."""

    driver: str | None = None
    volume_handle: str | None = None
    volume_attributes: Any = None


class Expression(Shape, frozen=True, omit_defaults=True):
    """NodeSelectorRequirement, of any operator: only its reader knows which there are."""

    key: str
    operator: str
    values: tuple[str, ...] | None = None


class NodeTerm(Shape, frozen=True, omit_defaults=True):
    """NodeSelectorTerm."""

    match_expressions: tuple[Expression, ...] | None = None
    match_fields: tuple[Expression, ...] | None = None


class NodeSelector(Shape, frozen=True):
    """NodeSelector."""

    node_selector_terms: tuple[NodeTerm, ...] | None = None


class VolumeAffinity(Shape, frozen=True):
    """VolumeNodeAffinity."""

    required: NodeSelector | None = None


class PersistentVolumeSpec(Shape, frozen=True):
    """PersistentVolumeSpec."""

    capacity: dict[str, Any] | None = None
    csi: CsiSource | None = None
    claim_ref: ObjectReference | None = None
    persistent_volume_reclaim_policy: str | None = None
    storage_class_name: str | None = None
    volume_mode: str | None = None
    node_affinity: VolumeAffinity | None = None


class PersistentVolumeStatus(Shape, frozen=True):
    """PersistentVolumeStatus."""

    phase: str | None = None


class PersistentVolume(AnyObject, frozen=True):
    """PersistentVolume."""

    spec: PersistentVolumeSpec | None = None
    status: PersistentVolumeStatus | None = None


class LogicVolumeSpec(Shape, frozen=True):
    """LogicVolumeSpec of Carina's CRD."""

    node_name: Any = None
    device_group: Any = None
    size: Any = None
    pvc: Any = None
    name_space: Any = None


class LogicVolumeStatus(Shape, frozen=True):
    """LogicVolumeStatus of Carina's CRD."""

    status: str | None = None
    volume_id: str | None = msgspec.field(default=None, name="volumeID")
    current_size: Any = None


class LogicVolume(AnyObject, frozen=True):
    """LogicVolume."""

    spec: LogicVolumeSpec | None = None
    status: LogicVolumeStatus | None = None


class StorageClass(AnyObject, frozen=True):
    """StorageClass."""

    allowed_topologies: list[Any] | None = None


class LeaseSpec(Shape, frozen=True):
    """LeaseSpec."""

    renew_time: str | None = None


class Lease(AnyObject, frozen=True):
    """Lease."""

    spec: LeaseSpec | None = None


class Resources(Shape, frozen=True):
    """ResourceRequirements."""

    requests: dict[str, Any] | None = None


class Container(Shape, frozen=True):
    """Container. `ports` is read by the scheduler's filters (`placement.spec`)."""

    ports: Any = None
    restart_policy: Any = None
    resources: Resources | None = None


class ClaimOfVolume(Shape, frozen=True):
    """PersistentVolumeClaimVolumeSource."""

    claim_name: str | None = None


class Present(Shape, frozen=True):
    """An object of which only matters that it is there."""


class Volume(Shape, frozen=True):
    """Volume of a pod."""

    name: str = ""
    persistent_volume_claim: ClaimOfVolume | UnsetType | None = UNSET
    ephemeral: Present | UnsetType | None = UNSET


class PodSpec(Shape, frozen=True):
    """PodSpec. What is `Any` is read by the scheduler's filters (`placement.spec`)."""

    node_name: str | None = None
    node_selector: Any = None
    affinity: Any = None
    tolerations: Any = None
    topology_spread_constraints: Any = None
    resource_claims: Any = None
    containers: tuple[Container, ...] | None = None
    init_containers: tuple[Container, ...] | None = None
    volumes: tuple[Volume, ...] | None = None
    resources: Resources | None = None
    overhead: dict[str, Any] | None = None


class VolumesOfSpec(Shape, frozen=True):
    """PodSpec, its volumes alone."""

    volumes: tuple[Volume, ...] | None = None


class PodVolumes(AnyObject, frozen=True):
    """Pod, its name and its volumes alone."""

    spec: VolumesOfSpec | None = None


class ProgramOfContainer(Shape, frozen=True):
    """Container, what runs in it."""

    name: Any = None
    image: Any = None
    command: Any = None


class ProgramSpec(Shape, frozen=True):
    """PodSpec, what runs in it and as whom."""

    containers: tuple[ProgramOfContainer, ...] | None = None
    service_account_name: str | None = None


class PodProgram(AnyObject, frozen=True):
    """Pod, what runs in it and as whom."""

    spec: ProgramSpec | None = None


class PodStatus(Shape, frozen=True):
    """PodStatus."""

    phase: str | None = None
    conditions: tuple[dict[str, Any], ...] | None = None


class Pod(AnyObject, frozen=True):
    """Pod."""

    spec: PodSpec | None = None
    status: PodStatus | None = None
