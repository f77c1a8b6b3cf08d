"""Redis with Sentinel, as docs/redis.md describes it: when the master dies, questions to nodes go
on over the other.
"""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
import threading
import types
from collections.abc import Iterator
from pathlib import Path

import pytest

from carina_tasks import settings
from carina_tasks.celery import make_app
from carina_tasks.enrolment import verdict
from carina_tasks.enrolment.server import Certificate, Server
from carina_tasks.enrolment.service import Enrolment
from carina_tasks.observability.audit import Audit
from carina_tasks.store.acl_users import AclUsers
from tests.lab import paths, ports
from tests.lab.certificates import Authority
from tests.lab.processes import start, wait_until
from tests.lab.tls import certificates

ACL = paths.REPOSITORY / "deploy" / "redis" / "acl.py"
ONE = "10.20.9.151"
ASK = (
    "from carina_tasks.celery import app; from carina_tasks.tasks.node import inventory; "
    f"print('of', inventory.ask('{ONE}').node)"
)


class Cluster:
    """The API server as the enrolment service asks it: every token is of the node worker of ONE."""

    def review(self, token: str) -> verdict.Review:
        """Return what an API server says of a good token."""
        del token
        values = {"node-name": ONE, "node-uid": "u1", "pod-name": "p1", "pod-uid": "pu1"}
        extra = {verdict.EXTRA + key: (value,) for key, value in values.items()}
        user = "system:serviceaccount:kube-system:carina-tasks-node"
        return verdict.Review(True, user, ("carina-tasks",), extra)

    def node(self, name: str) -> verdict.Node | None:
        """Return the one node."""
        return verdict.Node(name, "u1") if name == ONE else None

    def nodes(self) -> dict[str, str]:
        """Return all nodes."""
        return {ONE: "u1"}

    def pod(self, name: str) -> verdict.Pod | None:
        """Return nothing: the token names the node."""
        del name
        return None


