"""A simulated node: its lvm executable, volume groups, worker and kubelet."""

from __future__ import annotations

import subprocess
from pathlib import Path

from carina_tasks.emulator.lvm import install as simulation
from carina_tasks.emulator.lvm import state as disk
from carina_tasks.lvm import report
from carina_tasks.lvm.command import Lvm
from carina_tasks.model import quantity
from carina_tasks.model.local import Inventory, LocalVolume

GROUP = "carina-vg-hdd"
OTHER_GROUP = "system"
GROUP_SIZE = 100 * quantity.GIB

__all__ = ["GROUP", "OTHER_GROUP", "SimulatedNode"]


class SimulatedNode:
    """The local volumes of one node, read and changed through its lvm executable."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self.state = folder / name / "lvm-state.json"
        self.lvm = simulation.install(
            folder / name, self.state, {GROUP: GROUP_SIZE, OTHER_GROUP: GROUP_SIZE}
        )

    def inventory(self) -> Inventory:
        """Return what lvm reports, read as the product reads it."""
        return report.inventory(Lvm(binary=(str(self.lvm),), timeout=20), self.name)

    def find(self, name: str, group: str = GROUP) -> LocalVolume | None:
        """Return the LV `group`/`name`, or None."""
        return self.inventory().find(group, name)

    def sizes(self) -> dict[str, int]:
        """Return the bytes of each LV of Carina's group."""
        return {lv.name: lv.size for lv in self.inventory().volumes if lv.group == GROUP}

    def create(self, name: str, size: int, group: str = GROUP) -> LocalVolume:
        """Make an LV of `size` bytes with ``lvcreate``. Raises CalledProcessError."""
        self.run("lvcreate", "-y", "-W", "y", "-Z", "y", "-n", name, "-L", f"{size}b", group)
        found = self.find(name, group)
        if found is None:
            raise LookupError(f"{self.name}: lvcreate made no {group}/{name}")
        return found

    def remove(self, name: str, group: str = GROUP) -> None:
        """Remove an LV with ``lvremove``. Raises CalledProcessError."""
        self.run("lvremove", "-y", f"{group}/{name}")

    def open(self, name: str, group: str = GROUP, *, is_open: bool = True) -> None:
        """Hold an LV open, as a mount does, or let it go. Raises KeyError."""
        simulation.set_open(self.state, group, name, is_open)

    def clear(self) -> None:
        """Remove every LV, open or not."""
        with disk.changing(str(self.state)) as state:
            for group in state.groups:
                group.volumes.clear()

    def run(self, *arguments: str) -> str:
        """Run lvm with these arguments and return what it prints. Raises CalledProcessError."""
        done = subprocess.run(
            [str(self.lvm), *arguments], check=True, capture_output=True, text=True, timeout=30
        )
        return done.stdout
