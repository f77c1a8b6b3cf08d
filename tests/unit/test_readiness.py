"""Would the loss of a node leave a volume that no node fits? One look for all nodes, and nothing
is written.
"""

import time

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from carina_tasks.errors import BrokerUnavailable, NodeSilent
from carina_tasks.flows.failover.lost_node import rebuild_node
from carina_tasks.flows.report import readiness as flow
from carina_tasks.flows.report.loss_plan import plan_node
from carina_tasks.flows.report.readiness import readiness
from carina_tasks.flows.report.status import status
from carina_tasks.kube import paths
from tests.builders.clusters import RandomCluster
from tests.builders.flow import FakeApi, FakeNodes, context
from tests.builders.kubernetes import claim, inventory, journal, logic_volume, node, pod, pv

INVENTORY = "carina.node.inventory"


def on(where, *names, size="5Gi", **options):
    """Make the objects of volumes on a node, each with its pod."""
    made = []
    for name in names:
        made += [
            logic_volume(name, where, size=size, **options),
            pv(name, where, size=size),
            claim(name),
        ]
        made.append(pod(f"pod-{name}", name, on=where))
    return made


def judged(api, fake, **settings):
    """Return the readiness by node."""
    return {one.node: one for one in readiness(context(api, fake, **settings)).nodes}


def test_a_node_whose_volumes_find_a_place_is_ready():
    """Room elsewhere for all of them; a node without volumes may be lost as well."""
    api = FakeApi(node("n1"), node("n2"), node("n3"), *on("n1", "a", "b"))
    found = judged(api, FakeNodes(*map(inventory, ("n1", "n2", "n3"))))
    assert [(one.ready, one.places, one.without_place) for one in found.values()] == [
        (True, 2, 0),
        (True, 0, 0),
        (True, 0, 0),
    ]
    assert found["n1"].reason == "2 volumes would be rebuilt elsewhere"
    assert found["n2"].reason == "no volume to rebuild"


def test_a_volume_without_a_place_is_named_with_the_reason():
    """One of two fits: the node is not ready, and the other volume is named with what each node
    says.
    """
    api = FakeApi(node("n1"), node("n2"), *on("n1", "big", size="50Gi"), *on("n1", "small"))
    found = judged(api, FakeNodes(inventory("n1"), inventory("n2", free=20)))["n1"]
    assert (found.ready, found.places, found.without_place) == (False, 1, 1)
    assert [v.volume for v in found.volumes] == ["big"]
    assert "n2" in found.volumes[0].reason


def test_what_is_left_alone_anyway_is_skipped_and_not_without_a_place():
    """Raw volumes, bcache halves, volumes without a PV and rebuilds under way do not make a node
    unready.
    """
    api = FakeApi(
        node("n1"),
        node("n2"),
        *on("n1", "raw", manage="raw"),
        *on("n1", "cached", ownerReferences=[{"kind": "Bcache", "name": "b", "uid": "u"}]),
        logic_volume("bare", "n1"),
        *on("n1", "moving", journal=journal("moving", "n0", "n1")),
    )
    found = judged(api, FakeNodes(inventory("n1"), inventory("n2", free=0)))["n1"]
    assert (found.ready, found.places, found.without_place, found.skipped) == (True, 0, 0, 4)
    assert found.reason == "no volume to rebuild, 4 are left alone"


@pytest.mark.parametrize(
    ("second", "fake"),
    [
        (node("n2", ready="False"), [inventory("n1"), inventory("n2")]),
        (node("n2"), [inventory("n1")]),
    ],
    ids=["NotReady", "silent worker"],
)
def test_a_node_that_would_get_nothing_now_is_no_place(second, fake):
    """A NotReady node, and one whose worker is silent, take no volume in a real rebuild: they are
    no place here either.
    """
    api = FakeApi(node("n1"), second, *on("n1", "a"))
    workers = FakeNodes(*fake)
    found = judged(api, workers)["n1"]
    assert (found.ready, found.without_place) == (False, 1)
    assert [one[0] for one in workers.asked] == ["n1"]


def test_a_node_that_is_lost_already_is_judged_like_the_others():
    """A NotReady node's volumes have a place on the healthy ones; that it is not Ready itself is no
    reason against it.
    """
    api = FakeApi(
        node("n1", ready="Unknown"), node("n2"), node("n3"), *on("n1", "a"), *on("n2", "b")
    )
    found = judged(api, FakeNodes(*map(inventory, ("n2", "n3"))))
    assert found["n1"].ready
    assert not found["n2"].ready
    assert "2 of 3 nodes are lost at once" in found["n2"].stopped


