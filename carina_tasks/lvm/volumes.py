"""What a node task asks for: create, mark and remove volumes. Idempotent, with a result for each volume.

Each goes the same way: one report, a pure decision for each volume, one batch of commands, one report again. The
result comes from the second report, not from what lvm said; lvm's words are only the reason when it was not done.

An error of one volume is that volume's ``failed`` result. What concerns all of them is raised: no lvm, a deadline, an
unreadable report.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from carina_tasks.decisions import local_volume as decide
from carina_tasks.decisions.local_volume import (
    Absent,
    Adopt,
    Create,
    CreateDecision,
    Extend,
    Keep,
    Mark,
    MarkDecision,
    RefuseVolume,
    Remove,
    RemoveDecision,
    Replace,
    Unmark,
)  # fmt: skip
from carina_tasks.errors import TransientError
from carina_tasks.lvm import commands
from carina_tasks.lvm.command import Lvm, failed, translate
from carina_tasks.lvm.commands import Command
from carina_tasks.lvm.report import inventory
from carina_tasks.model import keys
from carina_tasks.model.local import Inventory, LocalVolume
from carina_tasks.model.messages import (
    CreateVolume,
    CreateVolumes,
    MarkVolumes,
    RemoveVolumes,
    Target,
    VolumeDone,
    VolumesDone,
)  # fmt: skip

Wanted = CreateVolume | Target


def create_volumes(lvm: Lvm, node: str, request: CreateVolumes) -> VolumesDone:
    """Make the volumes of a rebuild; asked again it answers ``kept``. Raises the errors of `Lvm`."""
    before = inventory(lvm, node)
    decisions = decide.decide_create(request, before)
    said = _run(lvm, [_create_commands(w, d) for w, d in zip(request.volumes, decisions, strict=True)])
    after = inventory(lvm, node) if any(words is not None for words in said) else before
    results = zip(request.volumes, decisions, said, strict=True)
    return VolumesDone(node=node, volumes=tuple(_created(w, d, words, after) for w, d, words in results))


def mark_volumes(lvm: Lvm, node: str, request: MarkVolumes) -> VolumesDone:
    """Mark volumes as orphans, or take the mark off; an old mark stays as it is. Raises the errors of `Lvm`."""
    before = inventory(lvm, node)
    decisions = decide.decide_mark(request, before)
    said = _run(lvm, [_mark_commands(d) for d in decisions])
    after = inventory(lvm, node) if any(words is not None for words in said) else before
    results = zip((*request.mark, *request.unmark), decisions, said, strict=True)
    return VolumesDone(node=node, volumes=tuple(_marked(t, d, words, after) for t, d, words in results))


def remove_volumes(lvm: Lvm, node: str, request: RemoveVolumes) -> VolumesDone:
    """Remove orphans that are still marked, closed and the same LVs. Raises the errors of `Lvm`."""
    before = inventory(lvm, node)
    decisions = decide.decide_remove(request, before)
    said = _run(lvm, [commands.remove(d) if isinstance(d, Remove) else [] for d in decisions])
    after = inventory(lvm, node) if any(words is not None for words in said) else before
    results = zip(request.volumes, decisions, said, strict=True)
    return VolumesDone(node=node, volumes=tuple(_removed(t, d, words, after) for t, d, words in results))


def _run(lvm: Lvm, wanted: Sequence[Sequence[Command]]) -> list[str | None]:
    """Run the commands of all volumes in one lvm shell; return what lvm said of each volume, None where none ran."""
    said = iter(lvm.batch([command for each in wanted for command in each]))
    return ["\n".join(next(said) for _ in each) if each else None for each in wanted]


def _create_commands(wanted: CreateVolume, decision: CreateDecision) -> list[Command]:
    match decision:
        case Create(size):
            return [commands.create(wanted, size)]
        case Replace(stale, size):
            return [*commands.remove(stale), commands.create(wanted, size)]
        case Extend(volume, size, tags_off):
            return [commands.extend(volume, size), *_tag_off(volume, tags_off)]
        case Keep(volume, tags_off):
            return _tag_off(volume, tags_off)
        case Adopt(volume, _, tags_off):
            return [commands.tag(volume, [keys.TAG_INTENT + wanted.intent], tags_off)]
        case RefuseVolume():
            return []


def _tag_off(volume: LocalVolume, tags: tuple[str, ...]) -> list[Command]:
    return [commands.tag(volume, [], tags)] if tags else []


def _created(wanted: CreateVolume, decision: CreateDecision, said: str | None, after: Inventory) -> VolumeDone:
    if isinstance(decision, RefuseVolume):
        return _refused(wanted, decision)
    found = after.find(wanted.group, wanted.name)
    ours = found is not None and keys.TAG_INTENT + wanted.intent in found.tags
    size = decision.size if isinstance(decision, Create | Replace | Extend) else wanted.size
    if found is None or not ours or found.size < size:
        return _not_done(wanted, said)
    match decision:
        case Adopt(_, reason):
            return _done(wanted, "adopted", found, reason)
        case Replace(stale):
            return _done(wanted, "replaced", found, stale.reason)
        case Create():
            return _done(wanted, "created", found)
        case _:
            return _done(wanted, "kept", found)


def _mark_commands(decision: MarkDecision) -> list[Command]:
    match decision:
        case Mark(volume, tag, tags_off):
            return [commands.tag(volume, [tag], tags_off)]
        case Unmark(volume, tags_off) if tags_off:
            return [commands.tag(volume, [], tags_off)]
        case _:
            return []


def _marked(target: Target, decision: MarkDecision, said: str | None, after: Inventory) -> VolumeDone:
    if isinstance(decision, RefuseVolume):
        return _refused(target, decision)
    if isinstance(decision, Absent):
        return VolumeDone(group=target.group, name=target.name, outcome="absent", reason=decision.reason)
    found = _by_uuid(after.volumes, target.uuid)
    if found is None:
        return _not_done(target, said)
    tags = [tag for tag in found.tags if tag.startswith(keys.TAG_ORPHAN)]
    if isinstance(decision, Unmark):
        return _not_done(target, said) if tags else _done(target, "unmarked", found)
    return _done(target, "marked", found) if found.marked_at is not None else _not_done(target, said)


def _removed(target: Target, decision: RemoveDecision, said: str | None, after: Inventory) -> VolumeDone:
    if isinstance(decision, RefuseVolume):
        return _refused(target, decision)
    if isinstance(decision, Absent):
        return VolumeDone(group=target.group, name=target.name, outcome="absent", reason=decision.reason)
    if _by_uuid(after.volumes, target.uuid) is not None:
        return _not_done(target, said)
    reason = decision.reason
    if decision.pool is not None and _by_uuid(after.volumes, decision.pool.uuid) is not None:
        reason = f"{reason}; its thin pool {decision.pool.name} is still there: {translate(said or '').message}"
    return _done(target, "removed", decision.volume, reason)


def _by_uuid(volumes: Iterable[LocalVolume], uuid: str) -> LocalVolume | None:
    return next((volume for volume in volumes if volume.uuid == uuid), None)


def _done(wanted: Wanted, outcome: str, volume: LocalVolume, reason: str = "") -> VolumeDone:
    return VolumeDone(
        group=wanted.group,
        name=wanted.name,
        outcome=outcome,  # type: ignore[arg-type]
        reason=reason,
        uuid=volume.uuid,
        size=volume.size,
        major=volume.major,
        minor=volume.minor,
    )


def _refused(wanted: Wanted, decision: RefuseVolume) -> VolumeDone:
    return VolumeDone(
        group=wanted.group,
        name=wanted.name,
        outcome="failed",
        reason=decision.reason,
        transient=decision.transient,
    )


def _not_done(wanted: Wanted, said: str | None) -> VolumeDone:
    if said and failed(said):
        error = translate(said)
        reason, transient = error.message, isinstance(error, TransientError)
    else:
        reason, transient = "lvm did nothing: the volume changed between the report and the command", True
    return VolumeDone(group=wanted.group, name=wanted.name, outcome="failed", reason=reason, transient=transient)
