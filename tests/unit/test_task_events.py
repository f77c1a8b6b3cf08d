"""What monitors are told beside Celery's own events; and that nothing ever depends on it."""

from types import SimpleNamespace

import pytest
from kombu.exceptions import OperationalError

from carina_tasks.errors import NodeSilent
from carina_tasks.model.messages import LvResults
from carina_tasks.runtime import task_events
from carina_tasks.runtime.task_events import ProgressEvents
from tests.builders.kubernetes import done


def test_progress_is_told_at_most_once_a_second():
    """A rebuild of a thousand volumes must not be a thousand events."""
    sent, clock = [], [0.0]
    tell = ProgressEvents(lambda kind, **fields: sent.append((kind, fields)), lambda: clock[0])
    for clock[0] in (0.0, 0.2, 0.9, 1.0, 1.5, 2.1):
        tell(f"at {clock[0]}")
    assert sent == [("task-progress", {"result": text}) for text in ("at 0.0", "at 1.0", "at 2.1")]


@pytest.mark.parametrize(
    "error", [OperationalError("away"), OSError("away"), RuntimeError("what else")]
)
def test_a_broker_that_is_away_is_asked_once_and_never_heard_of(error):
    """A failover does not wait for those who watch it, and does not fail because of them."""
    asked, clock = [], [0.0]

    def send(kind, **fields):
        asked.append(kind)
        raise error

    tell = ProgressEvents(send, lambda: clock[0])
    for clock[0] in (0.0, 5.0, 50.0):
        tell("x")
    assert asked == ["task-progress"]


def test_outside_of_a_task_nothing_is_told():
    """A shell or a command calls the same flows."""
    task_events.progress_of_this_task()("x")


@pytest.fixture
def events(monkeypatch):
    """Catch what is sent in the name of this process's worker."""
    sent = []
    monkeypatch.setattr(
        task_events,
        "_event",
        lambda app, task_id, kind, **fields: sent.append((task_id, kind, fields)),
    )
    return sent


def test_a_silent_node_is_told_of(events):
    """Its task would be PENDING in Flower forever."""
    task_events.answer_events(SimpleNamespace(), "open")("n1:x", NodeSilent("did not answer"))
    assert events == [("n1:x", "task-unanswered", {"exception": "did not answer"})]


def test_for_a_sealed_node_the_asker_tells_how_it_ended(events):
    """A sealed node sends no events, so its tasks would be PENDING forever too; an open one tells
    itself.
    """
    answer = LvResults(node="n1", volumes=(done(),))
    task_events.answer_events(SimpleNamespace(), "open")("n1:x", answer)
    assert events == []
    task_events.answer_events(SimpleNamespace(), "sealed")("n1:x", answer)
    ((task_id, kind, fields),) = events
    assert (task_id, kind) == ("n1:x", "task-answered")
    assert "'node': 'n1'" in fields["result"]


def test_an_answer_that_cannot_be_told_is_an_answer(monkeypatch):
    """The asker continues."""
    monkeypatch.setattr(
        task_events, "_event", lambda *_, **__: (_ for _ in ()).throw(OSError("away"))
    )
    task_events.answer_events(SimpleNamespace(), "sealed")("n1:x", NodeSilent("did not answer"))
