"""The published status: what it holds, when it is written, and that it stays small."""

import msgspec
import pytest

from carina_tasks.decisions.verdict import Verdict
from carina_tasks.errors import ApiUnavailable
from carina_tasks.flows.publish import bounded, compose, publish
from carina_tasks.flows.report.loss_plan import PlannedVolume
from carina_tasks.flows.report.problem import Problem
from carina_tasks.flows.report.readiness import NodeReadiness, Readiness, readiness
from carina_tasks.flows.report.status import NodeStatus, Status, UnderWay
from carina_tasks.flows.sweeps.results import MissingVolume, Swept, SweptNode
from carina_tasks.kube import paths
from carina_tasks.model import objects, published
from carina_tasks.model.snapshot import ClusterSnapshot
from carina_tasks.store.task_results import TaskResult
from tests.builders import kubernetes as b
from tests.builders.flow import FakeApi, FakeNodes, context

PATH = paths.failover_status("kube-system", "carina-tasks")


def cluster(*more, on="n1"):
    """Make two Ready nodes and one volume."""
    api = FakeApi(b.node("n1"), b.node("n2"), b.logic_volume(on=on), b.pv(on=on), b.claim(), *more)
    nodes = FakeNodes(b.inventory("n1", b.local_volume()), b.inventory("n2"))
    return api, nodes


def beating():
    """Name the nodes whose workers live."""
    return ("n1", "n2")


def writes(api):
    """Return how often the object was written; the first patch finds none, and it is created."""
    paths_ = [path for _, path, _ in api.log]
    return sum(path.startswith(paths.failover_statuses("kube-system")) for path in paths_) - 1


def later(api, monkeypatch, seconds):
    """Let the API server's clock go on."""
    monkeypatch.setattr(b, "NOW", b.NOW + seconds)


def test_it_holds_what_viewers_ask_first():
    """Verdict, nodes with what their loss would do, volumes by state, and when it was written."""
    api, nodes = cluster()
    ctx = context(api, nodes)
    readiness(ctx)
    publish(ctx, beating, [])
    status = api.objects[PATH]["status"]
    assert status["written"] == b.at(b.NOW)
    assert status["level"] == "HEALTHY"
    assert status["sentence"] == "2 nodes, 1 volume, any single node may fail"
    assert [(n["node"], n["ifLost"], n["volumes"]) for n in status["nodes"]] == [
        ("n1", "survives", 1),
        ("n2", "survives", 0),
    ]
    assert (status["volumes"]["total"], status["volumes"]["success"]) == (1, 1)
    assert status["attention"] == []


def test_it_is_written_when_it_changed_or_is_a_minute_old(monkeypatch):
    """And not at every look: a thousand viewers may watch it."""
    api, nodes = cluster()
    ctx = context(api, nodes)
    assert [publish(ctx, beating, []).outcome for _ in range(3)] == [
        "written",
        "unchanged",
        "unchanged",
    ]
    later(api, monkeypatch, 61)
    assert publish(ctx, beating, []).outcome == "written"
    ctx.state.write(paused="a change of disks")
    assert publish(ctx, beating, []).outcome == "written"
    status = api.objects[PATH]["status"]
    assert (status["level"], status["paused"]) == ("STOPPED", "a change of disks")
    assert writes(api) == 3


def test_nodes_are_asked_only_while_one_is_lost():
    """What fits no node is known from its own look; otherwise the last sweep and the heartbeats are
    enough.
    """
    api, nodes = cluster()
    compose(context(api, nodes), beating, [])
    assert nodes.asked == []
    api, nodes = cluster(on="n9")
    nodes = FakeNodes(b.inventory("n1", free=11), b.inventory("n2", free=11))
    found = compose(context(api, nodes), beating, [])
    assert nodes.asked
    assert [(p.what, p.node, p.kind) for p in found.attention] == [
        ("default/claim-pvc-1", "n9", "no-fit")
    ]
    assert found.level == "DEGRADED"
    assert found.needs_operator == 1


def test_while_a_rebuild_has_just_begun_nodes_are_left_alone():
    """They are busy; it is not said that nothing fits, because nobody was asked."""
    api, nodes = cluster(
        b.logic_volume("pvc-2", on="n9"), b.pv("pvc-2", on="n9"), b.claim("pvc-2"), on="n2"
    )
    annotations = api.objects[paths.logic_volume(b.NAME)]["metadata"]["annotations"]
    journal = b.journal(started=int(b.NOW - 5))
    annotations["tasks.carina.storage.io/journal"] = journal.to_json()
    found = compose(context(api, nodes), beating, [])
    assert nodes.asked == []
    assert [(r.claim, r.source, r.target) for r in found.rebuilds] == [
        ("default/claim-pvc-1", journal.source, journal.target)
    ]
    assert found.rebuilds[0].step == "5/5 finish"
    assert "no-fit" not in {one.kind for one in found.attention}


