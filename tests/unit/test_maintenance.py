"""Planned absence: maintenance of a node, cordons, and the approval of single nodes after a mass
failure.
"""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

import carina_tasks.views.status  # noqa: F401 - how a Status prints
from carina_tasks.cli import maintenance as maintenance_cli
from carina_tasks.cli import resume as resume_cli
from carina_tasks.errors import BadInput, MassFailure, Paused
from carina_tasks.flows.failover import maintenance
from carina_tasks.flows.failover.lost_node import migrate_node, rebuild_node
from carina_tasks.flows.failover.resume import resume
from carina_tasks.flows.report import gauges
from carina_tasks.flows.report.problems import find_problems
from carina_tasks.flows.report.readiness import readiness
from carina_tasks.flows.report.status import status
from carina_tasks.kube import paths
from carina_tasks.model import maintenance as model
from carina_tasks.model import times, well_known
from carina_tasks.observability import metrics
from carina_tasks.views import tables
from tests.builders.flow import FakeApi, FakeNodes, context
from tests.builders.kubernetes import (
    NOW,
    claim,
    inventory,
    local_volume,
    logic_volume,
    node,
    pod,
    pv,
)

MAP = paths.config_map("kube-system", well_known.STATE_CONFIG_MAP)


def cluster(*nodes, volume_on="n1", more=()):
    """Make a cluster with these nodes, one volume with its annotated pod, and `more` objects."""
    owner = pod("p", "pvc-1", on=volume_on, annotated=True)
    return FakeApi(
        *nodes,
        logic_volume("pvc-1", volume_on),
        pv("pvc-1", volume_on),
        claim("pvc-1"),
        owner,
        *more,
    )


def lost(*, since=NOW - 5000, **spec):
    """Make a cluster whose node n1 is NotReady; `spec` is its own."""
    return cluster(node("n1", ready="Unknown", since=since, **spec), node("n2"), node("n3"))


def deleted():
    """Make a cluster whose node n1 was deleted."""
    return cluster(node("n2"), node("n3"))


def workers(*names):
    """Make workers with room."""
    return FakeNodes(*(inventory(name) for name in names or ("n2", "n3")))


def events(api):
    """Return the reasons of all Events."""
    return [raw["reason"] for raw in api.events]


@pytest.mark.parametrize(("make", "fail_over"), [(deleted, rebuild_node), (lost, migrate_node)])
def test_nothing_of_a_node_in_maintenance_is_failed_over(make, fail_over):
    """Deleted or NotReady, and however long: refused with the reason, an Event, and no write to any
    volume; after `end` it goes.
    """
    api = make()
    ctx = context(api, workers())
    maintenance.start(ctx, "n1", 60, "BIOS update")
    before = api.one("LogicVolume", "pvc-1")
    for _ in range(2):
        result = fail_over(ctx, "n1")
        assert result.outcome == "refused"
        assert "in maintenance until" in result.reason
        assert "BIOS update" in result.reason
        assert "carina maintenance end n1" in result.reason
    assert api.one("LogicVolume", "pvc-1") == before
    assert resume(ctx).volumes == ()
    assert "FailoverSuspended" in events(api)
    maintenance.end(ctx, "n1")
    assert fail_over(ctx, "n1").outcome == "done"


def test_maintenance_concerns_its_node_only():
    """n1 is in maintenance and away; n4 is lost: its volume is rebuilt, and n1 does not count for
    the mass-failure guard.
    """
    api = cluster(node("n1", ready="Unknown", since=NOW - 5000), node("n2"), volume_on="n4")
    ctx = context(api, workers("n2"))
    assert rebuild_node(ctx, "n4").outcome == "refused"
    ctx.state.write(latched=None)
    maintenance.start(ctx, "n1", 60, "racks")
    assert rebuild_node(ctx, "n4").outcome == "done"


