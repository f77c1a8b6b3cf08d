"""What the on-call engineer is shown, and what `retry` sends: from the objects as they are,
whatever
the broker holds.
"""

import dataclasses
import json

import fakeredis
import pytest
from click.testing import CliRunner

import carina_tasks.views.status  # noqa: F401 - how a Status prints
from carina_tasks.cli import plan as plan_command
from carina_tasks.cli import trash as trash_command
from carina_tasks.errors import ApiUnavailable, BadInput, BrokerUnavailable, Paused
from carina_tasks.flows.report.history import history
from carina_tasks.flows.report.loss_plan import PlannedVolume, plan_node
from carina_tasks.flows.report.problem import Problem, ProblemsResult
from carina_tasks.flows.report.problems import find_problems
from carina_tasks.flows.report.readiness import NodeReadiness, Readiness
from carina_tasks.flows.report.retry import (
    Retry,
    retry,
    retry_all,
)
from carina_tasks.flows.report.status import status
from carina_tasks.flows.sweeps.results import MissingVolume, Swept, SweptNode
from carina_tasks.kube import paths
from carina_tasks.model.task_names import (
    MIGRATE_NODE,
    REBUILD_NODE,
    RESUME,
    SWEEP_LOCAL_VOLUMES,
    SWEEP_LOGIC_VOLUMES,
)
from carina_tasks.store import task_results
from carina_tasks.store.task_results import TaskResult
from carina_tasks.views import tables
from tests.builders import kubernetes as b
from tests.builders.app import app
from tests.builders.flow import FakeApi, FakeNodes, context
from tests.builders.redis import away
from tests.builders.trash import lying

TASK = "11111111-2222-3333-4444-555555555555"
NAME = b.NAME


def volume(on="n1", **more):
    """Make LogicVolume, PV and claim of one volume."""
    return [b.logic_volume(on=on, **more), b.pv(on=on), b.claim()]


def healthy():
    """Make two Ready nodes with workers, and one volume with its LV on n1."""
    api = FakeApi(b.node("n1"), b.node("n2"), *volume())
    return api, FakeNodes(b.inventory("n1", b.local_volume()), b.inventory("n2"))


def journalled(**more):
    """Make a cluster with the rebuild of one volume under way from n1 to n2."""
    api = FakeApi(b.node("n2"), *volume(on="n1"))
    lv = api.objects[paths.logic_volume(NAME)]
    lv["spec"]["nodeName"] = "n2"
    lv["metadata"]["annotations"]["tasks.carina.storage.io/journal"] = b.journal(**more).to_json()
    return api, FakeNodes(b.inventory("n2"))


def of(result):
    """Return kind and object of each finding."""
    return [(f.kind, f.what) for f in result.findings]


# --- failed ---


def test_nothing_failed():
    """A healthy cluster has no findings, and nothing is unknown."""
    result = find_problems(context(*healthy()), [])
    assert result == ProblemsResult(now=int(b.NOW))


def test_nothing_is_written():
    """A look changes nothing: no object, no Event, no node task but the inventory."""
    api, nodes = journalled(started=int(b.NOW - 600))
    find_problems(context(api, nodes), [])
    assert (api.log, api.events, nodes.tasks()) == ([], [], [])


@pytest.mark.parametrize(("age", "shown"), [(30, False), (600, True)])
def test_a_rebuild_that_takes_too_long(age, shown):
    """One that has been under way for a moment is no failure."""
    result = find_problems(context(*journalled(started=int(b.NOW - age))), [])
    assert of(result) == ([("unfinished", NAME)] if shown else [])


def test_the_last_word_on_a_rebuild_is_its_reason():
    """Of all results the last one that names the volume; an older one than the journal says nothing
    of this rebuild.
    """

    def said(done, reason, outcome="unfinished"):
        return TaskResult(TASK, RESUME, (), "SUCCESS", done, volumes=((NAME, outcome, reason),))

    ctx = context(*journalled(started=int(b.NOW - 600)))
    before, first, last = (
        said(b.NOW - 700, "an older"),
        said(b.NOW - 500, "silent"),
        said(b.NOW - 20, "PV x", "refused"),
    )
    found = find_problems(ctx, [before, first, last]).findings[0]
    assert (found.kind, found.reason, found.since) == ("refused", "PV x", int(b.NOW - 600))
    assert "an older" not in find_problems(ctx, [before]).findings[0].reason


