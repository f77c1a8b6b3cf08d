"""Child processes that end with the test run, each with a log file that a failing test can show.

Two things make sure that nothing stays behind after a killed pytest: the kernel sends SIGKILL to
each child when its parent dies (PR_SET_PDEATHSIG, set by `setpriv`), and each process group is
written to a file, so that a lab's guardian, or the next lab, ends what that signal does not reach
(see `end_recorded` and `slot`).
"""

import contextlib
import ctypes
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.lab.errors import LabError
from tests.patience import LOAD

PR_SET_CHILD_SUBREAPER = 36
DIE_WITH_PARENT = ("setpriv", "--pdeathsig", "KILL", "--")


@dataclass
class Process:
    """A running child: the leader of a session and process group of its own."""

    name: str
    log: Path
    popen: subprocess.Popen[bytes]
    record: Path | None = field(default=None, repr=False)

    @property
    def pid(self) -> int:
        """Return the process id, which is also the id of its group."""
        return self.popen.pid

    @property
    def alive(self) -> bool:
        """Return whether the leader has not ended."""
        return self.popen.poll() is None

    def signal(self, number: int) -> None:
        """Send a signal to the whole group; one that has ended is no error."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, number)

    def stop(self, timeout: float = 10.0) -> int:
        """End it with SIGTERM to the leader, with SIGKILL to the group after `timeout` seconds;
        return its code.
        """
        if self.alive:
            self.popen.send_signal(signal.SIGCONT)  # a stopped process does not see SIGTERM
            self.popen.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.popen.wait(timeout)
        return self.kill()

    def kill(self) -> int:
        """SIGKILL the whole group, wait for the leader, return its code."""
        self.signal(signal.SIGKILL)
        code = self.popen.wait()
        _reap(self.pid)
        if self.record:
            self.record.unlink(missing_ok=True)
        return code

    def tail(self, lines: int = 40) -> str:
        """Return the last lines of its log."""
        text = self.log.read_text(errors="replace") if self.log.exists() else ""
        return "\n".join(text.splitlines()[-lines:])


def start(
    name: str,
    argv: Sequence[str | os.PathLike[str]],
    *,
    folder: Path,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    pass_fds: Iterable[int] = (),
    die_with_parent: bool = True,
) -> Process:
    """Start a child. Its log is `<folder>/<name>.log` (appended), its group is recorded in
    `<folder>/groups`.

    `env` is the whole environment; None takes ours. Beware: for the kernel a child's parent is the
    *thread* that started it; what a short-lived thread starts needs `die_with_parent=False`, and
    then only its record ends it.
    """
    groups = folder / "groups"
    groups.mkdir(parents=True, exist_ok=True)
    log = folder / f"{name}.log"
    with log.open("ab") as output:
        popen = subprocess.Popen(
            [*(DIE_WITH_PARENT if die_with_parent else ()), *(os.fspath(word) for word in argv)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=dict(env) if env is not None else None,
            cwd=cwd or folder,
            start_new_session=True,
            pass_fds=tuple(pass_fds),
        )
    record = groups / str(popen.pid)
    record.write_text(f"{_boot_id()} {_started(popen.pid)}")
    return Process(name, log, popen, record)


def end_recorded(folder: Path) -> list[int]:
    """SIGKILL what is left of the groups that a dead lab recorded in `folder`; return their ids.

    A group's id may have been given to a stranger since. After a reboot every id is a stranger's,
    and so is a leader that was not started when we started ours; while any member of our group
    lives, the kernel does not use its id again.
    """
    ended = []
    for record in (folder / "groups").glob("*"):
        group = int(record.name)
        boot, begun = record.read_text().split()
        if boot == _boot_id() and _started(group) in {None, int(begun)}:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(group, signal.SIGKILL)
                ended.append(group)
        record.unlink(missing_ok=True)
    return ended


def wait_until(
    what: str,
    check: Callable[[], object],
    timeout: float,
    *,
    every: float = 0.05,
    watch: Iterable[Process] = (),
) -> float:
    """Call `check` until it returns something true; return the seconds it took.

    Raises LabError after `timeout` seconds (on a quiet machine: see `LOAD`), and at once when one
    of `watch` ends, with the tail of its log.
    """
    begun = time.monotonic()
    while True:
        if check():
            return time.monotonic() - begun
        for process in watch:
            if not process.alive:
                raise LabError(f"{process.name} ended while waiting for: {what}\n{process.tail()}")
        if time.monotonic() - begun > timeout * LOAD:
            tails = "".join(f"\n--- {process.name}\n{process.tail()}" for process in watch)
            raise LabError(f"not within {timeout * LOAD:g} s: {what}{tails}")
        time.sleep(every)


def adopt_orphans() -> None:
    """Make this process the parent of its descendants' orphans, so that `Process.kill` can reap
    them.

    A user-mode-linux that is killed leaves one orphan for each guest process. Not every PID 1 of a
    container reaps.
    """
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        raise LabError(f"prctl(PR_SET_CHILD_SUBREAPER): {os.strerror(ctypes.get_errno())}")


def _reap(group: int) -> None:
    """Reap the adopted members of a killed group: of this group only, the rest are another client's
    to wait for.
    """
    deadline = time.monotonic() + 2
    with contextlib.suppress(ChildProcessError):
        while time.monotonic() < deadline:
            if os.waitpid(-group, os.WNOHANG)[0] == 0:
                time.sleep(0.01)


def _boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def _started(pid: int) -> int | None:
    """Return the clock tick at which a process started (field 22 of /proc/PID/stat), None when
    there is none.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return int(stat.rsplit(")", 1)[1].split()[19])
