"""One worker at a time per failover.

This saves double work and nothing else: two workers on one rebuild are safe, because every write
carries UID and resourceVersion preconditions. So a lock that cannot be had for want of a broker is
no reason to stop.
"""

from __future__ import annotations

import os
import threading
import time
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
    held = HeldLock(lock)
    _RENEWER.add(held, ttl / 3)
    try:
        yield held
    finally:
        _RENEWER.remove(held)
        if lock is not None:
            with suppress(LockError, redis.RedisError, OSError):
                lock.release()


class _Renewer:
    """One thread for all locks of this process: a zone is thousands of nodes, each with its own."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._due: dict[HeldLock, tuple[float, float]] = {}
        """When each is renewed next, by `time.monotonic`, and every how many seconds."""
        self._thread: threading.Thread | None = None

    def add(self, held: HeldLock, every: float) -> None:
        """Renew a lock from now on.

        Args:
            held: The lock.
            every: Seconds between two renewals.
        """
        with self._changed:
            self._due[held] = time.monotonic() + every, every
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="locks", daemon=True)
                self._thread.start()
            self._changed.notify()

    def remove(self, held: HeldLock) -> None:
        """Renew a lock no longer."""
        with self._changed:
            self._due.pop(held, None)

    def _run(self) -> None:
        while True:
            with self._changed:
                if not self._due:
                    # The next lock begins another thread.
                    self._thread = None
                    return
                now = time.monotonic()
                left = min(at for at, _ in self._due.values()) - now
                if left > 0:
                    self._changed.wait(left)
                    continue
                late = [held for held, (at, _) in self._due.items() if at <= now]
                for held in late:
                    every = self._due[held][1]
                    self._due[held] = now + every, every
            for held in late:
                held.renew()


_RENEWER = _Renewer()


def _forget() -> None:
    """Begin with no lock in a forked child: what its parent holds, its parent renews."""
    global _RENEWER
    _RENEWER = _Renewer()


os.register_at_fork(after_in_child=_forget)
