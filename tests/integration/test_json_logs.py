"""In JSON mode every process writes nothing but JSON objects, from its first line to its last."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from carina_tasks.demo.children import free_port
from tests.integration.embedded import Embedded

PROCESSES = {
    "node worker": (["-m", "workers.node"], {"NODE_NAME": "json-node"}),
    "control worker": (["-m", "workers.control"], {}),
    "celery worker": (
        ["-m", "celery", "-A", "carina_tasks", "worker", "-Q", "control", "-n", "json@%h"],
        {},
    ),
    "node watch": (["-m", "workers.node_watch"], {}),
    "beat": (["-m", "celery", "-A", "carina_tasks", "beat", "-s", "{folder}/schedule"], {}),
    "flower": (
        ["-m", "celery", "-A", "carina_tasks", "flower", "--port={port}", "--address=127.0.0.1"],
        {},
    ),
}
BROKEN = {
    "a bad setting": (["-m", "workers.control"], {"CARINA_TASKS_PAGE_SIZE": "many"}),
    "no cluster": (["-m", "workers.node_watch"], {"KUBECONFIG": "/nonexistent"}),
    "no node": (["-m", "workers.node"], {}),
    "a bad setting of beat": (
        ["-m", "celery", "-A", "carina_tasks", "beat"],
        {"CARINA_TASKS_PAGE_SIZE": "many"},
    ),
}


def lines_of(
    embedded: Embedded, folder: Path, words: list[str], more: dict[str, str], seconds: float
) -> list[str]:
    """Run it for so long, end it with SIGTERM, and return every line that it wrote."""
    words = [word.format(folder=folder, port=free_port()) for word in words]
    environment = {**os.environ, **embedded.stage.env, "CARINA_TASKS_LOG_FORMAT": "json", **more}
    if more.get("NODE_NAME"):
        environment.pop("KUBECONFIG", None)
    log = folder / "log"
    with log.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, *words], env=environment, stdout=file, stderr=file, cwd=folder
        )
    end = time.monotonic() + seconds
    while time.monotonic() < end and process.poll() is None:
        time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    return log.read_text(errors="replace").splitlines()


@pytest.mark.parametrize(
    ("words", "more"), [*PROCESSES.values(), *BROKEN.values()], ids=[*PROCESSES, *BROKEN]
)
def test_every_line_is_an_object(
    embedded: Embedded, tmp_path: Path, words: list[str], more: dict[str, str]
) -> None:
    """Banner, warnings, work, shutdown, and the one line of a start that failed: each has an event
    and a level.
    """
    seconds = 6 if (words, more) in PROCESSES.values() else 15
    lines = lines_of(embedded, tmp_path, words, more, seconds)
    assert lines
    for line in lines:
        found = json.loads(line)
        assert found["event"], line
        assert found["level"], line
