"""Metrics: what is read, what is counted, and that the labels stay few."""

import ast
import urllib.request
from pathlib import Path

import fakeredis
import msgspec
import pytest
from prometheus_client import REGISTRY, CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from carina_tasks.broker.queue_lengths import QueueLength, queue_lengths
from carina_tasks.decisions.volume_state import STATES
from carina_tasks.demo.children import free_port
from carina_tasks.errors import ApiUnavailable, BadSetting, BrokerUnavailable, Refused
from carina_tasks.flows.failover.lost_node import rebuild_node
from carina_tasks.flows.report import gauges
from carina_tasks.flows.report.readiness import readiness
from carina_tasks.flows.sweeps.results import KeptVolumes, MissingVolume, Swept, SweptNode
from carina_tasks.model import progress, well_known
from carina_tasks.observability import metrics
from carina_tasks.observability.metrics import AboutProcess, Families
from carina_tasks.runtime import observer as module
from carina_tasks.runtime.observer import Observer
from tests.builders.app import app
from tests.builders.flow import FakeApi, FakeNodes, context
from tests.builders.kubernetes import (
    NOW,
    at,
    claim,
    inventory,
    journal,
    logic_volume,
    node,
    pod,
    pv,
)
from tests.builders.redis import away
from tools.reference import metrics_page


@pytest.fixture(autouse=True)
def broker_memory(monkeypatch):
    """Give the broker a memory, which no fake queue has."""
    monkeypatch.setattr(module, "memory", lambda app: (1, 2))


def values(families):
    """Return the samples as {(name, label values): value}."""
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in families.found.values()
        for sample in family.samples
    }


def of_api(*raws):
    """Return the gauges of a cluster."""
    families = Families()
    gauges.of_api(context(FakeApi(*raws), FakeNodes()), families)
    return values(families)


def of_broker(ctx, *nodes, queues=None, now=NOW):
    """Return the gauges of a broker with these queues."""
    families = Families()
    gauges.of_broker(
        ctx,
        families,
        nodes,
        lambda names: {n: (queues or {}).get(n, QueueLength(0, None)) for n in names},
        now,
    )
    return values(families)


def test_volumes_are_counted_by_state():
    """One state each; every state is there, so that none that turned to nothing stays in a
    graph.
    """
    broken = logic_volume("broken", "n1")
    broken["spec"]["deviceGroup"] = "../x"
    found = of_api(
        node("n1"),
        logic_volume("good", "n1"),
        logic_volume("new", "n1", status=""),
        logic_volume("bad", "n1", status="Failed"),
        logic_volume("going", "n1", deletionTimestamp=at(NOW)),
        logic_volume("moving", "n1", journal=journal("moving", "n0", "n1")),
        logic_volume("odd", "n1", journal="{}"),
        logic_volume("alone", "n9"),
        broken,
    )
    states = {
        key[1]: value for key, value in found.items() if key[0] == "carina_tasks_logic_volumes"
    }
    assert states == dict.fromkeys(STATES, 1)
    assert set(of_api(node("n1"))) >= {("carina_tasks_logic_volumes", state) for state in STATES}


def test_the_oldest_rebuild_says_when_it_began():
    """The oldest of all journals; without one there is no such time."""
    moving = [
        logic_volume(n, journal=journal(n, started=int(NOW) - age))
        for n, age in (("a", 5), ("b", 500))
    ]
    found = of_api(node("n2"), *moving)
    assert found["carina_tasks_rebuilds",] == 2
    assert found["carina_tasks_rebuilds_oldest_start_timestamp_seconds",] == NOW - 500
    assert ("carina_tasks_rebuilds_oldest_start_timestamp_seconds",) not in of_api(node("n2"))


