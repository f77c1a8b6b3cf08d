"""A failover that left an old copy on its node."""

from __future__ import annotations

import msgspec

from carina_tasks.model import well_known
from carina_tasks.model.local import LocalVolume
from carina_tasks.model.progress import PastFailover
from tests.builders.kubernetes import (
    local_volume,
    logic_volume,
)

LEFT = PastFailover("2026-01-02T03:04:05Z", "rebuild", "n1", "n2", "node n1 was deleted", "i1")


def closed(**more) -> LocalVolume:
    """Make the old copy of the volume, in its place and closed."""
    return local_volume(**{"active": False, **more})


def failed_over(*history: PastFailover, **more):
    """Make the LogicVolume on n2, with what its annotations remember."""
    made = logic_volume(on="n2", **more)
    made["metadata"]["annotations"][well_known.HISTORY] = msgspec.json.encode(history).decode()
    return made
