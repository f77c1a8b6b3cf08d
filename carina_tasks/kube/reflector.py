"""One kind, listed and then watched for as long as the process lives.

A list gives the objects and their version; the watch continues from that version. When the API
server no longer knows the version (410), or the watch breaks, the reflector lists or watches again.
"""

from __future__ import annotations

import threading
from typing import Protocol

import structlog

from carina_tasks.errors import ApiGone, ApiUnavailable, CarinaTasksError
from carina_tasks.kube.api import Api, Listing, WatchEvent

PAUSES = (1, 2, 5, 10, 30)
"""Seconds between two tries to reach the API server."""

TURN = 0.5
"""Seconds between two watches: one that something in between closes at once must not become a loop.
"""


class Sink(Protocol):
    """Takes what the reflector hears."""

    def listed(self, listing: Listing) -> None:
        """Replace everything by a complete list."""
        ...

    def changed(self, event: WatchEvent) -> None:
        """Take one event. A bookmark has no object, only the version up to which all is known."""
        ...

    def failed(self, exc: CarinaTasksError) -> None:
        """Take note that the API server cannot be listed or watched now."""
        ...


class Reflector:
    """Lists and watches the objects at one path, in the thread that calls `run`."""

    def __init__(
        self, api: Api, path: str, sink: Sink, seconds: int, stopped: threading.Event
    ) -> None:
        """Make a reflector.

        Args:
            api: The API server.
            path: Path of the kind in the API.
            sink: Takes lists and events.
            seconds: Seconds after which the API server ends a watch. It sends a bookmark before.
            stopped: Set to end `run` after its next event.
        """
        self._api, self._path, self._sink, self._seconds = api, path, sink, seconds
        self._stopped = stopped

    def run(self) -> None:
        """List and watch until stopped, with growing pauses while the API server is away.

        A refusal is tried again too: credentials and roles may be put right while we run.
        """
        version, failures, log = "", 0, structlog.get_logger()
        while not self._stopped.is_set():
            try:
                if not version:
                    version = self._list()
                    failures = 0
                for event in self._api.watch(self._path, version, self._seconds):
                    failures = 0
                    self._sink.changed(event)
                    version = version_of(event) or version
                    if self._stopped.is_set():
                        break
                self._stopped.wait(TURN)
            except ApiGone:
                version = ""
                self._stopped.wait(TURN)
            except CarinaTasksError as exc:
                # A watch that broke is continued from the last version that it showed.
                self._sink.failed(exc)
                pause = PAUSES[min(failures, len(PAUSES) - 1)]
                failures += 1
                log.warning(
                    "a watch failed; trying again",
                    path=self._path,
                    error=exc.message,
                    seconds=pause,
                )
                self._stopped.wait(pause)

    def _list(self) -> str:
        listing = self._api.list(self._path)
        # Something in between can cut a list short, and an object that it lacks counts as gone.
        total = self._api.count(self._path, listing.version)
        if total is not None and total != len(listing.items):
            raise ApiUnavailable(
                f"a list of {self._path} holds {len(listing.items)} objects and the API server "
                f"counts {total}: something cuts it short"
            )
        self._sink.listed(listing)
        return listing.version


def version_of(event: WatchEvent) -> str:
    """Return the version after which a watch may continue; empty when the event has none."""
    meta = event.object.get("metadata")
    return str(meta.get("resourceVersion") or "") if isinstance(meta, dict) else ""
