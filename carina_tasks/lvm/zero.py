"""Zeroes written over an LV, in the background of the node worker.

An LV may take minutes, an answer to a request may not.

blkdiscard(8) writes them (``--zeroout``: the device does it itself where it can), piece by piece,
so that there is progress and so that a deadline ends it. It opens the device exclusively (since
util-linux 2.36). So what a worker that died left running and what its successor starts never write
at the same time, and a device that something has mounted or holds is not written to.
"""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from carina_tasks.model import names, quantity
from carina_tasks.model.local import LocalVolume

PIECE = 1 << 30
"""Bytes of one blkdiscard."""


@dataclass(frozen=True, slots=True)
class Zeroed:
    """All of the LV is zero."""


@dataclass(frozen=True, slots=True)
class Zeroing:
    """Zeroes are being written."""

    reason: str
    """How far, for users."""


@dataclass(frozen=True, slots=True)
class NotZeroed:
    """It failed; the next question begins again. `late`: the deadline was exceeded."""

    reason: str
    late: bool = False


Look = Callable[[LocalVolume], Zeroed | Zeroing | NotZeroed]
"""Asks how far the zeroing of an LV is, and begins it when it has not begun."""


@dataclass
class _Work:
    size: int
    begun: float | None = None
    done: int = 0
    error: str = ""
    late: bool = False


@dataclass
class Zero:
    """What this worker zeroes. A worker that is started again has forgotten it and begins again.

    Attributes:
        command: The blkdiscard command, with arguments before it where it must be entered
            (nsenter).
        timeout: Seconds that one LV may take.
        clock: Seconds that only grow.
    """

    command: tuple[str, ...]
    timeout: float
    clock: Callable[[], float] = time.monotonic
    _works: dict[str, _Work] = field(default_factory=dict)
    _one_at_a_time: threading.Lock = field(default_factory=threading.Lock)

    def look(self, lv: LocalVolume) -> Zeroed | Zeroing | NotZeroed:
        """Return how far the zeroing of `lv` is; begin it when it has not begun."""
        work = self._works.get(lv.uuid)
        if work is None or work.size != lv.size:
            work = self._works[lv.uuid] = _Work(lv.size)
            threading.Thread(
                target=self._zero, args=(lv, work), name=f"zero {lv.name}", daemon=True
            ).start()
        if work.error:
            del self._works[lv.uuid]
            return NotZeroed(work.error, work.late)
        if work.done >= work.size:
            del self._works[lv.uuid]
            return Zeroed()
        # By the clock and not by the thread, which waits forever for a process that a dead disk
        # holds.
        if work.begun is not None and self.clock() - work.begun > self.timeout:
            return NotZeroed(
                f"it was not zeroed within {self.timeout:g} s ({_show(work)})", late=True
            )
        return Zeroing(f"being zeroed, {_show(work)}")

    def _zero(self, lv: LocalVolume, work: _Work) -> None:
        with self._one_at_a_time:
            work.begun = self.clock()
            try:
                while work.done < work.size and not work.error:
                    piece = min(PIECE, work.size - work.done)
                    work.error = self._piece(lv, work, piece)
                    work.done += 0 if work.error else piece
            except Exception as exc:
                # No caller waits for this thread: the next question gets the error as its answer.
                work.error = f"it was not zeroed: {exc}"

    def _piece(self, lv: LocalVolume, work: _Work, length: int) -> str:
        """Write zeroes over one piece; return why it was not done, empty when it was."""
        path = f"/dev/{names.volume_group_name(lv.group)}/{names.logical_volume_name(lv.name)}"
        words = [
            *self.command,
            "--zeroout",
            "--offset",
            str(work.done),
            "--length",
            str(length),
            path,
        ]
        process = subprocess.Popen(  # noqa: S603  names are checked, the command is a setting
            words,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            process_group=0,
        )
        try:
            left = (work.begun or 0.0) + self.timeout - self.clock()
            stderr, _ = process.communicate(timeout=max(left, 0.1))
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            work.late = True
            return f"it was not zeroed within {self.timeout:g} s"
        return (
            f"it was not zeroed: {stderr.strip()[:500] or f'exit code {process.returncode}'}"
            if process.returncode
            else ""
        )


def _show(work: _Work) -> str:
    return f"{work.done * 100 // max(work.size, 1)} % of {quantity.show(work.size)}"