def test_maintenance_does_not_end_by_itself():
    """An hour after its time: still nothing moves, status and `failed` call for the operator, and
    the gauge shows the end.
    """
    api = lost()
    ctx = context(api, workers())
    ctx.state.write(**{"maintenance.n1": model.new("n1", NOW - 7200, 3600, "RAID").to_json()})
    assert migrate_node(ctx, "n1").outcome == "refused"
    now = status(ctx, lambda: ("n2", "n3"))
    assert now.verdict.level == "DEGRADED"
    text = tables.text(tables.of(now), 0)
    assert text.startswith("DEGRADED: node n1 is in maintenance until")
    (finding,) = [f for f in find_problems(ctx, ()).findings if f.what == "n1"]
    assert (finding.kind, "that time is over" in finding.reason) == ("maintenance", True)
    assert finding.do.endswith("maintenance end n1")
    families = metrics.Families()
    gauges.of_api(ctx, families)
    assert shown_gauge(families) == {("n1",): NOW - 3600}


def shown_gauge(families):
    """Return the samples of the gauge by its labels."""
    family = families.found["carina_tasks_maintenance_end_timestamp_seconds"]
    return {tuple(sample.labels.values()): sample.value for sample in family.samples}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "yes",
        "{}",
        '{"until": "tomorrow"}',
        '{"until":"2026-01-01T00:00:00","since":"2026-01-01T00:00:00Z","reason":"x"}',
        "[]",
        "null",
    ],
)
def test_an_entry_that_cannot_be_read_is_maintenance(text):
    """Written manually and wrong: nothing moves, the reason reports what is wrong, and the node is
    called overdue at once.
    """
    api = lost()
    ctx = context(api, workers())
    ctx.state.write(**{"maintenance.n1": text or " "})
    result = migrate_node(ctx, "n1")
    assert (result.outcome, "cannot be read" in result.reason) == ("refused", True)
    (entry,) = maintenance.listed(ctx).nodes
    assert (entry.overdue, bool(entry.error)) == (True, True)


def test_bad_announcements_are_refused_and_change_nothing():
    """No reason, no time, too long a time, a node that nothing knows: one clear error each."""
    api = lost()
    ctx = context(api, workers())
    for name, seconds, reason in (
        ("n1", 60, "  "),
        ("n1", 0, "x"),
        ("n1", 31 * 86400, "x"),
        ("n9", 60, "x"),
        ("n 1", 60, "x"),
    ):
        with pytest.raises(BadInput):
            maintenance.start(ctx, name, seconds, reason)
    with pytest.raises(BadInput, match="not in maintenance"):
        maintenance.end(ctx, "n1")
    assert MAP not in api.objects


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("45m", 2700), ("2h", 7200), ("1d12h", 129600), ("90s", 90), ("1h30m", 5400)],
)
def test_durations_are_read(text, seconds):
    """Days, hours, minutes and seconds, the larger unit first."""
    assert model.duration(text) == seconds


@pytest.mark.parametrize("text", ["", "2", "h", "2 h", "m2", "30m2h", "-1h", "1.5h", "tomorrow"])
def test_what_is_no_duration_is_an_error(text):
    """The error shows how to write one."""
    with pytest.raises(BadInput, match="1d12h"):
        model.duration(text)


def test_announced_again_it_keeps_its_begin():
    """The operator needs longer: the end moves, `since` stays."""
    ctx = context(lost(), workers())
    ctx.state.write(**{"maintenance.n1": model.new("n1", NOW - 7200, 3600, "RAID").to_json()})
    maintenance.start(ctx, "n1", 600, "RAID and BIOS")
    (entry,) = maintenance.listed(ctx).nodes
    assert (entry.since, entry.until, entry.reason, entry.overdue) == (
        NOW - 7200,
        NOW + 600,
        "RAID and BIOS",
        False,
    )


