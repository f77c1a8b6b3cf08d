"""The connection to the key-value store, and the one translation of its errors.

The store is Celery's result backend: Redis or Valkey, see
`carina_tasks.settings.Settings.broker_url`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import redis
from celery import Celery

from carina_tasks.errors import BrokerUnavailable
from carina_tasks.store import trouble


@contextmanager
def connection(app: Celery) -> Iterator[Any]:
    """Yield redis-py's client for the duration of a block.

    Raises:
        BrokerUnavailable: Redis refused a command, or did not answer within the timeouts of the
            Celery application.
    """
    try:
        yield app.backend.client
    except (redis.RedisError, OSError) as exc:
        raise BrokerUnavailable(f"Redis cannot be used: {trouble.of_app(app, exc)}") from exc


def ping(app: Celery) -> None:
    """Raise BrokerUnavailable when Redis does not answer."""
    with connection(app) as client:
        client.ping()
