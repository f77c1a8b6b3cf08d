"""Logs: one line an event, the libraries' included, as people or collectors read them."""

import json
import os
import re
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from structlog.contextvars import get_contextvars

from carina_tasks import settings
from carina_tasks.errors import BadSetting
from carina_tasks.flows.threads import spread
from carina_tasks.observability import logs
from carina_tasks.settings import load
from carina_tasks.tasks.base import log_context

ROOT = Path(__file__).parents[2]

SCRIPT = """
import logging, structlog
from carina_tasks.observability import logs
logs.configure({fmt!r}, {level!r})
structlog.get_logger().info("ours", node="n1")
logging.getLogger("celery").warning("theirs %s", 1)
logging.getLogger("urllib3").info("chatter")
structlog.get_logger().debug("detail")
try:
    1 / 0
except ZeroDivisionError:
    structlog.get_logger().exception("broken")
"""


def lines(fmt, level="info"):
    """Return what a process writes to standard error; nothing goes to standard output."""
    run = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(fmt=fmt, level=level)],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert run.stdout == ""
    return run.stderr.splitlines()


def test_json_is_one_object_a_line_errors_included():
    """Each line parses, has time, level and event; a stack trace is data."""
    said = [json.loads(line) for line in lines("json")]
    assert [line["event"] for line in said] == ["ours", "theirs 1", "broken"]
    assert said[0]["node"] == "n1"
    assert all(line["timestamp"] and line["level"] for line in said)
    assert said[2]["exception"][0]["exc_type"] == "ZeroDivisionError"


@pytest.mark.parametrize(("level", "seen"), [("debug", True), ("info", False)])
def test_the_level_counts(level, seen):
    """At debug a process shows details; a library's chatter is shown at no level."""
    text = "\n".join(lines("console", level))
    assert ("detail" in text) is seen
    assert "ours" in text
    assert "chatter" not in text


AUDITED = """
import logging, structlog
from carina_tasks.observability import logs
logs.configure("console", "error", {audit!r})
structlog.get_logger().error("the log")
structlog.get_logger(logs.AUDIT).info("done", action="remove", volume="pvc-1")
"""


@pytest.mark.parametrize("where", ["stdout", "stderr", "file"])
def test_the_audit_log_is_apart_and_complete(where, tmp_path):
    """JSON, one object a line, where the setting says, at every level of the log; a line of it
    stands nowhere else.
    """
    path = tmp_path / "audit.log"
    script = AUDITED.format(audit=str(path) if where == "file" else where)
    run = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True
    )
    texts = {
        "stdout": run.stdout,
        "stderr": run.stderr,
        "file": path.read_text() if path.exists() else "",
    }
    (line,) = [one for one in texts[where].splitlines() if "the log" not in one]
    assert {"event": "done", "action": "remove", "volume": "pvc-1"}.items() <= json.loads(
        line
    ).items()
    assert sum(text.count("done") for text in texts.values()) == 1
    assert "the log" in run.stderr


def test_an_audit_log_that_cannot_be_opened_is_said_in_one_line(tmp_path):
    """Before anything starts; nothing is done that could not be recorded."""
    with pytest.raises(BadSetting, match="No such file or directory"):
        logs.configure("console", "info", str(tmp_path / "nowhere" / "audit.log"))


HOSTILE = """
import structlog
from carina_tasks.observability import logs
logs.configure({fmt!r}, "info")
log = structlog.get_logger()
bad = "pvc\\n2026-11-25T00:00:00Z [info] forged\\x1b[2J\\u202e\\r"
log.info(bad, volume=bad)
log.info("plain", volume="n1\\x1b[31m")
try:
    raise ValueError(bad)
except ValueError:
    log.exception("broken")
"""


@pytest.mark.parametrize("fmt", ["console", "json"])
def test_a_name_forges_no_line_and_steers_no_terminal(fmt):
    """Newlines, escape sequences and what turns text round, in events, values and exceptions, are
    shown by their numbers.
    """
    script = HOSTILE.format(fmt=fmt).replace("\\\\", "\\")
    run = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, timeout=60, check=True
    )
    text = run.stderr.decode()
    assert not [c for c in text if ord(c) < 32 and c != "\n"]
    assert "\u202e" not in text
    assert text.count("forged") >= 3
    assert not [one for one in text.splitlines() if one.startswith("2026-11-25T00")]
    events = [one for one in text.splitlines() if not one.startswith("  | ")]
    assert len(events) == 3


URLS = [
    "redis://:s3cret%2Fpass@127.0.0.1:1/0",
    "redis://user:s3cret%2Fpass@127.0.0.1:1/0",
    "sentinel://:s3cret%2Fpass@127.0.0.1:1;sentinel://:s3cret%2Fpass@127.0.0.1:2",
]