def test_the_commands(monkeypatch):
    """Start, list and end as the operator types them, with their exit codes."""
    ctx = context(lost(), workers())
    monkeypatch.setattr(maintenance_cli, "context", lambda: ctx)
    run = lambda *words: CliRunner().invoke(maintenance_cli.command, words)  # noqa: E731
    assert "no node is in maintenance" in run("list").output
    started = run("start", "n1", "--for", "2h", "--reason", "BIOS")
    assert (started.exit_code, "in maintenance until" in started.output) == (0, True)
    shown = run("list")
    assert (shown.exit_code, shown.output.split()[:2]) == (0, ["NODE", "READY"])
    assert json.loads(run("list", "-o", "json").output)["nodes"][0]["node"] == "n1"
    wrong = run("start", "n1", "--for", "soon", "--reason", "BIOS")
    assert (wrong.exit_code, "is not a duration" in wrong.output) == (2, True)
    assert run("end", "n1").exit_code == 0
    assert run("end", "n1").exit_code == 2
    ctx.state.write(**{"maintenance.n1": model.new("n1", NOW - 7200, 3600, "RAID").to_json()})
    late = run("list")
    assert (late.exit_code, "OVERDUE by 60m" in late.output) == (1, True)


def test_who_announced_it_and_who_ended_it_is_recorded(monkeypatch):
    """In their own words and as the API server knows them: in the list, in the reason of what is
    refused, and in both Events.
    """
    api = lost()
    ctx = context(api, workers())
    monkeypatch.setattr(maintenance_cli, "context", lambda: ctx)
    run = lambda *words: CliRunner().invoke(maintenance_cli.command, words)  # noqa: E731
    run("start", "n1", "--for", "2h", "--reason", "BIOS", "--by", "Ada")
    assert "Ada, as an-operator" in run("list").output
    assert "(BIOS, by Ada, as an-operator)" in migrate_node(ctx, "n1").reason
    run("end", "n1", "--by", "Bob")
    texts = {one["reason"]: one["message"] for one in api.events}
    assert "by Ada, as an-operator" in texts["MaintenanceStarted"]
    assert "was ended by Bob, as an-operator" in texts["MaintenanceEnded"]


def test_an_entry_without_a_name_is_read():
    """As an earlier release wrote it, or an operator with kubectl."""
    text = '{"until":"2026-11-28T08:00:00Z","since":"2026-11-28T06:00:00Z","reason":"RAID"}'
    entry = model.parse("n1", text)
    assert (entry.by, entry.error, entry.reason) == ("", "", "RAID")


def test_a_cordoned_node_is_announced_as_waiting():
    """Drained, and its machine is away for ten minutes: nothing moves, an Event and the status name
    the time.
    """
    api = lost(since=NOW - 600, unschedulable=True)
    ctx = context(api, workers())
    result = migrate_node(ctx, "n1")
    assert (result.outcome, "it is cordoned" in result.reason) == ("refused", True)
    assert events(api) == ["FailoverDelayed"]
    text = tables.text(tables.of(status(ctx, lambda: ("n2", "n3"))), 0)
    assert f"cordoned: failed over at {times.moment(NOW + 1200)}" in text


def test_an_out_of_service_node_is_failed_over_at_once():
    """Cordoned and NotReady for a second: the taint reports that the machine is off."""
    taint = {
        "key": "node.kubernetes.io/out-of-service",
        "value": "nodeshutdown",
        "effect": "NoExecute",
    }
    api = lost(since=NOW - 1, unschedulable=True, taints=[taint])
    ctx = context(api, workers())
    assert migrate_node(ctx, "n1").outcome == "done"


def test_status_does_not_show_an_answer_about_other_nodes():
    """Asked while two nodes were there; one is deleted, cordoned or NotReady since: neither 'may be
    lost' nor a table of it.
    """
    for change in (
        None,
        node("n2", unschedulable=True),
        node("n2", ready="Unknown", since=NOW - 1),
    ):
        api = FakeApi(node("n1"), node("n2"))
        ctx = context(api, FakeNodes(inventory("n1"), inventory("n2")))
        readiness(ctx)
        assert "2 of 2 nodes may be lost" in tables.text(
            tables.of(status(ctx, lambda: ("n1", "n2"))), 0
        )
        if change is None:
            del api.objects[paths.node("n2")]
        else:
            api.objects[paths.node("n2")] = change
        now = status(ctx, lambda: ("n1", "n2"))
        text = tables.text(tables.of(now), 0)
        assert now.readiness is None
        assert "may be lost," not in text
        assert "the nodes changed since the last answer" in text


