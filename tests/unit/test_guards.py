"""Mass failure and the orphan cap."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carina_tasks.decisions.guards import (
    GuardAllows,
    GuardStops,
    GuardWaits,
    mass_failure,
    orphan_cap,
)
from tests.builders.kubernetes import NOW, logic_volume, node, world


def cluster(ready: int, sick: int = 0, absent: int = 0):
    """Make a cluster of so many nodes; the absent ones are only named by LogicVolumes."""
    nodes = [node(f"r{i}") for i in range(ready)] + [
        node(f"s{i}", ready="Unknown") for i in range(sick)
    ]
    return world(*nodes, *(logic_volume(f"pvc-{i}", f"a{i}") for i in range(absent)))


def test_the_manuals_example_goes_on():
    """One of two nodes deleted is not above half: failover continues."""
    assert isinstance(mass_failure(cluster(ready=1, absent=1), 0.5), GuardAllows)


@pytest.mark.parametrize(("sick", "absent"), [(2, 0), (1, 1), (0, 2)])
def test_two_of_three_stops(sick, absent):
    """Two of three lost, NotReady or absent in any mix, stops all failover."""
    verdict = mass_failure(cluster(1, sick, absent), 0.5)
    assert isinstance(verdict, GuardStops)
    assert "2 of 3" in verdict.reason


@pytest.mark.parametrize(
    ("since", "absent", "verdict"),
    [
        ((59, 59, 59), 0, GuardWaits),
        ((60, 59, 59), 0, GuardWaits),
        ((60, 60, 59), 0, GuardStops),
        ((59,), 1, GuardWaits),
        ((60,), 1, GuardStops),
        ((), 2, GuardStops),
    ],
)
def test_a_person_is_called_when_it_has_lasted(since, absent, verdict):
    """After an outage of the API server every node is NotReady for some seconds: nothing is done,
    and no alert fires.
    """
    sick = [node(f"s{i}", ready="Unknown", since=NOW - seconds) for i, seconds in enumerate(since)]
    seen = world(
        *sick,
        *([] if len(since) == 3 else [node("r")]),
        *(logic_volume(f"pvc-{i}", f"a{i}") for i in range(absent)),
    )
    found = mass_failure(seen, 0.5, after=60)
    assert type(found) is verdict
    assert "lost" in found.reason


def test_without_a_healthy_target_it_stops_whatever_the_share():
    """With no Ready node left there is unschedulable, even at a share of 1."""
    for lost in (cluster(0, sick=1), cluster(0, absent=1), cluster(0, 3, 2)):
        verdict = mass_failure(lost, 1.0)
        assert isinstance(verdict, GuardStops)
        assert "no healthy node" in verdict.reason


def test_nothing_lost_and_nothing_there_go_on():
    """A healthy cluster and an empty one have no mass failure."""
    assert isinstance(mass_failure(cluster(3), 0.0), GuardAllows)
    assert isinstance(mass_failure(cluster(0), 0.5), GuardAllows)


def test_a_node_with_many_volumes_counts_once():
    """An absent node is one node, however many LogicVolumes name it."""
    gone = world(node("n2"), *(logic_volume(f"pvc-{i}", "n1") for i in range(40)))
    assert isinstance(mass_failure(gone, 0.5), GuardAllows)


def test_the_reason_names_some_nodes_and_counts_the_rest():
    """The operator reads five names and how many more."""
    verdict = mass_failure(cluster(1, sick=8), 0.5)
    assert "s0, s1, s2, s3, s4 and 3 more" in verdict.reason


@given(
    st.integers(0, 20),
    st.integers(0, 20),
    st.integers(0, 20),
    st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0]),
)
def test_it_stops_exactly_above_the_share_or_without_a_target(ready, sick, absent, share):
    """Stop if and only if more than the share is lost, or something is and no node is healthy."""
    lost, total = sick + absent, ready + sick + absent
    verdict = mass_failure(cluster(ready, sick, absent), share)
    assert isinstance(verdict, GuardStops) == (lost > share * total or (lost > 0 and ready == 0))


def test_the_larger_of_limit_and_share_is_the_cap():
    """Ten of eleven are allowed by number, twenty of a hundred by share, one more of either
    is not.
    """
    assert isinstance(orphan_cap(10, 11, 10, 0.2, 0), GuardAllows)
    assert isinstance(orphan_cap(11, 11, 10, 0.2, 0), GuardStops)
    assert isinstance(orphan_cap(20, 100, 10, 0.2, 0), GuardAllows)
    assert isinstance(orphan_cap(21, 100, 10, 0.2, 0), GuardStops)


def test_a_person_confirms_the_very_number():
    """A confirmation of 30 lets 30 go, and neither 29 nor 31."""
    assert isinstance(orphan_cap(30, 100, 10, 0.2, 30), GuardAllows)
    assert isinstance(orphan_cap(29, 100, 10, 0.2, 30), GuardStops)
    assert isinstance(orphan_cap(31, 100, 10, 0.2, 30), GuardStops)


@given(
    st.integers(0, 500),
    st.integers(0, 500),
    st.integers(0, 50),
    st.floats(0, 1),
    st.integers(0, 500),
)
def test_above_the_cap_only_the_confirmed_number_goes(orphans, volumes, limit, share, confirmed):
    """Whatever goes is within limit or share, or is the number that the operator named."""
    if isinstance(orphan_cap(orphans, volumes, limit, share, confirmed), GuardAllows):
        assert orphans <= limit or orphans <= share * volumes or orphans == confirmed
    else:
        assert orphans > limit
        assert orphans != confirmed


def test_a_person_approves_of_just_the_nodes_that_are_lost():
    """After a mass failure the approved nodes are failed over; one more lost node stops everything
    again.
    """
    seen = cluster(1, sick=2)
    assert isinstance(mass_failure(seen, 0.5), GuardStops)
    assert isinstance(mass_failure(seen, 0.5, frozenset({"s0", "s1"})), GuardAllows)
    assert isinstance(mass_failure(seen, 0.5, frozenset({"s0"})), GuardStops)
    assert isinstance(mass_failure(cluster(0, sick=2), 0.5, frozenset({"s0", "s1"})), GuardStops)
