"""Which volumes are parted from the others of their pod, and what brings them together again."""

import copy
import dataclasses

import pytest

from carina_tasks.decisions.colocation import Diverging, LeftBehind, held_by, separated
from carina_tasks.errors import ApiDenied
from carina_tasks.flows.failover.lost_node import migrate_node
from carina_tasks.flows.failover.resume import resume
from tests.builders.flow import FakeApi, FakeNodes, context
from tests.builders.kubernetes import (
    NOW,
    claim,
    inventory,
    journal,
    logic_volume,
    node,
    pod,
    pv,
    world,
)
from tests.builders.rebuilt import check_rebuilt, nodes

A, B, C = "pvc-1", "pvc-2", "pvc-3"


def leader(*together, kind="rebuild", target="n2"):
    """Make a volume that is journalled and not begun, with those that were planned with it."""
    return [
        logic_volume(A, target, journal=journal(A, target=target, kind=kind, together=together)),
        pv(A),
        claim(A),
    ]


def home(name, **more):
    """Make a volume that is still on n1 and has no journal."""
    return [logic_volume(name, **more), pv(name), claim(name)]


def of(*raws, lost=frozenset()):
    """Say who is parted: a letter for each, with what is to be done."""
    seen = world(node("n1"), node("n2"), *raws)
    return [
        (v.logic_volume.name, type(v)) for v in separated(seen, seen.logic_volumes.values(), lost)
    ]


BOTH = pod("web-0", A, B, annotated=True)


def test_one_that_was_not_journalled_follows():
    """Its node is back; it was planned together with one that is journalled."""
    assert of(*leader(B), *home(B), BOTH) == [(B, LeftBehind)]


def test_those_that_pods_tie_over_others_follow_too():
    """One pod uses A and B, another B and C: all three or none."""
    found = of(*leader(B, C), *home(B), *home(C), pod("web-0", A, B), pod("web-1", B, C))
    assert found == [(B, LeftBehind), (C, LeftBehind)]


STAYS = {
    "no pod uses both": (leader(B), home(B), [pod("web-0", A), pod("web-1", B)]),
    "no pod uses any": (leader(B), home(B), []),
    "not planned with it": (leader(), home(B), [BOTH]),
    "moved elsewhere meanwhile": (
        leader(B),
        [logic_volume(B, "n3"), pv(B, "n3"), claim(B)],
        [BOTH],
    ),
    "there already": (leader(B), [logic_volume(B, "n2"), pv(B, "n2"), claim(B)], [BOTH]),
    "gone": (leader(B), [], [BOTH]),
    "being deleted": (leader(B), home(B, deletionTimestamp="2026-01-01T00:00:00Z"), [BOTH]),
    "its pod is no longer annotated": (
        leader(B, kind="migrate"),
        home(B),
        [pod("web-0", A, B, annotated=False)],
    ),
}


@pytest.mark.parametrize("why", STAYS)
def test_it_stays_where_it_is(why):
    """What was not decided, or no longer applies, moves no volume of a living node."""
    first, other, pods = STAYS[why]
    assert of(*first, *other, *pods) == []


def test_one_follows_to_a_lost_target_too():
    """Left behind it would tie the others to its node when they are planned again."""
    assert of(*leader(B), *home(B), BOTH, lost={"n2"}) == [(B, LeftBehind)]


def on_its_way(name, target, *together, there=False):
    """Make a journalled volume, its PV on its target already or still on its source."""
    return [
        logic_volume(name, target, journal=journal(name, target=target, together=together)),
        pv(name, target if there else "n1"),
        claim(name),
    ]


@pytest.mark.parametrize(
    ("first", "second", "strays"),
    [(False, False, B), (True, False, B), (False, True, A), (True, True, None)],
)
def test_of_two_that_go_to_different_nodes_the_empty_one_gives_way(first, second, strays):
    """One that a pod may have written to stays; of two empty ones the later by name; two written
    ones are left to people.
    """
    raws = [*on_its_way(A, "n2", B, there=first), *on_its_way(B, "n3", A, there=second)]
    assert of(*raws, node("n3"), BOTH) == ([(strays, Diverging)] if strays else [])


