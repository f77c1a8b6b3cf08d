"""Flower's rows: what a task does and what came of it, in words."""

import copy
from types import SimpleNamespace

import pytest

from carina_tasks.celery import app
from carina_tasks.flower import rows
from carina_tasks.flower.rows import format_details, format_row

NODE = "10.20.9.154"


def task(name, args=(), result=None, state="SUCCESS", kwargs=None, exception=None):
    """Make a task as Flower's events have it: everything is text."""
    return SimpleNamespace(
        name=name,
        args=repr(args),
        kwargs=repr(kwargs or {}),
        state=state,
        exception=exception,
        result=result if isinstance(result, str) or result is None else repr(result),
    )


def row(*args, **kwargs):
    """Return the two cells that people read."""
    shown = format_row(task(*args, **kwargs))
    return shown.args, shown.result


def rebuilt(*outcomes):
    """Make the result of a rebuild."""
    volumes = [
        {
            "volume": f"pvc-{i}",
            "outcome": o,
            "reason": "no room" if o == "no-fit" else "gone",
            "source": NODE,
            **({"target": "n2"} if o == "rebuilt" else {}),
        }
        for i, o in enumerate(outcomes)
    ]
    done = "done" if set(outcomes) == {"rebuilt"} else "unfinished"
    return {"node": NODE, "outcome": done, "reason": "it was deleted", "volumes": volumes}


def test_a_rebuild_is_told_in_one_line():
    """Which node, how many volumes, where they are now."""
    what, came = row("carina.failover.rebuild_node", [NODE], rebuilt(*["rebuilt"] * 5))
    assert what == f"rebuild node {NODE} → 5 volumes"
    assert came == "5 rebuilt on n2; it was deleted"


def test_a_volume_that_has_nowhere_to_go_is_not_counted_as_rebuilt():
    """The row reports how many of how many, and the first that needs a look, with the reason."""
    what, came = row("carina.failover.rebuild_node", [NODE], rebuilt("rebuilt", "no-fit"))
    assert what == f"rebuild node {NODE} → 1 of 2 volumes"
    assert "pvc-1: no room" in came


def test_who_asked_stands_behind_what_is_done():
    """The sender's reason can be read and searched."""
    what, _ = row(
        "carina.failover.migrate_node",
        (NODE,),
        kwargs={"reason": "NotReady for 61 s"},
        state="STARTED",
    )
    assert what == f"migrate node {NODE} (NotReady for 61 s)"


def test_a_refusal_says_why():
    """A guard's no is a result, and reads as one."""
    refused = {"node": NODE, "outcome": "refused", "reason": "node is Ready"}
    assert row("carina.failover.migrate_node", [NODE], refused) == (
        f"migrate node {NODE} → refused",
        "node is Ready",
    )


def test_a_failure_is_told_where_results_stand():
    """Flower leaves that cell empty; the error is what the operator looks for."""
    exception = """BadInput("'../etc' is not a node name")"""
    assert row("carina.failover.plan", ["../etc"], state="FAILURE", exception=exception)[1] == (
        "BadInput: '../etc' is not a node name"
    )


def test_progress_stands_as_it_was_told():
    """What a running task says of itself is text already."""
    assert (
        row("carina.failover.rebuild_node", [NODE], "2 of 5 volumes rebuilt", "PROGRESS")[1]
        == "2 of 5 volumes rebuilt"
    )


def test_a_batch_of_a_node_is_counted_in_its_row_and_named_on_its_page():
    """Nodes know LVs alone, whose names say nothing to people: they are a detail."""
    names = [f"carina-vg-hdd/volume-{i} 5Gi" for i in range(7)]
    made = {
        "node": "n2",
        "volumes": tuple(
            {"group": "g", "name": f"volume-{i}", "outcome": "created"} for i in range(7)
        ),
    }
    one = task(
        "carina.volume.create",
        ("n2",),
        made,
        kwargs={"node": "n2", "volumes": ", ".join(names), "reason": "their node is lost"},
    )
    shown = format_row(copy.copy(one))
    assert shown.args == "create on node n2 → 7 volumes (their node is lost)"
    assert shown.result == "7 created"
    assert [f"g/volume-{i}  created" for i in range(7)] == format_details(
        copy.copy(one)
    ).result.splitlines()[1:]


@pytest.mark.parametrize(("volumes", "counted"), [("a, b, and 7 more", 9), ("a", 1), ("", 0)])
def test_what_a_node_is_at_is_counted_too(volumes, counted):
    """Its request names fifty at most, and ends with how many more."""
    one = task("carina.volume.create", ("n2",), None, "STARTED", {"volumes": volumes})
    words = f" → {counted} volume{'' if counted == 1 else 's'}" if counted else ""
    assert format_row(one).args == f"create on node n2{words}"


