"""Notices that nodes answered: Celery's Redis backend publishes each result under its key.

Redis keeps nothing of what it publishes, so a message can be lost: the caller also looks for the
answer, less often. What a node publishes is not read here, only under which key.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
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

    def add(self, task_ids: Sequence[str]) -> None:
        """Listen for the answers to these tasks too, from before they are sent."""
        ...

    def wait(self, seconds: float) -> frozenset[str]:
        """Return the keys that were answered, after `seconds` at most; none when time passed."""
        ...


Listen = Callable[[Celery], AbstractContextManager[Listener]]
"""Gives a listener, which listens for nothing yet."""


@contextmanager
def listening(app: Celery) -> Iterator[Listener]:
    """Give a listener for the time of the block.

    Raises:
        BrokerUnavailable: Redis does not answer.
    """
    with connection(app) as client:
        # A connection of its own: keeping one for each thread was no quicker in `make bench`.
        pubsub = client.pubsub()
    try:
        yield Subscription(pubsub)
    finally:
        pubsub.close()


class Subscription:
    """A subscription of redis-py, of one thread."""

    def __init__(self, pubsub: Any) -> None:
        """Make a subscription to nothing yet.

        Args:
            pubsub: The `PubSub` of redis-py.
        """
        self.hears = True
        self._pubsub = pubsub
        self._unheard = set[str]()
        self._heard = set[str]()
        """What was answered while a subscription was confirmed."""

    def add(self, task_ids: Sequence[str]) -> None:
        """Subscribe, and wait until Redis confirms it: an answer must not come before.

        Args:
            task_ids: Ids of the tasks, ``<node>:<slot>:<uuid>``.
        """
        keys = {answer_key(task_id) for task_id in task_ids}
        if not keys or not self.hears:
            return
        self._unheard |= keys
        end, missing = time.monotonic() + _CONFIRMED, set(keys)
        try:
            self._pubsub.subscribe(*sorted(keys))
            while missing and (left := end - time.monotonic()) > 0:
                message = self._pubsub.get_message(timeout=left)
                if message and message["type"] == "subscribe":
                    missing.discard(_text(message["channel"]))
                elif key := self._answered(message):
                    self._heard.add(key)
        except (redis.RedisError, OSError):
            self.hears = False
        # Without a confirmation the caller polls.
        self.hears = self.hears and not missing

    def wait(self, seconds: float) -> frozenset[str]:
        """Return the keys that were answered, after `seconds` at most; none when time passed.

        A key is heard once: a node that publishes without end must not keep this thread busy.

        Args:
            seconds: How long to wait.
        """
        if self._heard:
            heard, self._heard = frozenset(self._heard), set()
            return heard
        if not self.hears:
            time.sleep(seconds)
            return frozenset()
        end = time.monotonic() + seconds
        try:
            while (left := end - time.monotonic()) > 0:
                if key := self._answered(self._pubsub.get_message(timeout=left)):
                    return frozenset({key})
        except (redis.RedisError, OSError):
            # The look that follows reports a Redis that is away.
            self.hears = False
        return frozenset()

    def _answered(self, message: Mapping[str, Any] | None) -> str:
        """Return the key that a message is about; empty when that was heard before, or none was."""
        if not message or message["type"] != "message":
            return ""
        key = _text(message["channel"])
        if key not in self._unheard:
            return ""
        self._unheard.remove(key)
        self._pubsub.unsubscribe(key)
        return key


def _text(channel: bytes | str) -> str:
    return channel.decode() if isinstance(channel, bytes) else channel
