"""Kubernetes Events: what ``kubectl describe`` shows to people.

One Event for each object and reason (and `key`, for distinct things); repeated, its
count goes up and its message is the newest. How often it is written again is limited: a retry every
30 seconds must neither fill etcd nor wear out the API server. The count is therefore how often it
was written, as it is with client-go's limits. Writing an Event never fails the work that it reports
of.

They are made as events.k8s.io/v1, whose times have microseconds, and are counted up as core/v1: the
same object, and only core/v1 lets a repeated Event carry its newest text.

Source: API conventions, "Events"; validation of events.k8s.io/v1 (Events on cluster-scoped objects
live in ``default``; action and reporter are required; a text has 1024 bytes at most).
"""

from __future__ import annotations

import hashlib
import platform
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import structlog

from carina_tasks.errors import AlreadyExists, CarinaTasksError
from carina_tasks.kube import event_times, paths
from carina_tasks.kube.api import Api, Raw
from carina_tasks.model import progress

SOONEST, LATEST = 30.0, 600.0
"""Seconds between two writes of one Event: news after 30; the same again after as long as it has
been repeated for, 600 at most.
An API server forgets an Event that was not written for an hour.
"""
CONTROLLER = "carina-tasks"
"""What our Events call their reporter; `kubectl get events --field-selector source=` takes it."""
TEXT_BYTES, NAME_BYTES = 1000, 128
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

    def __init__(
        self, api: Api, now: Callable[[], float] = time.time, controller: str = CONTROLLER
    ) -> None:
        self._api, self._now, self._controller = api, now, controller
        self._sent: dict[str, _Sent] = {}
        self._instance = platform.node()[:NAME_BYTES] or CONTROLLER
        self._ordering = threading.Lock()
        self._last = 0.0

    def say(
        self,
        about: About,
        type_: Literal["Normal", "Warning"],
        reason: str,
        message: str,
        key: str = "",
        *,
        related: About | None = None,
        wait: bool = False,
    ) -> None:
        """Write the Event, or count up the one that has the same object, reason and key.

        Args:
            about: The object that it is about.
            type_: ``Normal`` or ``Warning``.
            reason: The reason, for users.
            message: The message, for users.
            key: Distinguishes Events of one object and reason.
            related: The other object that it concerns.
            wait: Whether it must be written when this returns. Here it always is; `EventQueue`
                writes others later.
        """
        now = self._tick()
        message = message.encode()[:TEXT_BYTES].decode(errors="ignore")
        event = _event(about, type_, reason, message, key, now)
        event |= {"reportingController": self._controller, "reportingInstance": self._instance}
        if related is not None:
            event["related"] = _reference(related)
        self._deliver(lambda: self._say(event, now), wait=wait)

    def _tick(self) -> float:
        """Return the time, later than that of the Event before: their order is that of the acts."""
        with self._ordering:
            now = self._now()
            if 0 <= self._last - now < 1:
                now = self._last + 2e-6  # one microsecond, and what a float loses
            self._last = now
        return now

    def _deliver(self, write: Callable[[], None], *, wait: bool) -> None:
        """Have the Event written."""
        write()

    def _say(self, event: Raw, now: float) -> None:
        name = event["metadata"]["name"]
        before = self._sent.get(name)
        if before is not None and not before.due(event["note"], now):
            return
        try:
            self._remember(name, self._write(event, now))
        except CarinaTasksError as exc:
            structlog.get_logger().warning(
                "an Event could not be written",
                about=event["regarding"]["name"],
                reason=event["reason"],
                error=exc.message,
            )

    def _write(self, event: Raw, now: float) -> _Sent:
        namespace, message = event["metadata"]["namespace"], event["note"]
        try:
            self._api.create(paths.new_events(namespace), event)
        except AlreadyExists:
            # By this process before it forgot, or by another worker.
            path = f"{paths.events(namespace)}/{event['metadata']['name']}"
            old = self._api.get(path)
            sent = _Sent(*event_times.first_and_last(old), str(old.get("message") or ""))
            if not sent.due(message, now):
                return sent
            series = {
                "count": event_times.count(old) + 1,
                "lastObservedTime": event_times.micro_time(now),
            }
            self._api.merge(path, {"series": series, "message": message})
            return _Sent(sent.first, now, message)
        return _Sent(now, now, message)

    def _remember(self, name: str, sent: _Sent) -> None:
        if len(self._sent) >= REMEMBERED:
            # What is asked of the API server once too often costs a request, and nothing else.
            self._sent.clear()
        self._sent[name] = sent


def _event(about: About, type_: str, reason: str, message: str, key: str, now: float) -> Raw:
    digest = hashlib.sha256(
        "\0".join((about.kind, about.uid, type_, reason, key)).encode()
    ).hexdigest()[:16]
    return {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {
            "name": f"{about.name[:200].rstrip('.-')}.{digest}",
            "namespace": about.namespace or "default",
        },
        "eventTime": event_times.micro_time(now),
        "action": reason,
        "reason": reason,
        "regarding": _reference(about),
        "note": message,
        "type": type_,
    }


def _reference(about: About) -> Raw:
    return {
        "apiVersion": about.api_version,
        "kind": about.kind,
        "name": about.name,
        # kubectl looks for a node's Events by its name in place of the UID, as kubelets write them.
        "uid": about.name if about.kind == "Node" else about.uid,
        **({"namespace": about.namespace} if about.namespace else {}),
    }