def test_a_volume_without_a_place():
    """The volume of a deleted node for which no other node has room, with the planner's own
    words.
    """
    api = FakeApi(b.node("n2"), *volume())
    result = find_problems(context(api, FakeNodes(b.inventory("n2", free=11))), [])
    assert of(result) == [("no-fit", NAME)]
    assert "n2" in result.findings[0].reason


def test_a_volume_that_a_person_must_look_at():
    """Its PV names another node than its LogicVolume: the rebuild refuses it, and reports it
    here too.
    """
    api = FakeApi(b.node("n2"), b.node("n3"), b.logic_volume(on="n1"), b.pv(on="n3"), b.claim())
    nodes = FakeNodes(b.inventory("n2"), b.inventory("n3"))
    result = find_problems(context(api, nodes), [])
    assert ("refused", NAME) in of(result)


def test_a_missing_volume_and_since_when():
    """Its node has no LV of its name; the first Event tells since when."""
    api, _ = healthy()
    api.events.append(
        {
            "involvedObject": {"kind": "LogicVolume", "name": NAME},
            "type": "Warning",
            "reason": "LocalVolumeMissing",
            "message": "gone",
            "firstTimestamp": b.at(b.NOW - 900),
            "lastTimestamp": b.at(b.NOW),
            "count": 2,
        }
    )
    result = find_problems(context(api, FakeNodes(b.inventory("n1"), b.inventory("n2"))), [])
    assert of(result) == [("missing", NAME)]
    assert result.findings[0].since == int(b.NOW - 900)


def test_orphans_above_the_cap_say_which_number_to_confirm():
    """What is typed has the exact number, and the oldest mark tells since when."""
    orphans = [b.local_volume(f"volume-x{i}", marked=1000 + i) for i in range(3)]
    api, _ = healthy()
    nodes = FakeNodes(b.inventory("n1", b.local_volume(), *orphans), b.inventory("n2"))
    result = find_problems(context(api, nodes, orphan_limit="2", orphan_share="0"), [])
    assert of(result) == [("orphans", "n1")]
    assert '{"confirm": {"n1": 3}}' in result.findings[0].do
    assert result.findings[0].since == int(b.NOW - 1002)


def test_an_unreadable_object_and_journal():
    """Both are named; neither hides anything else."""
    api, nodes = healthy()
    bad = b.logic_volume("bad", on="n1")
    bad["spec"]["size"] = "many"
    cut = b.logic_volume("cut", on="n1")
    cut["metadata"]["annotations"]["tasks.carina.storage.io/journal"] = "{"
    api.objects |= {paths.logic_volume("bad"): bad, paths.logic_volume("cut"): cut}
    assert ("unreadable", "LogicVolume bad") in of(result := find_problems(context(api, nodes), []))
    assert ("unreadable", "cut") in of(result)


def test_a_pause_is_the_first_thing_shown():
    """With its reason: it is why everything else waits."""
    ctx = context(*healthy())
    ctx.state.write(paused="moving racks")
    assert of(find_problems(ctx, []))[0] == ("paused", "everything")


def test_a_task_that_failed_and_has_gone_well_since_is_no_news():
    """Only the last run of a task counts, each with its own arguments."""

    def ran(state, done, *args):
        return TaskResult(
            f"{done}",
            "carina.failover.rebuild_node",
            args,
            state,
            done,
            reason="ApiUnavailable: away",
        )

    ctx = context(*healthy())
    assert of(find_problems(ctx, [ran("FAILURE", 1, "n1"), ran("SUCCESS", 2, "n1")])) == []
    assert of(find_problems(ctx, [ran("FAILURE", 1, "n1"), ran("SUCCESS", 2, "n2")])) == [
        ("failed", "carina.failover.rebuild_node n1")
    ]


def test_without_the_broker_it_says_what_it_can():
    """And what it cannot: a list that looks empty because no node could be asked is the worst
    answer.
    """
    result = find_problems(context(*journalled(started=int(b.NOW - 600))), None)
    assert of(result) == [("away", "broker"), ("unfinished", NAME)]
    assert result.need_a_person
    assert "the broker is away" in result.unknown[0]


