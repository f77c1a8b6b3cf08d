"""Kubernetes objects as frozen values: only the fields that a decision needs, plus raw JSON where it is copied back.

``parse_*`` take one object as raw JSON (a dict of the API server) and raise BadObject naming the field that is missing
or wrong. Times are seconds since the epoch, sizes bytes. The fields of Carina's objects are those of its CRDs, v0.14.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any, TypeVar

from carina_tasks.errors import BadInput, BadObject
from carina_tasks.model import keys, names, quantity, story
from carina_tasks.model.journal import Journal
from carina_tasks.model.story import Failover

Raw = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Owner:
    """One ownerReference."""

    kind: str
    name: str
    uid: str
    controller: bool


@dataclass(frozen=True, slots=True)
class Meta:
    """What every object has."""

    name: str
    uid: str
    version: str
    created: float
    namespace: str = ""
    deleting: float | None = None
    """When its deletion was asked for (deletionTimestamp), or None."""
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    finalizers: tuple[str, ...] = ()
    owners: tuple[Owner, ...] = ()

    @property
    def key(self) -> str:
        """``namespace/name``, or the name alone for cluster-scoped objects."""
        return f"{self.namespace}/{self.name}" if self.namespace else self.name


@dataclass(frozen=True, slots=True)
class Taint:
    """One taint of a node."""

    key: str
    value: str
    effect: str


@dataclass(frozen=True, slots=True)
class Node:
    """A node: its readiness and what the scheduler's filters look at."""

    meta: Meta
    ready: str
    """The Ready condition's status: ``True``, ``False`` or ``Unknown`` (also when the node has no such condition)."""
    ready_since: float
    """lastTransitionTime of that condition; the node's creation when it has none."""
    unschedulable: bool
    taints: tuple[Taint, ...]
    allocatable: Mapping[str, Decimal]

    @property
    def name(self) -> str:
        """The node's name."""
        return self.meta.name


@dataclass(frozen=True, slots=True)
class Pod:
    """A pod: where it is, which claims it uses, and its scheduling constraints (raw, as the filters read them)."""

    meta: Meta
    node: str
    phase: str
    claims: tuple[str, ...]
    """Names of its claims, in its own namespace; generic ephemeral volumes included (``<pod>-<volume>``)."""
    requests: Mapping[str, Decimal]
    spec: Raw
    """The pod's spec as raw JSON."""

    @property
    def migration_allowed(self) -> bool:
        """Carina's annotation is exactly ``"true"``; anything else, and its absence, is a no."""
        return self.meta.annotations.get(keys.MIGRATION_ALLOWED) == "true"

    @property
    def finished(self) -> bool:
        """It ran to its end; it holds no volume any more."""
        return self.phase in ("Succeeded", "Failed")

    @property
    def controller(self) -> Owner | None:
        """The owner that makes it again when it is deleted, or None."""
        return next((owner for owner in self.meta.owners if owner.controller), None)


@dataclass(frozen=True, slots=True)
class Claim:
    """A PersistentVolumeClaim."""

    meta: Meta
    volume: str
    """spec.volumeName, empty while unbound."""
    phase: str
    raw: Raw


@dataclass(frozen=True, slots=True)
class PersistentVolume:
    """A PersistentVolume; `raw` is what a replacement is made from."""

    meta: Meta
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
        cached = any(key.startswith(keys.ATTRIBUTE_CACHE) for key in self.attributes)
        return self.driver == keys.CSI_DRIVER and self.handle == names.VOLUME_PREFIX + self.meta.name and not cached


@dataclass(frozen=True, slots=True)
class LogicVolume:
    """Carina's LogicVolume."""

    meta: Meta
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
        """What the progress annotation says, empty without one."""
        return str(self.meta.annotations.get(keys.PROGRESS) or "")

    @property
    def history(self) -> tuple[Failover, ...]:
        """Its last failovers, the oldest first."""
        return story.history(str(self.meta.annotations.get(keys.HISTORY) or ""))


@dataclass(frozen=True, slots=True)
class StorageClass:
    """A StorageClass: only its topology matters here."""

    meta: Meta
    allowed_topologies: tuple[Raw, ...]


@dataclass(frozen=True, slots=True)
class Lease:
    """A Lease: when its holder last renewed it."""

    meta: Meta
    renewed: float | None


