"""Metrics of every process on the embedded default, also as `promtool` sees them, and under a pool
that forks.
"""

from __future__ import annotations

import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from carina_tasks.demo.children import free_port
from tests.integration.embedded import GIB, NODES, ONE, TWO, Embedded
from tests.lab import parts

PROCESSES = {"control": "control", "beat": "beat", "watch": "node-watch"} | {
    f"node-{node}": "node" for node in NODES
}


def scrape(url: str) -> str:
    """Return what an endpoint says."""
    with urllib.request.urlopen(url, timeout=5) as answer:
        return str(answer.read().decode())


def value(url: str, name: str, **labels: str) -> float:
    """Return the sum of the samples of that name with these labels; 0 without one."""
    try:
        text = scrape(url)
    except OSError:  # it is being started
        return 0
    return sum(
        sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    )


def left_of(url: str, node: str) -> list[str]:
    """Return the lines that name a node, but for when something happened to it."""
    return [
        line
        for line in scrape(url).splitlines()
        if node in line and not line.startswith("carina_tasks_answer_rejected_timestamp_seconds")
    ]


@pytest.mark.parametrize("process", PROCESSES)
def test_every_process_has_an_endpoint(embedded: Embedded, process: str) -> None:
    """Control worker, beat, node watch and node workers each say what they are, and that nothing is
    lacking.
    """
    url = embedded.stage.metrics_urls[process]
    embedded.wait(
        "it answers", lambda: value(url, "carina_tasks_build_info", process=PROCESSES[process]) == 1
    )
    assert value(url, "carina_tasks_metrics_complete") == 1


@pytest.mark.parametrize("process", PROCESSES)
def test_promtool_finds_nothing_to_say(embedded: Embedded, process: str) -> None:
    """Names, units, types and help of each process's real output, after a failover, pass `promtool
    check metrics`.
    """
    parts.require("prometheus")
    if process == "control":
        embedded.volume("data", ONE)
        embedded.world.delete_node(ONE)
        embedded.wait("it is rebuilt", lambda: not embedded.journals(), 40)
        embedded.call("carina.failover.readiness")
        embedded.call("carina.sweep.local_volumes")
    url = embedded.stage.metrics_urls[process]
    embedded.wait("it answers", lambda: value(url, "carina_tasks_build_info") == 1)
    text = scrape(url)
    assert "carina_tasks_" in text
    done = subprocess.run(
        ["promtool", "check", "metrics"], input=text, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_a_failover_is_seen_in_the_metrics(embedded: Embedded) -> None:
    """Hints of the watch, runs, volumes and steps of the control worker, lvm2 of the target; and
    the cluster's gauges.
    """
    urls = embedded.stage.metrics_urls
    control, watch = urls["control"], urls["watch"]
    before = {
        "runs": value(control, "carina_tasks_failovers_total", kind="rebuild", outcome="done"),
        "steps": value(control, "carina_tasks_step_duration_seconds_count", step="finish"),
        "hints": value(watch, "carina_tasks_hints_total", kind="deleted"),
    }
    name = embedded.volume("data", ONE)
    gauge = "carina_tasks_logic_volumes"
    embedded.wait("it is counted", lambda: value(control, gauge, state="success") == 1, 40)
    embedded.world.delete_node(ONE)
    embedded.wait_rebuilt(name, away_from=ONE)
    done = "carina_tasks_failovers_total"
    embedded.wait(
        "the run", lambda: value(control, done, kind="rebuild", outcome="done") > before["runs"]
    )
    assert value(watch, "carina_tasks_hints_total", kind="deleted") > before["hints"]
    assert value(control, "carina_tasks_step_duration_seconds_count", step="delete-volume") >= 1
    assert value(control, "carina_tasks_actions_total", action="rebuild") >= 1
    target = embedded.table()[name][2]
    assert (
        value(
            urls[f"node-{target}"], "carina_tasks_lvm_command_duration_seconds_count", outcome="ok"
        )
        >= 1
    )
    embedded.wait("the node is gone", lambda: not left_of(control, ONE), 40)
    assert value(control, "carina_tasks_node_worker_up", node=TWO) == 1
    assert (
        value(urls["beat"], "carina_tasks_schedule_last_run_timestamp_seconds", entry="resume")
        > 1e9
    )


def test_readiness_and_trash_reach_the_metrics(embedded: Embedded) -> None:
    """What one task found the endpoint shows: a node that may not be lost, and what a sweep put
    into the trash.
    """
    control = embedded.stage.metrics_urls["control"]
    embedded.volume("big", ONE, size="70Gi")
    for node in NODES[1:]:
        embedded.nodes[node].create("volume-in-the-way", 25 * GIB)
    embedded.call("carina.failover.readiness")
    embedded.wait(
        "it is shown",
        lambda: value(control, "carina_tasks_volumes_without_place", node=ONE) == 1,
        40,
    )
    assert value(control, "carina_tasks_node_readiness", node=ONE) == 0
    assert value(control, "carina_tasks_node_readiness", node=TWO) == 1

    def in_the_trash() -> bool:
        embedded.sweep()
        return value(control, "carina_tasks_trash_bytes", node=TWO) == 25 * GIB

    embedded.wait("the orphan lies in the trash", in_the_trash, 60)


@pytest.mark.parametrize("shared", [True, False], ids=["shared folder", "no shared folder"])
def test_a_pool_that_forks(embedded: Embedded, shared: bool, tmp_path: Path) -> None:
    """`celery worker -P processes`, without workers/control.py: its children's counts are added up,
    or their lack is said.
    """
    port = free_port()
    url = f"http://127.0.0.1:{port}/metrics"
    extra = {"CARINA_TASKS_METRICS_PORT": str(port)} | (
        {"PROMETHEUS_MULTIPROC_DIR": str(tmp_path)} if shared else {}
    )
    argv = [
        sys.executable,
        "-m",
        "celery",
        "-A",
        "carina_tasks",
        "worker",
        "-Q",
        "control",
        "-P",
        "processes",
        "-c",
        "2",
    ]
    embedded.end("control")
    child = embedded.stage.children.start(
        "prefork", [*argv, "-n", f"prefork-{shared}@%h"], **embedded.stage.env, **extra
    )
    try:
        embedded.wait("it takes tasks", lambda: "ready." in child.text(), 30)
        assert embedded.call("carina.failover.migrate_node", ONE)["outcome"] == "refused"
        counted = value(url, "carina_tasks_failovers_total", kind="migrate", outcome="refused")
        assert (counted, value(url, "carina_tasks_metrics_complete")) == (
            (1, 1) if shared else (0, 0)
        )
        assert ("the pool forks" in child.text()) is not shared
        embedded.wait(
            "it reads the gauges", lambda: value(url, "carina_tasks_node_ready", node=ONE) == 1, 20
        )
    finally:
        embedded.stage.children.kill(child)
