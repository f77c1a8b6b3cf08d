"""What the node watch says, and when: doubled, lost and late events included."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from carina_tasks.decisions.hints import NodeWatchState
from carina_tasks.model import objects
from tests.builders.kubernetes import NOW, node

AFTER, EVERY = 60, 30
OUT_OF_SERVICE = {
    "key": "node.kubernetes.io/out-of-service",
    "value": "nodeshutdown",
    "effect": "NoExecute",
}
OFFSET = NOW - 1000
"""The API server's clock minus the steady one, which stands at 1000."""


def up(name="n1"):
    """Make a Ready node."""
    return objects.parse_node(node(name))


def down(name="n1", since=NOW, ready="Unknown"):
    """Make a node that is NotReady since `since` (API server's clock)."""
    return objects.parse_node(node(name, ready=ready, since=since))


def watching(*nodes):
    """Make a state that has listed `nodes`."""
    state = NodeWatchState(AFTER, EVERY)
    state.listed(nodes, OFFSET)
    return state


def due(state, now=1000.0):
    """Return what is due of nodes, as (node, kind)."""
    return [(hint.node, hint.kind) for hint in state.due(now) if hint.kind != "changed"]


def say(state, now=1000.0):
    """Say all that is due."""
    for hint in state.due(now):
        state.published(hint, now)


def test_a_deletion_is_said_at_once_twice_and_no_more():
    """At once, again after the interval (the first message may be lost), then resume's business."""
    state = watching(up())
    state.deleted(up())
    assert due(state) == [("n1", "deleted")]
    say(state)
    assert due(state, 1029) == []
    assert due(state, 1030) == [("n1", "deleted")]
    say(state, 1030)
    assert due(state, 9999) == []


def test_what_could_not_be_said_stays_due():
    """The broker was away: the same hint is due until it was said."""
    state = watching(up())
    state.deleted(up())
    assert due(state) == due(state, 5000) == [("n1", "deleted")]


def test_a_deletion_that_the_watch_missed_is_found_by_the_next_list():
    """A node that a complete list no longer has was deleted unseen."""
    state = watching(up("n1"), up("n2"))
    state.listed([up("n2")], OFFSET)
    assert due(state) == [("n1", "deleted")]


def test_a_doubled_deletion_is_one_deletion():
    """Two DELETED events, and a list without the node after them, are said as one."""
    state = watching(up())
    state.deleted(up())
    state.deleted(up())
    state.listed([], OFFSET)
    assert due(state) == [("n1", "deleted")]


def test_a_node_that_is_back_before_it_was_said_is_not_said():
    """Registered again at once: nothing to say."""
    state = watching(up())
    state.deleted(up())
    state.seen(up())
    assert due(state) == []


def test_a_second_deletion_is_new():
    """Deleted, said twice, back, deleted again: said at once."""
    state = watching(up())
    for _ in range(2):
        state.deleted(up())
        say(state, 1000)
        say(state, 1030)
        state.seen(down(since=NOW))
    state.deleted(down())
    assert due(state, 1031) == [("n1", "deleted")]


def test_not_ready_is_said_after_its_time_and_again_while_it_lasts():
    """By the condition's own transition time, each interval, until the node is Ready."""
    state = watching(down(since=NOW - 59))
    assert due(state) == []
    assert due(state, 1001) == [("n1", "not-ready")]
    say(state, 1001)
    assert due(state, 1030) == []
    assert due(state, 1031) == [("n1", "not-ready")]
    say(state, 1031)
    state.seen(up())
    assert due(state, 9999) == []


def test_a_restart_of_ours_starts_no_clock_anew():
    """A watch that has just begun says a long NotReady at once."""
    assert due(watching(down(since=NOW - 3600))) == [("n1", "not-ready")]


def test_a_repeated_status_changes_nothing():
    """Heartbeats of a NotReady node, the same event many times, do not bring the next hint
    nearer.
    """
    state = watching(down(since=NOW - 61))
    say(state)
    for _ in range(5):
        state.seen(down(since=NOW - 61))
    assert due(state, 1029) == []


def test_a_node_that_never_reported_is_judged_by_its_age():
    """Without a Ready condition it is Unknown since it was made."""
    raw = node("n1")
    raw["status"]["conditions"] = []
    raw["metadata"]["creationTimestamp"] = "2027-01-15T08:00:00Z"  # NOW
    state = watching(objects.parse_node(raw))
    assert due(state) == []
    assert due(state, 1061) == [("n1", "not-ready")]


def changed(state, now=1000.0):
    """Return whether it is due that readiness is asked again."""
    return any(hint.kind == "changed" for hint in state.due(now))


