"""One reading for all threads that ask for it at the same time."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Generic, TypeVar

T = TypeVar("T")


class SharedReading(Generic[T]):
    """Reads one at a time, and never hands out what was begun before it was asked for.

    Threads that ask while a reading runs share the next one. So eight tasks that look at the
    cluster at once cost two readings and the memory of two, not of eight.
    """

    def __init__(self, read: Callable[[], T]) -> None:
        self._read = read
        self._turn = threading.Lock()
        self._lock = threading.Lock()
        self._next: Future[T] | None = None
        """The reading that has not begun yet."""

    def get(self) -> T:
        """Return a reading that began after this call; raises what the reading raises."""
        with self._lock:
            joined = self._next
            if joined is None:
                mine = self._next = Future()
        if joined is not None:
            return joined.result()
        with self._turn:
            with self._lock:
                self._next = None  # It begins now: who asks from here on needs a later one.
            try:
                mine.set_result(self._read())
            except BaseException as exc:
                mine.set_exception(exc)
        return mine.result()