def test_without_the_broker_a_lost_node_is_said_to_wait():
    """Who has room is not known then: no word of a place, or of none."""
    api = FakeApi(b.node("n2"), *volume())
    ctx = dataclasses.replace(context(api, FakeNodes()), worker_alive=_no_broker)
    result = find_problems(ctx, None)
    assert of(result) == [("away", "broker"), ("waiting", "n1")]
    assert "wait for the broker" in result.findings[1].reason


def _no_broker(_):
    raise BrokerUnavailable("nobody there")


@pytest.mark.parametrize(("ready", "kinds"), [("True", []), ("False", [("waiting", "n1")])])
def test_a_node_that_is_not_lost_yet_is_waited_for(ready, kinds):
    """No operator is needed: it continues by itself, and so the exit code is that of a good
    day.
    """
    api = FakeApi(b.node("n1", ready=ready, since=b.NOW - 20), b.node("n2"), *volume())
    result = find_problems(
        context(api, FakeNodes(b.inventory("n1", b.local_volume()), b.inventory("n2"))), []
    )
    assert (of(result), result.need_a_person) == (kinds, False)


def test_volumes_that_have_a_place_are_waited_for():
    """Between the deletion and the next look, or while everything is paused: it reports that it
    goes
    on.
    """
    api = FakeApi(b.node("n2"), *volume())
    result = find_problems(context(api, FakeNodes(b.inventory("n2"))), [])
    assert (of(result), result.need_a_person) == ([("waiting", "n1")], False)


def test_a_silent_worker_is_found():
    """Whether its volumes are there is unknown, and nothing can be rebuilt there."""
    api, _ = healthy()
    result = find_problems(context(api, FakeNodes(b.inventory("n1", b.local_volume()))), [])
    assert (of(result), result.need_a_person) == ([("silent", "n2")], True)


# --- retry ---


def nothing(_):
    """Know of no task."""


@pytest.mark.parametrize(
    ("make", "target", "task", "args"),
    [
        (lambda: journalled(), NAME, RESUME, ()),
        (lambda: (FakeApi(b.node("n2"), *volume()), FakeNodes()), NAME, REBUILD_NODE, ("n1",)),
        (lambda: (FakeApi(b.node("n2"), *volume()), FakeNodes()), "n1", REBUILD_NODE, ("n1",)),
        (
            lambda: (FakeApi(b.node("n1", ready="False"), *volume()), FakeNodes()),
            NAME,
            MIGRATE_NODE,
            ("n1",),
        ),
        (
            lambda: (FakeApi(b.node("n1"), b.logic_volume(on="n1")), FakeNodes()),
            NAME,
            SWEEP_LOGIC_VOLUMES,
            (),
        ),
        (healthy, "n1", SWEEP_LOCAL_VOLUMES, ()),
        (healthy, NAME, SWEEP_LOCAL_VOLUMES, ()),
    ],
)
def test_the_objects_say_what_is_sent(make, target, task, args):
    """A volume or a node, as it is now: journal, lost node, no PV, or a look at its local volumes.
    Nothing is written.
    """
    api, nodes = make()
    (found,) = retry(context(api, nodes), target, nothing)
    assert (found.task, found.args) == (task, args)
    assert api.log == []


@pytest.mark.parametrize(
    ("ran", "task", "args"),
    [
        (TaskResult(TASK, REBUILD_NODE, ("n9",), "FAILURE", 1), "", ()),
        (TaskResult(TASK, REBUILD_NODE, ("n2",), "FAILURE", 1), SWEEP_LOCAL_VOLUMES, ()),
        (TaskResult(TASK, MIGRATE_NODE, ("n1",), "SUCCESS", 1, "refused"), REBUILD_NODE, ("n1",)),
        (TaskResult(TASK, REBUILD_NODE, ("../x",), "FAILURE", 1), "", ()),
        (TaskResult(TASK, REBUILD_NODE, ({"a": 1},), "FAILURE", 1), "", ()),
        (TaskResult(TASK, REBUILD_NODE, ("n1", "n2"), "FAILURE", 1), "", ()),
        (
            TaskResult(TASK, SWEEP_LOCAL_VOLUMES, ({"n1": 300},), "FAILURE", 1),
            SWEEP_LOCAL_VOLUMES,
            (),
        ),
        (TaskResult(TASK, "carina.volume.remove", ({"volumes": []},), "FAILURE", 1), "", ()),
        (TaskResult(TASK, "os.system", ("reboot",), "FAILURE", 1), "", ()),
        (None, "", ()),
    ],
)
def test_a_stored_message_is_never_sent_again(ran, task, args):
    """Of a task only its name and node are looked at; a confirmation, another's request, an unknown
    task are not repeated.
    """
    api = FakeApi(b.node("n2"), *volume())
    (found,) = retry(context(api, FakeNodes()), TASK, lambda _: ran)
    assert (found.task, found.args) == (task, args)
    assert found.reason


