"""The `carina` commands as the on-call engineer types them, in good and in bad hours, on the
embedded
default.
"""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import redis

from carina_tasks.kube import paths
from tests.integration.embedded import CELERY, GIB, NODES, ONE, THREE, TWO, Embedded


def run(embedded: Embedded, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Run a `carina` command; its exit code is the test's business."""
    return celery(embedded, "carina", *arguments, **env)


def celery(
    embedded: Embedded, *arguments: str, seconds: float = 90, **env: str
) -> subprocess.CompletedProcess[str]:
    """Run a `celery` command; its exit code is the test's business."""
    return subprocess.run(
        [*CELERY, *arguments],
        env={**embedded.stage.children.env, **embedded.stage.env, **env},
        cwd=embedded.stage.folder,
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )


def shown(embedded: Embedded, *arguments: str, code: int = 0, **env: str) -> str:
    """Run a command that must end with `code`; return what it printed, without any stack trace in
    it.
    """
    done = run(embedded, *arguments, **env)
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout


def test_all_is_well(embedded: Embedded) -> None:
    """A healthy cluster: status reports it, failed has nothing, both end with 0; scripts get the
    same
    as JSON.
    """
    embedded.volume("data", ONE)
    embedded.call("carina.sweep.local_volumes")
    assert shown(embedded, "status").startswith("HEALTHY: 3 nodes, 1 volume")
    assert "nothing failed" in shown(embedded, "failed")
    assert json.loads(shown(embedded, "failed", "-o", "json"))["findings"] == []
    assert {n["worker"] for n in json.loads(shown(embedded, "status", "-o", "json"))["nodes"]} == {
        "alive"
    }


def test_a_volume_without_a_place_is_seen_and_retried(embedded: Embedded) -> None:
    """No node fits: failed reports whose data it is, why, and what to type. That helps, and nothing
    else is needed.
    """
    name = embedded.volume("data", ONE)
    for node in (TWO, THREE):
        embedded.api.merge(paths.node(node), {"spec": {"unschedulable": True}})
    embedded.world.delete_node(ONE)
    embedded.wait("a task has found no place", lambda: "no-fit" in run(embedded, "failed").stdout)
    finding = json.loads(shown(embedded, "failed", "-o", "json", code=1))["findings"][0]
    assert (finding["kind"], finding["what"], finding["node"]) == ("no-fit", name, ONE)
    assert "unschedulable" in finding["reason"]
    assert shown(embedded, "plan", ONE, code=1)
    assert finding["claim"] == "default/data"
    assert finding["do"] == f"kubectl uncordon {TWO} {THREE}"
    first = shown(embedded, "status", code=1).splitlines()[0]
    assert first.startswith(f"DEGRADED: 1 volume of node {ONE} is unscheduled: nodes are cordoned")
    assert first.endswith(finding["do"])
    # No schedule shall bring it back: the operator's command does.
    embedded.end("beat")
    embedded.end("watch")
    client = redis.Redis.from_url(embedded.stage.broker_url)
    embedded.wait(
        "what they sent has ended",
        lambda: not client.llen("control") and not client.keys("carina-tasks.lock.*"),
    )
    for node in (TWO, THREE):
        embedded.api.merge(paths.node(node), {"spec": {"unschedulable": None}})
    sent = json.loads(shown(embedded, "retry", "default/data", "-o", "json"))
    assert [(one["task"], one["args"]) for one in sent] == [("carina.failover.rebuild_node", [ONE])]
    embedded.wait_rebuilt(name, away_from=ONE)
    assert "nothing failed" in shown(embedded, "failed")


def test_the_history_of_a_rebuild(embedded: Embedded) -> None:
    """Volume and lost node tell the same failover, each in its words; nothing known of a name is an
    error.
    """
    name = embedded.volume("data", ONE)
    assert "nothing happened" in shown(embedded, "history", name)
    embedded.world.delete_node(ONE)
    embedded.wait_rebuilt(name, away_from=ONE)
    embedded.wait(
        "its Events are written",
        lambda: "VolumeRebuiltEmpty" in run(embedded, "history", name).stdout,
    )
    records = json.loads(shown(embedded, "history", name, "-o", "json"))["records"]
    assert records == sorted(records, key=lambda record: record["at"])
    assert [r["what"] for r in records].count("rebuild") == 1
    assert f"default/data ({name}): {ONE} -> " in shown(embedded, "history", ONE)
    assert "nothing is known of nobody" in run(embedded, "history", "nobody").stderr


def test_retry_sends_nothing_while_paused(embedded: Embedded) -> None:
    """It ends with 2 and gives the reason; and what is paused stands first in failed."""
    shown(embedded, "pause", "moving racks")
    done = run(embedded, "retry", ONE)
    assert done.returncode == 2
    assert done.stderr.startswith("Error: paused: moving racks (by ")
    assert "moving racks" in shown(embedded, "failed", code=1)
    assert shown(embedded, "status", code=1).startswith("STOPPED: paused: moving racks")
    shown(embedded, "resume")


@pytest.mark.parametrize("target", ["nobody", "Bad_Name"])
def test_retry_of_nothing_says_so(embedded: Embedded, target: str) -> None:
    """One line, exit code 2."""
    done = run(embedded, "retry", target)
    assert (done.returncode, len(done.stderr.strip().splitlines())) == (2, 1)


def test_a_task_that_failed_is_retried_by_its_id(embedded: Embedded) -> None:
    """Only its name and its node count: the objects say that there is nothing to fail over."""
    task_id = embedded.send("carina.failover.rebuild_node", TWO)
    embedded.wait("it ends", lambda: embedded.stage.app.AsyncResult(task_id).ready())
    (sent,) = json.loads(shown(embedded, "retry", task_id, "-o", "json"))
    assert sent["task"] == "carina.sweep.local_volumes"
    assert "Ready" in sent["reason"]


@pytest.mark.parametrize("command", ["status", "failed", "doctor"])
def test_without_the_broker_they_say_what_they_can(embedded: Embedded, command: str) -> None:
    """The cluster is shown, and that the rest is not known."""
    done = run(embedded, command, CARINA_TASKS_BROKER_URL="redis://127.0.0.1:1/0")
    assert "Traceback" not in done.stderr
    assert done.returncode == {"status": 1, "failed": 1, "doctor": 2}[command], (
        done.stdout + done.stderr
    )
    assert "broker" in (done.stdout + done.stderr).lower()
    if command == "status":
        assert all(node in done.stdout for node in NODES)


@pytest.mark.parametrize(
    "command",
    ["status", "failed", "doctor", "plan 10.20.9.152", "retry --all", "pause x", "resume"],
)
def test_without_the_api_server_they_end_with_2(
    embedded: Embedded, command: str, tmp_path: Path
) -> None:
    """One line or a table, and an exit code that no script takes for "nothing failed"."""
    away = tmp_path / "kubeconfig"
    text = embedded.stage.kubeconfig.read_text()
    away.write_text(text.replace(embedded.api.host, "http://127.0.0.1:1"))
    done = run(embedded, *command.split(), KUBECONFIG=str(away))
    assert done.returncode == 2, done.stdout + done.stderr
    assert "does not answer" in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    if command == "status":
        assert done.stdout.count("alive") == len(NODES)


def test_doctor_finds_a_control_worker_that_is_gone(embedded: Embedded) -> None:
    """Well but for the open broker; then FAIL, what it means, and exit code 2, as soon as its sign
    of life is over.
    """
    embedded.call("carina.sweep.local_volumes")
    embedded.call("carina.sweep.logic_volumes")
    embedded.wait(
        "beat has published", lambda: embedded.stage.redis.keys("carina-tasks.alive.beat.*"), 40
    )
    checks = json.loads(shown(embedded, "doctor", "-o", "json", code=1))
    assert [check["area"] for check in checks if check["verdict"] != "OK"] == ["broker's users"], (
        checks
    )
    embedded.end("control")
    embedded.wait(
        "its heartbeat is over",
        lambda: not embedded.stage.redis.keys("carina-tasks.alive.control.*"),
    )
    # Right after the broker's start it would be a warning.
    embedded.wait("that is long ago", lambda: embedded.stage.redis.info()["uptime_in_seconds"] > 60)
    assert "nothing is decided" in shown(embedded, "doctor", code=2)


def test_a_nodes_volumes_by_command_and_by_inspect(embedded: Embedded) -> None:
    """`carina volumes` and, in the open profile, `celery inspect carina_volumes` say what lvm2
    says; control workers have none.
    """
    embedded.nodes[ONE].create("volume-x", 3 * GIB)
    assert "volume-x" in shown(embedded, "volumes", ONE)
    assert (
        json.loads(shown(embedded, "volumes", ONE, "-o", "json"))["volumes"][0]["size"] == 3 * GIB
    )
    told = json.loads(
        embedded.celery("inspect", "carina_volumes", "-t", "10", "-d", f"{ONE}@{ONE}", "--json")
    )
    assert told[f"{ONE}@{ONE}"]["volumes"] == ["carina-vg-hdd/volume-x 3Gi closed"]
    everybody = json.loads(embedded.celery("inspect", "carina_volumes", "-t", "5", "--json"))
    assert sum("error" in answer for answer in everybody.values()) == 1
    keys = embedded.stage.redis.keys("*")
    typo = run(embedded, "volumes", "nobody")
    assert (typo.returncode, "there is no volume, claim, pod or node" in typo.stderr) == (2, True)
    left = set(embedded.stage.redis.keys("*")) - set(keys)
    assert not [key for key in left if b"nobody" in key], left


def test_the_result_of_a_failed_task_is_a_sentence(embedded: Embedded) -> None:
    """`celery result ID` says why in one line, and ends with 1; the stack trace is one option away.
    An id that has no result is said to be waited for.
    """
    task_id = embedded.send("carina.failover.rebuild_node", "Bad Name")
    embedded.wait("it ends", lambda: embedded.stage.app.AsyncResult(task_id).ready())
    done = celery(embedded, "result", task_id)
    assert (done.returncode, len(done.stderr.strip().splitlines())) == (1, 1)
    assert done.stderr.startswith("Error: BadInput: 'Bad Name' is not a node name")
    assert "Traceback" in celery(embedded, "result", task_id, "--traceback").stdout
    with pytest.raises(subprocess.TimeoutExpired) as waiting:
        celery(embedded, "result", "no-such-id", seconds=4)
    assert b"no result of no-such-id is stored yet" in (waiting.value.stderr or b"")


def watching(embedded: Embedded, **options: Any) -> subprocess.Popen[Any]:
    """Start `carina status --watch`. A shell that runs the tests in the background has SIGINT
    ignored in all their processes: `env` sets the default again.
    """
    return subprocess.Popen(
        ["env", "--default-signal=INT", *CELERY, "carina", "status", "--watch", "0.5"],
        env={**embedded.stage.children.env, **embedded.stage.env},
        **options,
    )


def test_the_watch_ends_cleanly_without_a_terminal(embedded: Embedded) -> None:
    """Into a pipe it prints one look after the other; Ctrl-C ends it with 0 and no stack trace."""
    watch = watching(embedded, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert watch.stdout is not None
    seen = [line for line, _ in zip(watch.stdout, range(30), strict=False)]
    watch.send_signal(signal.SIGINT)
    rest, error = watch.communicate(timeout=20)
    assert (watch.returncode, "Traceback" in error) == (0, False), error
    assert sum(line.startswith("NODE") for line in seen) >= 2
    assert "\033" not in "".join(seen) + rest


def test_the_watch_redraws_in_a_terminal(embedded: Embedded) -> None:
    """There each look replaces the one before."""
    mine, theirs = pty.openpty()
    watch = watching(embedded, stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    text = b""
    while text.count(b"\033[H\033[J") < 2:
        text += os.read(mine, 4096)
    watch.send_signal(signal.SIGINT)
    assert watch.wait(20) == 0
    os.close(mine)
    assert b"Traceback" not in text


def test_the_shell_shows_results_and_refuses_wrong_calls(embedded: Embedded) -> None:
    """Tables in place of dicts, fields by name or key; a wrong argument fails at once, and nothing
    is sent.
    """
    name = embedded.volume("data", ONE)
    lines = (
        f"plan.delay('{ONE}').get(timeout=20)\n"
        f"print('KEY', plan('{ONE}')['volumes'][0]['outcome'], plan('{ONE}').volumes[0].outcome)\n"
        "status()\nrebuild_node.delay('Bad_Name')\ninventory.delay()\n"
    )
    done = subprocess.run(
        [*CELERY, "shell", "--python"],
        env={**embedded.stage.children.env, **embedded.stage.env},
        input=lines,
        cwd=embedded.stage.folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    text = done.stdout + done.stderr
    assert "VOLUME" in done.stdout
    assert name in done.stdout
    assert "KEY place place" in done.stdout
    assert "NODE          READY" in done.stdout
    assert text.count("BadInput:") == 2


@pytest.mark.parametrize(
    ("words", "found"),
    [("carina st", "status"), ("carina status --w", "--watch"), ("carin", "carina")],
)
def test_completion_knows_our_commands(words: str, found: str) -> None:
    """Click's own, through the variable that docs/cli.md names."""
    line = f"celery -A carina_tasks {words}"
    env = {
        **os.environ,
        "_CELERY_COMPLETE": "bash_complete",
        "COMP_WORDS": line,
        "COMP_CWORD": str(len(line.split()) - 1),
    }
    program = Path(sys.executable).with_name("celery")
    done = subprocess.run(
        [program], env=env, capture_output=True, text=True, timeout=30, check=False
    )
    assert f"plain,{found}" in done.stdout.split()
