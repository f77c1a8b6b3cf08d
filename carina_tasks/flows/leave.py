"""Before carina-tasks is uninstalled.

Nothing begins, nothing is under way, and nothing of ours stays on a LogicVolume.
"""

from __future__ import annotations

from collections.abc import Sequence

from carina_tasks.errors import BadObject, RebuildUnderWay
from carina_tasks.flows.context import Context
from carina_tasks.model import well_known

REASON = "carina-tasks is being uninstalled"
SETTLE = 5.0
"""Seconds, beside the confirmation of a node's absence, for which a task that read the state before
the pause may still write a journal.
"""


def leave(ctx: Context) -> int:
    """Pause everything, and take our annotations off; return from how many LogicVolumes.

    The pause stays when this succeeds. When it refuses, the state is what it was.

    Raises:
        RebuildUnderWay: A rebuild is under way, and without carina-tasks it would never end.
        BadObject: Whether one is under way cannot be read from a LogicVolume.
    """
    before = ctx.state.read()
    if not before.paused:
        ctx.state.write(paused=REASON)
    try:
        ctx.sleep(ctx.settings.confirm_absence + SETTLE)
        return _forget(ctx)
    except Exception:
        # A pause of the operator's own, made meanwhile, is not ours to end.
        if not before.paused and ctx.state.read().paused == REASON:
            ctx.state.write(paused=None)
        raise


def _forget(ctx: Context) -> int:
    listed = ctx.cluster.logic_volumes()
    if listed.unreadable:
        raise BadObject(
            f"whether a rebuild of {_some(sorted(listed.unreadable))} is under way cannot be "
            "read; look at the annotation tasks.carina.storage.io/journal with kubectl"
        )
    under_way = [
        name
        for name, logic_volume in sorted(listed.values.items())
        if well_known.JOURNAL in logic_volume.meta.annotations
    ]
    if under_way:
        raise RebuildUnderWay(
            f"{_some(under_way)}: a rebuild is under way, and without carina-tasks it would never "
            "end; `carina status` shows its progress, `carina failed` what it waits for"
        )
    ours = (well_known.PROGRESS, well_known.HISTORY)
    marked = [
        logic_volume
        for logic_volume in listed.values.values()
        if any(key in logic_volume.meta.annotations for key in ours)
    ]
    for logic_volume in marked:
        ctx.writes.forget(logic_volume)
    return len(marked)


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
