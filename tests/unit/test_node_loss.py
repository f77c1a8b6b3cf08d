"""When a node counts as lost."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carina_tasks.decisions import node_loss
from carina_tasks.decisions.node_loss import Lost, NotLost, NotYet
from carina_tasks.model import objects
from carina_tasks.model.objects import Lease, ObjectMeta
from tests.builders.kubernetes import NOW, node

RULES = node_loss.NotReadyRules(after=60, witnessed=300, lease_fresh=40, cordoned=1800)


def parsed(**facts):
    """Make a parsed node n1."""
    return objects.parse_node(node("n1", **facts))


def lease(age: float | None) -> Lease:
    """Make a Lease renewed `age` seconds ago, or never."""
    return Lease(ObjectMeta("n1", "u", "1", 0.0), None if age is None else NOW - age)


def test_two_404s_are_absence():
    """A node that two GETs do not find is lost, and the reason says for how long it was
    looked for.
    """
    assert node_loss.absent("n1", None, None, 10) == Lost("node n1 was deleted (absent for 10s)")


def test_a_node_found_once_is_not_absent():
    """Found by either GET, the node is not lost."""
    for first, second in ((parsed(), None), (None, parsed()), (parsed(), parsed())):
        assert isinstance(node_loss.absent("n1", first, second, 10), NotLost)


def test_the_same_name_with_a_new_uid_is_presence():
    """A node registered again is present, and its own UID is named."""
    verdict = node_loss.absent("n1", None, parsed(uid="another"), 10)
    assert isinstance(verdict, NotLost)
    assert "another" in verdict.reason


def test_a_ready_node_is_not_lost_whatever_its_witnesses_say():
    """Ready is Ready, however long ago it became so and however silent the worker is."""
    assert isinstance(node_loss.not_ready(parsed(), None, False, NOW, RULES), NotLost)


def test_without_witnesses_the_short_wait_counts_to_the_second():
    """At 59 s of NotReady it is to be asked again in one second, at 60 s the node is lost."""
    early = node_loss.not_ready(parsed(ready="False", since=NOW - 59), None, False, NOW, RULES)
    assert isinstance(early, NotYet)
    assert early.wait == 1
    assert isinstance(
        node_loss.not_ready(parsed(ready="False", since=NOW - 60), None, False, NOW, RULES), Lost
    )


def test_unknown_counts_as_not_ready():
    """A node that sends nothing (Unknown) is lost like one that reports False itself."""
    assert isinstance(
        node_loss.not_ready(parsed(ready="Unknown", since=NOW - 61), None, False, NOW, RULES), Lost
    )


def test_each_witness_alone_lengthens_the_wait():
    """A fresh Lease, or the worker's heartbeat, makes 299 s too short and 300 s enough."""
    for sign, alive in ((lease(39), False), (None, True), (lease(39), True)):
        young = node_loss.not_ready(parsed(ready="False", since=NOW - 299), sign, alive, NOW, RULES)
        assert isinstance(young, NotYet)
        assert "still answers" in young.reason
        assert isinstance(
            node_loss.not_ready(parsed(ready="False", since=NOW - 300), sign, alive, NOW, RULES),
            Lost,
        )


def test_an_old_or_empty_lease_is_no_witness():
    """A Lease that was renewed too long ago, or never, lengthens nothing."""
    for sign in (lease(40), lease(4000), lease(None)):
        assert isinstance(
            node_loss.not_ready(parsed(ready="False", since=NOW - 61), sign, False, NOW, RULES),
            Lost,
        )


def test_a_node_without_a_ready_condition_counts_from_its_creation():
    """A node that never reported is Unknown since it was made, not since 1970."""
    raw = node("n1")
    raw["status"]["conditions"] = []
    raw["metadata"]["creationTimestamp"] = "2027-01-15T07:59:50Z"
    fresh = objects.parse_node(raw)
    assert isinstance(
        node_loss.not_ready(fresh, None, False, fresh.meta.created + 30, RULES), NotYet
    )


