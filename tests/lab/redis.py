"""A real redis-server: with an ACL user for each node, and a default user that needs a password.

In a lab with nodes it lives in the lab's network namespace and listens on the bridge (for nodes),
on the link to the host and on a unix socket; without one it listens on a free port of loopback.
Nothing is saved to disk.
"""

from __future__ import annotations

import secrets
import signal
import time
from pathlib import Path

import redis

from tests.lab import ports
from tests.lab.errors import LabError
from tests.lab.network import LabNetwork
from tests.lab.processes import Process, start, wait_until


def node_rules(node: str) -> list[str]:
    """Return what a sealed node's Redis user may do: take from its own queue, write its own
    answers, beat its heart.
    """
    return [
        "-@all",
        *("+hello", "+auth", "+ping", "+client|setname", "+multi", "+exec"),
        *("+brpop", "+llen", "+set", "+setex", "+publish"),
        *(
            f"~node.{node}",
            f"~celery-task-meta-{node}:[0-7]",
            f"~alive.{node}",
            f"&celery-task-meta-{node}:[0-7]",
        ),
    ]


class RedisServer:
    """One redis-server. Users survive `restart`, data does not."""

    def __init__(
        self,
        folder: Path,
        network: LabNetwork | None = None,
        *,
        port: int = 6379,
        replica_of: RedisServer | None = None,
    ) -> None:
        self.folder = folder
        self.password = replica_of.password if replica_of else secrets.token_hex(8)
        self.socket = folder / "redis.sock"
        self._network = network
        self._process: Process | None = None
        self._replica_of = replica_of
        self._users: dict[str, str] = {"default": f"user default on >{self.password} ~* &* +@all"}
        self._passwords: dict[str, str] = {}
        if replica_of:
            # Replicas do not copy users.
            self._users, self._passwords = replica_of._users, replica_of._passwords
        if network:
            self.port = port  # the namespace is ours
            self._host = network.link_address
        else:
            self.port = ports.free(1)[0]
            self._host = "127.0.0.1"

    @property
    def url(self) -> str:
        """Return the URL for processes on the host, as the default user, who may do everything."""
        return f"redis://:{self.password}@{self._host}:{self.port}/0"

    @property
    def guest_url(self) -> str:
        """Return the URL for processes in a node as the default user (the `open` profile)."""
        return f"redis://:{self.password}@{self._bridge()}:{self.port}/0"

    def node_url(self, node: str) -> str:
        """Return the URL for processes in a node as that node's own user; raises KeyError without
        `add_node_user`.
        """
        return f"redis://{node}:{self._passwords[node]}@{self._bridge()}:{self.port}/0"

    def node_url_from_host(self, node: str) -> str:
        """Return the URL by which a test on the host acts as a node's user, to see what it may not
        do.
        """
        return f"redis://{node}:{self._passwords[node]}@{self._host}:{self.port}/0"

    @property
    def client(self) -> redis.Redis:
        """Return a new client of the default user, which returns bytes."""
        return redis.Redis.from_url(self.url, socket_timeout=5, socket_connect_timeout=2)

    def start(self) -> None:
        """Start the server and wait until it answers."""
        self.folder.mkdir(parents=True, exist_ok=True)
        acl = self.folder / "users.acl"
        acl.write_text("\n".join(self._users.values()) + "\n")
        acl.chmod(0o600)
        network = self._network
        addresses = ["127.0.0.1"] + (
            [network.bridge_address, network.link_address] if network else []
        )
        self._process = start(
            "redis-server",
            [
                *(network.prefix_command() if network else []),
                *("redis-server", "--port", str(self.port), "--bind", *addresses),
                *("--unixsocket", self.socket, "--unixsocketperm", "700", "--aclfile", acl),
                *("--save", "", "--appendonly", "no", "--dir", self.folder, "--tcp-keepalive", "5"),
                *self._replication(),
            ],
            folder=self.folder,
        )
        wait_until("redis-server answers", self._answers, 10, watch=[self._process])

    def kill(self) -> None:
        """End the server with SIGKILL."""
        self._running().kill()
        self._process = None

    def stop(self) -> None:
        """End the server: its clients see the connection closed, and refused from then on."""
        if self._process:
            self._process.stop(timeout=5)
            self._process = None

    def restart(self) -> None:
        """Stop and start: the data is gone, the users are there."""
        self.stop()
        self.start()

    def restart_with_data(self, pause: float = 0) -> None:
        """Write everything to disk, stop, and start with it after `pause` seconds: messages and
        answers come back.
        """
        with self.client as client:
            client.save()
        self.stop()
        time.sleep(pause)
        self.start()
        (self.folder / "dump.rdb").unlink()

    def restore(self) -> None:
        """Thaw or start again what a test has frozen or stopped."""
        if self._process and self._process.alive:
            self.thaw()
        else:
            self.stop()
            self.start()

    def freeze(self) -> None:
        """Stop the server where it stands: connections stay open without an answer."""
        self._running().signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let a frozen server continue."""
        self._running().signal(signal.SIGCONT)

    def flushall(self) -> None:
        """Empty it: queues, results and all."""
        with self.client as client:
            client.flushall()

    def add_node_user(self, node: str, password: str | None = None) -> str:
        """Make a node's own user with the rights of `node_rules`; return its password."""
        password = password or secrets.token_hex(8)
        self._passwords[node] = password
        self._users[node] = f"user {node} on >{password} {' '.join(node_rules(node))}"
        if self._process:
            with self.client as client:
                client.execute_command(
                    "ACL", "SETUSER", node, "reset", "on", f">{password}", *node_rules(node)
                )
        return password

    def _answers(self) -> bool:
        try:
            with self.client as client:
                return bool(client.ping())
        except redis.exceptions.ConnectionError:
            return False

    def _replication(self) -> list[str]:
        master = self._replica_of
        if master is None:
            return []
        address = self._bridge()
        return [
            *("--replicaof", f"{address} {master.port}", "--masterauth", self.password),
            *("--replica-announce-ip", address, "--repl-diskless-sync-delay", "0"),
        ]

    def _bridge(self) -> str:
        if self._network is None:
            raise LabError("this redis-server has no network with nodes")
        return self._network.bridge_address

    def _running(self) -> Process:
        if self._process is None or not self._process.alive:
            raise LabError("redis-server does not run")
        return self._process
