"""An inventory of a node, as tables."""

from __future__ import annotations

from carina_tasks.model import quantity, times
from carina_tasks.model.local import Inventory, LocalVolume
from carina_tasks.views import tables


@tables.of.register
def inventory_tables(inventory: Inventory) -> list[tables.Part]:
    """Return an inventory as tables: its volume groups, then its LVs."""
    groups = tuple(
        (g.name, quantity.show(g.size), quantity.show(g.free), g.problem) for g in inventory.groups
    )
    volumes = tuple(
        (v.group, v.name, quantity.show(v.size), "open" if v.is_open else "closed", _note(v))
        for v in inventory.volumes
    )
    parts: list[tables.Part] = [tables.Table(("GROUP", "SIZE", "FREE", "NOTE"), groups)]
    return [
        *parts,
        tables.Table(("GROUP", "VOLUME", "SIZE", "USE", "NOTE"), volumes)
        if volumes
        else "no logical volumes",
    ]


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
