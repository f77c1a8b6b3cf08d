"""A worker whose own loop hangs: real Celery workers of both pools, blocked where they take their
messages.
"""

from __future__ import annotations

import subprocess
import sys

import pytest

from carina_tasks.demo.children import free_port
from tests.integration.embedded import Embedded
from tests.integration.waiting import probe, until

PROGRAM = """
import importlib, sys, time
from celery import bootsteps
from carina_tasks import liveness
liveness.LOOP_LIMIT = 6.0
from carina_tasks.celery import app

class Hang(bootsteps.StartStopStep):
    requires = ("celery.worker.components:Timer",)
    def start(self, worker):
        # In the loop itself, as a call does that never returns.
        worker.timer.call_after(8.0, time.sleep, (3600,))

app.steps["worker"].add(Hang)
sys.exit(importlib.import_module(sys.argv[1]).main())
"""


@pytest.mark.parametrize(
    ("module", "node", "key"),
    [("workers.node", "hung-node", "alive.hung-node"), ("workers.control", "", "")],
)
def test_a_hung_loop_is_seen(embedded: Embedded, module: str, node: str, key: str) -> None:
    """It is alive and beats at first; when its loop hangs, /livez fails, /metrics still answers,
    and its heartbeat ends.
    """
    port = free_port()
    environment = embedded.stage.env | {
        "CARINA_TASKS_METRICS_PORT": str(port),
        "CARINA_TASKS_HEARTBEAT_INTERVAL": "0.5",
        "CARINA_TASKS_HEARTBEAT_TTL": "2",
    }
    if node:
        environment = {
            name: value for name, value in environment.items() if name != "KUBECONFIG"
        } | {"NODE_NAME": node}
    client = embedded.stage.app.backend.client
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, module],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        assert until(lambda: probe(port, "/livez") == 200, 20)
        assert until(lambda: probe(port, "/readyz") == 200, 10)
        assert not key or until(lambda: bool(client.exists(key)), 10)
        assert until(lambda: probe(port, "/livez") == 503, 25)
        assert probe(port, "/metrics") == 200
        assert probe(port, "/readyz") == 503
        assert not key or until(lambda: not client.exists(key), 10)
        assert process.poll() is None
    finally:
        process.kill()
        process.wait()
