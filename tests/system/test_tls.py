"""TLS to the broker, with a real redis-server: verified by name and authority, or refused."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from carina_tasks import settings
from carina_tasks.broker.calls import NodeCalls
from carina_tasks.celery import make_app
from carina_tasks.demo.children import free_port
from carina_tasks.emulator.lvm.install import install
from carina_tasks.errors import BrokerUnavailable
from carina_tasks.model.local import Inventory
from carina_tasks.store import heartbeat

GIB = 1 << 30


@dataclass(frozen=True)
class Secure:
    """A redis-server that takes TLS alone, and the file of its authority."""

    port: int
    ca: Path

    def settings(self, host: str = "localhost", ca: str | None = None) -> dict[str, str]:
        """Return the environment of a process that uses it."""
        return {
            "CARINA_TASKS_BROKER_URL": f"rediss://{host}:{self.port}/0",
            "CARINA_TASKS_BROKER_CA": str(self.ca) if ca is None else ca,
        }


def openssl(folder: Path, *words: str) -> None:
    """Run openssl."""
    subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True)


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secure]:
    """Start one."""
    folder, port = tmp_path_factory.mktemp("tls"), free_port()
    openssl(
        folder,
        *[
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-days",
            "2",
            "-subj",
            "/CN=authority",
            "-keyout",
            "ca.key",
            "-out",
            "ca.pem",
        ],
    )
    openssl(
        folder,
        *[
            "req",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-subj",
            "/CN=localhost",
            "-keyout",
            "server.key",
            "-out",
            "server.csr",
        ],
    )
    (folder / "names").write_text("subjectAltName=DNS:localhost\n")
    sign = (
        "x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile names "
        "-out server.pem"
    )
    openssl(folder, *sign.split())
    server = subprocess.Popen(
        [
            "redis-server",
            "--port",
            "0",
            "--tls-port",
            str(port),
            "--bind",
            "127.0.0.1",
            "--save",
            "",
            "--tls-cert-file",
            str(folder / "server.pem"),
            "--tls-key-file",
            str(folder / "server.key"),
            "--tls-ca-cert-file",
            str(folder / "ca.pem"),
            "--tls-auth-clients",
            "no",
        ],
        stdout=subprocess.DEVNULL,
    )
    try:
        time.sleep(1)
        yield Secure(port, folder / "ca.pem")
    finally:
        server.kill()
        server.wait()


def test_a_worker_answers_over_tls(secure: Secure, tmp_path: Path) -> None:
    """Control side and node worker with the same two settings: the question and its answer go
    through.
    """
    lvm = install(tmp_path / "bin", tmp_path / "state.json", {"carina-vg-hdd": 40 * GIB})
    environment = {
        **os.environ,
        **secure.settings(),
        "NODE_NAME": "n1",
        "CARINA_TASKS_LVM_COMMAND": str(lvm),
    }
    app = make_app(settings.load(secure.settings()), "control")
    worker = subprocess.Popen(
        [sys.executable, "-m", "workers.node"], env=environment, stderr=subprocess.DEVNULL
    )
    try:
        found = NodeCalls(app, 30, 1 << 20).ask("n1", "carina.node.inventory", None, Inventory)
        assert found.node == "n1"
        assert heartbeat.alive(app, "n1")
    finally:
        worker.kill()
        worker.wait()


@pytest.mark.parametrize(
    ("host", "ca"),
    [("localhost", ""), ("127.0.0.1", None)],
    ids=["an unknown authority", "another name"],
)
def test_what_cannot_be_verified_is_refused(secure: Secure, host: str, ca: str | None) -> None:
    """A certificate of an authority that is not trusted, or for another name: no message is sent,
    in one error of ours.
    """
    app = make_app(settings.load(secure.settings(host, ca)), "control")
    with pytest.raises(BrokerUnavailable, match=r"(?i)certificate"):
        heartbeat.alive(app, "n1")
    with pytest.raises(BrokerUnavailable):
        NodeCalls(app, 5, 1 << 20).ask("n1", "carina.node.inventory", None, Inventory)


def test_flower_verifies_too(secure: Secure) -> None:
    """Flower reads queues by itself: what it is told verifies certificate and name."""
    app = make_app(settings.load(secure.settings()), "control")
    told = app.conf.broker_use_ssl
    assert told["ssl_check_hostname"] is True
    assert int(told["ssl_cert_reqs"]) == 2
    assert told["ssl_ca_certs"] == str(secure.ca)
