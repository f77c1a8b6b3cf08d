"""A Celery application with a fake Redis."""

from __future__ import annotations

from types import SimpleNamespace


def app(client):
    """Make what the heartbeat looks at."""
    return SimpleNamespace(
        backend=SimpleNamespace(client=client), conf=SimpleNamespace(broker_use_ssl=None)
    )
