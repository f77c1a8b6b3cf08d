"""A replica of a lab's Redis and a Sentinel that watches the two, in the lab's network
namespace.
"""

from __future__ import annotations

from pathlib import Path

from tests.lab.network import LabNetwork
from tests.lab.processes import Process, start, wait_until
from tests.lab.redis import RedisServer

NAME = "mymaster"
PORT = 26379


class Sentinel:
    """Use it as a context manager: the master is the lab's own Redis, and the replica is ended with
    the context.
    """

    def __init__(self, master: RedisServer, network: LabNetwork, folder: Path) -> None:
        self.master = master
        self.replica = RedisServer(
            folder / "replica", network, port=master.port + 1, replica_of=master
        )
        self._network = network
        self._folder = folder
        self._process: Process | None = None

    @property
    def environment(self) -> dict[str, str]:
        """Return the settings by which every process of the product, in a node or not, finds the
        master.
        """
        url = f"sentinel://default:{self.master.password}@{self._network.bridge_address}:{PORT}"
        return {"CARINA_TASKS_BROKER_URL": url, "CARINA_TASKS_BROKER_MASTER_NAME": NAME}

    def __enter__(self) -> Sentinel:
        """Start both; return when Sentinel knows the replica."""
        self._folder.mkdir(parents=True, exist_ok=True)
        self.replica.start()
        address = self._network.bridge_address
        conf = self._folder / "sentinel.conf"
        conf.write_text(
            f"port {PORT}\nprotected-mode no\ndir {self._folder}\n"
            f"sentinel monitor {NAME} {address} {self.master.port} 1\n"
            f"sentinel auth-pass {NAME} {self.master.password}\n"
            f"sentinel down-after-milliseconds {NAME} 1000\nsentinel failover-timeout {NAME} 3000\n"
        )
        argv = [*self._network.prefix_command(), "redis-server", str(conf), "--sentinel"]
        self._process = start("sentinel", argv, folder=self._folder)
        wait_until(
            "Sentinel knows the replica", lambda: self._said("+slave"), 20, watch=[self._process]
        )
        wait_until("the replica is in step", self._in_step, 20)
        return self

    def __exit__(self, *_: object) -> None:
        """End both."""
        if self._process:
            self._process.stop()
        self.replica.stop()

    def wait_switched(self) -> float:
        """Wait until Sentinel has made the replica the master; return the seconds."""
        return wait_until("Sentinel has chosen", lambda: self._said("+switch-master"), 30)

    def _in_step(self) -> bool:
        with self.replica.client as client:
            found: dict[str, object] = client.info("replication")
        return found.get("master_link_status") == "up"

    def _said(self, word: str) -> bool:
        return self._process is not None and word in self._process.tail(200)
