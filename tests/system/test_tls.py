"""TLS to the broker, with real redis-servers: what is right works, what is wrong is one sentence
that says what to do, and a process that cannot use its broker is not ready.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from kombu import pools

from carina_tasks import settings
from carina_tasks.broker.calls import NodeCalls
from carina_tasks.celery import make_app
from carina_tasks.emulator.lvm.install import install
from carina_tasks.environment import PREFIX
from carina_tasks.errors import BadSetting, BrokerUnavailable
from carina_tasks.model.local import Inventory
from carina_tasks.store import heartbeat, server_info
from tests.lab import paths, ports
from tests.lab.certificates import Authority, Pair, encrypted
from tests.lab.processes import Process, start, wait_until

GIB = 1 << 30
ONE = "10.20.9.151"
ACL = paths.REPOSITORY / "deploy" / "redis" / "acl.py"
KUBECONFIG = """\
apiVersion: v1
kind: Config
current-context: x
contexts: [{name: x, context: {cluster: x, user: x}}]
clusters: [{name: x, cluster: {server: "http://127.0.0.1:1"}}]
users: [{name: x, user: {token: x}}]
"""
SECRET = "wr0ng-s3cret"


@dataclass(frozen=True)
class Secure:
    """Redis-servers that take TLS alone, with the users of acl.py, and what their clients need."""

    folder: Path
    ports: dict[str, int]
    urls: dict[str, str]
    authority: Authority
    stranger: Authority
    client: Pair

    def settings(self, server: str = "good", user: str = "_control", **more: str) -> dict[str, str]:
        """Return the environment of a process that uses one of the servers."""
        url = self.urls[user].replace(":1/", f":{self.ports[server]}/")
        values = {"broker_url": url, "broker_ca": str(self.authority.file), **more}
        return {PREFIX + name.upper(): value for name, value in values.items() if value}

    def own(self, pair: Pair) -> dict[str, str]:
        """Return the settings of a client certificate."""
        return {"broker_certificate": str(pair.certificate), "broker_key": str(pair.key)}

    def environment(self, settings: dict[str, str]) -> dict[str, str]:
        """Return the whole environment of a process."""
        config = self.folder / "kubeconfig"
        config.write_text(KUBECONFIG)
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "PYTHONPATH": str(paths.REPOSITORY),
            "KUBECONFIG": str(config),
            "FLOWER_UNAUTHENTICATED_API": "true",
            **settings,
        }


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secure]:
    """Start one with a good certificate, one whose is expired, one whose is for another host, one
    that wants certificates of its clients, and one without TLS.
    """
    folder = tmp_path_factory.mktemp("tls")
    mine, other = Authority(folder / "mine"), Authority(folder / "other")
    users = folder / "users"
    acl = [sys.executable, str(ACL), "--folder", str(users), "--scheme", "rediss"]
    subprocess.run([*acl, "--address", "localhost:1", ONE], check=True, capture_output=True)
    good = mine.sign("good")
    servers = {
        "good": mine.server_options(good),
        "expired": mine.server_options(mine.sign("expired", expired=True)),
        "elsewhere": mine.server_options(mine.sign("elsewhere", "DNS:redis.example")),
        "mutual": mine.server_options(good, clients="yes"),
        "plain": [],
    }
    found = dict(zip(servers, ports.free(len(servers)), strict=True))
    common = ("--bind", "127.0.0.1", "--save", "", "--aclfile", str(users / "users.acl"))
    with contextlib.ExitStack() as stack:
        for name, options in servers.items():
            port = ["--port", "0", "--tls-port"] if options else ["--port"]
            argv = ["redis-server", *port, str(found[name]), *options, *common]
            process = start(name, argv, folder=folder)
            stack.callback(process.stop)
            wait_until(name, lambda p=process: "Ready to accept" in p.tail(), 10, watch=[process])
        urls = {path.stem: path.read_text().strip() for path in users.glob("*.url")}
        yield Secure(folder, found, urls, mine, other, mine.sign("client"))


def test_what_acl_py_writes_works_with_client_certificates(secure: Secure, tmp_path: Path) -> None:
    """A sealed node worker and the control side, each with its own user and an encrypted key: a
    task is sent, run and answered, the worker is ready, and doctor's look sees the protocol.
    """
    lvm = install(tmp_path / "bin", tmp_path / "state.json", {"carina-vg-hdd": 40 * GIB})
    own = {
        "broker_certificate": str(secure.client.certificate),
        "broker_key": str(encrypted(secure.client, "pass phrase")),
        "broker_key_password": "pass phrase",
    }
    node = secure.settings(
        "mutual", ONE, **own, node_profile="sealed", lvm_command=str(lvm), node_name=ONE
    )
    [port] = ports.free(1)
    environment = secure.environment(node | {PREFIX + "METRICS_PORT": str(port)})
    app = make_app(settings.load(secure.settings("mutual", **own)), "control")
    worker = start("node", [sys.executable, "-m", "workers.node"], folder=tmp_path, env=environment)
    try:
        found = NodeCalls(app, 30, 1 << 20).ask(ONE, "carina.node.inventory", None, Inventory)
        assert found.node == ONE, worker.tail()
        wait_until("a heartbeat", lambda: heartbeat.alive(app, ONE), 10, watch=[worker])
        assert probe(port, "/readyz")[0] == 200, worker.tail()
    finally:
        worker.stop()
    seen = server_info.look(app)
    assert seen.tls == "TLSv1.3"
    assert seen.certificate_ends is not None
    assert seen.stranger == "refused"


WRONG = {
    "an unknown authority": ("good", {"broker_ca": ""}, "authority that is not trusted"),
    "expired": ("expired", {}, "certificate has expired"),
    "another host": ("elsewhere", {}, "certificate is for another host"),
    "no client certificate": ("mutual", {}, "wants a certificate of this process"),
    "a stranger's client certificate": ("mutual", {"own": "stranger"}, "refuses the certificate"),
    "no TLS to its TLS port": ("good", {"scheme": "redis"}, "write rediss://"),
    "TLS to a port without": ("plain", {}, "does not answer with TLS"),
    "a wrong password": ("good", {"password": SECRET}, "refuses user or password"),
}


def wrong(secure: Secure, case: str) -> tuple[dict[str, str], str]:
    """Return the settings of a case of `WRONG`, and what their error should say."""
    server, change, words = WRONG[case]
    given = secure.settings(server)
    url = given[PREFIX + "BROKER_URL"]
    if "broker_ca" in change:
        del given[PREFIX + "BROKER_CA"]
    if "own" in change:
        pair = secure.stranger.sign("client")
        given |= {PREFIX + k.upper(): v for k, v in secure.own(pair).items()}
    if "scheme" in change:
        del given[PREFIX + "BROKER_CA"]
        given[PREFIX + "BROKER_URL"] = url.replace("rediss://", "redis://")
    if "password" in change:
        head, _, tail = url.partition("@")
        given[PREFIX + "BROKER_URL"] = f"{head.rpartition(':')[0]}:{change['password']}@{tail}"
    return given, words


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_one_sentence(secure: Secure, case: str) -> None:
    """The store and the queues say the same, on one line, without a password."""
    given, words = wrong(secure, case)
    # kombu keeps the connections of a URL, whatever their certificates are.
    pools.reset()
    app = make_app(settings.load(given), "control")
    app.conf.redis_socket_timeout = 1
    app.conf.broker_transport_options = {**app.conf.broker_transport_options, "socket_timeout": 1}
    with pytest.raises(BrokerUnavailable, match=words) as caught:
        heartbeat.alive(app, "n1")
    password = given[PREFIX + "BROKER_URL"].partition("@")[0].rpartition(":")[2]
    assert "\n" not in caught.value.message
    assert password not in caught.value.message
    with pytest.raises(BrokerUnavailable, match=words):
        NodeCalls(app, 2, 1 << 20).ask("n1", "carina.node.inventory", None, Inventory)


def test_verification_off_is_a_choice(secure: Secure) -> None:
    """Without the name, or without anything, where the operator says so; doctor's look cannot tell
    when a certificate ends that nobody verified.
    """
    name = settings.load(secure.settings("elsewhere", broker_verify="authority"))
    assert server_info.look(make_app(name, "control")).certificate_ends is not None
    nothing = settings.load(secure.settings("expired", broker_ca="", broker_verify="none"))
    seen = server_info.look(make_app(nothing, "control"))
    assert (seen.tls, seen.certificate_ends) == ("TLSv1.3", None)
    unknown = settings.load(secure.settings("good", broker_ca="", broker_verify="authority"))
    with pytest.raises(BrokerUnavailable, match="not trusted"):
        heartbeat.alive(make_app(unknown, "control"), "n1")


@pytest.mark.parametrize("case", ["another host", "a wrong password"])
def test_doctor_says_it(secure: Secure, case: str) -> None:
    """The command ends with 2, and its broker line is the sentence."""
    given, words = wrong(secure, case)
    done = subprocess.run(
        [sys.executable, "-m", "celery", "-A", "carina_tasks", "carina", "doctor"],
        env=secure.environment(given),
        cwd=secure.folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert words in done.stdout
    assert "Traceback" not in done.stdout + done.stderr
    assert SECRET not in done.stdout + done.stderr


PROCESSES = {
    "node": ["workers.node"],
    "control": ["workers.control"],
    "watch": ["workers.node_watch"],
    "beat": ["celery", "-A", "carina_tasks", "beat", "--pidfile="],
    "flower": ["celery", "-A", "carina_tasks", "flower", "--address=127.0.0.1"],
}
"""Modules and their arguments: every process of deploy/ that has a readiness probe."""


def run(secure: Secure, given: dict[str, str], folder: Path) -> dict[str, tuple[Process, int]]:
    """Start all of them with the same settings; return each with the port of its probe."""
    found = {}
    for (name, words), port in zip(PROCESSES.items(), ports.free(len(PROCESSES)), strict=True):
        environment = secure.environment(given | {PREFIX + "METRICS_PORT": str(port)})
        argv = [sys.executable, "-m", *words]
        if name == "node":
            environment["NODE_NAME"] = ONE
        if name == "flower":
            environment[PREFIX + "METRICS_PORT"] = "0"
            argv.append(f"--port={port}")
        if name == "beat":
            argv.append(f"--schedule={folder / 'schedule'}")
        found[name] = start(name, argv, folder=folder, env=environment), port
    return found


def probe(port: int, path: str) -> tuple[int, str]:
    """Return status and text of a probe, 0 while nothing listens."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=15) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as exc:
        return exc.code, exc.read().decode()
    except OSError:
        return 0, ""


