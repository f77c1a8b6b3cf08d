"""LVs in the trash of a node."""

from __future__ import annotations

from carina_tasks.model import well_known
from tests.builders.kubernetes import NOW, local_volume


def lying(number, name="volume-pvc-1", age=100, uuid="", **more):
    """Make a volume in the trash."""
    uuid = uuid or f"{number:06}-bbbb-cccc-dddd-eeee-ffff-gggggg"
    tags = (
        f"{well_known.TAG_TRASH_NAME}{name}",
        f"{well_known.TAG_TRASH_AT}{int(NOW - age)}",
        f"{well_known.TAG_TRASH_WHY}a_reason",
    )
    return local_volume(f"trash-{uuid}", uuid=uuid, tags=tags, active=False, **more)
