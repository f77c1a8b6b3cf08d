"""Keep or delete this LogicVolume, or help one that is being deleted?

Source: Carina's failover manual ("every ten minutes LogicVolumes are compared with the PVs");
docs/design.md, section 5.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from carina_tasks.model import times, well_known

if TYPE_CHECKING:
    from carina_tasks.model.objects import Claim, LogicVolume, PersistentVolume


@dataclass(frozen=True, slots=True)
class KeepLogicVolume:
    """Leave it alone."""

    reason: str


@dataclass(frozen=True, slots=True)
class DeleteLogicVolume:
    """Nothing refers to it: delete it.

    The deletion has UID and resourceVersion preconditions; then the finalizer is removed.
    """

    reason: str


@dataclass(frozen=True, slots=True)
class FinishDeletion:
    """It has been hanging in deletion for longer than the grace: take Carina's finalizer off."""

    reason: str


LogicVolumeVerdict = KeepLogicVolume | DeleteLogicVolume | FinishDeletion


def judge_logic_volume(
    logic_volume: LogicVolume,
    pv: PersistentVolume | None,
    claim: Claim | None,
    now: float,
    grace: float,
) -> LogicVolumeVerdict:
    """Judge one LogicVolume.

    None for `volume` or `claim` means the API server's own 404 or a complete list.

    Args:
        logic_volume: The LogicVolume.
        pv: The PersistentVolume, None when it does not exist.
        claim: The claim, None when it does not exist.
        now: Seconds since the epoch, by the API server's clock.
        grace: Seconds for which a new LogicVolume is left alone.
    """
    meta = logic_volume.meta
    if pv is not None:
        return KeepLogicVolume("it has a PersistentVolume")
    if logic_volume.journalled:
        return KeepLogicVolume("it is being rebuilt")
    if meta.owners:
        return KeepLogicVolume(f"it belongs to {meta.owners[0].kind} {meta.owners[0].name}")
    if not logic_volume.is_lvm:
        return KeepLogicVolume(
            f"its {well_known.MANAGE_TYPE} is {logic_volume.manage_type or 'not set'!r}, not "
            f"{well_known.MANAGE_TYPE_LVM!r}"
        )
    if meta.deleting is not None:
        age = now - meta.deleting
        if well_known.LOGIC_VOLUME_FINALIZER not in meta.finalizers:
            return KeepLogicVolume("it is being deleted and waits for another client's finalizer")
        if age < grace:
            return KeepLogicVolume("it is being deleted; its finalizer's owner acts first")
        return FinishDeletion(
            f"it has been hanging in deletion for {times.age(age)} and has no PersistentVolume"
        )
    if claim is not None and claim.pv_name == logic_volume.name:
        return KeepLogicVolume(
            f"claim {claim.meta.key} still names it: make its PersistentVolume again, or delete "
            "the claim"
        )
    if now - meta.created < grace:
        return KeepLogicVolume(f"it is younger than {times.age(grace)}")
    return DeleteLogicVolume("it has no PersistentVolume")
