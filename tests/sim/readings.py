"""Shared readings in virtual time: the threads of one process share, other processes do not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.sim.actors import Answer, Executor, Process


@dataclass
class _Readings:
    running: Answer | None = None
    next: Answer | None = None


class SimulatedReading:
    """`kube.shared.SharedReading` for greenlets, for whom a lock of threads would stop the world.

    One `Cluster` serves all processes of a history, so each process has readings of its own.
    """

    def __init__(self, read: Callable[[], Any]) -> None:
        self._read = read
        self._of: dict[Process, _Readings] = {}

    def get(self) -> Any:
        """Return a reading that began after this call."""
        actors = Executor.actors
        process = actors.process
        if process is None:
            return self._read()
        readings = self._of.setdefault(process, _Readings())
        if readings.next is not None:
            return readings.next.result()
        mine = readings.next = Answer(actors)
        while readings.running is not None:
            readings.running.wait()
        readings.running, readings.next = mine, None
        try:
            mine.set_result(self._read())
        except Exception as exc:
            mine.set_exception(exc)
        readings.running = None
        return mine.result()
