"""A proxy before the API server, in the test's own process: it can refuse, cut answers short, and
wait for a moment.

The product's kubeconfig points to it (plain HTTP on loopback, the administrator's token passed on).
"""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import urllib3

from tests.lab.control_plane import ControlPlane
from tests.system.product import JOURNAL

Json = dict[str, Any]
HOP_BY_HOP = {
    "connection",
    "transfer-encoding",
    "content-length",
    "host",
    "accept-encoding",
    "content-encoding",
}


@dataclass(frozen=True)
class Request:
    """One request of the product."""

    verb: str
    path: str
    query: str
    body: bytes

    @property
    def fields(self) -> Json:
        """Return the body of a patch; empty for anything else."""
        return json.loads(self.body) if self.verb == "PATCH" else {}

    @property
    def annotations(self) -> Json:
        """Return the annotations that a patch changes, None for one that it removes."""
        return (self.fields.get("metadata") or {}).get("annotations") or {}

    @property
    def writes_journal(self) -> bool:
        """Return whether it writes a journal (taking one off is none)."""
        return "/logicvolumes/" in self.path and bool(self.annotations.get(JOURNAL))

    @property
    def deletes_pv(self) -> bool:
        """Return whether it deletes a PersistentVolume."""
        return self.verb == "DELETE" and self.path.startswith("/api/v1/persistentvolumes/")

    @property
    def creates_pv(self) -> bool:
        """Return whether it creates a PersistentVolume."""
        return self.verb == "POST" and self.path == "/api/v1/persistentvolumes"


@dataclass
class Moment:
    """Something that a test does at the first `times` requests that match."""

    match: Callable[[Request], bool]
    act: Callable[[], object]
    after: bool
    times: int = 1
    dropped: bool = False
    late: float = 0
    happened: threading.Event = field(default_factory=threading.Event)
    error: BaseException | None = None

    def wait(self, timeout: float = 60) -> None:
        """Wait until it was done; raises AssertionError when it was not, and what it raised
        itself.
        """
        assert self.happened.wait(timeout), "the moment that the case waits for never came"
        if self.error:
            raise self.error


class Proxy:
    """Use it as a context manager.

    `refuse(request)` returns a status to answer with in place of the API server's answer, 0 for
    none; `lose(request)` reports whether the API server does it and its answer is lost; `edit(path,
    list)` may change a decoded list.
    """

    def __init__(self, plane: ControlPlane, folder: Path) -> None:
        self.refuse: Callable[[Request], int] = lambda _: 0
        self.lose: Callable[[Request], bool] = lambda _: False
        self.edit: Callable[[str, Json], None] = lambda _path, _list: None
        self.refused = self.lost = self.edited = 0
        self._url = plane.url
        self._pool = urllib3.PoolManager(maxsize=64, ca_certs=str(plane.ca), retries=False)
        self._moments: list[Moment] = []
        self._lock = threading.Lock()
        proxy = self

        class Handler(_Handler):
            def handle_it(self) -> None:
                proxy._serve(self)

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        config = json.loads(plane.kubeconfig.read_text())
        config["clusters"][0]["cluster"] = {
            "server": f"http://127.0.0.1:{self._server.server_port}",
            "insecure-skip-tls-verify": True,
        }
        self.kubeconfig = folder / "kubeconfig-proxy"
        self.kubeconfig.write_text(json.dumps(config))

    def __enter__(self) -> Proxy:
        """Begin to serve."""
        threading.Thread(target=self._server.serve_forever, daemon=True, name="proxy").start()
        return self

    def __exit__(self, *_: object) -> None:
        """End."""
        self._server.shutdown()
        self._server.server_close()

    def at(
        self,
        match: Callable[[Request], bool],
        act: Callable[[], object],
        *,
        after: bool = True,
        times: int = 1,
        dropped: bool = False,
        late: float = 0,
    ) -> Moment:
        """Do `act` before or after the API server gets a request that matches; the request waits
        for it.

        Before: `dropped` requests never reach the API server, `late` ones so many seconds after
        `act`.
        """
        moment = Moment(
            match, act, after and not dropped and not late, times, dropped=dropped, late=late
        )
        with self._lock:
            self._moments.append(moment)
        return moment

    def _serve(self, handler: _Handler) -> None:
        path, _, query = handler.path.partition("?")
        body = handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
        request = Request(handler.command, path, query, body)
        if status := self.refuse(request):
            self.refused += 1
            return handler.answer(status, {}, b"chaos")
        if self._happen(request, after=False):
            return handler.answer(502, {}, b"chaos")
        headers = {k: v for k, v in handler.headers.items() if k.lower() not in HOP_BY_HOP}
        watches = "watch=1" in query or "watch=true" in query
        try:
            answer = self._pool.request(
                request.verb,
                self._url + handler.path,
                body=body or None,
                headers=headers,
                preload_content=False,
                timeout=urllib3.Timeout(connect=2, read=300),
            )
            if watches and answer.status == 200:
                return handler.stream(answer)
            data = answer.read()
        except urllib3.exceptions.HTTPError:
            return handler.answer(502, {}, b"no API server")
        answer.release_conn()
        self._happen(request, after=True)
        if self.lose(request):
            self.lost += 1
            return handler.answer(504, {}, b"chaos")
        if request.verb == "GET" and answer.status == 200:
            decoded = json.loads(data) if b'"items"' in data else {}
            if str(decoded.get("kind", "")).endswith("List"):
                before = len(decoded.get("items") or ())
                self.edit(path, decoded)
                self.edited += len(decoded.get("items") or ()) != before
                data = json.dumps(decoded).encode()
        return handler.answer(answer.status, dict(answer.headers), data)

    def _happen(self, request: Request, *, after: bool) -> bool:
        """Do what is due at this request; return whether the request goes no further."""
        with self._lock:
            due = [
                one
                for one in self._moments
                if one.after == after and one.times and one.match(request)
            ]
            for one in due:
                one.times -= 1
        for one in due:
            try:
                one.act()
            except BaseException as error:  # it is the test's to raise
                one.error = error
            one.happened.set()
            time.sleep(one.late)
        return any(one.dropped for one in due)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def handle_it(self) -> None:
        raise NotImplementedError

    def handle(self) -> None:
        # A client that was killed is no error here.
        with contextlib.suppress(ConnectionError):
            super().handle()

    def answer(self, status: int, headers: dict[str, str], data: bytes) -> None:
        self.send_response_only(status)
        for name, value in headers.items():
            if name.lower() not in HOP_BY_HOP:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def stream(self, answer: urllib3.BaseHTTPResponse) -> None:
        self.send_response_only(200)
        self.send_header("Content-Type", answer.headers.get("Content-Type", "application/json"))
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        with contextlib.suppress(urllib3.exceptions.HTTPError, OSError):
            for chunk in _chunks(answer):
                self.wfile.write(b"%x\r\n%s\r\n" % (len(chunk), chunk))
                self.wfile.flush()
        # Without the last chunk the client sees that the watch broke off.
        self.close_connection = True

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        """Serve any verb."""
        with contextlib.suppress(OSError):
            self.handle_it()

    do_POST = do_PUT = do_PATCH = do_DELETE = do_GET  # noqa: N815


def _chunks(answer: urllib3.BaseHTTPResponse) -> Iterator[bytes]:
    """Yield what came, as soon as it came."""
    while chunk := answer.read1():
        yield chunk
