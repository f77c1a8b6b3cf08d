"""lvm2 on a loop device, without a device mapper."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from carina_tasks.lvm.command import Lvm
from carina_tasks.model.quantity import GIB
from tests.unit.lvm_behaviour import VG, Node

CONFIG = """
devices {{
  use_devicesfile=0 obtain_device_list_from_udev=0 external_device_info_source="none"
  filter=["a|^{device}$|","r|.*|"]
}}
global {{ activation=0 locking_dir="{folder}/lock" }}
activation {{ udev_sync=0 udev_rules=0 monitoring=0 }}
backup {{ backup=0 archive=0 }}
"""


@contextmanager
def loop_node(folder: Path) -> Iterator[Node]:
    """Lend a node whose lvm2 has a loop device and no device mapper."""
    disk = folder / "disk"
    disk.touch()
    os.truncate(disk, 40 * GIB + (64 << 20))
    device = losetup("--find", "--show", str(disk))
    try:
        (folder / "lock").mkdir()
        (folder / "lvm.conf").write_text(CONFIG.format(device=device, folder=folder))
        lvm = Lvm(environment={"LVM_SYSTEM_DIR": str(folder)})
        lvm.run("vgcreate", "-y", VG, device)
        yield Node(lvm, hold=impossible, lock=impossible, knows_open=False)
    finally:
        losetup("--detach", device)


def impossible(name: str) -> AbstractContextManager[None]:
    """Refuse to hold or lock an LV: that needs a device mapper."""
    raise AssertionError(f"{name} cannot be held there: there is no device mapper")


def losetup(*words: str) -> str:
    """Run losetup and return what it prints."""
    return subprocess.run(
        ["losetup", *words], check=True, capture_output=True, text=True
    ).stdout.strip()
