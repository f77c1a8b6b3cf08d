"""Pods as frozen values.

A pod's node, its claims, its requests, and how far its deletion has come.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import msgspec
from msgspec import UNSET

from carina_tasks.model import shapes, sharing, well_known
from carina_tasks.model.meta import ObjectMeta, Owner, Raw, amounts, meta_of, read

_ANNOTATIONS = (well_known.MIGRATION_ALLOWED, well_known.MIRROR)
"""The annotations of a pod that are read; others may hold a copy of the whole pod."""


class Pod(msgspec.Struct, frozen=True, gc=False):
    """A pod: its node, its claims and its raw scheduling constraints."""

    meta: ObjectMeta
    node: str
    phase: str
    claims: tuple[str, ...]
    """Names of its claims, in its own namespace; generic ephemeral volumes included
    (``<pod>-<volume>``).
    """
    requests: Mapping[str, Decimal]
    spec: Raw
    """What of its spec the scheduler's filters read, as raw JSON. The pods of one template share
    it.
    """
    ephemeral: tuple[str, ...] = ()
    """Those of its claims that are made together with it."""
    conditions_json: bytes = b""
    """The conditions of its status; empty when there are none."""
    grace: int | None = None
    """deletionGracePeriodSeconds: how long its kubelet has to end it; None while it is not being
    deleted.
    """

    @property
    def conditions(self) -> tuple[Raw, ...]:
        """The conditions of its status as raw JSON."""
        return tuple(msgspec.json.decode(self.conditions_json)) if self.conditions_json else ()

    @property
    def migration_allowed(self) -> bool:
        """Carina's annotation is exactly ``"true"``; anything else, and its absence, is a no."""
        return self.meta.annotations.get(well_known.MIGRATION_ALLOWED) == "true"

    @property
    def finished(self) -> bool:
        """It ran to its end; it holds no volume any more."""
        return self.phase in ("Succeeded", "Failed")

    @property
    def mirror(self) -> bool:
        """It only shows a static pod, which its kubelet runs from a file."""
        owner = self.controller
        return well_known.MIRROR in self.meta.annotations or (
            owner is not None and owner.kind == "Node"
        )

    @property
    def of_daemon_set(self) -> bool:
        """A DaemonSet makes it, and makes it again on the same node."""
        return self.controller is not None and self.controller.kind == "DaemonSet"

    @property
    def deleted_at_once(self) -> bool:
        """Its deletion with grace 0 was asked for: only finalizers keep the object."""
        return self.meta.deleting is not None and self.grace == 0

    @property
    def failed_by_us(self) -> bool:
        """Whether we wrote its phase Failed, as the first half of an eviction.

        Otherwise its kubelet did.
        """
        return self.phase == "Failed" and any(
            c.get("type") == well_known.DISRUPTION_TARGET
            and c.get("reason") == well_known.DISRUPTED_BY_US
            for c in self.conditions
        )

    @property
    def controller(self) -> Owner | None:
        """The owner that makes it again when it is deleted, or None."""
        return next((owner for owner in self.meta.owners if owner.controller), None)


def parse_pod(raw: Raw) -> Pod:
    """Return a Pod.

    Raises:
        BadObject: An object in the cluster lacks a field or has a wrong one.
    """
    return read(raw, shapes.Pod, pod_of)


def pod_of(found: shapes.Pod) -> Pod:
    """Return a Pod.

    Raises:
        BadObject: An object in the cluster lacks a field or has a wrong one.
    """
    meta, spec = meta_of(found, _ANNOTATIONS), found.spec or _NO_SPEC
    status = found.status or _NO_STATUS
    requests = _requests_of_pod(spec, meta.key)
    return Pod(
        meta=meta,
        node=sharing.word(spec.node_name),
        phase=sharing.word(status.phase),
        claims=claims_of(meta.name, spec),
        requests=_requests.get(tuple(requests.items()), lambda _: requests),
        spec=_constraints(spec),
        ephemeral=tuple(
            f"{meta.name}-{volume.name}" for volume in spec.volumes or () if _is_ephemeral(volume)
        ),
        conditions_json=msgspec.json.encode(status.conditions) if status.conditions else b"",
        grace=found.metadata.deletion_grace_period_seconds if found.metadata else None,
    )


