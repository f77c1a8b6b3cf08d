"""Work on several threads that logs as what it is: one task's."""

from __future__ import annotations

import contextvars
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import Any, Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")


def spread(pool: Executor, work: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
    """Do `work` for each of `items` on `pool` and return the results in order.

    Threads of a pool do not inherit context variables: each call gets a copy of ours, so that its
    log lines have the task's id.

    Args:
        pool: The threads.
        work: What is done with each item.
        items: The items.
    """
    futures = [pool.submit(contextvars.copy_context().run, work, item) for item in items]
    return (future.result() for future in futures)


def each(most: int, work: Callable[[T], R], items: Sequence[T]) -> list[R]:
    """Do `work` for each of `items` on threads that end with it, and return the results in order.

    Args:
        most: Threads at most; a single item needs none.
        work: What is done with each item.
        items: The items.
    """
    if len(items) < 2:
        return [work(item) for item in items]
    with ThreadPoolExecutor(min(len(items), most)) as pool:
        return list(spread(pool, work, items))


@contextmanager
def crew(threads: int, most: int) -> Iterator[Crew[Any]]:
    """Give a crew whose threads end with the block.

    Args:
        threads: Threads at most.
        most: Pieces of work that may be in hand.
    """
    with ThreadPoolExecutor(threads) as pool:
        yield Crew(pool, most)


class Crew(Generic[R]):
    """Threads that work while more work is found; at most so many pieces of it are in hand."""

    def __init__(self, pool: Executor, most: int) -> None:
        """Make a crew.

        Args:
            pool: The threads.
            most: Pieces of work that may be in hand: each keeps alive what it was given.
        """
        self._pool, self._most = pool, most
        self._running: list[Future[R]] = []
        self._results: list[R] = []

    def add(self, work: Callable[[T], R], item: T) -> None:
        """Begin `work` with `item`, once there is a place for it.

        Raises what earlier work raised.

        Args:
            work: What is done.
            item: With what.
        """
        self._collect()
        if len(self._running) >= self._most:
            wait(self._running, return_when=FIRST_COMPLETED)
            self._collect()
        self._running.append(self._pool.submit(contextvars.copy_context().run, work, item))

    def results(self) -> list[R]:
        """Return what all work returned, once it has ended; raises what it raised."""
        self._results += [future.result() for future in self._running]
        self._running = []
        return self._results

    def _collect(self) -> None:
        done = [future for future in self._running if future.done()]
        self._running = [future for future in self._running if not future.done()]
        self._results += [future.result() for future in done]
