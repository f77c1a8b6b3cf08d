"""Work on several threads that logs as what it is: one task's."""

from __future__ import annotations

import contextvars
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import TypeVar

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