@pytest.mark.parametrize(
    "args", [(), ("../x",), ({"a": 1},), (7,), (None,), ("n1", "n2"), ("x" * 999,)]
)
def test_a_task_for_no_node_is_not_looked_at_further(args):
    """What stands in a stored message is no node's name until it passes as one."""
    (found,) = retry(
        context(*healthy()), TASK, lambda _: TaskResult(TASK, REBUILD_NODE, args, "FAILURE", 1)
    )
    assert found == Retry(TASK, f"{REBUILD_NODE} is no task that resumes anything")


def test_nothing_is_sent_while_paused():
    """It would be refused; better here, where it was typed."""
    ctx = context(*healthy())
    ctx.state.write(paused="moving racks")
    with pytest.raises(Paused, match="moving racks"):
        retry(ctx, "n1", nothing)


@pytest.mark.parametrize("target", ["nobody", "Bad_Name", "../x", ""])
def test_what_is_nothing_is_said_to_be_nothing(target):
    """No volume, no node, no task."""
    with pytest.raises(BadInput):
        retry(context(*healthy()), target, nothing)


def test_all_sends_each_task_once():
    """Four volumes of one node are one rebuild; what only the operator can mend is listed and not
    sent.
    """
    api = FakeApi(b.node("n2"), *volume(), b.logic_volume("other", on="n1"), b.pv("other", on="n1"))
    found = ProblemsResult(
        now=1,
        findings=(
            Problem("no-fit", NAME, "full"),
            Problem("no-fit", "other", "full"),
            Problem("orphans", "n2", "cap", do="confirm"),
        ),
    )
    rebuild, person = retry_all(context(api, FakeNodes()), found, nothing)
    assert (rebuild.task, rebuild.args) == (REBUILD_NODE, ("n1",))
    assert person == Retry("n2", "cap: the operator must check at it: confirm")


# --- history ---


def remembered(name, *failovers):
    """Make the LogicVolume of a volume that remembers these failovers: at, from, to."""
    raw = b.logic_volume(name, on="n3")
    raw["metadata"]["annotations"]["tasks.carina.storage.io/history"] = json.dumps(
        [
            {
                "at": b.at(at),
                "kind": "rebuild",
                "from": one,
                "to": two,
                "reason": "gone",
                "intent": "i",
            }
            for at, one, two in failovers
        ]
    )
    return raw


def event(kind, name, reason, at, message="text", namespace="", count=1):
    """Make one of our Events."""
    return {
        "involvedObject": {"kind": kind, "name": name, "namespace": namespace},
        "type": "Normal",
        "reason": reason,
        "message": message,
        "firstTimestamp": b.at(at),
        "lastTimestamp": b.at(at),
        "count": count,
    }


def told(target):
    """Return time and kind of each record of a volume's or node's history."""
    lv = remembered(NAME, (b.NOW - 500, "n1", "n2"), (b.NOW - 300, "n2", "n3"))
    api = FakeApi(b.node("n3"), lv, remembered("other", (b.NOW - 400, "n10", "n3")))
    api.events += [
        event(
            "PersistentVolumeClaim",
            f"claim-{NAME}",
            "VolumeRebuiltEmpty",
            b.NOW - 290,
            "empty",
            "default",
            3,
        ),
        event("LogicVolume", NAME, "VolumeRebuiltEmpty", b.NOW - 290, "empty"),
        event("Node", "n1", "VolumesRebuiltElsewhere", b.NOW - 490),
        event("Pod", "p", "PodEvicted", b.NOW - 495, "evicted from node n1: lost", "default"),
        event("Pod", "p", "PodEvicted", b.NOW - 395, "evicted from node n10: lost", "default"),
        event(
            "PersistentVolumeClaim",
            f"claim-{NAME}",
            "Other",
            b.NOW,
            "of another namespace",
            "elsewhere",
        ),
    ]
    return [
        (int(r.at - b.NOW), r.what, r.count)
        for r in history(context(api, FakeNodes()), target).records
    ]


