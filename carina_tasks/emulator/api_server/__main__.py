"""`python -m carina_tasks.emulator.api_server`: serve an empty cluster."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from pathlib import Path

from .bootstrap import new_cluster
from .kubeconfig import write_kubeconfig
from .server import listen


async def serve(host: str, port: int, kubeconfig: Path | None, history: int) -> None:
    """Serve until SIGINT or SIGTERM."""
    server, bound = listen(new_cluster(history), host, port)
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
    await stop.wait()
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
    options = parser.parse_args()
    try:
        asyncio.run(serve(options.host, options.port, options.kubeconfig, options.history))
    except OSError as error:
        print(
            f"cannot serve on {options.host}:{options.port}: {error.strerror or error}",
            file=sys.stderr,
        )
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
