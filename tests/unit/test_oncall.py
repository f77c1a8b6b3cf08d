"""What an on-call engineer types and reads: claims, pods and sentences, in every command."""

import json
import re

import pytest
from click.testing import CliRunner

from carina_tasks.cli import failback as failback_command
from carina_tasks.cli import failed as failed_command
from carina_tasks.cli import history as history_command
from carina_tasks.cli import pause as pause_command
from carina_tasks.cli import plan as plan_command
from carina_tasks.cli import rebuild as rebuild_command
from carina_tasks.cli import resume as resume_command
from carina_tasks.cli import status as status_command
from carina_tasks.cli import trash as trash_command
from carina_tasks.cli import volumes as volumes_command
from carina_tasks.cli import where
from carina_tasks.decisions.doctor import Check, placed, verdict_of
from carina_tasks.errors import ApiDenied
from carina_tasks.flower import rows
from carina_tasks.flows.failover.lost_node import rebuild_node
from carina_tasks.flows.report.history import history
from carina_tasks.flows.report.problems import find_problems
from carina_tasks.kube import paths
from carina_tasks.kube.events import About
from carina_tasks.model import progress
from carina_tasks.store import heartbeat
from tests import monitoring
from tests.builders import kubernetes as b
from tests.builders.flow import FakeApi, FakeNodes, context
from tests.builders.trash import lying

CLAIM, POD = "default/claim-pvc-1", "db-0"


@pytest.fixture
def cluster(monkeypatch):
    """Make a healthy cluster whose commands run on fakes, with the pod ``db-0`` on n1."""
    api = FakeApi(
        b.node("n1"),
        b.node("n2"),
        b.logic_volume(),
        b.pv(),
        b.claim(),
        b.pod(POD, "pvc-1", on="n1"),
    )
    nodes = FakeNodes(
        b.inventory("n1", b.local_volume()), b.inventory("n2", lying(1, "volume-pvc-1"))
    )
    ctx = context(api, nodes)
    for module in (
        failback_command,
        history_command,
        plan_command,
        rebuild_command,
        status_command,
        trash_command,
        volumes_command,
    ):
        monkeypatch.setattr(module, "context", lambda: ctx)
    monkeypatch.setattr(volumes_command, "node_calls", lambda: ctx.nodes)
    monkeypatch.setattr(heartbeat, "alive", lambda app, node: node in ("n1", "n2"))
    monkeypatch.setattr(heartbeat, "beating", lambda app: ("n1", "n2"))
    monkeypatch.setattr(failed_command, "look", lambda: find_problems(ctx, []))
    api.nodes = nodes
    return api


def typed(command, *words, code=0):
    """Run a command; return what it prints, on both streams."""
    done = CliRunner().invoke(command.command, words)
    assert done.exit_code == code, done.output
    return done.output


@pytest.mark.parametrize("word", [CLAIM, "claim-pvc-1", f"pod/default/{POD}", POD, "pvc-1"])
@pytest.mark.parametrize(
    ("command", "words"),
    [(history_command, ()), (plan_command, ()), (volumes_command, ()), (trash_command, ())],
)
def test_commands_take_a_claim_or_a_pod(cluster, command, words, word):
    """Wherever they take a volume or its node."""
    text = typed(command, word, *words)
    assert "no volume, claim" not in text
    if command is not history_command:
        assert CLAIM in text


def test_the_claim_comes_first_and_the_volume_is_a_detail(cluster):
    """The claim begins the row, its pod follows, and pvc-<uuid> stands in parentheses."""
    row = typed(plan_command, "n1").splitlines()[3]
    assert row.split()[:2] == [CLAIM, POD]
    assert row.endswith("(pvc-1)")


def test_a_rebuild_is_confirmed_by_the_claim(cluster):
    """Typed out twice; once is refused, and so is another volume's."""
    assert f"--force {CLAIM}" in typed(rebuild_command, "n1", CLAIM, code=1)
    assert "scale it down" in typed(rebuild_command, "n1", CLAIM, "--force", CLAIM, code=1)
    cluster.objects[paths.logic_volume("pvc-2")] = b.logic_volume("pvc-2")
    assert "would be new" in typed(
        rebuild_command, "n1", CLAIM, "--force", "default/claim-pvc-2", code=1
    )


def test_a_confirmation_that_means_several_volumes_is_none(cluster):
    """`failback --confirm POD` of a pod with two volumes lists their claims."""
    cluster.objects |= {
        paths.logic_volume("pvc-2"): b.logic_volume("pvc-2"),
        paths.pod("default", POD): b.pod(POD, "pvc-1", "pvc-2", on="n1"),
    }
    text = typed(failback_command, "n2", CLAIM, "--confirm", POD, code=2)
    assert "name one of default/claim-pvc-1, default/claim-pvc-2" in text