def test_pause_latch_and_nodes():
    """Whether the operator paused, whether the guard latched, and what Kubernetes says of each
    node.
    """
    api = FakeApi(node("n1"), node("n2", ready="Unknown"))
    ctx = context(api, FakeNodes())
    ctx.state.write(paused="racks", latched=None)
    families = Families()
    assert gauges.of_api(ctx, families) == ("n1", "n2")
    found = values(families)
    assert (found["carina_tasks_paused",], found["carina_tasks_latched",]) == (1, 0)
    assert (found["carina_tasks_node_ready", "n1"], found["carina_tasks_node_ready", "n2"]) == (
        1,
        0,
    )


def test_what_tasks_found_is_told_for_nodes_that_are_there():
    """Readiness and the last sweep, by node; the gauges of a node that is gone disappear with
    it.
    """
    parts = [logic_volume(), pv(), claim(), pod("p", "pvc-1")]
    ctx = context(
        FakeApi(node("n1"), node("n2"), *parts), FakeNodes(inventory("n1"), inventory("n2", free=0))
    )
    readiness(ctx)
    swept = (SweptNode("n1", missing=3, trash=2, trash_bytes=7), SweptNode("n2", over_cap=12))
    ctx.latest_results.keep(
        "sweep.local_volumes", Swept(at=int(NOW), nodes=swept, kept=(KeptVolumes("open", 4),)), 60
    )
    found = of_broker(ctx, "n1", "n2")
    assert (
        found["carina_tasks_node_readiness", "n1"],
        found["carina_tasks_node_readiness", "n2"],
    ) == (0, 1)
    assert found["carina_tasks_volumes_without_place", "n1"] == 1
    assert found["carina_tasks_readiness_timestamp_seconds",] == int(NOW)
    assert found["carina_tasks_sweep_last_success_timestamp_seconds", "local_volumes"] == int(NOW)
    assert (
        found["carina_tasks_volumes_missing", "n1"],
        found["carina_tasks_orphans_over_cap", "n2"],
    ) == (3, 12)
    assert (found["carina_tasks_trash_volumes", "n1"], found["carina_tasks_trash_bytes", "n1"]) == (
        2,
        7,
    )
    assert found["carina_tasks_local_volumes_kept", "open"] == 4
    assert not {key for key in of_broker(ctx, "n2") if "n1" in key}


def test_queues_and_workers():
    """How much waits in the control queue and in each node's, for how long, and which workers
    live.
    """
    ctx = context(FakeApi(), FakeNodes(inventory("n1")))
    queues = {"control": QueueLength(3, NOW - 20), "node.n1": QueueLength(1, NOW + 5)}
    found = of_broker(ctx, "n1", "n2", queues=queues)
    assert found["carina_tasks_queue_messages", "control"] == 3
    assert found["carina_tasks_queue_oldest_message_age_seconds", "control"] == 20
    assert found["carina_tasks_queue_oldest_message_age_seconds", "node.n1"] == 0
    assert (
        found["carina_tasks_node_worker_up", "n1"],
        found["carina_tasks_node_worker_up", "n2"],
    ) == (1, 0)


def test_the_oldest_message_stands_at_the_right():
    """As Celery puts them on the list; one without a time, or that is no message of ours, has no
    age.
    """
    client = fakeredis.FakeRedis()
    for sent in (10.5, 20.5):
        client.lpush(
            "control", msgspec.json.encode({"body": "", "headers": {"task": "t", "sent_at": sent}})
        )
    client.lpush("node.n1", b"garbage")
    client.lpush("node.n2", msgspec.json.encode({"headers": {}}))
    assert queue_lengths(app(client), ["control", "node.n1", "node.n2", "none"]) == {
        "control": QueueLength(2, 10.5),
        "node.n1": QueueLength(1, None),
        "node.n2": QueueLength(1, None),
        "none": QueueLength(0, None),
    }
    with pytest.raises(BrokerUnavailable):
        queue_lengths(app(away()), ["control"])


