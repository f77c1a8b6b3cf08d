"""A process looks alive while it works, and no longer: threads that end, loops that hang, and what
the probes answer.
"""

from __future__ import annotations

import subprocess
import sys
import time
import urllib.error
import urllib.request
from types import SimpleNamespace

import fakeredis
import pytest
import redis
from kombu.exceptions import OperationalError
from prometheus_client import CollectorRegistry

from carina_tasks import liveness, vital
from carina_tasks.decisions.hints import Hint
from carina_tasks.demo.children import free_port
from carina_tasks.errors import ApiUnavailable, BrokerUnavailable
from carina_tasks.liveness import LOOP_LIMIT, TASK_LIMIT, Liveness
from carina_tasks.node_watch import publisher
from carina_tasks.observability import web
from carina_tasks.store import heartbeat
from tests.builders import app as builders

PROGRAM = """
import time
from carina_tasks.vital import VitalThread
{work}
VitalThread("work", work, lambda: {stopped}).start()
time.sleep({sleep})
"""


@pytest.mark.parametrize(
    ("work", "stopped", "code"),
    [
        ("def work(): raise RuntimeError('Retry limit exceeded')", False, vital.EXIT_CODE),
        ("def work(): raise SystemExit", False, vital.EXIT_CODE),
        ("def work(): pass", False, vital.EXIT_CODE),
        ("def work(): pass", True, 0),
    ],
)
def test_a_vital_thread_that_ends_ends_its_process(work: str, stopped: bool, code: int):
    """By an exception, or by returning without having been told to; the log names the thread. One
    that was stopped may end.
    """
    program = PROGRAM.format(work=work, stopped=stopped, sleep=1 if stopped else 20)
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=15
    )
    assert done.returncode == code
    assert bool(code) == ("thread=work" in done.stdout + done.stderr)


class Clock:
    """A clock that stands where a test puts it."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


def test_a_loop_that_does_not_turn_is_noticed():
    """Before its first turn nothing is expected; after it, a minute without one is trouble, and the
    next turn ends it.
    """
    clock = Clock()
    alive = Liveness(clock)
    clock.now += 9999
    assert alive.trouble() == ""
    alive.turned()
    clock.now += LOOP_LIMIT
    assert alive.trouble() == ""
    clock.now += 1
    assert alive.trouble() == "the loop has not turned for 61 s"
    alive.turned()
    assert alive.trouble() == ""


def test_a_task_may_hold_the_loop_for_its_time():
    """The solo pool runs lvm in the loop: no trouble for half an hour, then trouble; its end is a
    turn.
    """
    clock = Clock()
    alive = Liveness(clock)
    alive.turned()
    alive.began()
    clock.now += TASK_LIMIT
    assert alive.trouble() == ""
    clock.now += 1
    assert "one task has held the loop" in alive.trouble()
    alive.ended()
    assert alive.trouble() == ""


def test_a_broker_that_is_away_is_no_illness_of_the_loop():
    """Celery waits for it in the loop; when it is back the loop has a minute to turn."""
    clock = Clock()
    alive = Liveness(clock)
    alive.turned()
    alive.broker_is_away(True)
    clock.now += 9999
    assert alive.trouble() == ""
    alive.broker_is_away(False)
    assert alive.trouble() == ""
    clock.now += LOOP_LIMIT + 1
    assert alive.trouble()


@pytest.fixture
def hung(monkeypatch: pytest.MonkeyPatch):
    """Let this process have a loop that hangs."""
    clock = Clock()
    one = Liveness(clock)
    one.turned()
    clock.now += LOOP_LIMIT + 1
    for module in (heartbeat, web):
        monkeypatch.setattr(module, "OF_THIS_PROCESS", one)
    return one


def test_a_hung_worker_sends_no_heartbeat(hung):
    """So it is no second witness, and `status` shows it silent; it beats again when its loop
    turns.
    """
    client = fakeredis.FakeRedis()
    app = builders.app(client)
    beat = heartbeat.Heartbeat(app, "n1", 0.01, 20)
    beat.start()
    time.sleep(0.2)
    assert not heartbeat.alive(app, "n1")
    hung.turned()
    end = time.monotonic() + 5
    while not heartbeat.alive(app, "n1") and time.monotonic() < end:
        time.sleep(0.01)
    assert heartbeat.alive(app, "n1")
    beat.stop()
    beat.join(5)


def asked(port: int, path: str) -> tuple[int, str]:
    """Return status and body of a GET."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as exc:
        return exc.code, exc.read().decode()


def test_the_probes_tell_a_hung_loop_from_a_broker_that_is_away(hung):
    """/livez is about the loop alone, /readyz about what the process needs as well, /metrics
    answers whatever is wrong.
    """
    broken: list[Exception] = [BrokerUnavailable("no route")]

    def broker() -> None:
        if broken:
            raise broken[0]

    port = free_port()
    web.serve(port, CollectorRegistry(), {"broker": broker, "api": lambda: None})
    assert asked(port, "/livez") == (503, "loop: the loop has not turned for 61 s\n")
    assert asked(port, "/metrics")[0] == 200
    hung.turned()
    assert asked(port, "/livez") == (200, "loop: ok\n")
    assert asked(port, "/readyz") == (503, "loop: ok\nbroker: no route\napi: ok\n")
    broken[:] = [ApiUnavailable("away")]
    assert asked(port, "/readyz")[0] == 503
    broken.clear()
    assert asked(port, "/readyz") == (200, "loop: ok\nbroker: ok\napi: ok\n")


@pytest.mark.parametrize(
    "error",
    [
        OperationalError("away"),
        OSError("away"),
        RuntimeError("Retry limit exceeded"),
        redis.ConnectionError("away"),
    ],
)
def test_whatever_celery_raises_is_our_error(error: Exception):
    """The node watch handles BrokerUnavailable alone, so nothing else may come from its
    publisher.
    """

    def send_task(*_: object, **__: object) -> None:
        raise error

    with pytest.raises(BrokerUnavailable):
        publisher(SimpleNamespace(send_task=send_task, conf=builders.CONF))(
            Hint("n1", "deleted", "why")
        )


def test_nothing_subscribes_to_results_that_nobody_reads():
    """Sending a message takes no connection to the result backend: with Redis away that would raise
    RuntimeError after 20 s.
    """
    from carina_tasks.celery import app

    assert app.backend.on_task_call(None, "a-task") == {}
    assert app.backend.result_consumer._pubsub is None


def test_of_this_process_is_one():
    """Loop, heartbeat and endpoint look at the same object."""
    from carina_tasks.broker import loop

    assert (
        loop.OF_THIS_PROCESS
        is heartbeat.OF_THIS_PROCESS
        is web.OF_THIS_PROCESS
        is liveness.OF_THIS_PROCESS
    )
