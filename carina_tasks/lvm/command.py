"""The one gate for every lvm call.

No shell, a deadline, limits, and lvm's messages translated into our errors.

Facts of lvm2 2.03.16 and 2.03.31 that this file relies on, each tried on a real device mapper:

* exit codes: 0 done, 2 no such command, 3 bad command line, 4 not initialised, 5 failed (lvm2
  ``tools/errors.h``).
* ``lvm`` with commands on stdin (its own shell) costs 25 to 30 ms a command, a process of its own
  75 to 130 ms. The shell always exits with 0 and does not report which command failed. So each
  command of a batch is followed by a word that is no command: lvm answers ``No such command
  'WORD'`` on stderr, in order, at no cost, so that each error belongs to one command. What was
  *done* is never read from there: callers read a report afterwards.
* the shell splits words at blanks and knows quotes, but not a backslash before a quote: an argument
  that held both would fall apart into positional names. `_shell_word` refuses such arguments.
* SIGTERM ends a command that waits for a lock ("Giving up waiting for lock"), and the shell then
  resumes the next command; only SIGKILL ends the shell.
* the host's lvm.conf(5) may put a prefix or the command's name before every line, or silence lvm.
  So every command pins what this package reads (`PINNED`); that costs about 1 ms of the 14 ms of a
  command.
"""

from __future__ import annotations

import os
import re
import selectors
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import IO, Final, cast

from carina_tasks.errors import (
    BadInput,
    CarinaTasksError,
    LvmFailed,
    LvmTimeout,
)
from carina_tasks.lvm.errors import MARK, REASON, by_command, errors_in, translate

Observe = Callable[[str, float, str], None]
"""Called after every lvm process with its subcommand, its seconds, and ``ok`` or the name of the
error.
"""

OUTPUT_LIMIT: Final = 64 << 20
"""Bytes of stdout and stderr of one call: 20 000 volumes are about 8 MB."""

PINNED: Final = 'log/prefix="" log/command_names=0 log/verbose=0 log/silent=0 log/indent=0'
"""What every command pins with ``--config``, whatever the host's lvm.conf(5) contains: the form of
lvm's messages.
"""

_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_PASSED_ON: Final = ("LVM_SYSTEM_DIR",)
_FAILED: Final = 5
_SUBCOMMAND = re.compile(r"[a-z]{2,20}")


@dataclass(frozen=True)
class Batch:
    """What lvm wrote while it ran the commands of one shell."""

    errors: tuple[str, ...] = ()
    """Its stderr for each command: empty or a warning for success, else the reason."""
    output: str = ""
    """Its stdout."""


@dataclass(frozen=True)
class Reported:
    """The answer of a command that reports."""

    output: str
    """Its stdout."""
    stderr: str
    """Its stderr."""
    code: int
    """Its exit code: 5 (failed) when lvm could not read a part of what it reports."""


