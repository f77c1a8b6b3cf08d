"""Notices that nodes answered: Celery's Redis backend publishes each result under its key.

Redis keeps nothing of what it publishes, so a message can be lost: the caller also looks for the
answer, less often. What a node publishes is not read here, only under which key.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Final, Protocol

import redis
from celery import Celery

from carina_tasks.store.answers import answer_key
from carina_tasks.store.client import connection

_CONFIRMED: Final = 2.0
"""Seconds for which Redis may take to confirm a subscription; then the caller polls."""


class Listener(Protocol):
    """Waits for answers."""

    hears: bool
    """Whether answers are noticed when they come. Otherwise `wait` only lets time pass."""

    def wait(self, seconds: float) -> frozenset[str]:
        """Return the keys that were answered, after `seconds` at most; none when time passed."""
        ...


Listen = Callable[[Celery, Sequence[str]], AbstractContextManager[Listener]]
"""Begins to listen for the answers to the tasks with these ids."""


@contextmanager
def listening(app: Celery, task_ids: Sequence[str]) -> Iterator[Listener]:
    """Listen for the answers to some tasks, from before they are sent.

    Args:
        app: The Celery application.
        task_ids: Ids of the tasks, ``<node>:<slot>:<uuid>``.

    Raises:
        BrokerUnavailable: Redis does not answer.
    """
    with connection(app) as client:
        # A connection of its own: keeping one for each thread was no quicker in `make bench`.
        pubsub = client.pubsub()
    subscription = Subscription(pubsub)
    try:
        subscription.begin([answer_key(task_id) for task_id in task_ids])
        yield subscription
    finally:
        pubsub.close()


class Subscription:
    """A subscription of redis-py, of one thread."""

    def __init__(self, pubsub: Any) -> None:
        """Make a subscription to nothing yet.

        Args:
            pubsub: The `PubSub` of redis-py.
        """
        self.hears = False
        self._pubsub = pubsub
        self._unheard = set[str]()

    def begin(self, keys: Sequence[str]) -> None:
        """Subscribe, and wait until Redis confirms it: an answer must not come before."""
        if not keys:
            return
        end, missing = time.monotonic() + _CONFIRMED, set(keys)
        try:
            self._pubsub.subscribe(*keys)
            while missing and (left := end - time.monotonic()) > 0:
                message = self._pubsub.get_message(timeout=left)
                if message and message["type"] == "subscribe":
                    missing.discard(_text(message["channel"]))
        except (redis.RedisError, OSError):
            return
        self.hears, self._unheard = not missing, set(keys)

    def wait(self, seconds: float) -> frozenset[str]:
        """Return the keys that were answered, after `seconds` at most; none when time passed.

        A key is heard once: a node that publishes without end must not keep this thread busy.

        Args:
            seconds: How long to wait.
        """
        if not self.hears:
            time.sleep(seconds)
            return frozenset()
        end = time.monotonic() + seconds
        try:
            while (left := end - time.monotonic()) > 0:
                message = self._pubsub.get_message(timeout=left)
                if message and message["type"] == "message":
                    key = _text(message["channel"])
                    if key in self._unheard:
                        self._unheard.remove(key)
                        self._pubsub.unsubscribe(key)
                        return frozenset({key})
        except (redis.RedisError, OSError):
            # The look that follows reports a Redis that is away.
            self.hears = False
        return frozenset()


def _text(channel: bytes | str) -> str:
    return channel.decode() if isinstance(channel, bytes) else channel
