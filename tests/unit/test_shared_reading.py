"""One reading for all who ask at the same time, and none that is older than the question."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from carina_tasks.errors import ApiUnavailable
from carina_tasks.kube import paths
from carina_tasks.kube.cluster import Cluster
from carina_tasks.kube.shared import SharedReading
from tests.builders.flow import FakeApi
from tests.builders.kubernetes import node, pod


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


def asked_by(shared, threads):
    """Start threads that ask for a reading; return their futures once all are about to ask."""
    pool = ThreadPoolExecutor(threads)
    asked = threading.Barrier(threads + 1)

    def ask():
        asked.wait(10)
        return shared.get()

    futures = [pool.submit(ask) for _ in range(threads)]
    asked.wait(10)
    return futures


def asked_while_one_reads(slow):
    """Let one thread begin a reading and seven more ask; return the reading and all futures."""
    shared = SharedReading(slow)
    (first,) = asked_by(shared, 1)
    assert slow.begun.acquire(timeout=10)
    return shared, first, asked_by(shared, 7)


def seven_wait(shared):
    """Wait until one of seven threads leads the next reading and six have joined it."""
    end = time.monotonic() + 10
    while not (shared._next and len(shared._next._condition._waiters) == 6):
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_question_during_a_reading_gets_a_later_one():
    """What was begun before the question may lack what the question is about."""
    slow = Slow()
    _, first, later = asked_while_one_reads(slow)
    slow.let.release(20)
    assert first.result(10) == 1
    assert all(future.result(10) >= 2 for future in later)


def test_eight_threads_cost_two_readings():
    """The first reads, and the seven that come meanwhile share the second."""
    slow = Slow()
    shared, first, later = asked_while_one_reads(slow)
    seven_wait(shared)
    slow.let.release(2)
    assert [first.result(10), *{future.result(10) for future in later}] == [1, 2]


@pytest.mark.parametrize(
    ("path", "ask", "reading"),
    [
        (paths.NODES, lambda cluster: cluster.observe(), lambda cluster: cluster._snapshots),
        (paths.PODS, lambda cluster: cluster.pods(), lambda cluster: cluster._pods),
        (
            "/api/v1/namespaces/default/pods",
            lambda cluster: cluster.pods_on("n1", "default").using("claim-pvc-1"),
            lambda cluster: cluster._pods_on["n1", "default"],
        ),
    ],
)
def test_the_cluster_shares_its_expensive_lists(path, ask, reading):
    """Eight threads that ask at once list twice."""
    api = FakeApi(node("n1"), pod("a", "pvc-1"))
    whole, slow = api.list, Slow()
    api.list = lambda asked, query=None: (
        slow() if asked == path else 0,
        whole(asked, query),
    )[1]
    cluster = Cluster(api)
    with ThreadPoolExecutor(8) as pool:
        futures = [pool.submit(ask, cluster)]
        assert slow.begun.acquire(timeout=10)
        futures += [pool.submit(ask, cluster) for _ in range(7)]
        seven_wait(reading(cluster))
        slow.let.release(2)
        results = [future.result(10) for future in futures]
    assert slow.number == 2
    assert all(result == results[0] for result in results)


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