@contextlib.contextmanager
def enrolling(folder: Path, base: dict[str, str], url: str) -> Iterator[dict[str, str]]:
    """Serve enrolment at a Redis behind Sentinels; yield what a node worker needs for it."""
    conf = settings.load(
        {
            **{key: value for key, value in base.items() if key.startswith("CARINA_TASKS_")},
            "CARINA_TASKS_BROKER_URL": url,
            "CARINA_TASKS_ENROLMENT_BROKER_URL": re.sub("//[^@]*@", "//", url),
            "CARINA_TASKS_ENROLMENT_RATE": "60",
        }
    )
    users = AclUsers(make_app(conf, "control"))
    audit = Audit(types.SimpleNamespace(write=lambda *_: None))
    service = Enrolment(conf, bytes(range(32)), Cluster(), users, audit)
    files = certificates(folder / "enrolment")
    server = Server(0, Certificate(files.certificate, files.key), service.enrol)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    (folder / "token").write_text("a.b.c")
    try:
        yield {
            "CARINA_TASKS_ENROLMENT_URL": f"https://localhost:{server.server_address[1]}/v1/enrol",
            "CARINA_TASKS_ENROLMENT_CA": str(files.ca),
            "CARINA_TASKS_ENROLMENT_TOKEN_FILE": str(folder / "token"),
        }
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize("how", ["plain", "TLS", "TLS, enrolled"])
def test_a_master_dies(tmp_path: Path, how: str) -> None:
    """A sealed node worker and a control process, given a sentinel:// URL, find the new master
    within seconds. With TLS, Sentinel and servers take nothing else, and want certificates. With
    enrolment the new master does not know the node's user: the worker enrols again.
    """
    tls, enrolled = how != "plain", "enrolled" in how
    first, second, sentinel, nobody = ports.free(4)
    users = tmp_path / "users"
    # One of the two Sentinels is away all the time.
    address = f"127.0.0.1:{nobody},127.0.0.1:{sentinel}"
    acl = [
        sys.executable,
        str(ACL),
        "--folder",
        str(users),
        "--scheme",
        "sentinel",
        "--address",
        address,
    ]
    subprocess.run([*acl, *([] if enrolled else [ONE])], check=True, capture_output=True)
    base = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "PYTHONPATH": str(paths.REPOSITORY),
        "CARINA_TASKS_BROKER_MASTER_NAME": "mymaster",
        "CARINA_TASKS_SENTINEL_PASSWORD": "watch",
    }
    secure: list[str] = []
    if tls:
        authority = Authority(tmp_path / "tls")
        pair, own = authority.sign("server"), authority.sign("client")
        secure = authority.server_options(pair, clients="yes")
        base |= {
            "CARINA_TASKS_SENTINEL_TLS": "true",
            "CARINA_TASKS_BROKER_CA": str(authority.file),
            "CARINA_TASKS_BROKER_CERTIFICATE": str(own.certificate),
            "CARINA_TASKS_BROKER_KEY": str(own.key),
        }
    lvm = tmp_path / "lvm"
    lvm.write_text("#!/bin/sh\necho '{\"report\": []}'\n")
    lvm.chmod(0o755)

    with contextlib.ExitStack() as stack:
        servers = []
        for port in (first, second):
            folder = tmp_path / str(port)
            folder.mkdir()
            # Replicas do not copy users: each has the file.
            (folder / "users.acl").write_text(
                (users / "users.acl").read_text() + "user replica on >secret ~* &* +@all\n"
            )
            argv = [
                "redis-server",
                *(["--port", "0", "--tls-port", str(port)] if tls else ["--port", str(port)]),
                *secure,
                "--bind",
                "127.0.0.1",
                "--save",
                "",
                "--dir",
                str(folder),
            ]
            argv += [
                "--aclfile",
                str(folder / "users.acl"),
                "--masteruser",
                "replica",
                "--masterauth",
                "secret",
            ]
            argv += [
                "--repl-diskless-sync-delay",
                "0",
                *(["--replicaof", f"127.0.0.1 {first}"] if port == second else []),
            ]
            servers.append(start("redis", argv, folder=folder))
            stack.callback(servers[-1].stop)
        wait_until(
            "the replica follows", lambda: "sync: Finished" in servers[1].tail(), 20, watch=servers
        )
        conf = tmp_path / "sentinel.conf"
        pairs = [
            f"{name.removeprefix('--')} {value}"
            for name, value in zip(secure[::2], secure[1::2], strict=True)
        ]
        listen = "\n".join(
            ["port 0", f"tls-port {sentinel}", *pairs] if tls else [f"port {sentinel}"]
        )
        conf.write_text(
            f"{listen}\nrequirepass watch\nbind 127.0.0.1\ndir {tmp_path}\n"
            f"sentinel monitor mymaster 127.0.0.1 {first} 1\n"
            "sentinel auth-user mymaster replica\nsentinel auth-pass mymaster secret\n"
            "sentinel down-after-milliseconds mymaster 1000\nsentinel failover-timeout mymaster "
            "3000\n"
        )
        watcher = start("sentinel", ["redis-server", str(conf), "--sentinel"], folder=tmp_path)
        stack.callback(watcher.stop)
        wait_until(
            "Sentinel knows the replica", lambda: "+slave" in watcher.tail(), 20, watch=[watcher]
        )

        names = ("_control", "_enrolment" if enrolled else ONE)
        url = {name: (users / f"{name}.url").read_text().strip() for name in names}
        sealed = {
            "NODE_NAME": ONE,
            "CARINA_TASKS_NODE_PROFILE": "sealed",
            "CARINA_TASKS_LVM_COMMAND": str(lvm),
        }
        if enrolled:
            sealed |= stack.enter_context(enrolling(tmp_path, base, url["_enrolment"]))
        else:
            sealed |= {"CARINA_TASKS_BROKER_URL": url[ONE]}
        argv = [sys.executable, "-m", "workers.node"]
        worker = start("node", argv, folder=tmp_path, env=base | sealed)
        stack.callback(worker.stop)
        wait_until(
            "the node worker is ready", lambda: "ready." in worker.tail(), 30, watch=[worker]
        )

        def answered() -> bool:
            env = base | {"CARINA_TASKS_BROKER_URL": url["_control"]}
            argv = [sys.executable, "-c", ASK]
            done = subprocess.run(
                argv, env=env, cwd=tmp_path, capture_output=True, text=True, timeout=90, check=False
            )
            return f"of {ONE}" in done.stdout

        assert answered(), worker.tail()
        servers[0].kill()
        wait_until(
            "Sentinel has chosen", lambda: "+switch-master" in watcher.tail(), 20, watch=[watcher]
        )
        seconds = wait_until("the node answers again", answered, 100, watch=[worker, servers[1]])
        print(f"new master to the next answer: {seconds:.1f} s")
