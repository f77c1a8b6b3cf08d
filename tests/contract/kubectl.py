"""kubectl beside a test."""

from __future__ import annotations

import contextlib
import subprocess
import threading
from collections.abc import Iterator

from tests.contract.server import Server


@contextlib.contextmanager
def background(cluster: Server, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Run kubectl beside the test; it is killed at the end, so that a failing test cannot hang on
    it.
    """
    command = ["kubectl", f"--kubeconfig={cluster.kubeconfig}", *arguments]
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
    ) as process:
        guard = threading.Timer(60, process.kill)
        guard.start()
        try:
            yield process
        finally:
            guard.cancel()
            process.kill()
