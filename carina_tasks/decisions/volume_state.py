"""In which state is this LogicVolume, for those who count them?"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Literal, get_args

from carina_tasks.model import well_known

if TYPE_CHECKING:
    from carina_tasks.model.objects import LogicVolume

LogicVolumeState = Literal[
    "success",
    "pending",
    "failed",
    "deleting",
    "rebuilding",
    "journal-unreadable",
    "lost",
    "unreadable",
]
STATES: tuple[LogicVolumeState, ...] = get_args(LogicVolumeState)
"""All of them; ``unreadable`` is one that does not parse, and so never gets here."""


def state(logic_volume: LogicVolume, nodes: Collection[str]) -> LogicVolumeState:
    """Return the one state that the operator would name first."""
    if logic_volume.journal_error:
        return "journal-unreadable"
    if logic_volume.journal is not None:
        return "rebuilding"
    if logic_volume.meta.deleting is not None:
        return "deleting"
    if logic_volume.node not in nodes:
        return "lost"
    if logic_volume.status == well_known.STATUS_SUCCESS:
        return "success"
    return "failed" if logic_volume.status else "pending"