@pytest.mark.parametrize(
    "text", ["s3cret/pass", "s3cret%2Fpass", "at redis://u:other@h:1/0", "rediss://:x@h"]
)
def test_no_password_is_shown_whoever_quotes_it(text):
    """The broker's, as it is and as it stands in the URL; and whatever stands before the @ of
    another URL.
    """
    shown = logs.without_secrets(f"error: {text}, and more", logs.passwords(URLS))
    assert not re.search("s3cret|other|:x@", shown)
    assert shown.endswith(", and more")


def test_passwords_that_stand_in_no_url_are_hidden_too():
    """The Sentinels' own and that of a client's key, also with a semicolon in it."""
    conf = settings.load(
        {
            "CARINA_TASKS_BROKER_URL": "sentinel://:first;pass@h:1/0".replace(";", "%3B"),
            "CARINA_TASKS_BROKER_MASTER_NAME": "m",
            "CARINA_TASKS_SENTINEL_TLS": "true",
            "CARINA_TASKS_SENTINEL_PASSWORD": "second;pass",
            "CARINA_TASKS_BROKER_CERTIFICATE": "/c",
            "CARINA_TASKS_BROKER_KEY_PASSWORD": "third/pass",
        }
    )
    text = "first;pass first%3Bpass second;pass second%3Bpass third/pass third%2Fpass"
    assert "pass" not in logs.without_secrets(text, logs.passwords(conf.secrets))


def test_text_without_a_secret_stays_as_it_is():
    """Also with a password that is a common word of three letters, or none at all."""
    text = "volume pvc-1 of a@b.example at redis://h:6379/0"
    assert (
        logs.without_secrets(text, logs.passwords(["redis://h:6379/0", "redis://:vol@h"])) == text
    )


def test_a_stack_trace_has_no_local_variables():
    """They hold whatever the process knows."""
    script = SCRIPT.replace("    1 / 0", "    hidden = 'lo' + 'cal'; 1 / 0")
    for fmt in ("json", "console"):
        run = subprocess.run(
            [sys.executable, "-c", script.format(fmt=fmt, level="info")],
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        assert "ZeroDivisionError" in run.stderr
        assert "'local'" not in run.stderr


PROCESSES = {
    "control": ["-m", "celery", "-A", "carina_tasks", "worker", "-Q", "control"],
    "node": ["-m", "workers.node"],
}


@pytest.mark.parametrize("process", PROCESSES)
def test_a_process_without_its_broker_shows_no_password(process, tmp_path):
    """Banner, connection errors and stack traces of Celery, kombu and redis, as they are written by
    real processes.
    """
    env = {
        name: value for name, value in os.environ.items() if not name.startswith("CARINA_TASKS_")
    }
    env |= {"CARINA_TASKS_BROKER_URL": URLS[1], "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
    env |= {"NODE_NAME": "n1"} if process == "node" else {}
    with subprocess.Popen(
        [sys.executable, *PROCESSES[process]],
        cwd=tmp_path,
        env=env,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as run:
        timer = threading.Timer(60, run.kill)
        timer.start()
        said = ""
        for line in run.stdout:
            said += line
            if "refused" in said and "127.0.0.1:1" in said:
                run.terminate()
                break
        said += run.stdout.read()
        timer.cancel()
    assert "refused" in said
    assert "127.0.0.1:1" in said
    assert "s3cret" not in said


@pytest.mark.parametrize(
    "url", ["redis://:s3/cret@h:6379/0", "redis://u:s3cret:x@h:6379:1/0", "redis://:[s3cret@h"]
)
def test_a_url_that_cannot_be_read_is_refused_without_showing_it(url):
    """The libraries' own message quotes a piece of the password."""
    with pytest.raises(BadSetting, match="percent-encoded") as told:
        load({"CARINA_TASKS_BROKER_URL": url})
    assert "s3" not in told.value.message


def test_every_line_of_a_task_names_it():
    """Task and id, in the threads that it uses too, and no longer than it runs."""
    seen = []

    def work(item):
        seen.append(get_contextvars())
        return item * 2

    task: Any = SimpleNamespace(name="carina.x", request=SimpleNamespace(id="id-1"))
    with log_context(task, node="n1"), ThreadPoolExecutor(2) as pool:
        assert list(spread(pool, work, range(4))) == [0, 2, 4, 6]
    assert seen == [{"task": "carina.x", "task_id": "id-1", "node": "n1"}] * 4
    assert get_contextvars() == {}


@pytest.mark.parametrize("fmt", ["console", "json"])
def test_the_configured_log_and_audit_take_the_password_out(fmt):
    """In an event, in a value and in a stack trace, whichever library says it."""
    script = f"""
import structlog
from carina_tasks.observability import logs
logs.configure({fmt!r}, "info", "stdout", [{URLS[0]!r}])
try:
    raise OSError("AUTH s3cret/pass refused")
except OSError:
    structlog.get_logger().exception("with s3cret/pass", url={URLS[0]!r})
structlog.get_logger(logs.AUDIT).info("s3cret%2Fpass")
"""
    run = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True
    )
    assert "s3cret" not in run.stdout + run.stderr
    assert "AUTH *** refused" in run.stderr
    assert '"event": "***"' in run.stdout
