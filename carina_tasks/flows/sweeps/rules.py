"""Rules that both sweeps and the trash share."""

from __future__ import annotations

from carina_tasks.decisions import orphans
from carina_tasks.flows.context import Context
from carina_tasks.model.local import Inventory, LocalVolume
from carina_tasks.model.names import VOLUME_PREFIX
from carina_tasks.observability.audit import about_volume


def orphan_rules(ctx: Context) -> orphans.OrphanRules:
    """Return the rules of the sweep, as the settings have them."""
    conf = ctx.settings
    return orphans.OrphanRules(
        grace=conf.orphan_grace,
        mark_age=conf.orphan_mark_age,
        groups=conf.managed_groups,
        retention=conf.trash_retention,
        restore_hold=conf.restore_hold,
        old_copies=conf.old_copy_retention,
    )


def judge_trash(
    ctx: Context, lv: LocalVolume, inventory: Inventory, now: float
) -> orphans.KeepLv | orphans.PurgeTrash:
    """Decide whether an LV may be removed from the trash, after its objects were read by name.

    Args:
        ctx: The outside world.
        lv: The LV in the trash.
        inventory: What its node reported.
        now: Seconds since the epoch, by the API server's clock.

    Raises:
        CarinaTasksError: The API server did not answer about its LogicVolume or PV.
    """
    name = lv.trashed.name.removeprefix(VOLUME_PREFIX) if lv.trashed is not None else ""
    verdict = orphans.judge_trash(lv, inventory, None, None, now, orphan_rules(ctx))
    if isinstance(verdict, orphans.KeepLv):
        return verdict
    logic_volume, pv = ctx.cluster.logic_volume(name), ctx.cluster.persistent_volume(name)
    verdict = orphans.judge_trash(lv, inventory, logic_volume, pv, now, orphan_rules(ctx))
    if isinstance(verdict, orphans.KeepLv) and logic_volume is not None:
        message = (
            f"{verdict.reason}: celery -A carina_tasks carina restore {inventory.node} {lv.name}"
        )
        ctx.audit.warn(about_volume(logic_volume), "WantedFromTrash", message, node=inventory.node)
    return verdict
