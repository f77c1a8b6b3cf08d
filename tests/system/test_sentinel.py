"""Redis with Sentinel, as docs/redis.md describes it: when the master dies, questions to nodes go
on over the other.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.lab import paths, ports
from tests.lab.certificates import Authority
from tests.lab.processes import start, wait_until

ACL = paths.REPOSITORY / "deploy" / "redis" / "acl.py"
ONE = "10.20.9.151"
ASK = (
    "from carina_tasks.celery import app; from carina_tasks.tasks.node import inventory; "
    f"print('of', inventory.ask('{ONE}').node)"
)


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "TLS"])
def test_a_master_dies(tmp_path: Path, tls: bool) -> None:
    """A sealed node worker and a control process, given a sentinel:// URL, find the new master
    within seconds. With TLS, Sentinel and servers take nothing else, and want certificates.
    """
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
    subprocess.run([*acl, ONE], check=True, capture_output=True)
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

        url = {name: (users / f"{name}.url").read_text().strip() for name in (ONE, "_control")}
        sealed = {
            "NODE_NAME": ONE,
            "CARINA_TASKS_NODE_PROFILE": "sealed",
            "CARINA_TASKS_LVM_COMMAND": str(lvm),
        }
        argv = [sys.executable, "-m", "workers.node"]
        worker = start(
            "node", argv, folder=tmp_path, env=base | sealed | {"CARINA_TASKS_BROKER_URL": url[ONE]}
        )
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
