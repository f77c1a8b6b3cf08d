"""A node worker that waits, beside a Celery worker that has nothing but its queue."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import redis

from carina_tasks.demo.children import Child
from carina_tasks.settings import load
from tests.bench.figures import Figure
from tests.integration.embedded import Embedded

BARE = """\
import sys
from celery import Celery
app = Celery("bare", broker=sys.argv[1], backend=sys.argv[1])
app.conf.update(broker_transport_options={"polling_interval": 5}, broker_connection_retry=True)
app.Worker(pool="solo", queues=["celery"], hostname="bare@bare", without_gossip=True,
           without_mingle=True, without_heartbeat=True, loglevel="INFO").start()
"""
"""The least that takes messages from Redis: Celery's own worker, started as ours is."""
OURS = """\
import sys
sys.modules |= {"rich": None, "colorama": None}
from workers.node import main
raise SystemExit(main())
"""
"""``python -m workers.node`` without what structlog loads where it is installed: developers have
that, the image does not.
"""


def idle_node_worker(embedded: Embedded, seconds: float) -> Iterator[Figure]:
    """Measure both side by side while they wait for `seconds`: memory, CPU, connections."""
    stage, client = embedded.stage, redis.Redis.from_url(embedded.stage.broker_url)
    env = {key: value for key, value in stage.env.items() if key != "KUBECONFIG"}
    # As a cluster has them: the demo beats ten times as often.
    for name in ("HEARTBEAT_INTERVAL", "HEARTBEAT_TTL"):
        env[f"CARINA_TASKS_{name}"] = str(getattr(load({}), name.lower()))
    env |= {"NODE_NAME": "idle", "CARINA_TASKS_NODE_PROFILE": "sealed"}

    ours = stage.children.start("node-idle", [sys.executable, "-c", OURS], **env)
    embedded.wait("the node worker lives", lambda: client.exists("alive.idle"), 30)
    bare = stage.children.start("bare", [sys.executable, "-c", BARE, stage.broker_url])
    embedded.wait("the bare worker is ready", lambda: " ready." in bare.text(), 30)
    time.sleep(1)
    try:
        spent = [_cpu(child) for child in (ours, bare)]
        time.sleep(seconds)
        shares = [
            100 * (_cpu(child) - was) / seconds
            for child, was in zip((ours, bare), spent, strict=True)
        ]
        memory = [_rss(child) for child in (ours, bare)]
        port = urlsplit(stage.broker_url).port
        assert port is not None
        connections = [_connections(child, port) for child in (ours, bare)]
    finally:
        stage.children.kill(ours)
        stage.children.kill(bare)
    for what, unit, values in (
        ("memory", "MB", memory),
        # A worker that used no tick of the clock used less than one.
        ("CPU", "% of a core", [max(share, 1 / seconds) for share in shares]),
        ("connections to Redis", "connections", connections),
    ):
        one, other = values
        yield Figure(
            f"an idle node worker: {what}", (one,), (other,), "a bare solo Celery worker", unit
        )


def _connections(child: Child, port: int) -> int:
    """Return how many connections a process has to `port`, as the kernel counts them."""
    open_files = Path(f"/proc/{child.popen.pid}/fd").iterdir()
    sockets = {os.readlink(path) for path in open_files}
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(row[2].endswith(f":{port:04X}") and f"socket:[{row[9]}]" in sockets for row in rows)


def _cpu(child: Child) -> float:
    """Return the seconds of CPU that a process has used."""
    fields = Path(f"/proc/{child.popen.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


def _rss(child: Child) -> float:
    status = Path(f"/proc/{child.popen.pid}/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1024
