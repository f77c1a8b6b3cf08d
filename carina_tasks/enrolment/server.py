"""The HTTPS side of the enrolment service.

Of the standard library: one small answer to one small request, in a few threads, needs no
framework, and Tornado is in the image for Flower alone. Nothing a client sends can hold more than
one of `THREADS` for `DEADLINE` seconds.
"""

from __future__ import annotations

import contextlib
import json
import socket
import socketserver
import ssl
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any, ClassVar, Final

import structlog

from carina_tasks.enrolment import verdict
from carina_tasks.enrolment.service import Enrolled
from carina_tasks.errors import BadSetting

PATH: Final = "/v1/enrol"
THREADS: Final = 16
WAITING: Final = 64
"""Connections that may wait for a thread; more are closed at once."""
DRAINED: Final = 2 << 20
"""Bytes of an unwanted body that are read, and dropped, before the connection is closed."""
DEADLINE: Final = 20.0
"""Seconds that one connection may take, handshake and all: longer than one API_TIMEOUT."""

Enrol = Callable[[str], Enrolled | verdict.Refused]


class Certificate:
    """The server's TLS context, made again when one of its files changes."""

    def __init__(self, certificate: Path, key: Path) -> None:
        """Read both files.

        Args:
            certificate: The certificate and its chain, PEM.
            key: Its private key, PEM.

        Raises:
            BadSetting: They cannot be read, or do not belong together.
        """
        self._files = (certificate, key)
        self._lock = threading.Lock()
        self._seen = self._stamp()
        self._context = self._load()

    def context(self) -> ssl.SSLContext:
        """Return the context; the old one while new files do not belong together."""
        with self._lock:
            stamp = self._stamp()
            if stamp != self._seen:
                self._seen = stamp
                try:
                    self._context = self._load()
                except BadSetting as exc:
                    structlog.get_logger().error(
                        "the new certificate cannot be used; the old one is kept",
                        error=exc.message,
                    )
            return self._context

    def _stamp(self) -> tuple[tuple[int, int], ...]:
        """Return what changes with the files; the kubelet exchanges a link to their folder."""
        found = []
        for path in self._files:
            try:
                state = path.stat()
            except OSError:
                found.append((0, 0))
            else:
                found.append((state.st_ino, state.st_mtime_ns))
        return tuple(found)

    def _load(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        certificate, key = self._files
        try:
            # Without an answer OpenSSL would ask for the password of an encrypted key.
            context.load_cert_chain(certificate, key, password=lambda: "")
        except (OSError, ssl.SSLError, ValueError) as exc:
            raise BadSetting(
                f"CARINA_TASKS_ENROLMENT_CERTIFICATE ({certificate}) and _PRIVATE_KEY ({key}) "
                f"cannot be used: {exc}"
            ) from exc
        return context


class Handler(BaseHTTPRequestHandler):
    """One request; the connection is closed after it."""

    server_version, sys_version = "carina-tasks", ""
    enrol: ClassVar[Enrol]

    def do_POST(self) -> None:
        """Enrol the node of the token."""
        if self.path != PATH:
            self.answer(404, {"reason": f"there is only {PATH}"})
            return
        length = self.headers.get("Content-Length", "0")
        if length != "0" or self.headers.get("Transfer-Encoding"):
            self.answer(413, {"reason": "send no body: the token is in the header Authorization"})
            self._drain()
            return
        found = type(self).enrol(self.headers.get("Authorization", ""))
        if isinstance(found, Enrolled):
            self.answer(200, {"node": found.node, "url": found.url, "epoch": found.epoch})
        else:
            self.answer(found.status, {"reason": found.reason}, found.retry_after)

    def do_GET(self) -> None:
        """Say that only POST is taken."""
        self.answer(405, {"reason": f"send POST to {PATH}"})

    def answer(self, status: int, body: dict[str, str], retry_after: int = 0) -> None:
        """Send JSON.

        Args:
            status: The HTTP status.
            body: What is sent.
            retry_after: Seconds for the header Retry-After; 0: none.
        """
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("Connection", "close")
        if retry_after:
            self.send_header("Retry-After", str(retry_after))
        self.end_headers()
        self.wfile.write(data)
        self.close_connection = True

    def _drain(self) -> None:
        """Read on for a little: closed with data unread, the connection would lose the answer."""
        self.wfile.flush()
        left = DRAINED
        while left > 0 and (data := self.rfile.read1(min(left, 65536))):
            left -= len(data)

    def log_message(self, format: str, *args: Any) -> None:
        """Write nothing: the service has its own line for each enrolment."""


class Server(socketserver.TCPServer):
    """Takes connections, and hands each to one of few threads, with a deadline."""

    allow_reuse_address = True
    request_queue_size = 64

    def __init__(self, port: int, certificate: Certificate, enrol: Enrol) -> None:
        """Listen.

        Args:
            port: The TCP port, on every address; 0: any free one.
            certificate: What the server shows.
            enrol: What answers the header Authorization.

        Raises:
            BadSetting: The port cannot be had.
        """
        handler = type("EnrolHandler", (Handler,), {"enrol": staticmethod(enrol)})
        if socket.has_dualstack_ipv6():
            self.address_family = socket.AF_INET6
        try:
            super().__init__(("", port), handler)
        except OSError as exc:
            raise BadSetting(
                f"CARINA_TASKS_ENROLMENT_PORT: port {port} cannot be had: {exc.strerror}"
            ) from exc
        self._certificate = certificate
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="enrol")
        self._lock = threading.Lock()
        self._until: dict[socket.socket, float] = {}

    def server_bind(self) -> None:
        """Take IPv4 on the same socket."""
        if self.address_family == socket.AF_INET6:
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        super().server_bind()

    def process_request(self, request: Any, client_address: Any) -> None:
        """Hand the connection to a thread, or close it when too many wait."""
        with self._lock:
            full = len(self._until) >= THREADS + WAITING
            if not full:
                self._until[request] = time.monotonic() + DEADLINE
        if full:
            self.shutdown_request(request)
            return
        self._threads.submit(self._serve, request, client_address)

    def service_actions(self) -> None:
        """End the connections whose time is over; called twice a second."""
        now = time.monotonic()
        with self._lock:
            for request, until in self._until.items():
                if now > until:
                    with contextlib.suppress(OSError):
                        request.shutdown(socket.SHUT_RDWR)

    def _serve(self, request: socket.socket, client_address: Any) -> None:
        try:
            request.settimeout(DEADLINE)
            # On a copy of the descriptor: wrap_socket takes it over, and the original is what the
            # deadline shuts down.
            with self._certificate.context().wrap_socket(request.dup(), server_side=True) as secure:
                self.finish_request(secure, client_address)
        except (OSError, ValueError) as exc:
            # Whatever a client does to its connection is its own trouble.
            structlog.get_logger().debug("enrolment: a connection broke off", error=str(exc))
        except Exception:
            structlog.get_logger().error("enrolment: an unexpected error", exc_info=True)
        finally:
            with self._lock:
                self._until.pop(request, None)
            self.shutdown_request(request)