def test_a_typo_is_answered_at_once_and_asks_nobody(cluster):
    """No message is sent: none would be taken, and it would stay in Redis."""
    text = typed(volumes_command, "TYPO", code=2)
    assert "there is no volume, claim, pod or node TYPO" in text
    assert cluster.nodes.tasks() == []


def test_a_silent_worker_is_answered_at_once(cluster, monkeypatch):
    """With the command that shows why; nothing is sent to it."""
    monkeypatch.setattr(heartbeat, "alive", lambda app, node: False)
    text = typed(volumes_command, CLAIM, code=2)
    assert "the worker of node n1 sends no heartbeat: kubectl -n kube-system get pods" in text
    assert cluster.nodes.tasks() == []


def test_a_node_that_only_its_worker_knows_is_asked(cluster):
    """A machine whose node was deleted still holds what its volumes had."""
    cluster.objects.pop(paths.node("n2"))
    assert CLAIM in typed(trash_command, "n2")


def test_status_and_failed_begin_with_the_verdict(cluster):
    """And end with its exit code; the JSON has it too."""
    assert typed(status_command).startswith("HEALTHY: 2 nodes, 1 volume")
    assert typed(failed_command) == "HEALTHY: nothing failed, and nothing is stuck\n"
    cluster.objects.pop(paths.node("n1"))
    cluster.objects[paths.node("n2")]["spec"]["unschedulable"] = True
    first = typed(status_command, code=1).splitlines()[0]
    assert first.endswith("kubectl uncordon n2")
    verdict = json.loads(typed(status_command, "-o", "json", code=1))["verdict"]
    assert (verdict["level"], verdict["do"]) == ("DEGRADED", "kubectl uncordon n2")
    text = typed(failed_command, code=1)
    assert text.startswith("DEGRADED: 1 thing needs the operator")
    assert "  kubectl uncordon n2" in text.splitlines()
    assert "retry" not in text


def test_a_node_whose_pods_may_not_migrate_needs_the_operator(cluster):
    """Nothing begins by itself there: the machine is started, or its pods are allowed to move."""
    cluster.objects[paths.node("n1")] = b.node("n1", ready="False", since=b.NOW - 9000)
    line = typed(status_command, code=1).splitlines()[0]
    assert "1 volume is waiting for it to return: their pods are not allowed to migrate" in line


@pytest.mark.parametrize(("age", "asked"), [(5, False), (600, True)])
def test_a_status_does_not_wait_for_nodes_that_have_just_begun(cluster, age, asked):
    """While volumes are being rebuilt the nodes are busy, and what no node fits is seen later."""
    journal = b.journal("pvc-2", started=int(b.NOW - age))
    cluster.objects[paths.logic_volume("pvc-2")] = b.logic_volume("pvc-2", on="n2", journal=journal)
    cluster.objects.pop(paths.node("n1"))
    typed(status_command, code=1 if asked else 0)
    assert bool(cluster.nodes.asked) is asked


def test_events_and_results_name_claim_and_pod():
    """On the claim, on the node, and in the result that Flower shows."""
    parts = [b.logic_volume(), b.pv(), b.claim(), b.pod(POD, "pvc-1", on="n1")]
    api = FakeApi(b.node("n2"), *parts)
    result = rebuild_node(context(api, FakeNodes(b.inventory("n2", free=1))), "n1")
    assert [(v.claim, v.pod) for v in result.volumes] == [(CLAIM, POD)]
    said = {e["involvedObject"]["kind"]: e["message"] for e in api.events}
    assert f"volume {CLAIM} (pvc-1) of pod {POD}" in said["PersistentVolumeClaim"]
    assert CLAIM in said["Node"]


def test_flower_shows_the_claim():
    """The volume's own name stands at the end of its line."""
    volume = {
        "volume": "pvc-1", "claim": CLAIM, "pod": POD, "outcome": "no-fit", "reason": "full",
    }  # fmt: skip
    result = {"node": "n1", "outcome": "unfinished", "reason": "gone", "volumes": [volume]}
    came = rows._volumes(result)
    assert came.text == f"1 no-fit; {CLAIM}: full"
    assert came.lines == (f"{CLAIM}  pod {POD}  no-fit  full  (pvc-1)",)


def test_advice_says_where_a_program_is():
    """Inside the image there is no kubectl; a page is an address where there is one."""
    here = placed(Check("x", "WARN", "y", "kubectl -n kube-system get pods"), "ops", "", bool)
    assert here.do == "kubectl -n ops get pods"

    def nothing(program):
        return False

    there = placed(Check("x", "WARN", "y", "redis-cli config set a b"), "ops", "", nothing)
    assert there.do == "at the broker: redis-cli config set a b"
    page = Check("x", "WARN", "y", "docs/redis.md, Users and profiles")
    assert placed(page, "ops", "https://docs.example.com/ct/", nothing).do == (
        "https://docs.example.com/ct/redis.html#users-and-profiles"
    )
    assert placed(page, "ops", "", nothing).do == page.do
    quoted = Check("x", "WARN", "y", "docs/carina.md, Deny Carina's own failover")
    assert placed(quoted, "ops", "https://docs.example.com", nothing).do == (
        "https://docs.example.com/carina.html#deny-carinas-own-failover"
    )