def three_lost():
    """Make a cluster of five nodes of which three are deleted: n1 and n8 with a volume each, and
    n9.
    """
    more = (
        logic_volume("pvc-8", "n8"),
        pv("pvc-8", "n8"),
        claim("pvc-8"),
        logic_volume("pvc-9", "n9"),
    )
    return cluster(node("n2"), node("n3"), more=more)


def test_one_approved_node_is_failed_over_and_no_other(monkeypatch):
    """After a mass failure the operator approves n1: its volume is rebuilt, n8 stays as it is,
    everything else stays stopped.
    """
    api = three_lost()
    ctx = context(api, workers())
    assert rebuild_node(ctx, "n1").outcome == "refused"
    assert ctx.state.read().latched
    monkeypatch.setattr(resume_cli, "context", lambda: ctx)
    done = CliRunner().invoke(resume_cli.command, ["n1"])
    assert done.exit_code == 0
    assert "lost and not approved: n8, n9" in done.output
    assert resume(ctx).deleted_nodes == ("n1",)
    assert rebuild_node(ctx, "n8").outcome == "refused"
    result = rebuild_node(ctx, "n1")
    assert (result.outcome, ctx.state.read().latched != "") == ("done", True)
    assert api.one("LogicVolume", "pvc-8")["spec"]["nodeName"] == "n8"
    with pytest.raises(MassFailure):
        ctx.check_pause()


def test_an_approval_ends_with_the_loss_that_it_was_for():
    """n1 is registered again and lost once more: it must be approved again."""
    api = three_lost()
    ctx = context(api, workers())
    ctx.state.write(latched="3 of 5", approved="n1")
    api.objects[paths.node("n1")] = node("n1")
    assert rebuild_node(ctx, "n1").outcome == "refused"
    ctx.state.write(latched=None)
    rebuild_node(ctx, "n8")
    assert ctx.state.read().approved == frozenset()


def test_the_last_approval_ends_the_stop(monkeypatch):
    """All lost nodes are approved, one after the other: nothing is stopped any more."""
    ctx = context(three_lost(), workers())
    rebuild_node(ctx, "n1")
    monkeypatch.setattr(resume_cli, "context", lambda: ctx)
    for name in ("n1", "n8", "n9"):
        assert CliRunner().invoke(resume_cli.command, [name]).exit_code == 0
    assert ctx.state.read().latched == ""
    assert rebuild_node(ctx, "n8").outcome == "done"


@pytest.mark.parametrize("name", ["n2", "n7", "N 1"])
def test_only_a_lost_node_can_be_approved(monkeypatch, name):
    """A Ready node, one that does not exist and has no volume, a name that is none: refused, and
    nothing is written.
    """
    api = three_lost()
    ctx = context(api, workers())
    monkeypatch.setattr(resume_cli, "context", lambda: ctx)
    result = CliRunner().invoke(resume_cli.command, [name])
    assert result.exit_code == 2
    assert MAP not in api.objects


def test_an_approval_does_not_end_a_pause(monkeypatch):
    """Paused too: the command reports it, and nothing is done."""
    ctx = context(three_lost(), workers())
    ctx.state.write(paused="racks", latched="3 of 5")
    monkeypatch.setattr(resume_cli, "context", lambda: ctx)
    assert "still paused: racks" in CliRunner().invoke(resume_cli.command, ["n1"]).output
    with pytest.raises(Paused):
        ctx.check_pause("n1")


def test_a_local_volume_is_not_removed_from_a_node_in_maintenance_by_its_failover():
    """The old LV stays on its node: no question is put to it."""
    api, fake = (
        lost(),
        FakeNodes(inventory("n1", local_volume("volume-pvc-1")), inventory("n2"), inventory("n3")),
    )
    ctx = context(api, fake)
    maintenance.start(ctx, "n1", 60, "racks")
    migrate_node(ctx, "n1")
    assert fake.asked == []
