"""Values of one node's LVM, for the decisions about LVs."""

from __future__ import annotations

from carina_tasks.model import well_known
from carina_tasks.model.local import Inventory, LocalVolume, VolumeGroup
from carina_tasks.model.quantity import GIB

VG = "carina-vg-hdd"


EXTENT = 4 << 20


def uuid(number: int = 0) -> str:
    """Return an lvm UUID that is different for each number."""
    return f"aaaaaa-aaaa-aaaa-aaaa-aaaa-aaaa-{number:06d}"


def volume(name: str = "volume-a", **changes) -> LocalVolume:
    """Return a closed linear volume of 5 GiB."""
    values = {
        "group": VG,
        "name": name,
        "uuid": uuid(),
        "size": 5 * GIB,
        "is_open": False,
        "active": True,
        "layout": "linear",
        "role": "public",
    }
    return LocalVolume(**(values | changes))


def node(*lvs: LocalVolume, free: int = 100 * GIB, groups: int = 1) -> Inventory:
    """Return the inventory of a node with one VG."""
    group = VolumeGroup(name=VG, uuid=uuid(), size=200 * GIB, free=free, extent=EXTENT)
    return Inventory(node="n1", groups=(group,) * groups, volumes=lvs)


def in_trash(number: int, at: int, size: int = 5 * GIB, **changes) -> LocalVolume:
    """Return a volume that lies in the trash since `at`."""
    tags = (
        f"{well_known.TAG_TRASH_NAME}volume-old{number}",
        f"{well_known.TAG_TRASH_AT}{at}",
        f"{well_known.TAG_TRASH_WHY}orphan",
    )
    values = {
        "name": f"trash-{uuid(number)}",
        "uuid": uuid(number),
        "size": size,
        "active": False,
        "tags": tags,
    }
    return volume(**(values | changes))
