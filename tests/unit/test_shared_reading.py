"""One reading for all who ask at the same time, and none that is older than the question."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from carina_tasks.errors import ApiUnavailable
from carina_tasks.kube.shared import SharedReading


class Slow:
    """A reading that ends when it is let; it returns its number."""

    def __init__(self):
        self.begun = threading.Semaphore(0)
        self.let = threading.Semaphore(0)
        self.number = 0
        self.error = None

    def __call__(self):
        """Read, once it is let."""
        self.number += 1
        number = self.number
        self.begun.release()
        assert self.let.acquire(timeout=10)
        if self.error:
            raise self.error
        return number


def waits_for_the_next(shared, threads):
    """Start threads that ask while a reading runs; return their futures once they have asked."""
    pool = ThreadPoolExecutor(threads)
    asked = threading.Barrier(threads + 1)

    def ask():
        asked.wait(10)
        return shared.get()

    futures = [pool.submit(ask) for _ in range(threads)]
    asked.wait(10)
    return futures


def test_a_question_during_a_reading_gets_a_later_one():
    """What was begun before the question may lack what the question is about."""
    slow = Slow()
    shared = SharedReading(slow)
    (first,) = waits_for_the_next(shared, 1)
    assert slow.begun.acquire(timeout=10)
    later = waits_for_the_next(shared, 7)
    slow.let.release(20)
    assert first.result(10) == 1
    assert all(future.result(10) >= 2 for future in later)


def test_eight_threads_cost_two_readings():
    """The first reads, and the seven that come meanwhile share the second."""
    slow = Slow()
    shared = SharedReading(slow)
    (first,) = waits_for_the_next(shared, 1)
    assert slow.begun.acquire(timeout=10)
    later = waits_for_the_next(shared, 7)
    # One of the seven leads the next reading, and six wait for it.
    end = time.monotonic() + 10
    while not (shared._next and len(shared._next._condition._waiters) == 6):
        assert time.monotonic() < end
        time.sleep(0.01)
    slow.let.release(2)
    assert [first.result(10), *{future.result(10) for future in later}] == [1, 2]


def test_an_error_is_everyones_and_is_not_kept():
    """A list that failed is no list; the next question reads again."""
    slow = Slow()
    slow.error = ApiUnavailable("half")
    shared = SharedReading(slow)
    slow.let.release(2)
    with pytest.raises(ApiUnavailable):
        shared.get()
    slow.error = None
    assert shared.get() == 2
