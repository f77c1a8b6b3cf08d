"""One worker at a time per failover.

This saves double work and nothing else: two workers on one rebuild are safe, because every write
carries UID and resourceVersion preconditions. So a lock that cannot be had for want of a broker is
no reason to stop.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import redis
from celery import Celery
from redis.exceptions import LockError


class HeldLock:
    """A lock that is held, or was not needed."""

    def __init__(self, lock: redis.lock.Lock | None) -> None:
        self._lock = lock

    def renew(self) -> None:
        """Hold it for another time to live.

        A lock that was lost (the broker was emptied) stays lost, which is safe.
        """
        try:
            if self._lock is not None:
                self._lock.reacquire()
        except (LockError, redis.RedisError, OSError):
            self._lock = None


@contextmanager
def hold(app: Celery, name: str, ttl: float) -> Iterator[HeldLock | None]:
    """Yield a Hold on `name`, renewed until the block ends, or None when another worker has it.

    A process that is killed renews no more, so another one takes over after `ttl` seconds.

    Args:
        app: The Celery application.
        name: Name of the lock.
        ttl: Seconds until it expires.
    """
    lock = None
    try:
        candidate = app.backend.client.lock(
            f"carina-tasks.lock.{name}", timeout=ttl, blocking=False, thread_local=False
        )
        if not candidate.acquire():
            yield None
            return
        lock = candidate
    except (redis.RedisError, OSError):
        lock = None
    held, ended = HeldLock(lock), threading.Event()
    threading.Thread(
        target=_renew, args=(held, ttl / 3, ended), name=f"lock {name}", daemon=True
    ).start()
    try:
        yield held
    finally:
        ended.set()
        if lock is not None:
            with suppress(LockError, redis.RedisError, OSError):
                lock.release()


def _renew(held: HeldLock, every: float, ended: threading.Event) -> None:
    while not ended.wait(every):
        held.renew()
