"""Celery's connection to the broker, with errors that an operator understands.

Celery's worker, its beat and its other clients log what their connection reports each time that it
cannot be made; here it reports `carina_tasks.store.trouble.sentence` of it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kombu.connection import Connection

from carina_tasks.errors import BrokerUnavailable
from carina_tasks.queues import KnownQueuesAMQP
from carina_tasks.store import trouble

OnError = Callable[[Exception, float], None]
"""Takes the error, and the seconds until the next try."""


class ExplainedConnection(Connection):
    """Reports each error in one sentence that says what to do."""

    def ensure_connection(self, errback: OnError | None = None, *args: Any, **options: Any) -> Any:
        """Connect, and try again; see kombu."""
        reported = None
        if errback is not None:

            def reported(exc: Exception, interval: float) -> None:
                urls = list(self.alt) or [self.as_uri(include_password=True)]
                sentinel = (self.transport_options or {}).get("sentinel_kwargs") or {}
                why = trouble.sentence(exc, urls, sentinel, tls=bool(self.ssl))
                errback(BrokerUnavailable(why), interval)

        return super().ensure_connection(reported, *args, **options)  # type: ignore[no-untyped-call]


class ExplainedAMQP(KnownQueuesAMQP):
    """Celery's AMQP layer with `ExplainedConnection`."""

    Connection = ExplainedConnection
