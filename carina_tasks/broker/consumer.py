"""Celery's consumer, with patience.

Whatever the broker answers, it connects again, with growing pauses.

Celery ends a worker at an answer that is no lost connection: a broker at its memory limit (``OOM
command not allowed``), a master that became a replica (``READONLY``, ``UNBLOCKED``). Both pass, and
a worker that has ended is not there then. The setting ``broker_channel_error_retry`` makes Celery
start its consumer again; this class adds the pauses.
"""

from __future__ import annotations

import time
from typing import Final

from celery.worker.consumer import Consumer
from celery.worker.state import maybe_shutdown

from carina_tasks.errors import BrokerUnavailable
from carina_tasks.liveness import OF_THIS_PROCESS
from carina_tasks.store import trouble

PAUSES: Final = (1, 2, 5, 10, 20)
"""Seconds before each new try."""
FORGOTTEN: Final = 120.0
"""Seconds without an error after which the pauses begin with the shortest again."""


class PatientConsumer(Consumer):  # type: ignore[misc]
    """Pauses after each error of the broker."""

    _failures = 0
    _failed = 0.0

    def on_connection_error_before_connected(self, exc: Exception) -> None:
        """Log it, and pause."""
        explained = BrokerUnavailable(trouble.of_app(self.app, exc))
        super().on_connection_error_before_connected(explained)
        self._pause()

    def on_connection_error_after_connected(self, exc: Exception) -> None:
        """Log it, close the connection, and pause."""
        super().on_connection_error_after_connected(exc)
        self._pause()

    def _pause(self) -> None:
        now = time.monotonic()
        self._failures = self._failures + 1 if now - self._failed < FORGOTTEN else 1
        self._failed = now
        for _ in range(PAUSES[min(self._failures, len(PAUSES)) - 1]):
            # SIGTERM ends the worker in the middle of it, and waiting is not hanging.
            maybe_shutdown()
            OF_THIS_PROCESS.turned()
            time.sleep(1)
