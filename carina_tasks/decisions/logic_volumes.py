"""Keep or delete this LogicVolume, or help one that is being deleted?

Source: Carina's failover manual ("every ten minutes LogicVolumes are compared with the PVs"); design §5.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from carina_tasks.model import keys

if TYPE_CHECKING:
    from carina_tasks.model.objects import Claim, LogicVolume, PersistentVolume


@dataclass(frozen=True, slots=True)
class Keep:
    """Leave it alone."""

    reason: str


@dataclass(frozen=True, slots=True)
class Delete:
    """Nobody wants it: delete it with UID and resourceVersion preconditions, then take its finalizer off."""

    reason: str


@dataclass(frozen=True, slots=True)
class Help:
    """It has been hanging in deletion for longer than the grace: take Carina's finalizer off."""

    reason: str


Verdict = Keep | Delete | Help


def judge(
    logic_volume: LogicVolume, volume: PersistentVolume | None, claim: Claim | None, now: float, grace: float
) -> Verdict:
    """Judge one LogicVolume. None for `volume` or `claim` means the API server's own 404 or a complete list."""
    meta = logic_volume.meta
    if volume is not None:
        return Keep("it has a PersistentVolume")
    if logic_volume.journalled:
        return Keep("it is being rebuilt")
    if meta.owners:
        return Keep(f"it belongs to {meta.owners[0].kind} {meta.owners[0].name}")
    if logic_volume.manage_type != keys.MANAGE_TYPE_LVM:
        return Keep(
            f"its {keys.MANAGE_TYPE} is {logic_volume.manage_type or 'not set'!r}, not {keys.MANAGE_TYPE_LVM!r}"
        )
    if meta.deleting is not None:
        age = now - meta.deleting
        if keys.LOGIC_VOLUME_FINALIZER not in meta.finalizers:
            return Keep("it is being deleted and waits for somebody else's finalizer")
        if age < grace:
            return Keep("it is being deleted; its finalizer's owner has the first word")
        return Help(f"it has been hanging in deletion for {age:.0f} s and has no PersistentVolume")
    if claim is not None and claim.volume == logic_volume.name:
        return Keep(f"claim {claim.meta.key} still names it: make its PersistentVolume again, or delete the claim")
    if now - meta.created < grace:
        return Keep(f"it is younger than {grace:.0f} s")
    return Delete("it has no PersistentVolume")
