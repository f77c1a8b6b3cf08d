"""The probes of a node worker that waits for its Redis URL.

Without an answer Kubernetes would start it again every two minutes, and each start would come as
another enrolment to a service that may have been away. It lives, and is not ready.

Of the standard library: it runs before Celery is imported.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from carina_tasks.errors import BadSetting


@dataclass
class Waiting:
    """What the probes answer."""

    reason: str = "not asked yet"
    """Why there is no URL yet."""


@contextlib.contextmanager
def answer_probes(port: int) -> Iterator[Waiting]:
    """Answer ``/livez`` with 200, and all else with 503 and the reason, while the block runs.

    Afterwards the port is free for the worker's own endpoint.

    Args:
        port: CARINA_TASKS_METRICS_PORT; 0 answers nothing.

    Yields:
        What to write the reason into.

    Raises:
        BadSetting: The port cannot be had.
    """
    waiting = Waiting()
    if not port:
        yield waiting
        return
    try:
        server = _Server(("", port), _handler(waiting))
    except OSError as exc:
        raise BadSetting(
            f"CARINA_TASKS_METRICS_PORT: port {port} cannot be had: {exc.strerror}"
        ) from exc
    thread = threading.Thread(target=server.serve_forever, args=(0.1,), daemon=True)
    thread.start()
    try:
        yield waiting
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False


def _handler(waiting: Waiting) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = 30
        """Seconds after which an idle client is disconnected."""

        def do_GET(self) -> None:
            """Answer a probe."""
            lives = self.path.partition("?")[0] == "/livez"
            text = "loop: ok\n" if lives else f"enrolment: {waiting.reason}\n"
            body = text.encode()
            self.send_response(200 if lives else 503)
            self.send_header("Content-Type", "text/plain; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Write nothing: probes come every few seconds."""

    return Handler