def parse_meta(raw: Raw) -> Meta:
    """Return the metadata of any object. Raises BadObject."""
    meta = raw.get("metadata") or {}
    name = meta.get("name")
    if not isinstance(name, str) or not name:
        raise BadObject("an object without metadata.name")
    return Meta(
        name=name,
        namespace=meta.get("namespace") or "",
        uid=meta.get("uid") or "",
        version=meta.get("resourceVersion") or "",
        created=_time(meta.get("creationTimestamp"), name) or 0.0,
        deleting=_time(meta.get("deletionTimestamp"), name),
        labels=meta.get("labels") or {},
        annotations=meta.get("annotations") or {},
        finalizers=tuple(meta.get("finalizers") or ()),
        owners=tuple(
            Owner(o.get("kind", ""), o.get("name", ""), o.get("uid", ""), bool(o.get("controller")))
            for o in meta.get("ownerReferences") or ()
        ),
    )


def parse_node(raw: Raw) -> Node:
    """Return a Node. Raises BadObject."""
    meta, spec, status = parse_meta(raw), raw.get("spec") or {}, raw.get("status") or {}
    ready = next((c for c in status.get("conditions") or () if c.get("type") == "Ready"), None)
    return Node(
        meta=meta,
        ready=(ready or {}).get("status", "Unknown"),
        ready_since=_time((ready or {}).get("lastTransitionTime"), meta.name) or meta.created,
        unschedulable=bool(spec.get("unschedulable")),
        taints=tuple(
            Taint(t.get("key", ""), t.get("value") or "", t.get("effect", "")) for t in spec.get("taints") or ()
        ),
        allocatable=_amounts(status.get("allocatable") or {}, meta.name),
    )


def parse_pod(raw: Raw) -> Pod:
    """Return a Pod. Raises BadObject."""
    meta, spec, status = parse_meta(raw), raw.get("spec") or {}, raw.get("status") or {}
    claims = []
    for volume in spec.get("volumes") or ():
        if "persistentVolumeClaim" in volume:
            claims.append((volume["persistentVolumeClaim"] or {}).get("claimName", ""))
        elif "ephemeral" in volume:
            claims.append(f"{meta.name}-{volume.get('name', '')}")
    return Pod(
        meta=meta,
        node=spec.get("nodeName") or "",
        phase=status.get("phase") or "",
        claims=tuple(c for c in claims if c),
        requests=_pod_requests(spec, meta.key),
        spec=spec,
    )


def parse_claim(raw: Raw) -> Claim:
    """Return a Claim. Raises BadObject."""
    spec, status = raw.get("spec") or {}, raw.get("status") or {}
    return Claim(parse_meta(raw), spec.get("volumeName") or "", status.get("phase") or "", raw)


def parse_persistent_volume(raw: Raw) -> PersistentVolume:
    """Return a PersistentVolume of any driver. Raises BadObject."""
    meta, spec = parse_meta(raw), raw.get("spec") or {}
    csi, ref = spec.get("csi") or {}, spec.get("claimRef") or {}
    terms = ((spec.get("nodeAffinity") or {}).get("required") or {}).get("nodeSelectorTerms") or ()
    return PersistentVolume(
        meta=meta,
        driver=csi.get("driver") or "",
        handle=csi.get("volumeHandle") or "",
        capacity=_checked(lambda: quantity.to_bytes((spec.get("capacity") or {}).get("storage")), meta, "capacity"),
        policy=spec.get("persistentVolumeReclaimPolicy") or "Retain",
        phase=(raw.get("status") or {}).get("phase") or "",
        storage_class=spec.get("storageClassName") or "",
        nodes=tuple(
            value
            for term in terms
            for expression in term.get("matchExpressions") or ()
            if expression.get("key") == keys.TOPOLOGY_NODE and expression.get("operator") == "In"
            for value in expression.get("values") or ()
        ),
        claim_key=f"{ref.get('namespace', '')}/{ref.get('name', '')}" if ref else "",
        claim_uid=ref.get("uid") or "",
        attributes=csi.get("volumeAttributes") or {},
        raw=raw,
    )


