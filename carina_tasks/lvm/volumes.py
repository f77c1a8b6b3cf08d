"""What a node task asks for: create, mark, remove, purge and restore volumes.

Idempotent, with a result for each volume.

Each goes the same way: one report, a pure decision for each volume, one batch of commands, one
report again. The result comes from the last report, not from lvm's messages; these are only
the reason when it was not done. The way into the trash has one batch and one report more: a volume
is renamed only once it is seen to be closed permanently.

An error of one volume is that volume's ``failed`` result. What concerns all of them is raised: no
lvm, a deadline, an unreadable report.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from carina_tasks.decisions import local_volume as decide
from carina_tasks.decisions import removal as decide_removal
from carina_tasks.decisions.local_volume import (
    CreateDecision,
    CreateLv,
    ExtendLv,
    Growing,
    KeepExisting,
    MarkDecision,
    NameTaken,
    ReplaceLv,
    RestoreCopy,
    TagOrphan,
    UntagOrphan,
    ZeroLv,
)
from carina_tasks.decisions.removal import (
    MoveToTrash,
    RefuseLv,
    RemoveDecision,
    RemoveLv,
    RestoreFromTrash,
)
from carina_tasks.errors import BadInput
from carina_tasks.lvm import commands
from carina_tasks.lvm.command import Lvm, shell_line
from carina_tasks.lvm.commands import Command
from carina_tasks.lvm.report import inventory
from carina_tasks.lvm.results import (
    by_uuid,
    created,
    marked,
    missing,
    not_done,
    not_there,
    purged,
    refused,
    removed,
    result,
)
from carina_tasks.lvm.zero import Look, NotZeroed, Zeroed, Zeroing
from carina_tasks.model import names, well_known
from carina_tasks.model.local import Inventory, LocalVolume
from carina_tasks.model.messages import (
    CreateLvs,
    LvInTrash,
    LvResult,
    LvResults,
    LvToCreate,
    MarkLvs,
    PurgeLvs,
    RemoveLvs,
    RestoreLv,
)

Looked = Zeroed | Zeroing | NotZeroed


def create_volumes(lvm: Lvm, node: str, request: CreateLvs, zero: Look | None = None) -> LvResults:
    """Create the LVs of a rebuild, or restore those of a failback.

    Asked again it answers ``kept``. Raises the errors of `Lvm`.

    An LV is complete when lvm has wiped it, not when it exists: only those whose lvcreate returned
    without an error get the intent tag, and a second lvm process does that. An lvm shell that
    receives SIGTERM ends the command in hand and runs the next one, so the same batch would prove
    nothing. What it removes from the trash to make room follows them in the answer, as ``purged``.
    One that is to be zeroed is answered as ``zeroing`` until a later request finds that `zero` has
    ended.

    Args:
        lvm: The gate to lvm2.
        node: Name of the node.
        request: What the control worker asks for.
        zero: Returns how far the zeroing of an LV is.
    """
    before = inventory(lvm, node)
    decisions = decide.decide_create(request, before)
    aside, prepared_stderr = _prepare_trash(
        lvm, node, [d.stale if isinstance(d, ReplaceLv) else d for d in decisions], before
    )
    first = _run(
        lvm,
        [_create_commands(w, d, aside) for w, d in zip(request.volumes, decisions, strict=True)],
    )
    made = inventory(lvm, node) if first.ran else aside
    looks = [zero(d.lv) if isinstance(d, ZeroLv) and zero is not None else None for d in decisions]
    wanted = zip(request.volumes, decisions, first.stderr, looks, strict=True)
    last = _run(
        lvm,
        [_finish_commands(w, d, words, made, first.output, look) for w, d, words, look in wanted],
    )
    after = inventory(lvm, node) if last.ran else made
    stderr = [
        _joined(*words) for words in zip(prepared_stderr, first.stderr, last.stderr, strict=True)
    ]
    results = zip(request.volumes, decisions, stderr, looks, strict=True)
    done = [
        _zeroing(w, after, look, zero) or created(w, d, words, after)
        for w, d, words, look in results
    ]
    there = {lv.uuid for lv in after.volumes}
    room = [each for d in decisions if isinstance(d, Growing) for each in d.room]
    return LvResults(
        node=node, volumes=(*done, *(purged(each) for each in room if each.lv.uuid not in there))
    )


def mark_volumes(lvm: Lvm, node: str, request: MarkLvs) -> LvResults:
    """Mark volumes as orphans, or take the mark off; an old mark stays as it is.

    Raises the errors of `Lvm`.

    Args:
        lvm: The gate to lvm2.
        node: Name of the node.
        request: What the control worker asks for.
    """
    before = inventory(lvm, node)
    decisions = decide.decide_mark(request, before)
    ran = _run(lvm, [_mark_commands(d) for d in decisions])
    after = inventory(lvm, node) if ran.ran else before
    results = zip(
        (*request.mark, *request.unmark), decisions, map(_joined, ran.stderr), strict=True
    )
    return LvResults(
        node=node, volumes=tuple(marked(t, d, words, after) for t, d, words in results)
    )


def remove_volumes(lvm: Lvm, node: str, request: RemoveLvs) -> LvResults:
    """Move orphans to the trash, or remove them when there is none.

    Each must still be marked, closed and the same LV.

    Raises the errors of `Lvm`.

    Args:
        lvm: The gate to lvm2.
        node: Name of the node.
        request: What the control worker asks for.
    """
    before = inventory(lvm, node)
    decisions = decide_removal.decide_remove(request, before)
    aside, prepared_stderr = _prepare_trash(lvm, node, decisions, before)
    ran = _run(lvm, [_remove_commands(d, aside) for d in decisions])
    after = inventory(lvm, node) if ran.ran else aside
    results = zip(
        request.volumes, decisions, map(_joined, prepared_stderr, ran.stderr), strict=True
    )
    return LvResults(
        node=node, volumes=tuple(removed(t, d, words, after, "removed") for t, d, words in results)
    )


def purge_volumes(lvm: Lvm, node: str, request: PurgeLvs) -> LvResults:
    """Remove permanently what lies in the trash since long enough. Raises the errors of `Lvm`.

    Args:
        lvm: The gate to lvm2.
        node: Name of the node.
        request: What the control worker asks for.
    """
    before = inventory(lvm, node)
    decisions = decide_removal.decide_purge(request, before)
    ran = _run(lvm, [commands.remove(d) if isinstance(d, RemoveLv) else [] for d in decisions])
    after = inventory(lvm, node) if ran.ran else before
    results = zip(request.volumes, decisions, map(_joined, ran.stderr), strict=True)
    return LvResults(
        node=node, volumes=tuple(removed(t, d, words, after, "purged") for t, d, words in results)
    )


def restore_volume(lvm: Lvm, node: str, request: RestoreLv) -> LvResults:
    """Bring a volume back from the trash; the answer has its old name.

    Raises the errors of `Lvm`.

    Args:
        lvm: The gate to lvm2.
        node: Name of the node.
        request: What the control worker asks for.
    """
    decision = decide_removal.decide_restore(request, inventory(lvm, node))
    if not isinstance(decision, RestoreFromTrash):
        return LvResults(node=node, volumes=(not_there(request.volume, decision),))
    (stderr,) = map(_joined, _run(lvm, [commands.restore(decision)]).stderr)
    found = by_uuid(inventory(lvm, node).volumes, request.volume.uuid)
    if (
        found is None
        or found.name != decision.name
        or found.restored_at is None
        or not found.active
    ):
        return LvResults(node=node, volumes=(not_done(request.volume, stderr),))
    back = LvInTrash(request.volume.group, found.name, found.uuid)
    return LvResults(node=node, volumes=(result(back, "restored", found),))


def _prepare_trash(
    lvm: Lvm, node: str, decisions: Sequence[object], before: Inventory
) -> tuple[Inventory, list[tuple[str, ...] | None]]:
    """Tag and deactivate what goes into the trash.

    Return what is there then, and what lvm wrote for each decision.
    """
    ran = _run(
        lvm,
        [
            commands.prepare_trash(each) if isinstance(each, MoveToTrash) else []
            for each in decisions
        ],
    )
    return (inventory(lvm, node) if ran.ran else before), ran.stderr


def _into_trash(decision: MoveToTrash, aside: Inventory) -> list[Command]:
    """Return the command that renames the volume, if it is tagged and closed permanently.

    None when it is not.
    """
    lv = by_uuid(aside.volumes, decision.removal.lv.uuid)
    if lv is None or lv.active or lv.is_open or not set(decision.tags) <= set(lv.tags):
        return []
    return [commands.rename(lv, names.trash_of(lv.uuid))]


def _remove_commands(decision: RemoveDecision, aside: Inventory) -> list[Command]:
    match decision:
        case MoveToTrash():
            return _into_trash(decision, aside)
        case RemoveLv():
            return commands.remove(decision)
        case _:
            return []


@dataclass(frozen=True)
class Ran:
    """What lvm wrote while it ran the commands of several LVs."""

    stderr: list[tuple[str, ...] | None]
    """For each LV: what lvm wrote to stderr for each of its commands; None where it had none."""
    output: str
    """Its stdout."""

    @property
    def ran(self) -> bool:
        """Whether there was any command."""
        return any(words is not None for words in self.stderr)


def _run(lvm: Lvm, wanted: Sequence[Sequence[Command]]) -> Ran:
    """Run the commands of all LVs in one lvm shell.

    An LV with an argument that no lvm shell takes (a tag with a '#', put there manually) fails
    alone, and holds no other up.
    """
    refused: dict[int, str] = {}
    for number, each in enumerate(wanted):
        try:
            for command in each:
                shell_line(command)
        except BadInput as exc:
            refused[number] = exc.message
    batch = lvm.batch(
        [c for number, each in enumerate(wanted) if number not in refused for c in each]
    )
    errors = iter(batch.errors)
    stderr: list[tuple[str, ...] | None] = [
        (refused[number],) if number in refused else tuple(next(errors) for _ in each) or None
        for number, each in enumerate(wanted)
    ]
    return Ran(stderr, batch.output)


def _joined(*words: tuple[str, ...] | None) -> str | None:
    """Return what lvm wrote for one LV as one text, None when no command ran."""
    there = [each for each in words if each is not None]
    return "\n".join(line for each in there for line in each) if there else None


def _create_commands(
    wanted: LvToCreate, decision: CreateDecision, aside: Inventory
) -> list[Command]:
    match decision:
        case CreateLv(size, room):
            return [*_remove_all(room), commands.create(wanted, size)]
        case ReplaceLv(stale, size, room):
            gone = _remove_commands(stale, aside)
            # Without a command the stale copy could not be deactivated, and its name is taken.
            return [*_remove_all(room), *gone, commands.create(wanted, size)] if gone else []
        case ExtendLv(lv, size, tags_off, room):
            return [*_remove_all(room), commands.extend(lv, size), *_tag_off(lv, tags_off)]
        case RestoreCopy(room=room):
            return [*_remove_all(room), *commands.bring_back(decision)]
        case KeepExisting(lv, tags_off):
            return _tag_off(lv, tags_off)
        case ZeroLv() | NameTaken() | RefuseLv():
            return []


def _finish_commands(
    wanted: LvToCreate,
    decision: CreateDecision,
    stderr: tuple[str, ...] | None,
    made: Inventory,
    output: str,
    look: Looked | None,
) -> list[Command]:
    """Return what completes an LV once its first commands are done.

    The next tag if lvm wiped it, and its device.
    """
    lv = made.find(wanted.group, wanted.name)
    if lv is None or isinstance(decision, NameTaken | RefuseLv):
        return []
    # An LV that exists already may have lost its device in a reboot: Carina activates only what it
    # creates.
    device = [commands.activate(lv)] if lv.inactive else []
    if isinstance(decision, KeepExisting | ExtendLv | RestoreCopy):
        return device
    if isinstance(decision, ZeroLv):
        done = [commands.confirm(lv, wanted.intent, well_known.TAG_ZEROING, well_known.TAG_INTENT)]
        return [*(done if isinstance(look, Zeroed) else []), *device]
    # Its last line is the proof. What lvm wrote to stderr is none: a host's lvm.conf(5) may make it
    # talkative.
    if stderr is None or not commands.created(wanted.name, output):
        return []
    after = well_known.TAG_ZEROING if wanted.zero else well_known.TAG_INTENT
    return [commands.confirm(lv, wanted.intent, well_known.TAG_CREATING, after), *device]


def _zeroing(
    wanted: LvToCreate, after: Inventory, look: Looked | None, zero: Look | None
) -> LvResult | None:
    """Return the answer for an LV that is wiped and not zeroed yet, None for every other."""
    found = after.find(wanted.group, wanted.name)
    if found is None or well_known.TAG_ZEROING + wanted.intent not in found.tags:
        return None
    if zero is None:
        return refused(wanted, RefuseLv("this process zeroes no LVs"))
    if found.inactive:
        return not_done(wanted, None, missing(found))
    now = look or zero(found)
    if isinstance(now, NotZeroed):
        return refused(wanted, RefuseLv(now.reason, transient=not now.late))
    return result(
        wanted, "zeroing", found, now.reason if isinstance(now, Zeroing) else "it is zeroed"
    )


def _remove_all(room: Iterable[RemoveLv]) -> list[Command]:
    return [command for each in room for command in commands.remove(each)]


def _tag_off(lv: LocalVolume, tags: tuple[str, ...]) -> list[Command]:
    return [commands.tag(lv, [], tags), *_reactivate(lv, tags)] if tags else []


def _reactivate(lv: LocalVolume, tags_off: tuple[str, ...]) -> list[Command]:
    """Return the commands that activate an LV whose move to the trash was interrupted."""
    closed = not lv.active and any(tag.startswith(well_known.TAG_TRASH) for tag in tags_off)
    return [commands.activate(lv)] if closed else []


def _mark_commands(decision: MarkDecision) -> list[Command]:
    match decision:
        case TagOrphan(lv, tag, tags_off):
            return [commands.tag(lv, [tag], tags_off)]
        case UntagOrphan(lv, tags_off):
            return _tag_off(lv, tags_off)
        case _:
            return []
