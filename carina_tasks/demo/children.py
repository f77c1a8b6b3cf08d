"""Child processes that end with the demo, each with a log file that a failed act shows.

Each child is started through a few lines of Python that ask the kernel for SIGKILL when the demo
dies (PR_SET_PDEATHSIG, prctl(2)) and then become the child. So nothing stays behind even when the
demo itself is killed. The setting belongs to the thread that starts a child: start them from a
thread that lives as long as the demo does.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

_DIE_WITH_PARENT = """\
import os, sys
parent, *argv = sys.argv[1:]
if sys.platform == "linux":
    import ctypes, signal
    ctypes.CDLL(None).prctl(1, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != int(parent):
        sys.exit("the demo ended before its child began")
os.execvp(argv[0], argv)
"""


class ChildFailed(Exception):
    """A process of the demo ended, or was not ready in time."""


@dataclass
class Child:
    """A child process in a process group of its own, so that Ctrl-C reaches the demo only."""

    name: str
    log: Path
    popen: subprocess.Popen[bytes]

    @property
    def alive(self) -> bool:
        """Whether it has not ended."""
        return self.popen.poll() is None

    def text(self) -> str:
        """Return its log."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def tail(self, lines: int = 25) -> str:
        """Return the last lines of its log."""
        return "\n".join(self.text().splitlines()[-lines:])

    def kill(self) -> None:
        """End it and its group at once, as a power cut would."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.popen.pid, signal.SIGKILL)
        self.popen.wait()


@dataclass
class Children:
    """All children of one run. `env` is the whole environment that each gets."""

    folder: Path
    env: Mapping[str, str]
    running: list[Child] = field(default_factory=list)

    def start(self, name: str, argv: Sequence[str], **env: str) -> Child:
        """Start a child whose log is ``<folder>/<name>.log``; `env` adds to its environment."""
        log = self.folder / f"{name}.log"
        with log.open("ab") as output:
            popen = subprocess.Popen(
                [sys.executable, "-IS", "-c", _DIE_WITH_PARENT, str(os.getpid()), *argv],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**self.env, **env},
                cwd=self.folder,
                start_new_session=True,
            )
        child = Child(name, log, popen)
        self.running.append(child)
        return child

    def kill(self, child: Child) -> None:
        """End one child at once."""
        child.kill()
        self.running.remove(child)

    def stop(self, timeout: float = 3.0) -> None:
        """End all of them, the last started first.

        SIGTERM, then SIGKILL for what is left after `timeout` seconds.
        """
        for child in reversed(self.running):
            if child.alive:
                child.popen.terminate()
        end = time.monotonic() + timeout
        for child in self.running:
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.popen.wait(max(0.0, end - time.monotonic()))
            child.kill()
        self.running.clear()

    def wait(
        self, what: str, check: Callable[[], object], timeout: float, watch: Iterable[Child] = ()
    ) -> float:
        """Call `check` until it is true; return the seconds.

        Raises ChildFailed when a child ends or time runs out.
        """
        begun = time.monotonic()
        while not check():
            for child in watch:
                if not child.alive:
                    raise ChildFailed(
                        f"{child.name} ended with code {child.popen.returncode}:\n{child.tail()}"
                    )
            if time.monotonic() - begun > timeout:
                tails = "".join(f"\n--- {child.name}\n{child.tail()}" for child in watch)
                raise ChildFailed(f"not within {timeout:.0f} s: {what}{tails}")
            time.sleep(0.05)
        return time.monotonic() - begun


def free_port() -> int:
    """Return a TCP port of 127.0.0.1 that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