def test_readiness_is_asked_again_when_nodes_change():
    """Added, deleted, missed, NotReady, cordoned, tainted or registered again: each counts, what
    changes nothing does not.
    """
    again = objects.parse_node(node("n1", uid="another"))
    cordoned, tainted = (
        objects.parse_node(node("n1", unschedulable=True)),
        objects.parse_node(node("n1", taints=[OUT_OF_SERVICE])),
    )
    for change in (down(), again, cordoned, tainted, up("n9")):
        state = watching(up(), up("n2"))
        assert not changed(state)
        state.seen(up())
        assert not changed(state)
        state.seen(change)
        assert changed(state)
    state = watching(up(), up("n2"))
    state.deleted(up())
    assert changed(state)
    state = watching(up(), up("n2"))
    state.listed([up()], OFFSET)
    assert changed(state)


def test_readiness_is_not_asked_for_each_of_many_changes():
    """A flapping node asks every thirty seconds, and the last change is never forgotten."""
    state = watching(up(), up("n2"))
    state.deleted(up())
    say(state)
    state.seen(up())
    assert not changed(state, 1029)
    assert changed(state, 1030)
    hints = state.due(1030)
    state.seen(down())  # between the offer and its publication
    for hint in hints:
        state.published(hint, 1030)
    assert changed(state, 1060)


def test_an_out_of_service_node_is_said_at_once():
    """The operator vouches that the machine is off: its failover does not wait for the time of
    NotReady.
    """
    state = watching(
        objects.parse_node(node("n1", ready="Unknown", since=NOW, taints=[OUT_OF_SERVICE]))
    )
    assert due(state) == [("n1", "not-ready")]


class AnyEvents(RuleBasedStateMachine):
    """Any events in any order: the watch never names a node that is well, and forgets no deletion
    before it said it.
    """

    names = st.sampled_from(["a", "b"])

    def __init__(self):
        """Begin with an empty cluster."""
        super().__init__()
        self.state, self.now = NodeWatchState(AFTER, EVERY), 1000.0
        self.state.listed([], OFFSET)
        self.nodes, self.unsaid, self.last = {}, set(), {}

    def _see(self, name, found):
        self.nodes[name] = found
        self.unsaid.discard(name)
        if found.is_ready:
            self._news(name)

    def _lose(self, name):
        if self.nodes.pop(name, None) is not None:
            self.unsaid.add(name)
            self._news(name)

    def _news(self, name):
        """Allow a hint at once: the node's state is another one than what was said."""
        for kind in ("deleted", "not-ready"):
            self.last.pop((name, kind), None)

    @rule(name=names, ready=st.booleans(), age=st.integers(0, 200))
    def seen(self, name, ready, age):
        """Add or change it, and send the event twice."""
        found = up(name) if ready else down(name, since=self.now + OFFSET - age)
        self._see(name, found)
        self.state.seen(found)
        self.state.seen(found)

    @rule(name=names)
    def deleted(self, name):
        """Delete it, and the watch hears of it."""
        if name in self.nodes:
            found = self.nodes[name]
            self._lose(name)
            self.state.deleted(found)

    @rule(gone=st.sets(names), offset=st.integers(-5, 5))
    def missed(self, gone, offset):
        """Delete them while the watch is cut: the next list lacks them."""
        for name in gone:
            self._lose(name)
        self.state.listed(list(self.nodes.values()), OFFSET + offset)

    @rule(seconds=st.integers(0, 100))
    def wait(self, seconds):
        """Time goes by."""
        self.now += seconds

    @rule()
    def publish(self):
        """Let the broker take what is due."""
        for hint in self.state.due(self.now):
            key = (hint.node, hint.kind)
            if hint.kind == "changed":
                self.state.published(hint, self.now)
                continue
            assert self.now - self.last.get(key, -1e9) >= EVERY, "said too soon"
            self.last[key] = self.now
            self.state.published(hint, self.now)
            if hint.kind == "deleted":
                self.unsaid.discard(hint.node)

    @invariant()
    def only_lost_nodes_are_named(self):
        """Check that a hint's node is absent, or NotReady."""
        for hint in self.state.due(self.now):
            if hint.kind == "deleted":
                assert hint.node not in self.nodes
            elif hint.kind == "not-ready":
                assert not self.nodes[hint.node].is_ready

    @invariant()
    def no_deletion_is_forgotten(self):
        """Check that what was deleted and not yet said is due."""
        assert self.unsaid <= {
            hint.node for hint in self.state.due(self.now) if hint.kind == "deleted"
        }


AnyEvents.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestAnyEvents = AnyEvents.TestCase
TestAnyEvents.__doc__ = AnyEvents.__doc__
