"""The PersistentVolumes of a plan, read by name: lists and watches keep a part of each only."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from carina_tasks.decisions import placement
from carina_tasks.errors import CarinaTasksError, PermanentError
from carina_tasks.flows import one_object
from carina_tasks.flows.context import Context
from carina_tasks.flows.failover.results import VolumeResult
from carina_tasks.flows.threads import spread
from carina_tasks.model.objects import WholePersistentVolume


def read(
    ctx: Context, places: Iterable[placement.Placement]
) -> tuple[dict[str, WholePersistentVolume], list[VolumeResult]]:
    """Return the PVs by name, and the results of the volumes whose PV could not be read.

    The journal holds what a PV is made from again, so each must be whole.

    Args:
        ctx: The outside world.
        places: Where the logic volumes go.

    Raises:
        CarinaTasksError: What concerns more than one volume.
    """
    wanted = list(places)
    if not wanted:
        return {}, []
    with ThreadPoolExecutor(min(len(wanted), ctx.settings.concurrency)) as pool:
        found = list(spread(pool, partial(_read, ctx), wanted))
    pvs = {one.meta.name: one for one in found if isinstance(one, WholePersistentVolume)}
    return pvs, [one for one in found if isinstance(one, VolumeResult)]


def _read(ctx: Context, place: placement.Placement) -> WholePersistentVolume | VolumeResult:
    name, source = place.logic_volume.name, place.logic_volume.node
    try:
        pv = ctx.cluster.persistent_volume(name)
    except CarinaTasksError as exc:
        one_object.check(ctx, exc)
        reason = f"its PersistentVolume could not be read: {exc.message}"
        if isinstance(exc, PermanentError):
            return VolumeResult(name, "failed", reason, source, place.node)
        return VolumeResult(name, "unfinished", reason, source, place.node)
    if pv is None:
        reason = "it changed since the plan: its PersistentVolume is gone"
        return VolumeResult(name, "unfinished", reason, source)
    return pv