@pytest.mark.parametrize("lost", ["n2", "n3"])
def test_nobody_strays_while_one_of_the_targets_is_lost(lost):
    """What went there is planned again, and by that goes where the other is."""
    assert of(*on_its_way(A, "n2", B), *on_its_way(B, "n3", A), node("n3"), BOTH, lost={lost}) == []


def arrived(name="n3", **more):
    """Make the other volume, finished on a node that is neither source nor target of the first."""
    return [logic_volume(B, name, **more), pv(B, name), claim(B)]


def test_the_one_that_is_left_goes_where_the_other_has_arrived():
    """Planned again alone while the target of both was away, it would be a pod's second node
    (simulation, seed 638).
    """
    assert of(*on_its_way(A, "n2", B), *arrived(), node("n3"), BOTH) == [(A, Diverging)]


@pytest.mark.parametrize(
    ("first", "second", "lost"),
    [
        (on_its_way(A, "n2", B, there=True), [*arrived(), node("n3")], set()),
        (on_its_way(A, "n2", B), arrived(), set()),
        (on_its_way(A, "n2", B), [*arrived(), node("n3")], {"n2"}),
        (on_its_way(A, "n2", B), [*arrived(), node("n3")], {"n3"}),
    ],
    ids=["written to", "that node is gone", "its target is lost", "that node is lost"],
)
def test_it_does_not_follow_what_it_cannot_join(first, second, lost):
    """A volume that a pod may have written to stays, and nothing follows to a node that is lost."""
    assert of(*first, *second, BOTH, lost=lost) == []


# --- resume ---


def cut_off(*, kind="rebuild", annotated=True):
    """Make a node that is back after its failover was cut off between the journals of one pod."""
    return FakeApi(
        node("n1"),
        node("n2"),
        node("n3"),
        *leader(B, kind=kind),
        *home(B),
        pod("web-0", A, B, annotated=annotated),
    )


def test_resume_fetches_what_a_failover_left_behind():
    """Both volumes of the pod are rebuilt on the node of the first."""
    api, fake = cut_off(), nodes()
    resume(context(api, fake))
    api.objects.pop("/api/v1/namespaces/default/pods/web-0", None)
    check_rebuilt(api, fake, (A, B))
    assert {api.one("LogicVolume", name)["spec"]["nodeName"] for name in (A, B)} == {"n2"}


def test_both_go_elsewhere_when_the_target_is_deleted_meanwhile():
    """The node is back, the target of the first is gone: the second follows on paper, and both are
    planned again.
    """
    api, fake = cut_off(), nodes("n1", "n3")
    del api.objects["/api/v1/nodes/n2"]
    for _ in range(3):
        resume(context(api, fake, mass_failure_share="0.9"))
    api.objects.pop("/api/v1/namespaces/default/pods/web-0", None)
    check_rebuilt(api, fake, (A, B))
    assert {api.one("LogicVolume", name)["spec"]["nodeName"] for name in (A, B)} == {"n3"}


def test_while_it_cannot_follow_the_other_is_not_begun():
    """The target has no room for it: nothing is touched, and both say why."""
    api = cut_off()
    fake = FakeNodes(inventory("n2", free=12), inventory("n3"))
    before = copy.deepcopy(api.one("PersistentVolume", A))
    (result,) = [one for one in resume(context(api, fake)).volumes if one.volume == A]
    assert (result.outcome, api.one("PersistentVolume", A)) == ("unfinished", before)
    assert f"waits for {B}" in result.reason
    assert (
        f"waits for {B}"
        in api.one("LogicVolume", A)["metadata"]["annotations"]["tasks.carina.storage.io/progress"]
    )
    assert fake.tasks() == []


