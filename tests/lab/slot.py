"""A lab's place: its number, folder and user id. Two labs at once have different ones.

The place is held by a lock on a file, which the kernel lets go of when its holder ends, however it
ends. A guardian, a process of its own, waits for that and then ends what the dead holder left:
process groups and network namespace. If the guardian was killed too, the next holder
does the same. A place whose lock is held is never touched.
"""

import fcntl
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import TextIO

from tests.lab import paths
from tests.lab.errors import LabError
from tests.lab.network import LabNetwork
from tests.lab.processes import end_recorded
from tests.lab.uml.software import open_folder

PLACES = 16
FIRST_UID = 64000
DYING = 5.0
"""Seconds in which the kernel lets go of the lock of a process that it ends: it may close the
guardian's pipe first. A lock that is held for longer is a new holder's.
"""


class Slot:
    """One place, held until `release` or the end of this process."""

    def __init__(self, number: int, lock: TextIO) -> None:
        _end_leftovers(number)
        self.number = number
        self.uid = FIRST_UID + number
        self.folder = _folder(number)
        self.network = LabNetwork(number)
        self._lock = lock
        shutil.rmtree(self.folder, ignore_errors=True)
        open_folder(self.folder)
        # It reads a pipe without a writer: the end of that pipe is the end of this process.
        self._guardian = subprocess.Popen(
            [sys.executable, "-m", "tests.lab.slot", str(number)],
            stdin=subprocess.PIPE,
            cwd=paths.REPOSITORY,
            start_new_session=True,
        )

    def release(self) -> None:
        """Give the place back. Logs stay in its folder until the next lab of that number; disks do
        not.
        """
        for disk in self.folder.glob("nodes/*/disk-*.img"):
            disk.unlink()
        self._lock.close()
        self._guardian.communicate(timeout=20)


def take() -> Slot:
    """Take the first free place, clean. Raises LabError when all are held."""
    open_folder(paths.shared())
    open_folder(_folder(0).parent)
    for number in range(PLACES):
        lock = (_folder(0).parent / f"{number}.lock").open("w")
        if _locked(lock):
            return Slot(number, lock)
        lock.close()
    raise LabError(f"all {PLACES} labs of this machine are in use")


def guard(number: int) -> None:
    """Wait for the end of the pipe, then end what the holder left, unless a new holder has the
    place already.
    """
    sys.stdin.read()
    with (_folder(0).parent / f"{number}.lock").open("w") as lock:
        end = time.monotonic() + DYING
        while not _locked(lock):
            if time.monotonic() > end:
                return
            time.sleep(0.05)
        _end_leftovers(number)


def _locked(lock: TextIO) -> bool:
    """Lock a file; return False when another process holds it."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _end_leftovers(number: int) -> None:
    for groups in _folder(number).rglob("groups"):
        end_recorded(groups.parent)
    LabNetwork(number).down()


def _folder(number: int) -> Path:
    return paths.shared() / "labs" / str(number)


if __name__ == "__main__":
    guard(int(sys.argv[1]))