def parse_logic_volume(raw: Raw) -> LogicVolume:
    """Return a LogicVolume. Raises BadObject when a required field is missing or no name for lvm or Kubernetes."""
    meta, spec, status = parse_meta(raw), raw.get("spec") or {}, raw.get("status") or {}
    current = status.get("currentSize")
    text = meta.annotations.get(keys.JOURNAL)
    journal, journal_error = None, ""
    if text is not None:
        try:
            journal = Journal.from_json(text)
        except BadObject as exc:
            journal_error = exc.message
    return LogicVolume(
        meta=meta,
        node=_checked(lambda: names.node_name(spec.get("nodeName")), meta, "spec.nodeName"),
        group=_checked(lambda: names.volume_group_name(spec.get("deviceGroup")), meta, "spec.deviceGroup"),
        size=_checked(lambda: quantity.to_bytes(spec.get("size")), meta, "spec.size"),
        claim=_checked(lambda: names.object_name(spec.get("pvc")), meta, "spec.pvc"),
        namespace=_checked(lambda: names.namespace_name(spec.get("nameSpace")), meta, "spec.nameSpace"),
        manage_type=meta.annotations.get(keys.MANAGE_TYPE) or "",
        status=status.get("status") or "",
        volume_id=status.get("volumeID") or "",
        current_size=_checked(lambda: quantity.to_bytes(current), meta, "status.currentSize") if current else 0,
        journal=journal,
        journal_error=journal_error,
    )


def parse_storage_class(raw: Raw) -> StorageClass:
    """Return a StorageClass. Raises BadObject."""
    return StorageClass(parse_meta(raw), tuple(raw.get("allowedTopologies") or ()))


def parse_lease(raw: Raw) -> Lease:
    """Return a Lease. Raises BadObject."""
    meta = parse_meta(raw)
    return Lease(meta, _time((raw.get("spec") or {}).get("renewTime"), meta.name))


T = TypeVar("T")


def _checked(read: Callable[[], T], meta: Meta, where: str) -> T:
    try:
        return read()
    except BadInput as exc:
        raise BadObject(f"{meta.name}: {where}: {exc.message}", name=meta.name) from exc


def _time(value: object, name: str) -> float | None:
    if not value:
        return None
    try:
        return datetime.fromisoformat(str(value)).timestamp()
    except ValueError as exc:
        raise BadObject(f"{name}: {str(value)[:40]!r} is not an RFC 3339 time") from exc


def _amounts(raw: Raw, name: str) -> dict[str, Decimal]:
    try:
        return {key: quantity.amount(value) for key, value in raw.items()}
    except BadInput as exc:
        raise BadObject(f"{name}: {exc.message}") from exc


def _pod_requests(spec: Raw, key: str) -> dict[str, Decimal]:
    """Return what the scheduler counts for a pod: the larger of all containers and any init container, plus overhead.

    Source: KEP-753 (sidecars) and `resourcehelper.PodRequests`: restartable init containers stay beside the others.
    """
    total: dict[str, Decimal] = {}
    for container in spec.get("containers") or ():
        _add(total, _requests_of(container, key))
    beside: dict[str, Decimal] = {}
    peak: dict[str, Decimal] = {}
    for container in spec.get("initContainers") or ():
        wanted = _requests_of(container, key)
        if container.get("restartPolicy") == "Always":
            _add(total, wanted)
            _add(beside, wanted)
            wanted = dict(beside)
        else:
            _add(wanted, beside)
        peak = {k: max(peak.get(k, Decimal(0)), wanted.get(k, Decimal(0))) for k in peak.keys() | wanted.keys()}
    result = {k: max(total.get(k, Decimal(0)), peak.get(k, Decimal(0))) for k in total.keys() | peak.keys()}
    # KEP-2837: what the pod as a whole asks for counts in place of the sum, for the resources that it names.
    result |= _requests_of(spec, key)
    _add(result, _amounts(spec.get("overhead") or {}, key))
    return result


def _requests_of(container: Raw, key: str) -> dict[str, Decimal]:
    return _amounts((container.get("resources") or {}).get("requests") or {}, key)


def _add(total: dict[str, Decimal], more: Mapping[str, Decimal]) -> None:
    for name, value in more.items():
        total[name] = total.get(name, Decimal(0)) + value


def copy_of(raw: Raw) -> dict[str, Any]:
    """Return a deep, plain copy of raw JSON."""
    plain: dict[str, Any] = json.loads(json.dumps(raw))
    return plain