@dataclass(frozen=True)
class Lvm:
    """How lvm2 is run on this node."""

    binary: tuple[str, ...] = ("lvm",)
    """The executable with its leading arguments, such as ``("nsenter", "-t", "1", "-m", "--",
    "lvm")``.
    """
    timeout: float = 30.0
    """Seconds one command may take, waiting for the VG's lock included."""
    batch_timeout: float = 2.0
    """Seconds that each further command of a batch adds to its deadline."""
    grace: float = 5.0
    """Seconds between SIGTERM and SIGKILL: lvm finishes a metadata write first."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Added to the minimal environment."""
    observe: Observe = lambda subcommand, seconds, outcome: None

    def run(self, subcommand: str, *arguments: str) -> str:
        """Run one lvm command and return its stdout.

        Raises:
            BadInput: No command takes one of the arguments.
            LvmTimeout: lvm did not end within `timeout` seconds.
            LvmBusy: An LV or a lock is in use.
            LvmNoSpace: The VG has no room.
            LvmNotFound: The VG or LV does not exist.
            LvmFailed: lvm failed in another way.
        """
        return self._observed(subcommand, _argv(subcommand, arguments), None, self.timeout).output

    def report(self, subcommand: str, *arguments: str) -> Reported:
        """Run one lvm command that reports; return its output, even if it is incomplete.

        A volume group that lvm cannot read makes the exit code 5; the others are in the report all
        the same. Raises what `run` raises, for a command that reported nothing.
        """
        return self._observed(
            subcommand, _argv(subcommand, arguments), None, self.timeout, partial=True
        )

    def batch(self, commands: Sequence[Sequence[str]]) -> Batch:
        """Run `commands` (each a subcommand and its arguments) in one lvm shell.

        What it returns is never proof that something was done (read a report).

        Raises:
            LvmTimeout: The lvm command did not end before its deadline and was ended.
            LvmFailed: The lvm command failed.
            BadInput: An argument is not what the task takes.
        """
        if not commands:
            return Batch()
        lines = []
        for number, command in enumerate(commands):
            lines += [shell_line(command), f"{MARK}{number}"]
        deadline = self.timeout + self.batch_timeout * (len(commands) - 1)
        done = self._observed("shell", [], ("\n".join(lines) + "\n").encode(), deadline)
        return Batch(by_command(done.stderr, len(commands)), done.output)

    def _observed(
        self,
        subcommand: str,
        argv: list[str],
        stdin: bytes | None,
        timeout: float,
        *,
        partial: bool = False,
    ) -> Reported:
        started, outcome = time.monotonic(), "ok"
        try:
            done = self._call(argv, stdin, timeout)
            if done.code and not (partial and done.code == _FAILED and done.output.strip()):
                raise translate(done.stderr, done.code)
        except CarinaTasksError as exc:
            outcome = type(exc).__name__
            raise
        else:
            return done
        finally:
            self.observe(subcommand, time.monotonic() - started, outcome)

    def _call(self, argv: list[str], stdin: bytes | None, timeout: float) -> Reported:
        environment = {"PATH": _PATH, "LC_ALL": "C", "LVM_SUPPRESS_FD_WARNINGS": "1"}
        environment |= {name: os.environ[name] for name in _PASSED_ON if name in os.environ} | dict(
            self.environment
        )
        try:
            process = subprocess.Popen(  # noqa: S603 - no shell, every argument checked above
                [*self.binary, *argv],
                stdin=subprocess.PIPE if stdin is not None else subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=environment,
                cwd="/",
                start_new_session=True,  # so that a deadline ends what lvm started, too
            )
        except OSError as exc:
            raise LvmFailed(
                f"cannot run {self.binary[0]!r}: {exc.strerror}; is lvm2 installed?"
            ) from exc
        try:
            output, stderr, ended = _exchange(
                process, stdin, time.monotonic() + timeout, self.grace
            )
        finally:
            code = self._end(process)
        text = stderr.decode(errors="replace")
        if not ended:
            words = " ".join([*self.binary[-1:], *argv[:1]])
            raise LvmTimeout(
                f"{words} did not end within {timeout:.0f} s and was ended: "
                f"{errors_in(text)[:REASON]}"
            )
        return Reported(output.decode(errors="replace"), text, code)

    def _end(self, process: subprocess.Popen[bytes]) -> int:
        """Wait for the process, or end its whole group, and return its exit code."""
        for signal_number in (None, signal.SIGTERM, signal.SIGKILL):
            if signal_number is not None:
                _signal_group(process, signal_number)
            try:
                # Its pipes are closed when it is well, so it is about to end
                return process.wait(0.5 if signal_number is None else self.grace)
            except subprocess.TimeoutExpired:
                continue
        raise LvmTimeout("the lvm process does not end even when killed: its disk does not answer")