def test_what_the_mass_failure_guard_would_stop_is_said_apart():
    """With a place for each volume, but too much lost at once: not ready, and nothing is counted as
    unschedulable.
    """
    api = FakeApi(node("n1"), node("n2", ready="False"), node("n3"), *on("n1", "a"))
    found = judged(api, FakeNodes(*map(inventory, ("n1", "n3"))))["n1"]
    assert (found.ready, found.places, found.without_place) == (False, 1, 0)
    assert found.reason.startswith("the operator would have to resume: 2 of 3 nodes")
    assert judged(api, FakeNodes(*map(inventory, ("n1", "n3"))), mass_failure_share="0.7")[
        "n1"
    ].ready


def test_it_says_what_the_rebuild_then_does():
    """The verdicts are those of the real run: what has a place is rebuilt, what has none is not."""
    parts = [*on("n1", "big", size="50Gi"), *on("n1", "small"), *on("n1", "tiny", size="1Gi")]
    workers = [inventory("n2", free=18), inventory("n3", free=12)]
    ahead = judged(
        FakeApi(node("n1"), node("n2"), node("n3"), *parts), FakeNodes(inventory("n1"), *workers)
    )["n1"]
    result = rebuild_node(
        context(FakeApi(node("n2"), node("n3"), *parts), FakeNodes(*workers)), "n1"
    )
    done = {v.volume: v.outcome for v in result.volumes}
    assert (
        {v.volume for v in ahead.volumes}
        == {name for name, outcome in done.items() if outcome == "no-fit"}
        == {"big"}
    )
    assert ahead.places == sum(outcome == "rebuilt" for outcome in done.values()) == 2


def test_what_the_lost_node_gives_to_others_is_gone_with_it():
    """A pod that must run beside another one, which is on the lost node, finds no place: neither
    here nor in `plan`.
    """
    needy = pod("pod-a", "a")
    needy["spec"]["affinity"] = {
        "podAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": [
                {"labelSelector": {"matchLabels": {"app": "cache"}}, "topologyKey": "zone"}
            ]
        }
    }
    cache = pod("cache", labels={"app": "cache"})
    nodes = [node("n1"), node("n2")]
    for one in nodes:
        one["metadata"]["labels"]["zone"] = "z1"
    api = FakeApi(*nodes, logic_volume("a"), pv("a"), claim("a"), needy, cache)
    ctx = context(api, FakeNodes(inventory("n1"), inventory("n2")))
    assert [v.outcome for v in plan_node(ctx, "n1").volumes] == ["no-fit"]
    assert not {one.node: one for one in readiness(ctx).nodes}["n1"].ready


def test_all_nodes_are_judged_with_one_look():
    """Each list is read once and each Ready worker asked once, however many nodes there are; and
    nothing is written.
    """
    names = [f"n{i}" for i in range(1, 7)]
    api = FakeApi(*map(node, names), *on("n1", "a"), *on("n2", "b"), *on("n3", "c"))
    fake = FakeNodes(*map(inventory, names))
    readiness(context(api, fake))
    assert sorted(n for n, task, _ in fake.asked if task == INVENTORY) == names
    assert fake.tasks() == []
    assert [
        api.reads.count(path)
        for path in (paths.NODES, paths.PODS, paths.PERSISTENT_VOLUMES, paths.LOGIC_VOLUMES)
    ] == [1] * 4
    assert (api.log, api.events) == ([], [])


def test_a_broker_that_is_away_is_no_answer():
    """Requests that reached no node prove nothing about the nodes: an error, and the last answer
    stays.
    """
    api, fake = (
        FakeApi(node("n1"), node("n2"), *on("n1", "a")),
        FakeNodes(inventory("n1"), inventory("n2")),
    )
    ctx = context(api, fake)
    before = readiness(ctx)
    fake.broken["n2", INVENTORY] = BrokerUnavailable("away")
    with pytest.raises(BrokerUnavailable):
        readiness(ctx)
    assert flow.last(ctx) == before
    fake.broken["n2", INVENTORY] = NodeSilent("too late")
    assert readiness(ctx) != before


def test_an_answer_of_a_later_time_answers_all_who_ask():
    """Nodes that were lost together ask for one each: the first answer serves those that ended
    before it, and none that ended in the same second or after it.
    """
    fake = FakeNodes(inventory("n1"), inventory("n2"))
    ctx = context(FakeApi(node("n1"), node("n2"), *on("n1", "a")), fake)
    found = readiness(ctx)
    fake.asked.clear()
    assert readiness(ctx, after=found.at) == readiness(ctx, after=found.at - 9) == found
    assert fake.asked == []
    readiness(ctx, after=found.at + 1)
    readiness(ctx)
    assert len(fake.asked) == 4


