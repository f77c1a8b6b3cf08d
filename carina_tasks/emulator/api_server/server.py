"""The server: in the foreground for the command line, in a thread for tests."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application

from .bootstrap import new_cluster
from .cluster import BOOKMARK_SECONDS, Cluster
from .handler import ApiHandler
from .kubeconfig import write_kubeconfig

T = TypeVar("T")

OWN_LEASE_SECONDS = 10.0
"""Seconds between two renewals of the real server's own Lease."""

_LARGEST_BODY = 10 * 1024 * 1024


def application(cluster: Cluster) -> Application:
    """Return the tornado application that serves a cluster."""
    return Application([(r"/.*", ApiHandler, {"cluster": cluster})], log_function=lambda _: None)


def listen(cluster: Cluster, host: str, port: int) -> tuple[HTTPServer, int]:
    """Serve a cluster on the running loop.

    Return the server and the port (a free one for port 0).
    """
    sockets = bind_sockets(port, host)
    server = HTTPServer(application(cluster), max_body_size=_LARGEST_BODY)
    server.add_sockets(sockets)
    return server, int(sockets[0].getsockname()[1])


async def renew_own_lease(cluster: Cluster) -> None:
    """Count a write every few seconds, forever.

    The real server renews a Lease of its own, so in an idle cluster too its versions move and a
    watch of a quiet kind gets bookmarks. That Lease is not served here.
    """
    while True:
        await asyncio.sleep(min(OWN_LEASE_SECONDS, cluster.bookmark_seconds))
        cluster.store.advance()


class ApiServer:
    """The emulator in a thread of its own.

    >>> with ApiServer() as server:
    ...     config = server.kubeconfig(Path("kubeconfig"))
    """

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        history: int = 10_000,
        bookmark_seconds: float = BOOKMARK_SECONDS,
    ) -> None:
        """Make a server; it begins with `start`.

        Args:
            host: Address to listen on.
            port: Port; 0 takes a free one.
            history: How many writes a watch can go back.
            bookmark_seconds: Seconds between two bookmarks of a watch.
        """
        self._host = host
        self._port = port
        self._cluster = new_cluster(history, bookmark_seconds)
        self._started = threading.Event()
        self._error: BaseException | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._thread = threading.Thread(target=self._run, name="api-server", daemon=True)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start, and return when the port is open; OSError when it cannot be."""
        self._thread.start()
        self._started.wait()
        if self._error is not None:
            raise self._error

    def stop(self) -> None:
        """Close the port and every connection."""
        if self._loop is not None and self._stop is not None and self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join()

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:
            self._error = error
        finally:
            self._started.set()

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        server, self._port = listen(self._cluster, self._host, self._port)
        self._started.set()
        lease = asyncio.create_task(renew_own_lease(self._cluster))
        await self._stop.wait()
        lease.cancel()
        server.stop()
        await server.close_all_connections()

    @property
    def port(self) -> int:
        """The port that is open."""
        return self._port

    @property
    def url(self) -> str:
        """The server's address."""
        return f"http://{self._host}:{self._port}"

    def kubeconfig(self, path: Path) -> Path:
        """Write a kubeconfig and return its path."""
        return write_kubeconfig(Path(path), self.url)

    def call(self, function: Callable[[Cluster], T]) -> T:
        """Run a function on the cluster between two requests, and return its result."""
        if self._loop is None:
            return function(self._cluster)

        async def run() -> T:
            return function(self._cluster)

        return asyncio.run_coroutine_threadsafe(run(), self._loop).result()

    def forget_history(self) -> None:
        """Make every earlier resourceVersion too old, as a compaction of etcd does."""
        self.call(lambda cluster: cluster.store.forget_history())