@pytest.mark.parametrize(
    ("name", "result", "state"),
    [
        ("carina.failover.rebuild_node", rebuilt("rebuilt", "rebuilt"), "SUCCESS"),
        ("carina.failover.rebuild_node", rebuilt("rebuilt", "no-fit"), "NO-FIT"),
        ("carina.failover.rebuild_node", rebuilt("failed", "no-fit"), "NO-FIT"),
        ("carina.failover.rebuild_node", rebuilt("rebuilt", "unfinished"), "UNFINISHED"),
        ("carina.failover.migrate_node", {"outcome": "refused", "reason": "Ready"}, "REFUSED"),
        ("carina.sweep.local_volumes", {"nodes": ({"outcome": "failed"},)}, "UNFINISHED"),
        ("carina.failover.plan", {"volumes": ({"outcome": "no-fit"},)}, "NO-FIT"),
        ("carina.node.inventory", {"volumes": ()}, "ROUTINE"),
        ("carina.failover.publish_status", {"outcome": "written"}, "ROUTINE"),
        ("carina.failover.resume", {}, "ROUTINE"),
        ("carina.failover.resume", {"outcome": "refused", "reason": "paused: x"}, "ROUTINE"),
        ("carina.failover.resume", {"deleted_nodes": ("n9",)}, "SUCCESS"),
        ("carina.failover.resume", {"volumes": ({"outcome": "unfinished"},)}, "UNFINISHED"),
        ("carina.failover.resume", "", "SUCCESS"),
        ("carina.failover.plan", "{'outcome': 'refused', 'vol", "SUCCESS"),
        ("carina.failover.plan", "{'outcome': 'refused', 'volumes': 7}", "REFUSED"),
        ("carina.failover.plan", "{'volumes': [{'outcome': []}, 'no-fit']}", "SUCCESS"),
        (None, "{'outcome': 'refused'}", "REFUSED"),
    ],
)
def test_what_is_no_success_is_not_shown_as_one(name, result, state):
    """A guard's no, a volume without a place and unfinished work have states of their own; what
    found nothing to do is routine.
    """
    assert rows.state_of(task(name, (), result)) == state


def test_a_summary_is_taken_as_it_is():
    """A sweep's lists lie too deep for an event; its own line does not."""
    result = (
        "{'nodes': [{'node': 'n1', 'outcome': 'swept', 'kept': 3, 'missing': [...]}], 'summary': "
        "'1 missing (pvc-1)'}"
    )
    one = task("carina.sweep.local_volumes", (), result)
    assert format_row(copy.copy(one)).result == "1 missing (pvc-1)"
    assert "n1 outcome swept, kept 3, some missing" in format_details(one).result


@pytest.mark.parametrize(
    "result",
    [
        "",
        "x" * 5000,
        "{'node': 'n1', 'volu",
        "[" * 5000,
        "{'volumes': [{'outcome': 1}, 7]}",
        "__import__('os')",
        "{1: 2}",
        "{'volumes': {'outcome': 3}}",
        "{'outcome': ['refused']}",
        "{'volumes': [{'outcome': {}, 'target': []}]}",
    ],
)
def test_what_does_not_read_stands_as_it_came(result):
    """Cut off, or another client's: never an error, never run, and no longer than a row may be."""
    shown = format_row(task("carina.failover.rebuild_node", [NODE], result))
    assert shown.args.startswith(f"rebuild node {NODE}")
    assert len(shown.result) <= rows.LONGEST + 2


def test_a_task_without_a_name_stands_as_it_came():
    """Flower was started after it was sent."""
    assert (
        format_row(
            SimpleNamespace(name=None, args=None, kwargs=None, result=None, state="SUCCESS")
        ).args
        == ""
    )


def test_the_words_are_those_of_tasks_that_exist():
    """`WORK` names no task that is not there; one that it does not name is called by its own
    name.
    """
    app.loader.import_default_modules()
    assert set(rows.WORK) <= set(app.tasks)
    assert row("carina.failover.some_new", ["n1"], {"kept": 3}) == (
        "failover some new n1",
        "kept 3",
    )


def test_readiness_is_its_own_sentence():
    """No seconds since 1970, and no word in front of the reason."""
    result = {
        "at": 1795626720,
        "reason": "1 of 2 nodes may be lost, one at a time",
        "nodes": [{}, {}],
    }
    what, came = row("carina.failover.readiness", [], result)
    assert (what, came) == (
        "readiness of every node",
        "1 of 2 nodes may be lost, one at a time, 2 nodes",
    )
