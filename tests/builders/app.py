"""A Celery application with a fake Redis."""

from __future__ import annotations

from types import SimpleNamespace

CONF = SimpleNamespace(broker_use_ssl=None)
"""What is read of its configuration when the broker fails: no TLS, no Sentinel."""


def app(client):
    """Make what the heartbeat looks at."""
    return SimpleNamespace(backend=SimpleNamespace(client=client), conf=CONF)