def _constraints(spec: shapes.PodSpec) -> Raw:
    """Return the part of a spec that `placement.spec` reads, one object for all that are equal."""
    kept: dict[str, Any] = {
        key: value
        for key, value in (
            ("nodeSelector", spec.node_selector),
            ("affinity", spec.affinity),
            ("tolerations", spec.tolerations),
            ("topologySpreadConstraints", spec.topology_spread_constraints),
            ("resourceClaims", spec.resource_claims),
        )
        if value is not None
    }
    # A container without a host port or a restart policy of its own constrains nothing.
    both = (("containers", spec.containers), ("initContainers", spec.init_containers))
    for key, containers in both:
        if parts := [part for one in containers or () if (part := _container(one))]:
            kept[key] = parts
    return _specs.get(msgspec.json.encode(kept), lambda _: kept) if kept else _FREE


def _container(container: shapes.Container) -> Raw:
    both = (("ports", container.ports), ("restartPolicy", container.restart_policy))
    return {key: value for key, value in both if value is not None}


def _is_ephemeral(volume: shapes.Volume) -> bool:
    return volume.persistent_volume_claim is UNSET and volume.ephemeral is not UNSET


def claims_of(name: str, spec: shapes.PodSpec | shapes.VolumesOfSpec) -> tuple[str, ...]:
    """Return the names of the claims of the pod `name`, those of ephemeral volumes included."""
    claims = []
    for volume in spec.volumes or ():
        if _is_ephemeral(volume):
            claims.append(f"{name}-{volume.name}")
        elif volume.persistent_volume_claim:
            claims.append(volume.persistent_volume_claim.claim_name or "")
    return tuple(claim for claim in claims if claim)


def claims_of_raw(raw: Raw) -> tuple[str, ...]:
    """Return the claims of a pod whatever else of it cannot be read.

    Raises:
        BadObject: Its volumes cannot be read either.
    """
    return read(
        raw,
        shapes.PodVolumes,
        lambda found: claims_of(meta_of(found).name, found.spec) if found.spec else (),
    )


def _requests_of_pod(spec: shapes.PodSpec, key: str) -> dict[str, Decimal]:
    """Return what the scheduler counts for a pod.

    The larger of all containers and any init container, plus overhead.

    Source: KEP-753 (sidecars) and `resourcehelper.PodRequests`: restartable init containers stay
    beside the others.
    """
    total: dict[str, Decimal] = {}
    for container in spec.containers or ():
        _add(total, _requests_of(container.resources, key))
    beside: dict[str, Decimal] = {}
    peak: dict[str, Decimal] = {}
    for container in spec.init_containers or ():
        wanted = _requests_of(container.resources, key)
        if container.restart_policy == "Always":
            _add(total, wanted)
            _add(beside, wanted)
            wanted = dict(beside)
        else:
            _add(wanted, beside)
        peak = {
            k: max(peak.get(k, Decimal(0)), wanted.get(k, Decimal(0)))
            for k in peak.keys() | wanted.keys()
        }
    result = {
        k: max(total.get(k, Decimal(0)), peak.get(k, Decimal(0)))
        for k in total.keys() | peak.keys()
    }
    # KEP-2837: what the pod as a whole asks for counts in place of the sum, for the resources that
    # it names.
    result |= _requests_of(spec.resources, key)
    _add(result, amounts(spec.overhead, key))
    return result


def _requests_of(resources: shapes.Resources | None, key: str) -> dict[str, Decimal]:
    return amounts(resources.requests, key) if resources else {}


def _add(total: dict[str, Decimal], more: Mapping[str, Decimal]) -> None:
    for name, value in more.items():
        total[name] = total.get(name, Decimal(0)) + value


_NO_SPEC, _NO_STATUS = shapes.PodSpec(), shapes.PodStatus()
_FREE: Raw = {}
_specs, _requests = sharing.Table(), sharing.Table()