def test_a_failback_is_not_called_empty():
    """Its volume has the data of before; a rebuilt one is new and empty."""
    lv = remembered(NAME, (b.NOW - 500, "n1", "n2"), (b.NOW - 300, "n2", "n1"))
    annotations = lv["metadata"]["annotations"]
    key = "tasks.carina.storage.io/history"
    past = json.loads(annotations[key])
    past[1]["kind"] = "failback"
    annotations[key] = json.dumps(past)
    rebuilt, back = history(context(FakeApi(b.node("n1"), lv), FakeNodes()), NAME).records
    assert "n1 -> n2, new and empty: " in rebuilt.text
    assert "n2 -> n1, with its old copy's data: " in back.text


def test_a_volumes_history_is_in_order_of_time():
    """What it remembers and what was said of it and its claim, once though two objects carry the
    same words.
    """
    assert told(NAME) == [
        (-500, "rebuild", 1),
        (-300, "rebuild", 1),
        (-290, "VolumeRebuiltEmpty", 3),
    ]


def test_a_nodes_history_is_its_own():
    """Volumes that left it or came to it, its Events and the pods evicted from it; n1 is not
    n10.
    """
    assert told("n1") == [
        (-500, "rebuild", 1),
        (-495, "PodEvicted", 1),
        (-490, "VolumesRebuiltElsewhere", 1),
    ]
    assert told("n10") == [(-400, "rebuild", 1), (-395, "PodEvicted", 1)]


def test_a_history_of_nothing_is_an_error():
    """A typing error must not look like a quiet past."""
    with pytest.raises(BadInput, match="nothing is known of nobody"):
        told("nobody")


def test_a_history_that_does_not_parse_is_none():
    """People can edit annotations."""
    raw = b.logic_volume(NAME)
    raw["metadata"]["annotations"]["tasks.carina.storage.io/history"] = "[{"
    assert history(context(FakeApi(raw), FakeNodes()), NAME).records == ()


# --- what the result backend holds ---


def meta(**more):
    """Make what Celery stores for a control task."""
    return json.dumps(
        {
            "status": "SUCCESS",
            "result": {"outcome": "done"},
            "date_done": "2026-11-25T11:00:00+00:00",
            "name": "carina.failover.resume",
            "args": [],
            **more,
        }
    ).encode()


def test_results_are_read_oldest_first_and_nodes_answers_left_out():
    """A node can write answers under its own name only; none of those is taken for a control
    task's.
    """
    client = fakeredis.FakeRedis()
    later = TASK.replace("1", "9")
    client.set(f"celery-task-meta-{later}", meta(date_done="2026-11-25T12:00:00+00:00"))
    client.set(
        f"celery-task-meta-{TASK}",
        meta(status="FAILURE", result={"exc_type": "X", "exc_message": ["no"]}),
    )
    client.set(f"celery-task-meta-n1:{TASK}", meta(name="carina.failover.rebuild_node"))
    found, cut = task_results.recent(app(client))
    assert [one.id for one in found] == [TASK, later]
    assert (found[0].state, found[0].reason, cut) == ("FAILURE", "X: no", False)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"[]",
        b"\xff",
        b"[" * 100_000,
        meta(status=7),
        meta(status="PENDING"),
        meta(name=None),
        meta(name="x" * 999),
        meta(date_done="yesterday"),
        meta(date_done=5),
        meta(args="os.system"),
        meta(args={"a": 1}),
        meta(result=[1], status="FAILURE"),
        meta(result={"outcome": "x" * task_results.LARGEST}),
    ],
)
def test_whatever_else_lies_there_is_left_out(data):
    """Hostile input: no exception, no object built from it."""
    assert task_results.read(TASK, data) is None


