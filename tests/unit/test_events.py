"""Kubernetes Events: aggregated, in the right namespace, and never the reason why work fails."""

import pytest
import structlog

from carina_tasks.errors import AlreadyExists, ApiDenied, ApiUnavailable
from carina_tasks.kube.events import About, Events

CLAIM = About("PersistentVolumeClaim", "data-0", "u1", "db")


class Api:
    """Keeps Events by path, as the API server does."""

    def __init__(self):
        """Begin with none."""
        self.events = {}

    def create(self, path, body):
        """Make one."""
        key = f"{path}/{body['metadata']['name']}"
        if key in self.events:
            raise AlreadyExists(key)
        self.events[key] = body

    def get(self, path):
        """Read one."""
        return self.events[path]

    def merge(self, path, body):
        """Change one."""
        self.events[path] |= body


def test_said_again_its_count_goes_up():
    """One Event for each object, reason and message."""
    api = Api()
    for message in ("a", "a", "a", "b"):
        Events(api).say(CLAIM, "Normal", "Why", message)
    assert sorted(e["count"] for e in api.events.values()) == [1, 3]


def test_an_event_stands_in_its_objects_namespace_and_otherwise_in_default():
    """core/v1 validation: Events on cluster-scoped objects live in `default`."""
    api = Api()
    Events(api).say(CLAIM, "Normal", "Why", "m")
    Events(api).say(About("LogicVolume", "pvc-1", "u2", api_version="carina.storage.io/v1"), "Warning", "Why", "m")
    assert [e["metadata"]["namespace"] for e in api.events.values()] == ["db", "default"]
    assert all("/namespaces/" + e["metadata"]["namespace"] in path for path, e in api.events.items())


def test_a_nodes_events_carry_its_name_as_uid():
    """That is where kubectl describe looks for them."""
    api = Api()
    Events(api).say(About("Node", "n1", "real-uid"), "Normal", "Why", "m")
    assert next(iter(api.events.values()))["involvedObject"]["uid"] == "n1"


def test_long_names_and_messages_are_cut():
    """253 characters for a name, 1 kB for a message."""
    api = Api()
    Events(api).say(About("Node", "a" * 199 + "." + "b" * 53, "u"), "Normal", "Why", "x" * 5000)
    (event,) = api.events.values()
    assert len(event["metadata"]["name"]) <= 253
    assert ".." not in event["metadata"]["name"]
    assert len(event["message"]) == 1000


@pytest.mark.parametrize("error", [ApiUnavailable, ApiDenied])
def test_an_event_that_cannot_be_written_fails_nothing(error):
    """It is a line in the log, and the work goes on."""

    class Broken(Api):
        def create(self, path, body):
            """Refuse."""
            raise error("no")

    with structlog.testing.capture_logs() as said:
        Events(Broken()).say(CLAIM, "Normal", "Why", "m")
    assert [line["log_level"] for line in said] == ["warning"]
