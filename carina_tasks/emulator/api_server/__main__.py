"""`python -m carina_tasks.emulator.api_server`: serve an empty cluster."""

from __future__ import annotations

import argparse
import asyncio
import math
import signal
import sys
from pathlib import Path

from .bootstrap import new_cluster
from .cluster import BOOKMARK_SECONDS, Cluster
from .kubeconfig import write_kubeconfig
from .server import listen, renew_own_lease


async def serve(host: str, port: int, kubeconfig: Path | None, cluster: Cluster) -> None:
    """Serve a cluster until SIGINT or SIGTERM.

    Args:
        host: Address to listen on.
        port: Port; 0 takes a free one.
        kubeconfig: Where a kubeconfig is written; None writes none.
        cluster: What is served.
    """
    server, bound = listen(cluster, host, port)
    reachable = "127.0.0.1" if host in ("0.0.0.0", "::", "") else host  # noqa: S104 - compared, not bound
    url = f"http://{reachable}:{bound}"
    if kubeconfig is not None:
        write_kubeconfig(kubeconfig, url)
    print(
        f"Kubernetes API emulator at {url}" + (f", kubeconfig {kubeconfig}" if kubeconfig else ""),
        flush=True,
    )
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    lease = asyncio.create_task(renew_own_lease(cluster))
    await stop.wait()
    lease.cancel()
    server.stop()
    await server.close_all_connections()


def main() -> int:
    """Read the command line and serve; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m carina_tasks.emulator.api_server", description=__doc__
    )
    parser.add_argument(
        "--host", default="127.0.0.1", help="address to listen on (default: loopback)"
    )
    parser.add_argument("--port", type=int, default=0, help="port (default: a free one)")
    parser.add_argument("--kubeconfig", type=Path, help="write a kubeconfig here")
    parser.add_argument(
        "--history",
        type=int,
        default=10_000,
        help="writes to remember for watches (default: 10000)",
    )
    parser.add_argument(
        "--bookmarks",
        type=_seconds,
        default=BOOKMARK_SECONDS,
        metavar="SECONDS",
        help="seconds between two bookmarks of a watch (default: 60, as the real server)",
    )
    options = parser.parse_args()
    cluster = new_cluster(options.history, options.bookmarks)
    try:
        asyncio.run(serve(options.host, options.port, options.kubeconfig, cluster))
    except OSError as error:
        print(
            f"cannot serve on {options.host}:{options.port}: {error.strerror or error}",
            file=sys.stderr,
        )
        return 1
    return 0


def _seconds(text: str) -> float:
    """Read a time for argparse, which shows what is raised."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds above 0, like 60")
    return seconds


if __name__ == "__main__":
    sys.exit(main())
