"""One kind, listed and then watched for as long as the process lives.

A list gives the objects and their version; the watch continues from that version. When the API
server no longer knows the version (410), or the watch breaks, the reflector lists or watches again.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

import structlog

from carina_tasks.errors import ApiGone, ApiUnavailable, CarinaTasksError
from carina_tasks.kube.api import Api
from carina_tasks.kube.kinds import Kind
from carina_tasks.kube.parsing import Change, Named, Objects

T = TypeVar("T", bound=Named)

PAUSES = (1, 2, 5, 10, 30)
"""Seconds between two tries to reach the API server."""

TURN = 0.5
"""Seconds between two watches: one that something in between closes at once must not become a loop.
"""


class Sink(Protocol[T]):
    """Takes what the reflector hears."""

    def listed(self, found: Objects[T]) -> None:
        """Replace everything by a complete list."""
        ...

    def changed(self, event: Change[T]) -> None:
        """Take one event. A bookmark has no object, only the version up to which all is known."""
        ...

    def ended(self) -> None:
        """Take note that a watch lived as long as it should and ended in order."""
        ...


class Reflector(Generic[T]):
    """Lists and watches the objects of one kind, in the thread that calls `run`."""

    def __init__(
        self,
        api: Api,
        kind: Kind[T],
        sink: Sink[T],
        seconds: int,
        stopped: threading.Event,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Make a reflector.

        Args:
            api: The API server.
            kind: The kind.
            sink: Takes lists and events.
            seconds: Seconds after which the API server ends a watch.
            stopped: Set to end `run` after its next event.
            monotonic: A clock that never goes back (seconds).
        """
        self._api, self._kind, self._sink, self._seconds = api, kind, sink, seconds
        self._stopped, self._monotonic = stopped, monotonic
        self._version = ""
        """After which the next watch continues; empty: list first."""
        self._failures = 0
        """Tries since anything was heard."""

    def run(self) -> None:
        """List and watch until stopped, with growing pauses while the API server is away.

        A refusal is tried again too: credentials and roles may be put right while we run.
        """
        log = structlog.get_logger()
        while not self._stopped.is_set():
            try:
                if not self._version:
                    self._version = self._list()
                    self._failures = 0
                self._watch()
                self._stopped.wait(TURN)
            except ApiGone:
                self._version = ""
                self._stopped.wait(TURN)
            except CarinaTasksError as exc:
                # A watch that broke is continued from the last version that it showed.
                pause = PAUSES[min(self._failures, len(PAUSES) - 1)]
                self._failures += 1
                log.warning(
                    "a watch failed; trying again",
                    path=self._kind.path,
                    error=exc.message,
                    seconds=pause,
                )
                self._stopped.wait(pause)

    def _watch(self) -> None:
        begun = self._monotonic()
        for event in self._api.follow(self._kind, self._version, self._seconds):
            self._failures = 0
            self._sink.changed(event)
            self._version = event.version or self._version
            if self._stopped.is_set():
                return
        # A kind that is quiet may get no bookmark: the API server sends none while its etcd reports
        # no progress. That the server ended the watch when it should shows that it was connected.
        if self._monotonic() - begun >= 0.9 * self._seconds:
            self._sink.ended()

    def _list(self) -> str:
        found = self._api.read_all(self._kind)
        # Something in between can cut a list short, and an object that it lacks counts as gone.
        total = self._api.count(self._kind.path, found.version)
        if total is not None and total != len(found):
            raise ApiUnavailable(
                f"a list of {self._kind.path} holds {len(found)} objects and the API server "
                f"counts {total}: something cuts it short"
            )
        self._sink.listed(found)
        return found.version
