"""Threads that a process cannot do its work without.

When one of them ends, the process ends, and is started again.

A thread of Python that ends with an exception ends alone. Its process continues, answers its probe
and looks alive.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Final

import structlog

EXIT_CODE: Final = 70
"""EX_SOFTWARE of sysexits.h(3)."""


class VitalThread(threading.Thread):
    """A daemon thread whose unexpected end is the end of its process.

    `os._exit` and not an exception or a signal: whatever the main thread waits for, it does not
    hold the end up. Every task of ours may be killed at any point.
    """

    def __init__(
        self, name: str, work: Callable[[], None], stopped: Callable[[], bool] = lambda: False
    ) -> None:
        """Make the thread; it begins with `start`.

        Args:
            name: What log lines call it.
            work: What it does for as long as the process lives.
            stopped: Whether `work` was asked to end; then its return is expected.

        """
        super().__init__(name=name, daemon=True)
        self._work, self._stopped = work, stopped

    def run(self) -> None:
        """Do the work; end the process when it ends unexpectedly."""
        log = structlog.get_logger()
        try:
            self._work()
        except BaseException:
            log.critical(
                "a vital thread failed: the process ends, and must be started again",
                thread=self.name,
                exc_info=True,
            )
            _end_process()
        if not self._stopped():
            log.critical(
                "a vital thread ended: the process ends, and must be started again",
                thread=self.name,
            )
            _end_process()


def _end_process() -> None:
    os._exit(EXIT_CODE)
