"""Events that no step waits for: they are written in order, by the end of a task, or left out."""

import os
import threading

import pytest

from carina_tasks.kube.event_queue import EventQueue
from carina_tasks.kube.events import About
from carina_tasks.observability.audit import Audit
from tests.builders.flow import FakeApi

NODE = About("Node", "n1", "n1")


class SlowApi(FakeApi):
    """Takes an Event when the test lets it."""

    def __init__(self):
        super().__init__()
        self.open = threading.Event()

    def create(self, path, body, *, dry_run=False):
        """Wait for the test."""
        self.open.wait(10)
        return super().create(path, body, dry_run=dry_run)


def said(api):
    """Return the messages that were written."""
    return [event["message"] for event in api.events]


def test_nobody_waits_for_an_event():
    """The API server is slow: what was said is written later, in its order and with its time."""
    api, clock = SlowApi(), iter((100.0, 200.0, 300.0))
    events = EventQueue(api, lambda: next(clock))
    for message in ("one", "two", "three"):
        events.say(NODE, "Normal", "Reason", message, message)
    assert not events.flush(0.05)
    assert said(api) == []
    api.open.set()
    assert events.flush(5)
    assert said(api) == ["one", "two", "three"]
    assert [event["eventTime"][17:19] for event in api.events] == ["40", "20", "00"]


def test_what_must_not_be_lost_is_written_before_the_work_continues():
    """It overtakes those that wait."""
    api = SlowApi()
    events = EventQueue(api)
    events.say(NODE, "Normal", "Reason", "later", "1")
    threading.Timer(0.05, api.open.set).start()
    Audit(events).acted("rebuild", NODE, "now", "VolumeRebuiltEmpty", wait=True)
    assert "now" in said(api)


def test_too_many_are_left_out_and_logged(caplog):
    """A queue without a bound would be the memory of the day when much is lost."""
    api = SlowApi()
    events = EventQueue(api, size=3)
    for number in range(10):
        events.say(NODE, "Normal", "Reason", f"number {number}", str(number))
    assert not events.flush(0.05)
    api.open.set()
    assert events.flush(5)
    assert 3 <= len(said(api)) <= 4
    assert said(api)[0] == "number 0"


def test_an_event_that_cannot_be_written_stops_none_after_it():
    """Writing one never fails the work, and never ends the thread."""
    api = FakeApi()
    real, tries = api.create, []

    def create(path, body, *, dry_run=False):
        from carina_tasks.errors import ApiUnavailable

        tries.append(body["note"])
        if len(tries) == 1:
            raise ApiUnavailable("away")
        return real(path, body, dry_run=dry_run)

    api.create = create
    events = EventQueue(api)
    for message in ("lost", "kept"):
        events.say(NODE, "Normal", "Reason", message, message)
    assert events.flush(5)
    assert said(api) == ["kept"]


@pytest.mark.parametrize("said_before", [False, True])
def test_a_queue_of_another_process_has_nothing_to_wait_for(said_before):
    """After a fork the thread is not there; the next Event starts one."""
    api = FakeApi()
    events = EventQueue(api)
    if said_before:
        events.say(NODE, "Normal", "Reason", "parent", "1")
        assert events.flush(5)
    events._process = os.getpid() + 1
    assert events.flush(0.01)
    events.say(NODE, "Normal", "Reason", "child", "2")
    assert events.flush(5)
    assert "child" in said(api)
