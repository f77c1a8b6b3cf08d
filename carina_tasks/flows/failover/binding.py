"""Waiting until kube-controller-manager has bound a claim to the PV that was made for it.

The volume controller looks at a claim only when that changes, so the claim is touched. Then the
watches are asked, because they cost nothing; what they do not show in time is read by name. No
thread waits: a volume whose claim is not Bound yet is put aside, and the others go on.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import Final

import msgspec.structs

from carina_tasks.errors import ApiConflict, LostMidway
from carina_tasks.flows.context import Context
from carina_tasks.model import well_known
from carina_tasks.model.objects import Claim, WholePersistentVolume

LONGEST_WAIT: Final = 1.0
"""Seconds between two touches at most: where the volume controller has much to do, more touches
only give it more.
"""


@dataclass(frozen=True, slots=True)
class Binding:
    """A claim that was touched. Times are seconds of the monotonic clock."""

    touched: str
    """The touch that the claim must show: what a watch shows without it is older."""
    since: float
    due: float
    """When both are read by name, and the claim is touched again."""
    wait: float
    """Seconds from the last touch to `due`."""


@dataclass(frozen=True, slots=True)
class Bound:
    """Claim and PV are Bound to each other."""

    claim: Claim
    pv: WholePersistentVolume


def begin(ctx: Context, claim: Claim) -> Binding | None:
    """Touch the claim; None when it is gone."""
    touched = _touch_as_watched(ctx, claim)
    if not touched:
        # The volume controller has seen the PV go, and marked the claim.
        fresh = ctx.cluster.claim(claim.meta.namespace, claim.meta.name)
        if fresh is None:
            return None
        touched = ctx.writes.annotate_claim(fresh, ctx.monotonic())
    now, wait = ctx.monotonic(), ctx.settings.touch_interval
    return Binding(touched, now, now + wait, wait)


def look(
    ctx: Context, pv: WholePersistentVolume, claim: Claim, binding: Binding
) -> Bound | Binding | None:
    """Return whether both are Bound, what is waited for else, or None when one of them went.

    Args:
        ctx: The outside world.
        pv: The PV that was made for the claim.
        claim: The claim.
        binding: What is waited for.

    Raises:
        LostMidway: That takes too long.
    """
    if (bound := shown(ctx, pv, binding)) is not None:
        return bound
    if ctx.monotonic() < binding.due:
        return binding
    fresh = ctx.cluster.claim(claim.meta.namespace, claim.meta.name)
    if fresh is None:
        return None
    if fresh.phase == "Bound":
        now = ctx.cluster.persistent_volume(pv.meta.name)
        if now is None:
            return None
        if now.phase == "Bound":
            return Bound(fresh, now)
    at, timeout = ctx.monotonic(), ctx.settings.bind_timeout
    if at - binding.since >= timeout:
        raise LostMidway(
            f"claim {claim.meta.key} is not Bound {timeout:.0f} s after its volume was made: is "
            "kube-controller-manager running?"
        )
    wait, touched = min(2 * binding.wait, LONGEST_WAIT), binding.touched
    # One that has changed since may be Bound: the next look shows it.
    with suppress(ApiConflict):
        touched = ctx.writes.annotate_claim(fresh, at)
    return Binding(touched, binding.since, at + wait, wait)


def shown(ctx: Context, pv: WholePersistentVolume, binding: Binding) -> Bound | None:
    """Return claim and PV when the watches show them Bound since the touch.

    Args:
        ctx: The outside world.
        pv: The PV that was made: one of another UID is another's.
        binding: What is waited for.
    """
    seen = ctx.cluster.claim_by_watch(*pv.claim_key.split("/", 1))
    now = ctx.cluster.pv_by_watch(pv.meta.name)
    if (
        seen is not None
        and now is not None
        and seen.meta.annotations.get(well_known.TOUCH) == binding.touched
        and now.meta.uid == pv.meta.uid
        and seen.phase == now.phase == "Bound"
    ):
        return Bound(seen, msgspec.structs.replace(pv, meta=now.meta, phase=now.phase))
    return None


def _touch_as_watched(ctx: Context, claim: Claim) -> str:
    """Touch the claim in the version that its watch shows.

    Return the touch, empty when the watch is behind or shows none: then it must be read.
    """
    seen = ctx.cluster.claim_by_watch(claim.meta.namespace, claim.meta.name)
    if seen is None or seen.meta.uid != claim.meta.uid:
        return ""
    with suppress(ApiConflict):
        return ctx.writes.annotate_claim(seen, ctx.monotonic())
    return ""