@pytest.mark.parametrize(
    "result", [None, "text", 7, [1, 2], {"volumes": "x"}, {"volumes": [{"volume": 7}]}]
)
def test_a_result_of_another_shape_only_says_that_it_ended(result):
    """Another release's, say."""
    found = task_results.read(TASK, meta(result=result))
    assert found is not None
    assert (found.outcome, found.volumes) == ("", ())


def test_the_scan_is_bounded(monkeypatch):
    """And reports it."""
    monkeypatch.setattr(task_results, "MOST", 2)
    monkeypatch.setattr(task_results, "_BATCH", 1)
    client = fakeredis.FakeRedis()
    for i in range(5):
        client.set(f"celery-task-meta-{TASK[:-1]}{i}", meta())
    found, cut = task_results.recent(app(client))
    assert (len(found), cut) == (2, True)


def test_no_broker_is_no_empty_list():
    """Unknown, and not "nothing failed"."""
    with pytest.raises(BrokerUnavailable):
        task_results.recent(app(away()))


# --- status ---


def shown(ctx, beating=lambda: ("n1", "n2"), width=0):
    """Return the status as the operator sees it."""
    return tables.text(tables.of(status(ctx, beating)), width)


def test_all_well_is_said():
    """Nothing wrong: the operator sees that at once, and nothing to type."""
    text = shown(context(*healthy()))
    assert text.startswith("HEALTHY: 2 nodes, 1 volume")
    assert "failed" not in text


def test_what_lies_in_the_trash_is_said():
    """So that an on-call engineer who looks for a volume knows that it may be there."""
    ctx = context(*healthy())
    ctx.latest_results.keep(
        "sweep.local_volumes",
        Swept(1, nodes=(SweptNode("n1", trash=2), SweptNode("n2", trash=1))),
        1,
    )
    assert "in the trash: 3 local volumes" in shown(ctx)


def test_a_node_that_may_not_be_lost_is_no_alarm_now():
    """It is well, and reports what to see to; `failed` would have nothing to show."""
    ctx = context(*healthy())
    full = (PlannedVolume(NAME, "no-fit", "full"),)
    stuck = NodeReadiness("n1", False, "1 of 1", without_place=1, volumes=full, state="True")
    others = tuple(
        NodeReadiness(name, True, "", state="True")
        for name in ctx.cluster.observe().nodes
        if name != "n1"
    )
    ctx.latest_results.keep(
        "readiness", Readiness(int(b.NOW), "1 of 2 nodes may be lost", (stuck, *others)), 1
    )
    text = shown(ctx)
    assert text.startswith("AT RISK: 2 nodes, 1 volume; the loss of node n1 would leave 1 volume")
    assert "loses 1 volume" in text
    assert "survives" in text


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda ctx, api: ctx.state.write(paused="racks"), "STOPPED: paused: racks"),
        (
            lambda ctx, api: ctx.state.write(latched="2 of 3"),
            "STOPPED: stopped by the mass-failure guard: 2 of 3",
        ),
        (
            lambda ctx, api: ctx.latest_results.keep(
                "sweep.local_volumes", Swept(1, (MissingVolume(NAME, "n1"),)), 1
            ),
            "LOCAL VOLUME MISSING",
        ),
        (
            lambda ctx, api: api.objects[paths.logic_volume(NAME)]["spec"].pop("size"),
            "1 object cannot be read",
        ),
        (
            lambda ctx, api: (
                api.objects.pop(paths.node("n1")),
                api.objects[paths.node("n2")]["spec"].update(unschedulable=True),
            ),
            "DEGRADED: 1 volume of node n1 is unscheduled: node n2 is cordoned "
            "(default/claim-pvc-1): kubectl uncordon n2",
        ),
    ],
)
def test_what_is_wrong_is_said(change, words):
    """Each of them, with what to type next; and it is not called well."""
    api, nodes = healthy()
    ctx = context(api, nodes)
    change(ctx, api)
    text = shown(ctx)
    assert words in text
    assert "HEALTHY" not in text
    assert status(ctx, lambda: ("n1", "n2")).verdict.exit_code == 1
    assert "celery -A carina_tasks carina" in text


