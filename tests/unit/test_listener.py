"""Noticing answers: what is heard, what a lost message costs, and what a flooding node can do."""

import json
import threading
import time
from types import SimpleNamespace

import fakeredis
import pytest
import redis

from carina_tasks.broker.calls import NodeCalls
from carina_tasks.errors import BrokerUnavailable
from carina_tasks.model.local import Inventory
from carina_tasks.model.messages import to_json
from carina_tasks.store.answers import answer_key
from carina_tasks.store.listener import listening
from tests.builders.app import CONF
from tests.builders.kubernetes import inventory
from tests.builders.redis import away

IDS = ["n1:0:a", "n2:5:b"]
KEYS = [answer_key(task_id) for task_id in IDS]


def app_of(client):
    """Make a Celery application of which only the result client is used."""
    return SimpleNamespace(backend=SimpleNamespace(client=client), conf=CONF)


@pytest.fixture
def client():
    """Lend an empty Redis."""
    return fakeredis.FakeRedis()


def test_an_answer_is_heard_at_once_and_under_its_key(client):
    """Neither the other question nor the time to the next look plays a part."""
    with listening(app_of(client)) as listener:
        listener.add(IDS)
        assert listener.hears
        threading.Timer(0.05, client.publish, (KEYS[1], b"x")).start()
        begun = time.monotonic()
        assert listener.wait(20) == {KEYS[1]}
        assert time.monotonic() - begun < 5


def test_what_was_published_before_the_wait_is_heard(client):
    """Redis confirmed the subscription before the question is sent."""
    with listening(app_of(client)) as listener:
        listener.add(IDS)
        client.publish(KEYS[0], b"x")
        assert listener.wait(5) == {KEYS[0]}


def test_time_passes_without_an_answer(client):
    """Nothing is heard after the given seconds, and not much later."""
    with listening(app_of(client)) as listener:
        listener.add(IDS)
        begun = time.monotonic()
        assert listener.wait(0.1) == frozenset()
        assert 0.1 <= time.monotonic() - begun < 2


def test_a_node_that_publishes_without_end_is_heard_once(client):
    """Its thousand messages wake the control worker one time; the other node is still heard."""
    with listening(app_of(client)) as listener:
        listener.add(IDS)
        for _ in range(1000):
            client.publish(KEYS[0], b"flood")
        assert listener.wait(1) == {KEYS[0]}
        client.publish(KEYS[1], b"x")
        assert listener.wait(5) == {KEYS[1]}


def test_what_comes_while_more_is_listened_for_is_heard(client):
    """The answer to an earlier question arrives before Redis confirms the next subscription."""
    with listening(app_of(client)) as listener:
        listener.add(IDS[:1])
        client.publish(KEYS[0], b"x")
        listener.add(IDS[1:])
        assert listener.wait(0) == {KEYS[0]}
        client.publish(KEYS[1], b"x")
        assert listener.wait(5) == {KEYS[1]}


def test_a_redis_that_refuses_subscriptions_is_polled(client):
    """`hears` is False, and waiting only lets the time pass."""

    class Refusing:
        def subscribe(self, *_):
            raise redis.exceptions.NoPermissionError("no channel")

        def close(self):
            """Be closed."""

    client.pubsub = Refusing
    with listening(app_of(client)) as listener:
        listener.add(IDS)
        assert not listener.hears
        assert listener.wait(0.01) == frozenset()
        listener.add(["n3:1:c"])
        assert not listener.hears


def test_a_connection_that_ends_is_polled_from_then_on(client):
    """No error: the look that follows reports a Redis that is away."""
    with listening(app_of(client)) as listener:
        listener.add(IDS)
        listener._pubsub.get_message = lambda timeout: away().ping()
        assert listener.wait(0.01) == frozenset()
        assert not listener.hears


def test_a_redis_that_is_away_is_one_error_for_all_questions():
    """Nothing is sent, and each node's result has the reason."""
    calls = NodeCalls(app_of(away()), 0.2, 1 << 20)
    results = calls.ask_all({"n1": None, "n2": None}, "carina.node.inventory", Inventory)
    assert {type(result) for result in results.values()} == {BrokerUnavailable}
    assert set(results) == {"n1", "n2"}


def test_an_answer_whose_message_was_lost_is_found(client):
    """Redis keeps nothing of what it publishes: the caller looks every second."""
    app = app_of(client)

    def send_task(name, *, task_id, **_):
        stored = {"status": "SUCCESS", "result": to_json(inventory("n1")), "task_id": task_id}
        client.set(answer_key(task_id), json.dumps(stored))

    app.send_task = send_task
    found = NodeCalls(app, 10, 1 << 20).ask("n1", "carina.node.inventory", None, Inventory)
    assert found.node == "n1"
