"""An inventory of a node, as tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

from carina_tasks.decisions import whose
from carina_tasks.model import names, quantity, times
from carina_tasks.model.local import Inventory, LocalVolume
from carina_tasks.views import tables

if TYPE_CHECKING:
    from carina_tasks.model.snapshot import ClusterSnapshot


@tables.of.register
def inventory_tables(inventory: Inventory) -> list[tables.Part]:
    """Return an inventory as tables: its volume groups, then its LVs."""
    return with_claims(inventory, None)


def volume_of(lv: LocalVolume) -> str:
    """Return the name of the LogicVolume that an LV is or was of; for another LV its own name."""
    return (lv.old_name or lv.name).removeprefix(names.VOLUME_PREFIX)


def with_claims(inventory: Inventory, snapshot: ClusterSnapshot | None) -> list[tables.Part]:
    """Return an inventory as tables, with the claim of each LV first.

    Args:
        inventory: What the node reported.
        snapshot: The cluster; None: claims are not known, and no column shows them.
    """
    groups = tuple(
        (g.name, quantity.show(g.size), quantity.show(g.free), g.problem) for g in inventory.groups
    )
    claim = () if snapshot is None else ("CLAIM",)
    volumes = tuple(
        (
            *([whose.claim_of(snapshot, volume_of(v)) or "-"] if snapshot is not None else []),
            v.group,
            quantity.show(v.size),
            "open" if v.is_open else "closed",
            v.name,
            _note(v),
        )
        for v in sorted(inventory.volumes, key=lambda v: _order(v, snapshot))
    )
    parts: list[tables.Part] = [tables.Table(("GROUP", "SIZE", "FREE", "NOTE"), groups)]
    return [
        *parts,
        tables.Table((*claim, "GROUP", "SIZE", "USE", "VOLUME", "NOTE"), volumes)
        if volumes
        else "no logical volumes",
    ]


def _order(lv: LocalVolume, snapshot: ClusterSnapshot | None) -> tuple[bool, str, str, str]:
    claim = whose.claim_of(snapshot, volume_of(lv)) if snapshot is not None else ""
    return (not claim, claim, lv.group, lv.name)


def _note(lv: LocalVolume) -> str:
    if lv.at_work:
        return f"left alone: {lv.at_work}"
    if lv.trashed is not None:
        return f"in the trash since {times.moment(lv.trashed.at)}; it was {lv.trashed.name}"
    if lv.marked_at is not None:
        return f"marked as an orphan at {times.moment(lv.marked_at)}"
    if lv.unfinished:
        return "unfinished: not wiped or not zeroed yet"
    return f"made by rebuild {lv.intent}" if lv.intent else ""