@pytest.mark.parametrize("case", ["an unknown authority", "a wrong password", "nothing"])
def test_a_process_is_ready_when_it_can_use_the_broker(
    secure: Secure, tmp_path: Path, case: str
) -> None:
    """Alive, and not ready: an update of the pods goes no further, and the log has the sentence
    without a stack trace and without the password. With the right settings the broker is no reason.
    """
    given, words = wrong(secure, case) if case in WRONG else (secure.settings(), "")
    processes = run(secure, given, tmp_path)
    try:
        for name, (process, port) in processes.items():
            wait_until(name, lambda p=port: probe(p, "/readyz")[0] > 0, 40, watch=[process])
            status, text = probe(port, "/readyz")
            if not words:
                assert "broker: ok" in text, (name, text)
                continue
            assert status == 503, (name, text)
            if name != "flower":  # its probe is open to everybody
                assert words in text, name
                assert probe(port, "/livez")[0] == 200, name
            if name != "beat":  # it connects when it has a task to send
                wait_until(f"{name} logs it", lambda p=process: words in p.tail(500), 20)
            assert "Traceback" not in process.tail(500), name
            assert SECRET not in text + process.tail(500), name
    finally:
        for process, _ in processes.values():
            process.kill()


def test_a_file_that_cannot_be_used_ends_the_process_with_one_line(
    secure: Secure, tmp_path: Path
) -> None:
    """Missing, no PEM, not a pair, encrypted: named before anything connects, by workers and
    commands alike.
    """
    rubbish, pair = tmp_path / "rubbish", secure.client
    rubbish.write_bytes(os.urandom(500))
    locked = str(encrypted(pair, "pass phrase"))
    other, certificate = secure.authority.sign("unused"), str(pair.certificate)
    both = tmp_path / "both"
    both.write_text(pair.certificate.read_text() + pair.key.read_text())
    cases: list[tuple[dict[str, str], str]] = [
        ({"broker_ca": str(tmp_path / "none")}, "BROKER_CA: .* cannot be read"),
        ({"broker_ca": str(tmp_path)}, "BROKER_CA: .* cannot be read"),
        ({"broker_ca": str(rubbish)}, "BROKER_CA: .* no certificate"),
        ({"broker_ca": str(pair.key)}, "BROKER_CA: .* no certificate"),
        ({"broker_certificate": str(rubbish)}, "BROKER_CERTIFICATE: .* no certificate"),
        ({"broker_certificate": certificate}, "name the file that does in .*BROKER_KEY"),
        (
            {"broker_certificate": certificate, "broker_key": str(other.key)},
            "BROKER_KEY: .* is not the key",
        ),
        (
            {"broker_certificate": certificate, "broker_key": locked},
            "is encrypted: set .*BROKER_KEY_PASSWORD",
        ),
        (
            {
                "broker_certificate": certificate,
                "broker_key": locked,
                "broker_key_password": SECRET,
            },
            "BROKER_KEY_PASSWORD is not its password",
        ),
    ]
    for more, words in cases:
        with pytest.raises(BadSetting, match=words) as caught:
            make_app(settings.load(secure.settings(**more)), "control")
        assert SECRET not in caught.value.message
    make_app(settings.load(secure.settings(broker_certificate=str(both))), "control")
    for argv in (["workers.node"], ["celery", "-A", "carina_tasks", "carina", "status"]):
        done = subprocess.run(
            [sys.executable, "-m", *argv],
            env=secure.environment(secure.settings(broker_ca=str(rubbish)) | {"NODE_NAME": ONE}),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 1
        assert len(done.stderr.strip().splitlines()) == 1, done.stderr
        assert "BROKER_CA" in done.stderr