def test_a_source_that_is_away_is_not_shown_as_if_it_were_there(monkeypatch):
    """Its gauges go, the time of its last reading stays, the other source is told; and all is back
    afterwards.
    """
    api = FakeApi(node("n1"))
    ctx = context(api, FakeNodes(inventory("n1")))
    monkeypatch.setattr(module, "context", lambda: ctx)
    monkeypatch.setattr(
        module, "queue_lengths", lambda app, names: {name: QueueLength(0, None) for name in names}
    )

    def seen():
        return {s.name: s.value for family in watcher.collect() for s in family.samples} | {
            f"{s.name} {s.labels['source']}": s.value
            for family in watcher.collect()
            for s in family.samples
            if "source" in s.labels
        }

    watcher = Observer()
    assert seen() == {}
    watcher.look()
    first = seen()
    assert {"carina_tasks_paused", "carina_tasks_node_worker_up"} <= first.keys()
    real, api.list = (
        api.list,
        lambda path, query=None: (_ for _ in ()).throw(ApiUnavailable("away")),
    )
    watcher.look()
    then = seen()
    assert "carina_tasks_paused" not in then
    assert "carina_tasks_node_worker_up" in then
    stamp = "carina_tasks_observed_timestamp_seconds "
    assert then[stamp + "api"] == first[stamp + "api"]
    assert then[stamp + "broker"] > first[stamp + "broker"]
    api.list = real
    watcher.look()
    assert "carina_tasks_paused" in seen()


@pytest.mark.parametrize(
    ("controller", "allowed", "active"),
    [(False, True, False), (True, True, True), (True, False, False), (True, None, None)],
)
def test_whether_carinas_own_failover_can_act(monkeypatch, controller, allowed, active):
    """1, 0, or nothing where that cannot be asked; the pods are not listed again at each look."""
    controller_pod = pod("carina-controller-0")
    controller_pod["spec"]["containers"] = [{"name": "x", "image": "carina/carina-controller:0.14"}]
    api = FakeApi(node("n1"), *([controller_pod] if controller else []))
    ctx = context(api, FakeNodes(inventory("n1")))
    monkeypatch.setattr(module, "context", lambda: ctx)
    monkeypatch.setattr(ctx.cluster, "has_right", lambda account, right: allowed)
    monkeypatch.setattr(ctx.cluster, "carinas_policy", lambda: None)
    monkeypatch.setattr(module, "queue_lengths", lambda app, names: {})
    asked = []
    real = ctx.cluster.carinas_controllers
    monkeypatch.setattr(ctx.cluster, "carinas_controllers", lambda: asked.append(1) or real())
    watcher = Observer()
    for _ in range(2):
        watcher.look()
        found = {s.name: s.value for family in watcher.collect() for s in family.samples}
        assert found.get("carina_tasks_carina_failover_active") == active
    assert len(asked) == 1


def test_a_question_about_carina_without_an_answer_hides_no_other_gauge(monkeypatch):
    """The list of pods fails: pause and nodes are shown all the same."""
    ctx = context(FakeApi(node("n1")), FakeNodes(inventory("n1")))
    monkeypatch.setattr(module, "context", lambda: ctx)
    monkeypatch.setattr(module, "queue_lengths", lambda app, names: {})
    away = ApiUnavailable("too many pods")
    monkeypatch.setattr(ctx.cluster, "carinas_controllers", lambda: (_ for _ in ()).throw(away))
    watcher = Observer()
    watcher.look()
    found = {family.name for family in watcher.collect()}
    assert "carina_tasks_paused" in found
    assert "carina_tasks_carina_failover_active" not in found


