"""The network of pods: an address for each on the lab's bridge, the names of Services, and the API
server's own address in the cluster.
"""

from __future__ import annotations

import contextlib
import ctypes
import itertools
import os
import socket
import subprocess
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, TypeVar

from tests.lab.errors import LabError
from tests.lab.network import BRIDGE, LabNetwork

CLONE_NEWNET: Final = 0x40000000
FIRST, LAST = 100, 250
Answer = TypeVar("Answer")


class PodNetwork:
    """Gives pods their addresses, and does from inside the lab's network what a node would do."""

    def __init__(self, network: LabNetwork, hosts: Path, api_server: tuple[str, int]) -> None:
        self.hosts = hosts
        self._network, self._api_server = network, api_server
        self._numbers = itertools.cycle(range(FIRST, LAST))
        self._inside = ThreadPoolExecutor(4, initializer=self._enter)
        self._listener: socket.socket | None = None

    def up(self, cluster_ip: str) -> None:
        """Serve the API server at its address in the cluster, as kube-proxy does.

        Args:
            cluster_ip: The address of the Service `kubernetes`.
        """
        self.name({})
        _ip("-n", self._network.namespace, "addr", "add", f"{cluster_ip}/32", "dev", BRIDGE)
        self._listener = self.inside(lambda: socket.create_server((cluster_ip, 443)))
        threading.Thread(target=self._serve, args=(self._listener,), daemon=True).start()
        self._address = f"{cluster_ip}/32"

    def down(self) -> None:
        """Take away what `up` made."""
        if self._listener:
            self._listener.close()
            _ip("-n", self._network.namespace, "addr", "del", self._address, "dev", BRIDGE)
        self._inside.shutdown()

    def name(self, addresses: dict[str, Iterable[str]]) -> None:
        """Write which addresses each name has; pods and nodes see it at once.

        Args:
            addresses: Addresses by name.
        """
        lines = ["127.0.0.1 localhost"]
        lines += [f"{one} {name}" for name, found in addresses.items() for one in sorted(found)]
        text = "\n".join(lines) + "\n"
        if not self.hosts.exists() or self.hosts.read_text() != text:
            # In place: the file itself is mounted.
            self.hosts.write_text(text)

    def add(self) -> tuple[str, str]:
        """Make a network namespace with an address on the bridge; return its name and address."""
        number = next(self._numbers)
        name = f"{self._network.namespace}-{number}"
        address = f"{self._network.prefix}.{number}"
        bridge_end, namespace = f"pod{number}", self._network.namespace
        _ip("netns", "add", name)
        _ip("-n", name, "link", "set", "lo", "up")
        peer = ("peer", "name", bridge_end, "netns", namespace)
        _ip("-n", name, "link", "add", "eth0", "type", "veth", *peer)
        _ip("-n", namespace, "link", "set", bridge_end, "master", BRIDGE, "up")
        _ip("-n", name, "addr", "add", f"{address}/24", "dev", "eth0")
        _ip("-n", name, "link", "set", "eth0", "up")
        _ip("-n", name, "route", "add", "default", "via", self._network.bridge_address)
        return name, address

    def remove(self, name: str) -> None:
        """Remove a network namespace that `add` made."""
        with contextlib.suppress(LabError):
            _ip("netns", "del", name)

    def inside(self, action: Callable[[], Answer]) -> Answer:
        """Do something in the lab's network, where all pods and nodes can be reached."""
        return self._inside.submit(action).result()

    def _enter(self) -> None:
        with Path("/run/netns", self._network.namespace).open() as file:
            libc = ctypes.CDLL(None, use_errno=True)
            if libc.setns(file.fileno(), CLONE_NEWNET):
                raise LabError(f"setns: {os.strerror(ctypes.get_errno())}")

    def _serve(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = listener.accept()
                try:
                    server = socket.create_connection(self._api_server)
                except OSError:
                    client.close()
                    continue
                for pair in ((client, server), (server, client)):
                    threading.Thread(target=_copy, args=pair, daemon=True).start()


def _copy(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    for one in (source, target):
        with contextlib.suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)
        one.close()


def _ip(*arguments: str) -> None:
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise LabError(f"ip {' '.join(arguments)}: {done.stderr.strip()}")
