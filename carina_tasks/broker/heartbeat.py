"""A node worker says that it lives: key ``alive.<node>`` with a time to live.

In a thread of its own, because the solo pool answers nothing while a task runs. The key is the second witness when
Kubernetes calls a node NotReady.
"""

from __future__ import annotations

import threading

import redis
import structlog
from celery import Celery

from carina_tasks.errors import BrokerUnavailable

KEY = "alive."


class Heartbeat(threading.Thread):
    """Beats until `stop`."""

    def __init__(self, app: Celery, node: str, interval: float, ttl: float) -> None:
        super().__init__(name="heartbeat", daemon=True)
        self._app, self._node, self._interval, self._ttl = app, node, interval, ttl
        self._stopped = threading.Event()

    def run(self) -> None:
        """Renew the key; say once when the broker is away, and once when it is back."""
        log = structlog.get_logger().bind(node=self._node)
        away = False
        while not self._stopped.wait(0 if not away else self._interval):
            try:
                self._app.backend.client.set(KEY + self._node, b"1", ex=max(1, int(self._ttl)))
                if away:
                    log.info("heartbeat: the broker is back")
                away = False
            except (redis.RedisError, OSError) as exc:
                if not away:
                    log.warning("heartbeat: the broker does not answer; trying again", error=str(exc))
                away = True
                continue
            if self._stopped.wait(self._interval):
                return

    def stop(self) -> None:
        """End the thread at its next turn."""
        self._stopped.set()


def alive(app: Celery, node: str) -> bool:
    """Say whether the worker of `node` gave a sign within its time to live. Raises BrokerUnavailable."""
    try:
        return bool(app.backend.client.exists(KEY + node))
    except (redis.RedisError, OSError) as exc:
        raise BrokerUnavailable(f"the broker does not answer: {exc}") from exc


def beating(app: Celery) -> frozenset[str]:
    """Return the nodes whose workers gave a sign within their time to live. Raises BrokerUnavailable."""
    try:
        found = app.backend.client.scan_iter(match=f"{KEY}*", count=1000)
        return frozenset(key.decode(errors="replace").removeprefix(KEY) for key in found)
    except (redis.RedisError, OSError) as exc:
        raise BrokerUnavailable(f"the broker does not answer: {exc}") from exc
