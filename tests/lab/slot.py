"""A lab's place: its number, folder and user id. Two labs at once have different ones.

The place is held by a lock on a file, which the kernel lets go of when its holder ends, however it ends. Whoever gets
the lock afterwards removes what a dead predecessor left: its processes, network namespace and disks. A place whose
lock is held is never touched.
"""

import fcntl
import shutil
from pathlib import Path
from typing import TextIO

from tests.lab import paths
from tests.lab.errors import LabError
from tests.lab.network import LabNetwork
from tests.lab.processes import end_recorded
from tests.lab.uml.software import open_folder

PLACES = 16
FIRST_UID = 64000


class Slot:
    """One place, held until `release` or the end of this process."""

    def __init__(self, number: int, lock: TextIO) -> None:
        self.number = number
        self.uid = FIRST_UID + number
        self.folder = _folder(number)
        self.network = LabNetwork(number)
        self._lock = lock

    def release(self) -> None:
        """Give the place back. Logs stay in its folder until the next lab of that number; disks do not."""
        for disk in self.folder.glob("nodes/*/disk-*.img"):
            disk.unlink()
        self._lock.close()


def take() -> Slot:
    """Take the first free place, clean. Raises LabError when all are held."""
    open_folder(paths.shared())
    open_folder(_folder(0).parent)
    for number in range(PLACES):
        lock = (_folder(0).parent / f"{number}.lock").open("w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            continue
        slot = Slot(number, lock)
        _clean(slot)
        open_folder(slot.folder)
        return slot
    raise LabError(f"all {PLACES} labs of this machine are in use")


def _clean(slot: Slot) -> None:
    for folder in {one.parent for one in slot.folder.rglob("groups")}:
        end_recorded(folder)
    slot.network.down()
    if slot.folder.exists():
        shutil.rmtree(slot.folder)


def _folder(number: int) -> Path:
    return paths.shared() / "labs" / str(number)