@given(
    st.sampled_from(["True", "False", "Unknown"]),
    st.integers(0, 1000),
    st.one_of(st.none(), st.integers(-100, 1000)),
    st.booleans(),
)
def test_lost_always_means_not_ready_long_enough(ready, age, renewed, alive):
    """No mix of condition, Lease and heartbeat loses a Ready node, or one before its time."""
    sign = None if renewed is None else lease(renewed)
    verdict = node_loss.not_ready(parsed(ready=ready, since=NOW - age), sign, alive, NOW, RULES)
    witnessed = alive or (renewed is not None and renewed < RULES.lease_fresh)
    assert isinstance(verdict, Lost) == (ready != "True" and age >= (300 if witnessed else 60))
    if isinstance(verdict, NotYet):
        assert 0 < verdict.wait <= 300


TAINTED = [
    {"key": "node.kubernetes.io/out-of-service", "value": "nodeshutdown", "effect": "NoExecute"}
]
CORDONS = [
    {"unschedulable": True},
    {"taints": [{"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}]},
]


@pytest.mark.parametrize("cordon", CORDONS)
def test_a_cordoned_node_waits_longest(cordon):
    """Its absence is planned: 1799 s are too short, whichever witness answers, and the reason for
    the Event
    stays the same meanwhile.
    """
    for sign, alive in ((None, False), (lease(1), True)):
        first = node_loss.not_ready(
            parsed(ready="Unknown", since=NOW - 61, **cordon), sign, alive, NOW, RULES
        )
        later = node_loss.not_ready(
            parsed(ready="Unknown", since=NOW - 61, **cordon), sign, alive, NOW + 1738, RULES
        )
        assert isinstance(first, NotYet)
        assert isinstance(later, NotYet)
        assert first.held == later.held
        assert "is cordoned" in first.held
        assert (first.wait, later.wait) == (1739, 1)
    assert isinstance(
        node_loss.not_ready(
            parsed(ready="False", since=NOW - 1800, **cordon), None, False, NOW, RULES
        ),
        Lost,
    )
    assert isinstance(node_loss.not_ready(parsed(**cordon), None, False, NOW, RULES), NotLost)


def test_a_node_that_is_uncordoned_counts_from_the_same_moment():
    """The operator reports that it is no maintenance: what has passed of NotReady counts."""
    assert isinstance(
        node_loss.not_ready(parsed(ready="False", since=NOW - 61), None, False, NOW, RULES), Lost
    )


def test_a_cordon_does_not_shorten_a_wait():
    """With a shorter time for cordoned nodes than for all, the longer one applies, and nothing is
    said to be held.
    """
    rules = node_loss.NotReadyRules(after=60, witnessed=300, lease_fresh=40, cordoned=10)
    early = node_loss.not_ready(
        parsed(ready="False", since=NOW - 59, unschedulable=True), None, False, NOW, rules
    )
    assert isinstance(early, NotYet)
    assert (early.wait, early.held) == (1, "")


@pytest.mark.parametrize("cordon", [{}, {"unschedulable": True}])
def test_out_of_service_does_not_wait_unless_a_witness_answers(cordon):
    """The operator vouches that the machine is off; a Lease or a worker that still answers says
    that it is not.
    """
    off = parsed(ready="Unknown", since=NOW - 1, **{"taints": TAINTED, **cordon})
    found = node_loss.not_ready(off, lease(41), False, NOW, RULES)
    assert isinstance(found, Lost)
    assert "out-of-service" in found.reason
    for sign, alive in ((lease(1), False), (None, True)):
        early = node_loss.not_ready(off, sign, alive, NOW, RULES)
        assert isinstance(early, NotYet)
        assert (early.wait, early.held) == (299, "")
    ready = parsed(**{"taints": TAINTED, **cordon})
    assert isinstance(node_loss.not_ready(ready, None, False, NOW, RULES), NotLost)