def test_a_failover_is_counted_with_its_result_and_its_steps():
    """By kind and outcome, and each step with its time; nothing of it names a volume."""

    def sample(name, **labels):
        return REGISTRY.get_sample_value(name, labels) or 0

    labels = {"kind": "rebuild", "outcome": "done"}
    before = (
        sample("carina_tasks_failovers_total", **labels),
        sample("carina_tasks_step_duration_seconds_count", step="delete-volume"),
    )
    api = FakeApi(node("n2"), logic_volume(), pv(), claim(), pod("p", "pvc-1"))
    rebuild_node(context(api, FakeNodes(inventory("n2"))), "n1")
    after = (
        sample("carina_tasks_failovers_total", **labels),
        sample("carina_tasks_step_duration_seconds_count", step="delete-volume"),
    )
    assert (after[0] - before[0], after[1] - before[1]) == (1, 1)
    assert sample("carina_tasks_step_duration_seconds_count", step="create-local") >= 1


def test_no_metric_has_a_label_that_grows_with_the_volumes():
    """Labels are of a closed list; of these only the node's name grows, and a queue's, which is a
    node's. Claims are the first five of each cause: see below.
    """
    few = {
        "action",
        "guard",
        "kind",
        "outcome",
        "step",
        "sweep",
        "verb",
        "status",
        "command",
        "version",
        "process",
        "entry",
        "source",
        "state",
        "why",
    }
    grow, bounded = {"node", "queue"}, {"claim"}
    labels = {label for one in metrics_page.counted() for label in one._labelnames}
    labels |= {label for one in metrics.GAUGES.values() for label in one.labels}
    assert labels == few | grow | bounded
    with_claims = {name for name, one in metrics.GAUGES.items() if "claim" in one.labels}
    assert with_claims == {
        "carina_tasks_claim_affected",
        "carina_tasks_claim_emptied_timestamp_seconds",
    }


def test_the_first_claims_behind_a_number_are_named():
    """For the text of an alert; however many volumes there are, five for each cause and no more."""
    many = [logic_volume(f"lost-{i}", "gone") for i in range(30)]
    moving = [
        logic_volume(f"m{i}", "n2", journal=journal(f"m{i}", started=int(NOW) - i))
        for i in range(30)
    ]
    moved = []
    for i in range(30):
        past = progress.add_failover("", journal(started=int(NOW) - i))
        moved.append(logic_volume(f"e{i}", "n2", annotations={well_known.HISTORY: past}))
    back = progress.add_failover("", journal(kind="failback", copy="uuid"))
    moved.append(logic_volume("back", "n2", annotations={well_known.HISTORY: back}))
    odd = [logic_volume(f"odd{i}", "n2", journal="{}") for i in range(9)]
    found = of_api(node("n2"), *many, *moving, *moved, *odd)
    named = {}
    for _, why, *whose in [k for k in found if k[0] == "carina_tasks_claim_affected"]:
        named.setdefault(why, []).append(tuple(whose))
    assert {why: len(claims) for why, claims in named.items()} == {
        "lost": 5,
        "rebuild": 5,
        "unreadable": 5,
    }
    assert ("default/claim-lost-0", "gone") in named["lost"]
    assert ("default/claim-m29", "n2") in named["rebuild"], "the oldest is the one that is stuck"
    emptied = {k[1]: v for k, v in found.items() if "emptied" in k[0]}
    assert emptied == {f"default/claim-e{i}": int(NOW) - i for i in range(5)}


def test_what_nodes_lack_is_named_by_claim():
    """A missing local volume, and one that no node would fit."""
    parts = [logic_volume(), pv(), claim(), pod("p", "pvc-1")]
    ctx = context(
        FakeApi(node("n1"), node("n2"), *parts), FakeNodes(inventory("n1"), inventory("n2", free=0))
    )
    readiness(ctx)
    gone = (MissingVolume("pvc-9", "n1", "db/data-0"), MissingVolume("pvc-8", "gone", "db/x"))
    nodes = (SweptNode("n1", old_copies=2, old_until=int(NOW) + 60), SweptNode("n2"))
    ctx.latest_results.keep("sweep.local_volumes", Swept(int(NOW), gone, nodes), 60)
    found = of_broker(ctx, "n1", "n2")
    assert {k[1:] for k in found if k[0] == "carina_tasks_claim_affected"} == {
        ("missing", "db/data-0", "n1"),
        ("unplaced", "default/claim-pvc-1", "n1"),
    }
    ends = {k[1]: v for k, v in found.items() if k[0].startswith("carina_tasks_old_copies_end")}
    assert ends == {"n1": int(NOW) + 60}


