"""Liveness and readiness, as a kubelet asks."""

from __future__ import annotations

import http.client
import socket
import time
from collections.abc import Callable
from typing import Protocol

from tests.lab.kube import Json


class Runs(Protocol):
    """A container in which a command can be run."""

    def run(self, command: list[str], timeout: float) -> int:
        """Run a command and return its exit code."""


class Probe:
    """One probe of a container."""

    def __init__(self, spec: Json, container: Json, address: str, *, eager: bool) -> None:
        self._spec, self._address = spec, address
        # Asked each second until it passes, so that tests need not wait for a pod to be ready.
        self._eager = eager
        self._ports = {one["name"]: one["containerPort"] for one in container.get("ports", ())}
        self._next = time.monotonic() + spec.get("initialDelaySeconds", 0)
        self._failures = 0
        self.passed: bool | None = None
        """What it found last; None: it was not asked yet."""

    def look(self, container: Runs, inside: Callable[[Callable[[], bool]], bool]) -> bool:
        """Ask if it is due; return whether it failed as often as its threshold says.

        Args:
            container: Where a command is run.
            inside: Does something in the network of the pods.
        """
        if time.monotonic() < self._next:
            return False
        self.passed = self._ask(container, inside)
        self._failures = 0 if self.passed else self._failures + 1
        period = 1 if self._eager and not self.passed else self._spec.get("periodSeconds", 10)
        self._next = time.monotonic() + period
        return self._failures >= self._spec.get("failureThreshold", 3)

    def _ask(self, container: Runs, inside: Callable[[Callable[[], bool]], bool]) -> bool:
        timeout = self._spec.get("timeoutSeconds", 1)
        if "exec" in self._spec:
            return container.run(self._spec["exec"]["command"], timeout) == 0
        if "tcpSocket" in self._spec:
            port = self._port(self._spec["tcpSocket"]["port"])
            return inside(lambda: _connects(self._address, port, timeout))
        get = self._spec["httpGet"]
        port = self._port(get["port"])
        return inside(lambda: _answers(self._address, port, get["path"], timeout))

    def _port(self, port: int | str) -> int:
        return self._ports[port] if isinstance(port, str) else port


def _connects(address: str, port: int, timeout: float) -> bool:
    try:
        socket.create_connection((address, port), timeout).close()
    except OSError:
        return False
    return True


def _answers(address: str, port: int, path: str, timeout: float) -> bool:
    link = http.client.HTTPConnection(address, port, timeout=timeout)
    try:
        link.request("GET", path)
        return 200 <= link.getresponse().status < 400
    except (OSError, http.client.HTTPException):
        return False
    finally:
        link.close()
