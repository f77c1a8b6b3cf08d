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
from typing import Final, Literal

import structlog

from carina_tasks.kube.api import Api
from carina_tasks.kube.events import About, Events
from carina_tasks.vital import VitalThread

SIZE: Final = 2000
"""Events that may wait; a failover of 500 volumes writes some 3000, while they are written."""

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

    def say(
        self,
        about: About,
        type_: Literal["Normal", "Warning"],
        reason: str,
        message: str,
        key: str = "",
        *,
        wait: bool = False,
        at: float | None = None,
    ) -> None:
        """Have the Event written; return at once unless `wait`.

        Args:
            about: The object that it is about.
            type_: ``Normal`` or ``Warning``.
            reason: The reason, for users.
            message: The message, for users.
            key: Distinguishes Events of one object and reason.
            wait: Whether it is written when this returns.
            at: When it happened (seconds since the epoch); None: now.
        """
        at = self._now() if at is None else at
        write = super().say
        if wait:
            write(about, type_, reason, message, key, at=at)
            return
        self._run()
        try:
            self._jobs.put_nowait(lambda: write(about, type_, reason, message, key, at=at))
        except queue.Full:
            structlog.get_logger().warning(
                "an Event is left out: too many wait", about=about.name, reason=reason
            )

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
