"""Every irreversible act is a log line, an Event and a metric."""

import structlog
from prometheus_client import REGISTRY

from carina_tasks.observability.audit import Audit, about_node, about_volume
from tests.builders.kubernetes import logic_volume, world


class Said:
    """Keeps Events."""

    def __init__(self):
        """Begin with none."""
        self.events = []
        self.keys = []

    def say(self, about, type_, reason, message, key="", *, related=None, wait):
        """Keep one."""
        self.events.append((about.kind, about.name, type_, reason, message))
        self.keys.append(key)


def value(name, **labels):
    """Return a metric's value."""
    return REGISTRY.get_sample_value(name, labels) or 0


def test_an_act_is_told_three_times():
    """Log with its facts, Event on the object, counter by action."""
    events = Said()
    before = value("carina_tasks_actions_total", action="test-act")
    with structlog.testing.capture_logs() as lines:
        Audit(events).acted("test-act", about_node("n1"), "done", "Reason", volume="pvc-1")
    assert value("carina_tasks_actions_total", action="test-act") == before + 1
    assert events.events == [("Node", "n1", "Normal", "Reason", "done")]
    assert events.keys == ["pvc-1"]
    assert (lines[0]["action"], lines[0]["volume"], lines[0]["event"]) == (
        "test-act",
        "pvc-1",
        "done",
    )


def test_a_guards_no_is_counted_and_told():
    """By guard; with an Event where there is an object."""
    events = Said()
    before = value("carina_tasks_guards_total", guard="TestGuard")
    Audit(events).guarded("TestGuard", "no")
    Audit(events).guarded("TestGuard", "no", about_node("n1"))
    assert value("carina_tasks_guards_total", guard="TestGuard") == before + 2
    assert events.events == [("Node", "n1", "Warning", "CarinaTasksRefused", "no")]
    assert events.keys == ["TestGuard"]


def test_a_warning_is_a_warning_event():
    """On the LogicVolume, in its own API group."""
    events = Said()
    volume = world(logic_volume()).logic_volumes["pvc-1"]
    Audit(events).warn(about_volume(volume), "LocalVolumeMissing", "gone")
    assert events.events == [("LogicVolume", "pvc-1", "Warning", "LocalVolumeMissing", "gone")]
    assert about_volume(volume).api_version == "carina.storage.io/v1"
