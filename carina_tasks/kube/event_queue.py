"""Events that are written in a thread of their own, so that no step of a rebuild waits for one.

What is lost with a process that is killed was said in its log as well. What must not be lost is
written at once (`wait`).
"""

from __future__ import annotations

import os
import queue
import threading
import time
from collections.abc import Callable
from typing import Final

import structlog

from carina_tasks.kube.api import Api
from carina_tasks.kube.events import Events
from carina_tasks.vital import VitalThread

SIZE: Final = 2000
"""Events that may wait: those of some hundred volumes, and they are written meanwhile."""

Job = Callable[[], None]


class EventQueue(Events):
    """Writes Events one after the other, in the order in which they were said."""

    def __init__(self, api: Api, now: Callable[[], float] = time.time, size: int = SIZE) -> None:
        """Make a queue; its thread begins with the first Event.

        Args:
            api: The API server.
            now: Seconds since the epoch.
            size: How many Events may wait.
        """
        super().__init__(api, now)
        self._jobs: queue.Queue[Job] = queue.Queue(size)
        self._start = threading.Lock()
        self._process = 0

    def _deliver(self, write: Job, *, wait: bool) -> None:
        if wait:
            write()
            return
        self._run()
        try:
            self._jobs.put_nowait(write)
        except queue.Full:
            structlog.get_logger().warning("an Event is left out: too many wait")

    def flush(self, seconds: float) -> bool:
        """Wait until what was said so far is written; return whether it is.

        Args:
            seconds: How long to wait at most.
        """
        if self._process != os.getpid():
            return True
        done = threading.Event()
        try:
            self._jobs.put(done.set, timeout=seconds)
        except queue.Full:
            return False
        return done.wait(seconds)

    def _run(self) -> None:
        """Start the thread, in a fork of the process too: threads do not live on in one."""
        with self._start:
            if self._process != os.getpid():
                self._process = os.getpid()
                self._jobs = queue.Queue(self._jobs.maxsize)
                VitalThread("events", self._work).start()

    def _work(self) -> None:
        jobs = self._jobs
        while True:
            jobs.get()()