def test_advice_names_pages_and_headings_that_exist():
    """A link that leads nowhere is found here, and not at night."""
    named = []
    for part in ("decisions", "flows/report"):
        text = (monitoring.ROOT / "carina_tasks" / part / "doctor.py").read_text()
        named += re.findall(r"docs/([a-z-]+)\.md, ([A-Z][\w' ]*)[\")]", text)
    assert len(named) >= 5
    for page, heading in named:
        headings = (monitoring.ROOT / "docs" / f"{page}.md").read_text().splitlines()
        assert f"## {heading}" in headings, (page, heading)


@pytest.mark.parametrize(
    ("verdicts", "level"), [("OK", "HEALTHY"), ("OK WARN", "AT RISK"), ("WARN FAIL", "DEGRADED")]
)
def test_doctor_begins_with_its_worst_check(verdicts, level):
    """By name."""
    checks = [Check(f"area {word}", word, "x") for word in verdicts.split()]
    assert verdict_of(checks).level == level


def test_other_ages_are_no_news():
    """A wait that goes from seconds to minutes is the same wait; a larger share is news."""
    said = [f"NotReady for {age} of 5m" for age in ("61s", "3m", "2h05m", "3d")]
    assert all(progress.same_but_for_numbers(said[0], other) for other in said)
    assert not progress.same_but_for_numbers("zeroed 3 %", "zeroed 9 %")


def test_a_word_that_is_no_volume_is_left_to_the_command(cluster):
    """The UUID of an LV, a name in the trash: they are no objects of the cluster."""
    snapshot = context(cluster, FakeNodes()).cluster.observe()
    assert where.volumes(snapshot, "oldold-bbbb") == ("oldold-bbbb",)
    assert where.volumes(snapshot, POD) == ("pvc-1",)


def test_a_pause_tells_who_and_when(cluster, monkeypatch):
    """In the ConfigMap that everything shows, and in an Event; who ended what stays there, too."""
    monkeypatch.setattr(pause_command, "context", lambda: context(cluster, FakeNodes()))
    monkeypatch.setattr(resume_command, "context", lambda: context(cluster, FakeNodes()))
    run = CliRunner().invoke
    assert run(pause_command.command, ["moving racks", "--by", "alice"]).exit_code == 0
    paused = context(cluster, FakeNodes()).state.read().paused
    when = progress.timestamp(b.NOW)
    assert paused == f"moving racks (by alice, as an-operator, at {when})"
    resumed = run(resume_command.command, [], env={"CARINA_OPERATOR": "bob"})
    assert "was paused: moving racks (by alice" in resumed.output
    (state,) = [v for k, v in cluster.objects.items() if k.endswith("/carina-tasks-state")]
    assert state["data"]["resumed"].startswith("by bob, as an-operator, at 20")
    said = [(e["reason"], e["type"], e["message"]) for e in cluster.events]
    assert said == [
        (
            "CarinaTasksPaused",
            "Normal",
            "carina-tasks is paused by alice, as an-operator: moving racks",
        ),
        (
            "CarinaTasksResumed",
            "Normal",
            f"carina-tasks is resumed by bob, as an-operator; was: {paused}",
        ),
    ]
    records = history(context(cluster, FakeNodes()), CLAIM).records
    assert [r.what for r in records] == [], "a pause alone is nobody's history"


def test_a_pause_is_in_the_history_of_what_waited_for_it(cluster):
    """In causal order: planned before, paused, resumed, done."""
    ctx = context(cluster, FakeNodes())
    about = ctx.state.write(paused="x")
    claim = About("PersistentVolumeClaim", "claim-pvc-1", "u", "default")
    for what, reason in (
        (claim, "RebuildPlanned"),
        (about, "CarinaTasksPaused"),
        (about, "CarinaTasksResumed"),
        (claim, "VolumeRebuiltEmpty"),
    ):
        ctx.audit.event(what, "Normal", reason, f"told of {reason}")
    cluster.events.reverse()
    assert [r.what for r in history(ctx, CLAIM).records] == [
        "RebuildPlanned",
        "CarinaTasksPaused",
        "CarinaTasksResumed",
        "VolumeRebuiltEmpty",
    ]


def test_a_pause_without_a_name_for_the_operator(cluster, monkeypatch):
    """An API server that does not say who asks is no reason not to pause."""
    ctx = context(cluster, FakeNodes())
    real = cluster.create

    def create(path, body, **options):
        if path == paths.WHO_AM_I:
            raise ApiDenied("no")
        return real(path, body, **options)

    cluster.create = create
    monkeypatch.setattr(pause_command, "context", lambda: ctx)
    assert CliRunner().invoke(pause_command.command, ["racks"]).exit_code == 0
    assert "by an unknown user" in ctx.state.read().paused