def test_an_answer_that_took_longer_does_not_replace_a_newer_one():
    """A control worker that was slow read the cluster before another one did."""
    ctx = context(FakeApi(node("n1")), FakeNodes(inventory("n1")))
    newer = msgspec.structs.replace(readiness(ctx), at=readiness(ctx).at + 5, reason="newer")
    ctx.latest_results.keep(flow.RESULT_NAME, newer, flow.KEPT)
    readiness(ctx)
    assert flow.last(ctx) == newer
    same = msgspec.structs.replace(newer, at=newer.at - 5)
    ctx.latest_results.keep(flow.RESULT_NAME, same, flow.KEPT)
    assert readiness(ctx) == flow.last(ctx)


def test_many_volumes_without_a_place_are_counted_and_some_named():
    """The number is whole; the names are the first ten, so that a full cluster does not fill the
    broker.
    """
    api = FakeApi(node("n1"), node("n2"), *on("n1", *(f"v{i:02}" for i in range(15))))
    found = judged(api, FakeNodes(inventory("n1"), inventory("n2", free=0)))["n1"]
    assert (found.without_place, len(found.volumes)) == (15, flow.NAMED)


def test_status_shows_the_last_answer():
    """`status` gives back what was kept, JSON and all, and asks no node."""
    api, fake = (
        FakeApi(node("n1"), node("n2"), *on("n1", "a")),
        FakeNodes(inventory("n1"), inventory("n2", free=0)),
    )
    ctx = context(api, fake)
    assert status(ctx).readiness is None
    found = readiness(ctx)
    fake.asked.clear()
    assert status(ctx).readiness == found
    assert fake.asked == []
    assert b"without_place" in msgspec.json.encode(status(ctx))


def test_what_a_round_costs():
    """Every node is planned for by itself, against all others: the CPU time of 50 nodes with 10
    volumes each, printed.
    """
    names = [f"n{i}" for i in range(50)]
    parts = [
        part
        for name in names
        for part in on(name, *(f"{name}-v{i}" for i in range(10)), size="1Gi")
    ]
    ctx = context(
        FakeApi(*map(node, names), *parts), FakeNodes(*(inventory(name) for name in names))
    )
    began = time.process_time()
    found = readiness(ctx)
    print(
        f"readiness of {len(names)} nodes, {10 * len(names)} volumes: "
        f"{time.process_time() - began:.1f} s CPU"
    )
    assert [(one.ready, one.places) for one in found.nodes] == [(True, 10)] * 50


def kept_after(cluster, ctx):
    """Judge the cluster again; return what was found, and how many plans were used again."""
    before = dict(ctx.plans.kept)
    found = flow.losses_of(ctx, cluster.snapshot(), cluster.inventories)
    again = sum(before.get(name) is one for name, one in ctx.plans.kept.items())
    return found, again


@given(st.integers(0, 1 << 30), st.booleans())
@settings(deadline=None, max_examples=40)
def test_a_plan_that_is_used_again_is_what_a_new_one_would_be(seed, plain):
    """A random cluster changes step by step: what is kept from the last look and what is planned
    from nothing never differ.
    """
    cluster = RandomCluster(seed, plain=plain)
    ctx = context(FakeApi(), FakeNodes(), reserve="1Gi")
    for _ in range(6):
        found, _ = kept_after(cluster, ctx)
        assert found == flow.losses_of(
            context(FakeApi(), FakeNodes(), reserve="1Gi"), cluster.snapshot(), cluster.inventories
        )
        cluster.change()


def test_only_what_changed_is_planned_again():
    """Nine nodes of a volume each: without a change no node is planned again, a node that no plan
    looked at changes none but its own, and the node that all chose changes all.
    """
    names = [f"n{number}" for number in range(1, 10)]
    parts = [one for name in names for one in on(name, f"v-{name}")]
    api = FakeApi(*map(node, names), *parts)
    ctx = context(api, FakeNodes(*(inventory(name, free=30) for name in names)))

    def planned_again(*changed):
        api.objects |= FakeApi(*changed).objects
        before = dict(ctx.plans.kept)
        readiness(ctx)
        return {name for name, one in ctx.plans.kept.items() if before.get(name) is not one}

    assert planned_again() == set(names)
    assert planned_again() == set()
    assert planned_again(pod("p9", on="n9", uid="of-n9", resourceVersion="77")) == set()
    moved = pod("pod-v-n9", "v-n9", on="n9", resourceVersion="78")
    assert planned_again(moved) == {"n9"}
    assert planned_again(node("n1", unschedulable=True)) == set(names) - {"n1"}