def test_silent_workers_missing_volumes_and_failed_tasks_are_in_it():
    """From heartbeats, the last sweep and the broker's results; each with what to type."""
    api, nodes = cluster()
    ctx = context(api, nodes)
    found = Swept(
        at=int(b.NOW - 60),
        missing=(MissingVolume(b.NAME, "n1", "default/claim-pvc-1"),),
        nodes=(
            SweptNode("n1", missing=1, old_copies=2, old_until=int(b.NOW + 86400)),
            SweptNode("n2", over_cap=40),
        ),
    )
    ctx.latest_results.keep("sweep.local_volumes", found, 600)
    failed = TaskResult("id", "carina.trash.list", (), "FAILURE", b.NOW - 9, "failed", "Boom: x")
    status = compose(ctx, lambda: ("n1",), [failed])
    assert [(p.kind, p.what) for p in status.attention] == [
        ("failed", "carina.trash.list"),
        ("silent", "n2"),
        ("missing", "default/claim-pvc-1"),
        ("orphans", "n2"),
    ]
    assert all(p.do for p in status.attention)
    assert [(c.node, c.volumes) for c in status.old_copies] == [("n1", 2)]
    assert status.old_copies_total == 2


def test_the_same_problem_is_named_once():
    """A silent worker is silent by its heartbeat and by its answer."""
    api, nodes = cluster(on="n9")
    found = compose(context(api, nodes), lambda: ("n2",), [])
    nodes.now.pop("n1")
    assert [one.kind for one in found.attention].count("silent") <= 1


def test_an_api_server_that_is_away_writes_nothing(monkeypatch):
    """The status of before stays, and its age shows that nobody writes it."""
    api, nodes = cluster()
    ctx = context(api, nodes)
    publish(ctx, beating, [])

    def away(*_, **__):
        raise ApiUnavailable("away")

    monkeypatch.setattr(api, "list", away)
    with pytest.raises(ApiUnavailable):
        publish(ctx, beating, [])
    assert writes(api) == 1


def large(nodes, volumes):
    """Make the status of a large cluster in which everything is wrong, with the longest names."""
    reason, name = "ü" * 4000, "n" * 240
    names = [f"{name}-{i}" for i in range(nodes)]
    lost = tuple(
        PlannedVolume(f"pvc-{i}", "no-fit", reason, "", f"{name}/{name}", name) for i in range(10)
    )
    ahead = tuple(
        NodeReadiness(one, False, reason, without_place=volumes // nodes, volumes=lost)
        for one in names
    )
    swept = Swept(
        at=1,
        missing=tuple(MissingVolume(f"pvc-{i}", names[0], name) for i in range(volumes)),
        nodes=tuple(SweptNode(one, old_copies=7, old_until=9, over_cap=1) for one in names),
    )
    under_way = tuple(
        UnderWay(f"pvc-{i}", name, name, 9, reason, "2/5 create", f"{name}/{name}", name)
        for i in range(volumes)
    )
    return Status(
        paused=reason,
        latched=reason,
        nodes=tuple(NodeStatus(one, "Unknown", "silent", 20, reason) for one in names),
        under_way=under_way,
        at=int(b.NOW),
        readiness=Readiness(1, reason, ahead),
        local_sweep=swept,
        verdict=Verdict("DEGRADED", reason, reason, 99999),
    )


def test_it_stays_small_whatever_the_cluster():
    """100 000 volumes on 5000 nodes, all wrong: well below 1 MiB, and it says how many it leaves
    out.
    """
    one = objects.parse_logic_volume(b.logic_volume())
    snapshot = ClusterSnapshot(b.NOW, logic_volumes={f"pvc-{i}": one for i in range(100_000)})
    problems = [
        Problem("missing", "v" * 250, "ü" * 4000, "n" * 250, 9, "d" * 4000, claim="c" * 500)
        for _ in range(100_000)
    ]
    made = bounded(large(5000, 100_000), snapshot, problems, ["ü" * 4000] * 1000)
    size = len(msgspec.json.encode(made))
    print(f"{size >> 10} KiB")
    assert size < 700 << 10
    assert (len(made.nodes), made.nodes_total) == (published.NODES, 5000)
    assert (len(made.attention), made.attention_total) == (50, 100_000)
    assert (len(made.rebuilds), made.rebuilds_total) == (50, 100_000)
    assert (len(made.unschedulable), made.unschedulable_total) == (100, 100_000)
    assert made.volumes.total == 100_000


def test_of_many_nodes_those_stay_that_an_operator_looks_for():
    """The calm ones are left out first."""
    nodes = tuple(NodeStatus(f"n{i:04}", "True", "alive", 1) for i in range(700))
    sick = (NodeStatus("z1", "False", "alive", 1), NodeStatus("z2", "True", "alive", 1, "cordoned"))
    now = Status("", "", (*nodes, *sick), (), int(b.NOW), None)
    made = bounded(now, ClusterSnapshot(b.NOW), [], [])
    assert [one.node for one in made.nodes][-2:] == ["z1", "z2"]
    assert len(made.nodes) == published.NODES