def test_what_was_missing_and_moved_since_is_not_missing():
    """The last sweep saw it on a node that it has left: it is not reported."""
    ctx = context(*healthy())
    ctx.latest_results.keep(
        "sweep.local_volumes",
        Swept(1, (MissingVolume(NAME, "n7"), MissingVolume("pvc-gone", "n1"))),
        1,
    )
    assert "MISSING   IF LOST" in shown(ctx)
    assert shown(ctx).startswith("HEALTHY: ")


def test_without_the_broker_the_cluster_is_shown():
    """Workers are unknown then, and not silent."""

    def beating():
        raise BrokerUnavailable("nobody there")

    text = shown(context(*healthy()), beating)
    assert text.startswith(
        "DEGRADED: the broker does not answer, so nothing is failed over (nobody"
    )
    assert text.count("unknown") == 2
    assert "silent" not in text


def test_without_the_api_server_the_workers_are_shown():
    """All that is known, and that it is all."""
    api, nodes = healthy()
    ctx = context(api, nodes)
    api.get = lambda *_: (_ for _ in ()).throw(ApiUnavailable("refused"))
    text = shown(ctx)
    assert text.startswith("UNKNOWN: refused: kubectl version")
    assert [line.split()[:3] for line in text.splitlines() if line.startswith("n")] == [
        ["n1", "unknown", "alive"],
        ["n2", "unknown", "alive"],
    ]
    assert "HEALTHY" not in text


@pytest.mark.parametrize(
    ("change", "step"),
    [
        (lambda api: None, "1/5 planned"),
        (
            lambda api: api.objects[paths.logic_volume(NAME)]["status"].update(status=""),
            "2/5 create the local volume",
        ),
        (
            lambda api: api.objects.pop(paths.persistent_volume(NAME)),
            "3/5 replace the PersistentVolume",
        ),
        (
            lambda api: (
                api.objects.update({paths.persistent_volume(NAME): b.pv(on="n2")}),
                api.objects[paths.claim("default", f"claim-{NAME}")]["status"].update(phase="Lost"),
            ),
            "3/5 replace the PersistentVolume",
        ),
        (
            lambda api: api.objects.update({paths.persistent_volume(NAME): b.pv(on="n2")}),
            "5/5 finish",
        ),
    ],
)
def test_a_rebuild_shows_its_step(change, step):
    """From the objects: its progress is visible."""
    api, nodes = journalled()
    change(api)
    assert step in shown(context(api, nodes))


@pytest.mark.parametrize("width", [80, 120])
def test_the_status_fits_the_terminal(width):
    """In its worst hour: no line is wider."""
    api, nodes = journalled(
        reason="node n1 was deleted (absent for 10 s), and a long sentence follows that has no end"
    )
    ctx = context(api, nodes)
    ctx.state.write(
        paused="the racks in hall two are being moved and nobody knows for how long this will take"
    )
    assert max(map(len, shown(ctx, width=width).splitlines())) <= width


def test_a_plan_for_a_node_that_nobody_knows_is_an_error():
    """A mistyped name must not read as "nothing would be lost"."""
    with pytest.raises(BadInput, match="there is no node n77"):
        plan_node(context(*healthy()), "n77")


def typed(monkeypatch, command, api, nodes, *words):
    """Run a command on fakes; return what it prints."""
    monkeypatch.setattr(f"{command.__name__}.context", lambda: context(api, nodes))
    return CliRunner().invoke(command.command, words).output


def test_a_node_without_volumes_has_no_table(monkeypatch):
    """One sentence in place of headings over nothing."""
    text = typed(monkeypatch, plan_command, *healthy(), "n2")
    assert text == "HEALTHY: if node n2 was deleted: it has no volume of Carina's\n"


def test_the_name_in_the_trash_is_shown_where_the_old_one_is_not_enough(monkeypatch):
    """Two volumes that had one name on one node: each with the name by which `carina restore` takes
    it.
    """
    api, _ = healthy()
    once, twice, again = (
        lying(1, "volume-pvc-7"),
        lying(2, "volume-pvc-8"),
        lying(3, "volume-pvc-8"),
    )
    text = typed(
        monkeypatch,
        trash_command,
        api,
        FakeNodes(b.inventory("n1", once, twice, again), b.inventory("n2")),
    )
    assert [f"(as {lv.name})" in text for lv in (once, twice, again)] == [False, True, True]
    assert once.name not in text
