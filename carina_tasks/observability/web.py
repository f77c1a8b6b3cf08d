"""The HTTP endpoint of a process: ``/metrics``, ``/livez`` and ``/readyz``.

`/livez` answers 503 when the process's own loop hangs (`carina_tasks.liveness`): Kubernetes then
starts it again. `/readyz` answers 503 while the broker or the API server does not answer, which a
restart would not change.
"""

from __future__ import annotations

import socketserver
from collections.abc import Callable, Iterable, Mapping
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import CollectorRegistry, make_wsgi_app

from carina_tasks.errors import CarinaTasksError
from carina_tasks.liveness import OF_THIS_PROCESS
from carina_tasks.vital import VitalThread

Check = Callable[[], object]
"""Asks a part of the outside world, and raises one of our errors when it does not answer."""


class _Server(socketserver.ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Silent(WSGIRequestHandler):
    timeout = 30
    """Seconds after which an idle client is disconnected."""

    def log_message(self, format: str, *args: Any) -> None:
        """Write nothing: probes come every few seconds."""


def serve(port: int, registry: CollectorRegistry, checks: Mapping[str, Check]) -> None:
    """Serve at `port`, in a thread of its own.

    Args:
        port: The TCP port, on every address.
        registry: What ``/metrics`` shows.
        checks: What ``/readyz`` asks, by name.

    Raises:
        OSError: The port is in use or not allowed.
    """
    metrics = make_wsgi_app(registry)

    def answer(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        if path == "/livez":
            return _plain(start_response, {"loop": OF_THIS_PROCESS.trouble()})
        if path == "/readyz":
            return _plain(start_response, {"loop": OF_THIS_PROCESS.trouble()} | _asked(checks))
        shown: Iterable[bytes] = metrics(environ, start_response)
        return shown

    server = make_server("", port, answer, server_class=_Server, handler_class=_Silent)
    VitalThread("http", server.serve_forever).start()


def _asked(checks: Mapping[str, Check]) -> dict[str, str]:
    found = {}
    for name, check in checks.items():
        try:
            check()
            found[name] = ""
        except CarinaTasksError as exc:
            found[name] = exc.message
    return found


def _plain(start_response: Any, troubles: Mapping[str, str]) -> list[bytes]:
    bad = any(troubles.values())
    lines = [f"{name}: {trouble or 'ok'}" for name, trouble in troubles.items()]
    start_response(
        "503 Service Unavailable" if bad else "200 OK",
        [("Content-Type", "text/plain; charset=utf-8")],
    )
    return ["\n".join([*lines, ""]).encode()]
