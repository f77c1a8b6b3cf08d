"""A local HTTP server that answers what a test says, byte for byte: truncated, slow, odd and
hostile answers included.
"""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from kubernetes import client

from carina_tasks.kube.api import Api

Json = dict[str, Any]


@dataclass
class Answer:
    """One answer."""

    status: int = 200
    body: Any = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    length: int | None = None
    """Content-Length that is claimed, when it is not the body's own."""
    wait: float = 0
    cut: bool = False
    """Close the connection without an answer."""


@dataclass
class Script:
    """What is answered, in turn (the last one forever), and what was asked."""

    answers: list[Answer]
    asked: list[tuple[str, str, Any, dict[str, str]]] = field(default_factory=list)

    def next(self) -> Answer:
        """Return the next answer."""
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


@contextmanager
def serving(
    *answers: Answer, timeout: float = 5, page_size: int = 2
) -> Iterator[tuple[Api, Script]]:
    """Serve `answers` on a free port; yield the Api that asks there."""
    script = Script(list(answers))

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _answer(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length)) if length else None
            script.asked.append(
                (self.command, self.path, body, {k.lower(): v for k, v in self.headers.items()})
            )
            answer = script.next()
            time.sleep(answer.wait)
            self.close_connection = True
            if answer.cut:
                self.connection.shutdown(socket.SHUT_RDWR)
                return
            data = (
                answer.body if isinstance(answer.body, bytes) else json.dumps(answer.body).encode()
            )
            self.send_response_only(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.send_header("Connection", "close")
            self.send_header(
                "Content-Length", str(len(data) if answer.length is None else answer.length)
            )
            self.end_headers()
            with suppress(BrokenPipeError):  # who asked did not wait
                self.wfile.write(data)

        do_GET = do_POST = do_PATCH = do_DELETE = _answer  # noqa: N815

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    configuration = client.Configuration()
    configuration.host = f"http://127.0.0.1:{server.server_address[1]}"
    configuration.api_key = {"BearerToken": "Bearer secret"}
    try:
        yield Api(client.ApiClient(configuration), timeout, page_size), script
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def status(code: int, reason: str, name: str = "", **more: Any) -> Answer:
    """Make a Status as the API server writes it."""
    body = {
        "kind": "Status",
        "reason": reason,
        "message": f"{reason} {name}",
        "details": {"name": name},
        "code": code,
    }
    return Answer(code, body | more)


def page(*names: str, more: str = "", kind: str = "PersistentVolumeList") -> Answer:
    """Make one page of a list."""
    meta = {"resourceVersion": "5", **({"continue": more} if more else {})}
    return Answer(
        body={
            "kind": kind,
            "metadata": meta,
            "items": [{"metadata": {"name": name}} for name in names],
        }
    )
