"""The node watch: whatever the API server or the broker does, it continues, and reports what it
saw.
"""

import threading
import time
from types import SimpleNamespace

import pytest

from carina_tasks import node_watch
from carina_tasks.decisions.hints import Hint
from carina_tasks.errors import ApiDenied, ApiGone, ApiUnavailable, BadObject, BrokerUnavailable
from carina_tasks.kube.api import Listing, WatchEvent
from carina_tasks.node_watch import NodeWatch, publisher
from tests.builders.kubernetes import NOW, node


class Api:
    """Answers lists and watches in turn; the last of each forever, a watch without more events
    waits.
    """

    def __init__(self, lists, watches=()):
        """Take lists of raw nodes or errors, and watches of events or errors."""
        self.lists, self.watches, self.versions, self.asked = list(lists), list(watches), [], 0

    def list(self, path):
        """Answer or raise."""
        self.asked += 1
        got = self.lists.pop(0) if len(self.lists) > 1 else self.lists[0]
        if isinstance(got, Exception):
            raise got
        return Listing(tuple(got), "5", NOW)

    def watch(self, path, version, seconds):
        """Yield or raise."""
        self.versions.append(version)
        if not self.watches:
            time.sleep(0.01)
            return
        got = self.watches.pop(0)
        if isinstance(got, Exception):
            raise got
        yield from (WatchEvent(kind, raw) for kind, raw in got)


class Running:
    """Runs both threads until it has what a test waits for."""

    def __init__(self, api, broken=()):
        """Publish into a list, after the errors of `broken`."""
        self.said, self.broken = [], list(broken)
        self.watch = NodeWatch(api, self._publish, 60, 30)
        self.threads = [
            threading.Thread(target=t, daemon=True)
            for t in (self.watch.watch, self.watch.publish_hints)
        ]

    def _publish(self, hint):
        if self.broken:
            raise self.broken.pop(0)
        if hint.kind != "changed":
            self.said.append((hint.node, hint.kind))

    def until(self, ready, seconds=8):
        """Wait for `ready`, stop, and return what was said."""
        for thread in self.threads:
            thread.start()
        end = time.monotonic() + seconds
        while not ready(self) and time.monotonic() < end:
            time.sleep(0.01)
        alive = [thread.is_alive() for thread in self.threads]
        self.watch.stop()
        for thread in self.threads:
            thread.join(5)
        assert alive == [True, True], "a thread of the watch ended by itself"
        return self.said


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch):
    """Seconds become milliseconds."""
    monkeypatch.setattr(node_watch, "PAUSES", (0.001, 0.002))


def versioned(name, version, **facts):
    """Make a node of a resourceVersion."""
    raw = node(name, **facts)
    raw["metadata"]["resourceVersion"] = version
    return raw


def test_a_deletion_is_said():
    """Listed, deleted by the watch: rebuild that node. The next watch begins at the deletion's
    version.
    """
    api = Api([[node("n1"), node("n2")]], [[("DELETED", versioned("n1", "9"))]])
    assert Running(api).until(lambda r: r.said and len(api.versions) > 1) == [("n1", "deleted")]
    assert api.versions[:2] == ["5", "9"]


def test_a_deletion_while_the_watch_was_cut_is_said():
    """The watch ends with 410, the next list lacks the node."""
    api = Api([[node("n1")], []], [ApiGone("old")])
    assert Running(api).until(lambda r: r.said) == [("n1", "deleted")]


@pytest.mark.parametrize(
    "error", [ApiUnavailable("away"), ApiDenied("role is missing"), BadObject("odd")]
)
def test_no_error_ends_the_watch(error):
    """Away, denied, or an object that cannot be read: tried again, and then it watches."""
    api = Api([error, error, error, [node("n1", ready="Unknown", since=NOW - 999)]])
    assert Running(api).until(lambda r: r.said) == [("n1", "not-ready")]
    assert api.asked == 4


def test_a_node_that_cannot_be_read_in_mid_watch_is_listed_again():
    """An event without a name: the list is taken again."""
    api = Api([[node("n1")], []], [[("MODIFIED", {"metadata": {"resourceVersion": "7"}})]])
    assert Running(api).until(lambda r: r.said) == [("n1", "deleted")]


def test_bookmarks_move_the_version_and_nothing_else():
    """A bookmark names no node."""
    api = Api([[node("n1")]], [[("BOOKMARK", {"metadata": {"resourceVersion": "77"}})]])
    assert Running(api).until(lambda r: "77" in api.versions) == []


def test_a_broker_that_is_away_loses_nothing():
    """What could not be published is published when it can."""
    error = BrokerUnavailable("away")
    api = Api([[node("n1")], []], [ApiGone("old")])
    assert Running(api, [error, error]).until(lambda r: r.said) == [("n1", "deleted")]


@pytest.mark.parametrize(
    ("kind", "task"),
    [("deleted", "carina.failover.rebuild_node"), ("not-ready", "carina.failover.migrate_node")],
)
def test_a_hint_is_a_message_on_the_control_queue_that_expires(kind, task):
    """The node's name is all that it carries."""
    sent = []
    app = SimpleNamespace(send_task=lambda name, **options: sent.append((name, options)))
    publisher(app)(Hint("n1", kind, "why"))
    ((name, options),) = sent
    assert (name, options["args"], options["queue"]) == (task, ["n1"], "control")
    assert 0 < options["expires"] <= 300
