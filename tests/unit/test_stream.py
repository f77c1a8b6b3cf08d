"""Asking many nodes: a window at a time, as they answer, and no node waits for a silent one.

Time is counted and not spent: every node answers after 20 ms, or never.
"""

import heapq
import json
from contextlib import contextmanager
from types import SimpleNamespace

import pytest

from carina_tasks.broker import calls
from carina_tasks.broker.calls import WINDOW, NodeCalls
from carina_tasks.errors import BrokerUnavailable, NodeSilent
from carina_tasks.model.local import Inventory
from carina_tasks.model.messages import to_json
from carina_tasks.store.answers import answer_key
from tests.builders.app import CONF
from tests.builders.kubernetes import inventory

TASK = "carina.node.inventory"
DEADLINE = 45.0
LATENCY = 0.02


class Nodes:
    """A Celery application, its Redis and the listener, on a clock that only waiting moves."""

    def __init__(self, silent=(), hears=True):
        """Let the nodes of `silent` never answer."""
        self.now, self.silent, self.hears = 1000.0, frozenset(silent), hears
        self.kept, self.due, self.open_, self.most = {}, [], set(), 0
        self.backend, self.conf, self.unlinked = self, CONF, []
        self.client = SimpleNamespace(
            incr=lambda key: 1,
            unlink=self.unlink,
            getrange=lambda key, start, end: self.kept.get(key, b""),
        )

    def unlink(self, *keys):
        """Remove keys, and note those that were there."""
        there = [key for key in keys if self.kept.pop(key, None)]
        self.unlinked += [there] if there else []

    def send_task(self, name, *, task_id, **_):
        """Note when the answer comes."""
        node, key = task_id.split(":")[0], answer_key(task_id)
        self.open_.add(key)
        self.most = max(self.most, len(self.open_))
        if node not in self.silent:
            heapq.heappush(self.due, (self.now + LATENCY, key, task_id))

    def answered(self, key, task_id):
        """Store the answer, as Celery's backend does."""
        node = task_id.split(":")[0]
        stored = {"status": "SUCCESS", "result": to_json(inventory(node)), "task_id": task_id}
        self.kept[key] = json.dumps(stored).encode()
        self.open_.discard(key)

    @contextmanager
    def listening(self, _):
        """Be the listener."""
        yield self

    def add(self, task_ids):
        """Listen; nothing is published before."""

    def wait(self, seconds):
        """Let time pass until an answer comes."""
        if self.due and self.due[0][0] <= self.now + seconds:
            at, key, task_id = heapq.heappop(self.due)
            self.now = max(self.now, at)
            self.answered(key, task_id)
            return frozenset({key} if self.hears else ())
        self.now += seconds
        return frozenset()


def stream(nodes, asked, monkeypatch, most=WINDOW):
    """Yield the answers, each with the seconds that had passed."""
    monkeypatch.setattr(calls, "time", SimpleNamespace(monotonic=lambda: nodes.now))
    begun = nodes.now
    come = NodeCalls(nodes, DEADLINE, 1 << 20, nodes.listening)
    for some in come.stream(dict.fromkeys(asked), TASK, Inventory, most=most):
        yield nodes.now - begun, some


def test_one_silent_node_in_a_hundred_costs_its_own_deadline_once(monkeypatch):
    """10 000 nodes, 100 of them silent: the others have all answered long before the deadline of
    the first silent one, and all has ended with that of the last.
    """
    asked = [f"n{i}" for i in range(10_000)]
    nodes = Nodes(silent=asked[::100])
    found, last = {}, 0.0
    for at, some in stream(nodes, asked, monkeypatch):
        assert not found.keys() & some.keys()
        found |= some
        if any(isinstance(one, Inventory) for one in some.values()):
            last = at
    assert {node for node, one in found.items() if isinstance(one, NodeSilent)} == nodes.silent
    assert len(found) == 10_000
    assert last < 10
    assert nodes.now - 1000.0 < last + DEADLINE + 1


def test_a_silent_node_holds_no_answer_back(monkeypatch):
    """Nine of ten nodes answer, and are handed on a moment later; the tenth comes alone."""
    asked = [f"n{i}" for i in range(10)]
    first, second = stream(Nodes(silent=["n3"]), asked, monkeypatch)
    assert first[0] < 1
    assert first[1].keys() == set(asked) - {"n3"}
    assert second[0] == pytest.approx(DEADLINE, abs=1.5)
    assert list(second[1]) == ["n3"]


@pytest.mark.parametrize("hears", [True, False])
def test_no_more_nodes_are_asked_than_the_window_holds(monkeypatch, hears):
    """Whether answers are heard or looked for: Redis keeps few of them for a listener."""
    nodes = Nodes(hears=hears)
    found = {}
    for _, some in stream(nodes, [f"n{i}" for i in range(1000)], monkeypatch):
        found |= some
    assert len(found) == 1000
    assert nodes.most <= WINDOW


def test_answers_are_handed_on_in_parts(monkeypatch):
    """Never many more than were asked for, so that nobody holds all."""
    sizes = [
        len(some) for _, some in stream(Nodes(), [f"n{i}" for i in range(100)], monkeypatch, 8)
    ]
    assert sum(sizes) == 100
    assert max(sizes) <= 8


def test_an_answer_that_was_read_is_removed(monkeypatch):
    """Else the answers of every node would lie in Redis for an hour."""
    nodes = Nodes()
    assert len(list(stream(nodes, ["n1", "n2"], monkeypatch))) == 1
    assert nodes.kept == {}


def test_the_answers_of_a_part_are_removed_at_once_and_reported_last(monkeypatch):
    """One command for all of them; the caller has them before the monitoring has."""
    nodes, log = Nodes(), []
    monkeypatch.setattr(calls, "time", SimpleNamespace(monotonic=lambda: nodes.now))
    asking = NodeCalls(
        nodes, DEADLINE, 1 << 20, nodes.listening, lambda task_id, answer: log.append("told")
    )
    for some in asking.stream(dict.fromkeys(["n1", "n2", "n3"]), TASK, Inventory):
        log.append(len(some))
    assert [len(keys) for keys in nodes.unlinked] == [3]
    assert log == [3, "told", "told", "told"]


def test_a_broker_that_goes_away_is_the_answer_of_all_that_are_left(monkeypatch):
    """Those that answered before keep their answers."""
    nodes = Nodes()
    found = {}

    def add(task_ids):
        if found:
            raise BrokerUnavailable("away")

    nodes.add = add
    for _, some in stream(nodes, [f"n{i}" for i in range(200)], monkeypatch, 8):
        found |= some
    kinds = [type(one) for one in found.values()]
    assert len(found) == 200
    assert kinds.count(Inventory) + kinds.count(BrokerUnavailable) == 200
    assert kinds.count(Inventory) >= 8