def test_the_brokers_memory_has_a_limit_or_none():
    """Used, and what may be used; without a limit the second is not there."""
    families = Families()
    gauges.of_memory(families, 7, 0)
    assert values(families) == {("carina_tasks_broker_memory_bytes",): 7}
    gauges.of_memory(families, 7, 10)
    assert values(families)["carina_tasks_broker_memory_limit_bytes",] == 10


def test_the_endpoint_serves_what_it_counts_and_what_it_reads():
    """At the port that it was given, with what the process is; a port that is taken ends in one
    line that names it.
    """
    port = free_port()
    about = AboutProcess("1.2.3", "test")
    try:
        metrics.serve(port, about)
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
            families = {
                one.name: one for one in text_string_to_metric_families(answer.read().decode())
            }
        assert families["carina_tasks_build_info"].samples[0].labels == {
            "version": "1.2.3",
            "process": "test",
        }
        assert families["carina_tasks_metrics_complete"].samples[0].value == 1
        assert "carina_tasks_api_request_duration_seconds" in families
        with pytest.raises(BadSetting, match=f"METRICS_PORT: port {port}"):
            metrics.serve(port)
    finally:
        REGISTRY.unregister(about)
    metrics.serve(0, AboutProcess("1", "not served"))


def test_forked_processes_share_what_they_count(monkeypatch, tmp_path):
    """With Prometheus' folder set, the endpoint adds up what is in it, and not what this process
    has.
    """
    monkeypatch.setenv(metrics.MULTIPROC_DIR, str(tmp_path))
    served = []
    monkeypatch.setattr(
        metrics.web, "serve", lambda port, registry, checks: served.append(registry)
    )
    metrics.serve(1, AboutProcess("1", "test"))
    (registry,) = served
    assert isinstance(registry, CollectorRegistry)
    assert registry is not REGISTRY
    names = {family.name for family in registry.collect()}
    assert "carina_tasks_build_info" in names
    assert "carina_tasks_api_request_duration_seconds" not in names


def test_every_gauge_is_described_and_every_description_ends_in_a_stop():
    """What a page or `promtool` shows reads as a sentence."""
    texts = [one._documentation for one in metrics_page.counted()] + [
        one.help for one in metrics.GAUGES.values()
    ]
    assert all(text.endswith(".") for text in texts)
    with pytest.raises(KeyError):
        Families().put("carina_tasks_unheard_of", 1)


def test_counters_begin_at_zero():
    """Every act and guard that the code names is exported before it happens: else rate() would miss
    the first.
    """
    named = {"acted": set(), "guarded": set(), "noted": set()}
    for path in (Path(metrics.__file__).parents[1] / "flows").rglob("*.py"):
        for call in ast.walk(ast.parse(path.read_text())):
            if (
                isinstance(call, ast.Call)
                and isinstance(call.func, ast.Attribute)
                and call.func.attr in named
            ):
                first = call.args[0] if call.args else None
                if isinstance(first, ast.Constant):
                    named[call.func.attr].add(first.value)
    assert {values[0] for values in metrics.KNOWN[metrics.AUDIT]} == named["acted"] | named["noted"]
    refused = {kind.__name__ for kind in Refused.__subclasses__()}
    assert {values[0] for values in metrics.KNOWN[metrics.GUARDS]} >= named["guarded"] | {
        "Paused",
        "MassFailure",
    }
    assert {values[0] for values in metrics.KNOWN[metrics.GUARDS]} <= named["guarded"] | refused
    metrics.begin_at_zero()
    labels = {"kind": "migrate", "outcome": "nothing-to-do"}
    assert REGISTRY.get_sample_value("carina_tasks_failovers_total", labels) is not None
