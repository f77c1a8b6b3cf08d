"""Logs: one line an event, the libraries' included, as people or collectors read them."""

import json
import subprocess
import sys

import pytest

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
