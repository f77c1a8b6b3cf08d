"""Kubernetes Events: what ``kubectl describe`` shows to people.

One Event for each object and reason (and `key`, for distinct things); repeated, its
count goes up and its message is the newest. How often it is written again is limited: a retry every
30 seconds must neither fill etcd nor wear out the API server. The count is therefore how often it
was written, as it is with client-go's limits. Writing an Event never fails the work that it reports
of.

Source: API conventions, "Events"; core/v1 validation (Events on cluster-scoped objects live in
``default``); client-go's EventCorrelator.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

import structlog

from carina_tasks.errors import AlreadyExists, CarinaTasksError
from carina_tasks.kube import paths
from carina_tasks.kube.api import Api, Raw
from carina_tasks.model import progress

SOONEST, LATEST = 30.0, 600.0
"""Seconds between two writes of one Event: news after 30; the same again after as long as it has
been repeated for, 600 at most.
An API server forgets an Event that was not written for an hour.
"""
REMEMBERED = 4096
"""Events of which a process remembers when they were written; client-go's own number."""


@dataclass(frozen=True, slots=True)
class About:
    """The object that an Event is about."""

    kind: str
    name: str
    uid: str
    namespace: str = ""
    api_version: str = "v1"


@dataclass(frozen=True, slots=True)
class _Sent:
    """When an Event was first and last written (seconds since the epoch), and its message."""

    first: float
    last: float
    message: str

    def due(self, message: str, now: float) -> bool:
        """Return whether it should be written again."""
        wait = (
            min(LATEST, max(SOONEST, self.last - self.first))
            if progress.same_but_for_numbers(self.message, message)
            else SOONEST
        )
        # A clock that was set back must not silence it.
        return not 0 <= now - self.last < wait


class Events:
    """Writes Events. Safe to share between threads."""

    def __init__(self, api: Api, now: Callable[[], float] = time.time) -> None:
        self._api, self._now = api, now
        self._sent: dict[str, _Sent] = {}

    def say(
        self,
        about: About,
        type_: Literal["Normal", "Warning"],
        reason: str,
        message: str,
        key: str = "",
        *,
        wait: bool = False,
    ) -> None:
        """Write the Event, or count up the one that has the same object, reason and key.

        Args:
            about: The object that it is about.
            type_: ``Normal`` or ``Warning``.
            reason: The reason, for users.
            message: The message, for users.
            key: Distinguishes Events of one object and reason.
            wait: Whether it must be written when this returns. Here it always is; `EventQueue`
                writes others later.
        """
        now, message = self._now(), message[:1000]
        self._deliver(lambda: self._say(about, type_, reason, message, key, now), wait=wait)

    def _deliver(self, write: Callable[[], None], *, wait: bool) -> None:
        """Have the Event written."""
        write()

    def _say(
        self, about: About, type_: str, reason: str, message: str, key: str, now: float
    ) -> None:
        digest = hashlib.sha256(
            "\0".join((about.kind, about.uid, type_, reason, key)).encode()
        ).hexdigest()[:16]
        name = f"{about.name[:200].rstrip('.-')}.{digest}"
        before = self._sent.get(name)
        if before is not None and not before.due(message, now):
            return
        try:
            self._remember(name, self._write(name, about, type_, reason, message, now))
        except CarinaTasksError as exc:
            structlog.get_logger().warning(
                "an Event could not be written", about=about.name, reason=reason, error=exc.message
            )

    def _write(
        self, name: str, about: About, type_: str, reason: str, message: str, now: float
    ) -> _Sent:
        path = paths.events(about.namespace or "default")
        try:
            self._api.create(path, _event(name, about, type_, reason, message, now))
        except AlreadyExists:
            # By this process before it forgot, or by another worker.
            old = self._api.get(f"{path}/{name}")
            sent = _Sent(
                _seconds(old, "firstTimestamp"),
                _seconds(old, "lastTimestamp"),
                str(old.get("message") or ""),
            )
            if not sent.due(message, now):
                return sent
            again = {
                "count": _count(old) + 1,
                "lastTimestamp": progress.timestamp(now),
                "message": message,
            }
            self._api.merge(f"{path}/{name}", again)
            return _Sent(sent.first, now, message)
        return _Sent(now, now, message)

    def _remember(self, name: str, sent: _Sent) -> None:
        if len(self._sent) >= REMEMBERED:
            # What is asked of the API server once too often costs a request, and nothing else.
            self._sent.clear()
        self._sent[name] = sent


def _event(name: str, about: About, type_: str, reason: str, message: str, now: float) -> Raw:
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": name, "namespace": about.namespace or "default"},
        "involvedObject": {
            "apiVersion": about.api_version,
            "kind": about.kind,
            "name": about.name,
            # kubectl looks for a node's Events by its name in place of the UID, as kubelets write
            # them.
            "uid": about.name if about.kind == "Node" else about.uid,
            **({"namespace": about.namespace} if about.namespace else {}),
        },
        "type": type_,
        "reason": reason,
        "message": message,
        "source": {"component": "carina-tasks"},
        "firstTimestamp": progress.timestamp(now),
        "lastTimestamp": progress.timestamp(now),
        "count": 1,
    }


def _seconds(event: Raw, field: str) -> float:
    try:
        return datetime.fromisoformat(str(event.get(field))).timestamp()
    except ValueError:
        return 0.0


def _count(event: Raw) -> int:
    count = event.get("count")
    return count if isinstance(count, int) else 1
