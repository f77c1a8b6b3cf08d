"""Is this process alive? It is while its own loop turns.

An endpoint, a heartbeat and a metric come from threads that continue while the loop, which takes
and runs the tasks, hangs. So the loop writes down that it turned, and the probe (``/livez``), the
heartbeat and thereby the second witness of a NotReady node read that. The loop stands still for
three reasons; two of them are no illness:

* it runs a task (the *solo* pool of a node worker): alive for `TASK_LIMIT`;
* the broker is away, and Celery waits for it in the loop: alive for as long as that lasts;
* it hangs.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final

INTERVAL: Final = 2.0
"""Seconds between two turns that are written down."""
LOOP_LIMIT: Final = 60.0
"""Seconds without a turn after which the loop counts as hung: longer than any call with a deadline
that runs in it.
"""
TASK_LIMIT: Final = 1800.0
"""Seconds that one task may hold the loop: a batch of 2000 volumes takes 20 minutes on a slow disk.
"""


class Liveness:
    """What one process knows of its own loop. Safe to share between threads.

    Times are of a steady clock.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._turned: float | None = None
        self._task: float | None = None
        self._broker_away = False

    def turned(self) -> None:
        """Write down that the loop turned.

        From the first time on it is expected to continue doing so.
        """
        with self._lock:
            self._turned = self._clock()

    def began(self) -> None:
        """Write down that the loop runs a task now."""
        with self._lock:
            self._task = self._clock()

    def ended(self) -> None:
        """Write down that the task ended, which is a turn, too."""
        with self._lock:
            self._task = None
            if self._turned is not None:
                self._turned = self._clock()

    def broker_is_away(self, away: bool) -> None:
        """Write down whether the broker answers."""
        with self._lock:
            if self._broker_away and not away and self._turned is not None:
                # Celery needs a moment to notice that it is back.
                self._turned = self._clock()
            self._broker_away = away

    def trouble(self) -> str:
        """Return why this process does not count as alive, empty when it does."""
        with self._lock:
            now = self._clock()
            if self._task is not None:
                busy = now - self._task
                return f"one task has held the loop for {busy:.0f} s" if busy > TASK_LIMIT else ""
            if self._turned is None or self._broker_away:
                return ""
            still = now - self._turned
            return f"the loop has not turned for {still:.0f} s" if still > LOOP_LIMIT else ""


OF_THIS_PROCESS: Final = Liveness()
"""The one of this process."""
