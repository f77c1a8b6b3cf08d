"""Pods as frozen values.

A pod's node, its claims, its requests, and how far its deletion has come.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from carina_tasks.model import well_known
from carina_tasks.model.meta import ObjectMeta, Owner, Raw, amounts, parse_meta


@dataclass(frozen=True, slots=True)
class Pod:
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
    """The pod's spec as raw JSON."""
    conditions: tuple[Raw, ...] = ()
    """The conditions of its status as raw JSON."""
    grace: int | None = None
    """deletionGracePeriodSeconds: how long its kubelet has to end it; None while it is not being
    deleted.
    """

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
    meta, spec, status = parse_meta(raw), raw.get("spec") or {}, raw.get("status") or {}
    return Pod(
        meta=meta,
        node=spec.get("nodeName") or "",
        phase=status.get("phase") or "",
        claims=claims_of(meta.name, spec),
        requests=_pod_requests(spec, meta.key),
        spec=spec,
        conditions=tuple(status.get("conditions") or ()),
        grace=(raw.get("metadata") or {}).get("deletionGracePeriodSeconds"),
    )


def claims_of(name: str, spec: Raw) -> tuple[str, ...]:
    """Return the names of the claims of the pod `name`, those of ephemeral volumes included."""
    claims = []
    for volume in spec.get("volumes") or ():
        if "persistentVolumeClaim" in volume:
            claims.append((volume["persistentVolumeClaim"] or {}).get("claimName", ""))
        elif "ephemeral" in volume:
            claims.append(f"{name}-{volume.get('name', '')}")
    return tuple(claim for claim in claims if claim)


def _pod_requests(spec: Raw, key: str) -> dict[str, Decimal]:
    """Return what the scheduler counts for a pod.

    The larger of all containers and any init container, plus overhead.

    Source: KEP-753 (sidecars) and `resourcehelper.PodRequests`: restartable init containers stay
    beside the others.
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
    result |= _requests_of(spec, key)
    _add(result, amounts(spec.get("overhead") or {}, key))
    return result


def _requests_of(container: Raw, key: str) -> dict[str, Decimal]:
    return amounts((container.get("resources") or {}).get("requests") or {}, key)


def _add(total: dict[str, Decimal], more: Mapping[str, Decimal]) -> None:
    for name, value in more.items():
        total[name] = total.get(name, Decimal(0)) + value