def _exchange(
    process: subprocess.Popen[bytes], stdin: bytes | None, deadline: float, grace: float
) -> tuple[bytes, bytes, bool]:
    """Feed stdin, collect stdout and stderr; return them and whether both ended in time.

    At the deadline the group gets SIGTERM and no more input; what lvm prints in the `grace` seconds
    then (which lock it waited for) is still read.
    """
    stdout, stderr = cast("tuple[IO[bytes], IO[bytes]]", (process.stdout, process.stderr))
    collected = {stdout.fileno(): bytearray(), stderr.fileno(): bytearray()}
    in_time = True
    with selectors.DefaultSelector() as selector, stdout, stderr:
        selector.register(stdout, selectors.EVENT_READ)
        selector.register(stderr, selectors.EVENT_READ)
        feed = _Feed(process.stdin, stdin or b"", selector)
        while selector.get_map():
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                if not in_time:
                    break
                in_time, deadline = False, time.monotonic() + grace
                _signal_group(process, signal.SIGTERM)
                feed.stop()
                continue
            for key, _ in selector.select(remaining):
                if key.fileobj is process.stdin:
                    feed.push()
                    continue
                piece = os.read(key.fd, 1 << 16)
                collected[key.fd] += piece
                if not piece:
                    selector.unregister(key.fileobj)
                if sum(map(len, collected.values())) > OUTPUT_LIMIT:
                    _signal_group(process, signal.SIGKILL)
                    feed.stop()
                    raise LvmFailed(f"lvm wrote more than {OUTPUT_LIMIT >> 20} MiB and was ended")
        feed.stop()
        output, errors = (bytes(piece) for piece in collected.values())
    return output, errors, in_time


class _Feed:
    """The stdin of a process, written as fast as it reads."""

    def __init__(
        self, pipe: IO[bytes] | None, data: bytes, selector: selectors.BaseSelector
    ) -> None:
        self._pipe, self._left, self._selector = pipe, memoryview(data), selector
        if pipe is not None:
            os.set_blocking(pipe.fileno(), False)
            selector.register(pipe, selectors.EVENT_WRITE)

    def push(self) -> None:
        """Write what the pipe takes now.

        Close it after the last byte, or when the other end is closed.
        """
        if self._pipe is None:
            return
        try:
            self._left = self._left[os.write(self._pipe.fileno(), self._left[:65536]) :]
        except BrokenPipeError:
            self._left = self._left[:0]
        if not self._left:
            self.stop()

    def stop(self) -> None:
        """Close the pipe: the process reads the end of its input."""
        if self._pipe is not None:
            self._selector.unregister(self._pipe)
            self._pipe.close()
            self._pipe = None


def _signal_group(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    try:
        os.killpg(process.pid, number)
    except (ProcessLookupError, PermissionError):
        process.send_signal(number)


def _subcommand(value: str) -> str:
    if not isinstance(value, str) or not _SUBCOMMAND.fullmatch(value):
        raise BadInput(f"{value!r} is not an lvm subcommand")
    return value


def _argument(value: str) -> str:
    """Return `value` if it can be one argument.

    Names are checked by `carina_tasks.model.names` before they get here.
    """
    if not isinstance(value, str) or not value or len(value) > 4096 or not value.isprintable():
        raise BadInput(
            f"{str(value)[:40]!r} cannot be an argument of lvm: it is empty, too long or not "
            "printable"
        )
    return value


def _argv(subcommand: str, arguments: Sequence[str]) -> list[str]:
    return [_subcommand(subcommand), *map(_argument, _pinned(arguments))]


def _pinned(arguments: Sequence[str]) -> list[str]:
    """Return `arguments` with `PINNED` added to their ``--config``, which lvm takes once."""
    words = list(arguments)
    own = ""
    if "--config" in words:
        at = words.index("--config")
        own = " " + words[at + 1]
        del words[at : at + 2]
    return ["--config", PINNED + own, *words]


def shell_line(command: Sequence[str]) -> str:
    """Return a subcommand and its arguments as one line of lvm's shell.

    Raises:
        BadInput: For an argument that no command takes.
    """
    subcommand, *arguments = command
    return " ".join([_subcommand(subcommand), *map(_shell_word, _pinned(arguments))])


def _shell_word(value: str) -> str:
    """Return `value` as one word of lvm's shell."""
    if "'" in _argument(value) or "\\" in value or "#" in value:
        raise BadInput(f"{value[:40]!r} cannot be an argument in an lvm shell")
    return f"'{value}'" if re.search(r'[\s"]', value) else value
