"""Results of a node's tasks, one for each LV, from a second report of lvm."""

from __future__ import annotations

from collections.abc import Iterable

from carina_tasks.decisions.local_volume import (
    CreateDecision,
    CreateLv,
    Growing,
    MarkDecision,
    NameTaken,
    ReplaceLv,
    RestoreCopy,
    UntagOrphan,
)
from carina_tasks.decisions.removal import (
    LvAbsent,
    MoveToTrash,
    RefuseLv,
    RemoveDecision,
    RemoveLv,
)
from carina_tasks.errors import TransientError
from carina_tasks.lvm.errors import failed, translate
from carina_tasks.model import well_known
from carina_tasks.model.local import Inventory, LocalVolume
from carina_tasks.model.messages import (
    LvInTrash,
    LvResult,
    LvTarget,
    LvToCreate,
)

Wanted = LvToCreate | LvTarget | LvInTrash


CHANGED = "lvm did nothing: the volume changed between the report and the command"


def purged(removal: RemoveLv) -> LvResult:
    """Return the result of an LV that left the trash because its VG needed the space."""
    lv, reason = removal.lv, f"{removal.reason}; its volume group needed the space"
    return LvResult(lv.group, lv.name, "purged", reason, uuid=lv.uuid, size=removal.bytes)


def created(
    wanted: LvToCreate, decision: CreateDecision, stderr: str | None, after: Inventory
) -> LvResult:
    """Return the result of one LV of a creation, as the second report shows it.

    Args:
        wanted: The LV that was asked for.
        decision: What was decided about it before lvm ran.
        stderr: What lvm printed for it, None when it ran nothing.
        after: The second report.
    """
    if isinstance(decision, RefuseLv):
        return refused(wanted, decision)
    if isinstance(decision, NameTaken):
        return result(wanted, "taken", decision.lv, decision.reason)
    found = after.find(wanted.group, wanted.name)
    ours = (
        found is not None
        and well_known.TAG_INTENT + wanted.intent in found.tags
        and not found.unfinished
    )
    size = decision.size if isinstance(decision, Growing) else wanted.size
    if found is None or not ours or found.size < size or found.inactive:
        return not_done(wanted, stderr, missing(found))
    match decision:
        case ReplaceLv(stale):
            removal = stale.removal if isinstance(stale, MoveToTrash) else stale
            return result(wanted, "replaced", found, removal.reason)
        case CreateLv():
            return result(wanted, "created", found)
        case RestoreCopy():
            return result(wanted, "restored", found)
        case _:
            return result(wanted, "kept", found)


def marked(
    target: LvTarget, decision: MarkDecision, stderr: str | None, after: Inventory
) -> LvResult:
    """Return the result of one LV that a sweep marked or unmarked, from the second report.

    Args:
        target: The LV that was asked for.
        decision: What was decided about it before lvm ran.
        stderr: What lvm printed for it, None when it ran nothing.
        after: The second report.
    """
    if isinstance(decision, LvAbsent | RefuseLv):
        return not_there(target, decision)
    found = by_uuid(after.volumes, target.uuid)
    if found is None:
        return not_done(target, stderr)
    tags = [tag for tag in found.tags if tag.startswith(well_known.TAG_ORPHAN)]
    if isinstance(decision, UntagOrphan):
        return not_done(target, stderr) if tags else result(target, "unmarked", found)
    return (
        result(target, "marked", found) if found.marked_at is not None else not_done(target, stderr)
    )


def removed(
    target: LvTarget | LvInTrash,
    decision: RemoveDecision,
    stderr: str | None,
    after: Inventory,
    outcome: str,
) -> LvResult:
    """Return the result of one LV that was to go, from the second report.

    Args:
        target: The LV that was asked for.
        decision: What was decided about it before lvm ran.
        stderr: What lvm printed for it, None when it ran nothing.
        after: The second report.
        outcome: The outcome of an LV that is gone: ``removed`` or ``purged``.
    """
    if isinstance(decision, LvAbsent | RefuseLv):
        return not_there(target, decision)
    found = by_uuid(after.volumes, target.uuid)
    if isinstance(decision, MoveToTrash):
        if found is None or found.trashed is None:
            return not_done(target, stderr)
        return result(target, "trashed", found, decision.removal.reason)
    if found is not None:
        return not_done(target, stderr)
    reason = decision.reason
    if decision.pool is not None and by_uuid(after.volumes, decision.pool.uuid) is not None:
        reason = (
            f"{reason}; its thin pool {decision.pool.name} is still there: "
            f"{translate(stderr or '').message}"
        )
    return result(target, outcome, decision.lv, reason)


def not_there(target: LvTarget | LvInTrash, decision: LvAbsent | RefuseLv) -> LvResult:
    """Return the result of an LV that does not exist or that the decision refused."""
    if isinstance(decision, RefuseLv):
        return refused(target, decision)
    return LvResult(group=target.group, name=target.name, outcome="absent", reason=decision.reason)


def by_uuid(lvs: Iterable[LocalVolume], uuid: str) -> LocalVolume | None:
    """Return the LV with that UUID, or None."""
    return next((lv for lv in lvs if lv.uuid == uuid), None)


def result(wanted: Wanted, outcome: str, lv: LocalVolume, reason: str = "") -> LvResult:
    """Return the result of an LV that the second report shows.

    Args:
        wanted: The LV that was asked for.
        outcome: The outcome.
        lv: The LV in the second report.
        reason: The reason, for users.
    """
    return LvResult(
        group=wanted.group,
        name=wanted.name,
        outcome=outcome,  # type: ignore[arg-type]
        reason=reason,
        uuid=lv.uuid,
        size=lv.size,
        major=lv.major,
        minor=lv.minor,
    )


def refused(wanted: Wanted, decision: RefuseLv) -> LvResult:
    """Return the result of an LV that the decision refused before anything was done."""
    return LvResult(
        group=wanted.group,
        name=wanted.name,
        outcome="failed",
        reason=decision.reason,
        transient=decision.transient,
    )


def missing(found: LocalVolume | None) -> str:
    """Return what the last report lacks, of an LV that lvm reported no error for."""
    if found is not None and found.unfinished:
        return "lvm did not report that it wiped the LV: it is created again"
    if found is not None and found.inactive:
        return "the LV is inactive and lvm did not activate it: no pod could mount it"
    return CHANGED


def not_done(wanted: Wanted, stderr: str | None, missing: str = CHANGED) -> LvResult:
    """Return the failure of an LV: lvm's own message, or what is `missing`.

    Args:
        wanted: The LV that was asked for.
        stderr: What lvm printed, None when it ran nothing.
        missing: What the second report lacks.
    """
    if stderr and failed(stderr):
        error = translate(stderr)
        reason, transient = error.message, isinstance(error, TransientError)
    else:
        reason, transient = missing, True
    return LvResult(
        group=wanted.group, name=wanted.name, outcome="failed", reason=reason, transient=transient
    )
