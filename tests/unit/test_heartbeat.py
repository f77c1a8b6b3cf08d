"""A node worker's heartbeat."""

import threading
import time

import fakeredis
import pytest
import structlog

from carina_tasks.errors import BrokerUnavailable
from carina_tasks.store.heartbeat import Heartbeat, alive
from tests.builders.app import app
from tests.builders.redis import away


def test_it_beats_with_a_time_to_live_and_stops():
    """The key is there, will end by itself, and the thread ends when told to."""
    one = app(fakeredis.FakeRedis())
    assert not alive(one, "n1")
    beat = Heartbeat(one, "n1", 0.01, 20)
    beat.start()
    end = time.monotonic() + 5
    while not alive(one, "n1") and time.monotonic() < end:
        time.sleep(0.005)
    assert alive(one, "n1")
    assert not alive(one, "n2")
    assert 0 < one.backend.client.ttl("alive.n1") <= 20
    beat.stop()
    beat.join(5)
    assert not beat.is_alive()


def test_a_broker_that_is_away_is_said_once_and_its_return_once():
    """No line a second, no end of the thread; it beats again when the broker is back."""
    server = fakeredis.FakeServer()
    server.connected = False
    tries = threading.Semaphore(0)

    class Client(fakeredis.FakeRedis):
        def set(self, *args, **options):
            """Count the tries."""
            tries.release()
            return super().set(*args, **options)

    with structlog.testing.capture_logs() as said:
        beat = Heartbeat(app(Client(server=server)), "n1", 0.01, 20)
        beat.start()
        for _ in range(4):
            assert tries.acquire(timeout=5)
        server.connected = True
        for _ in range(4):
            assert tries.acquire(timeout=5)
        beat.stop()
        beat.join(5)
    assert [line["log_level"] for line in said] == ["warning", "info"]


def test_no_broker_is_not_a_dead_node():
    """Whether the worker lives is unknown then: an error, never False."""
    with pytest.raises(BrokerUnavailable):
        alive(app(away()), "n1")
