"""What control tasks found last, kept for the caller.

``carina status``, and the metrics of every control worker.

A task runs in one of several workers, and what it found would otherwise be known to that one alone:
its metrics would stay as they were while another worker finds something else. Nothing is decided by
a finding. One that is lost is found again.
"""

from __future__ import annotations

from typing import TypeVar

import msgspec
import structlog
from celery import Celery

from carina_tasks.errors import BrokerUnavailable
from carina_tasks.store.client import connection

KEY = "carina-tasks.found."

T = TypeVar("T")


class LatestResults:
    """Stores and returns the latest result of each control task. Safe to share between threads."""

    def __init__(self, app: Celery) -> None:
        self._app = app

    def keep(self, name: str, value: msgspec.Struct, ttl: float) -> None:
        """Keep `value` under `name` for `ttl` seconds, in place of the one before.

        A broker that is away is only logged.

        Args:
            name: Name of the result.
            value: The result.
            ttl: Seconds until it expires.
        """
        try:
            with connection(self._app) as client:
                client.set(KEY + name, msgspec.json.encode(value), ex=max(1, int(ttl)))
        except BrokerUnavailable as exc:
            structlog.get_logger().warning("a result is not stored", name=name, error=exc.message)

    def last(self, name: str, kind: type[T]) -> T | None:
        """Return the latest result of that name, or None when there is none.

        A result of another release that cannot be decoded counts as none.

        Raises:
            BrokerUnavailable: The broker did not answer.
        """
        with connection(self._app) as client:
            data = client.get(KEY + name)
        try:
            return msgspec.json.decode(data, type=kind) if data else None
        except (msgspec.DecodeError, UnicodeDecodeError):
            # Written by another release that runs beside this one during an update.
            return None