def test_while_another_worker_is_at_that_node_the_other_is_not_begun():
    """It may be about to write the very journal that is missing."""
    api = cut_off()
    free, held = context(api, nodes()), context(api, nodes(), held=True)
    ctx = dataclasses.replace(
        free, lock=lambda name: (held if name.startswith("failover") else free).lock(name)
    )
    (result,) = resume(ctx).volumes
    assert "another worker" in result.reason
    assert [path for _, path, body in api.log if "spec" in body] == []


def test_a_volume_is_not_begun_while_the_other_of_its_pod_has_no_journal():
    """The other one changed between plan and journal: the first waits, and the next resume has
    both.
    """
    api = FakeApi(
        node("n1", ready="Unknown", since=NOW - 400),
        node("n2"),
        node("n3"),
        *home(A),
        *home(B),
        BOTH,
    )
    fake = nodes()

    def meddle(verb, path):
        if path.endswith(B):
            api.on_write = lambda verb, path: None
            api.one("LogicVolume", B)["metadata"]["resourceVersion"] = "9999"

    api.on_write = meddle
    result = migrate_node(context(api, fake), "n1")
    assert {v.outcome for v in result.volumes} == {"unfinished"}
    assert fake.tasks() == []
    resume(context(api, fake))
    api.objects.pop("/api/v1/namespaces/default/pods/web-0", None)
    check_rebuilt(api, fake, (A, B))


def test_planned_again_it_is_together_with_those_that_it_was_planned_along_with():
    """Two volumes of a pod on a lost target, one of them done: the journal of the other names it
    from then on.
    """
    api = FakeApi(
        node("n2", ready="Unknown", since=NOW - 400),
        node("n3"),
        node("n4"),
        logic_volume(A, "n2"),
        pv(A, "n2"),
        claim(A),
        logic_volume(B, "n2", journal=journal(B, together=(C,)), status=""),
        pv(B, "n1"),
        claim(B),
        pod("web-0", A, B, on="", annotated=True),
    )
    ctx = context(api, nodes("n3", "n4"))
    resume(ctx)
    assert ctx.cluster.logic_volume(B).journal.together == (A, C)


def test_a_target_in_maintenance_keeps_the_volumes_of_a_pod_together():
    """Its node is deleted for an upgrade and comes back with what the other volume has (simulation,
    seed 5597).
    """
    found = world(node("n3"), logic_volume("pvc-1", "n2"), pv("pvc-1", "n2"))
    other = journal("pvc-2", together=("pvc-1",))
    assert held_by(found, other, ()) == ""
    assert "pvc-1" in held_by(found, other, ("n2",))


def test_what_holds_one_up_holds_up_the_others_of_its_pod():
    """The target of both was deleted, and the pod of the one cannot be evicted: the journal of the
    other is not written either.
    """
    bound = pod("web-0", A, B, on="n1", annotated=True)
    raws = [*on_its_way(A, "n2", B), *on_its_way(B, "n2", A, there=True)]
    api = FakeApi(node("n3"), node("n4"), *raws, bound)
    ctx = context(api, nodes("n3", "n4"), mass_failure_share="0.9")
    before = {name: ctx.cluster.logic_volume(name).journal for name in (A, B)}

    def refuse(verb, path):
        if "/pods/" in path:
            raise ApiDenied("the API server refuses it", status=403)

    api.on_write = refuse
    results = {one.volume: one for one in resume(ctx).volumes}
    assert f"waits for {B}" in results[A].reason
    assert {name: ctx.cluster.logic_volume(name).journal for name in (A, B)} == before
    api.on_write = lambda verb, path: None
    resume(ctx)
    targets = {ctx.cluster.logic_volume(name).journal.target for name in (A, B)}
    assert len(targets) == 1
    assert targets <= {"n3", "n4"}
