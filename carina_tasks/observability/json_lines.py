"""In JSON mode a process writes only JSON, from its first line to its last.

Celery prints a banner and ``Warm shutdown``, Python its warnings and stack traces, ``sys.exit`` its
message. They go through `sys.stdout` and `sys.stderr`, so a wrapper turns each line that is
no JSON object into one. Only what the interpreter writes while it dies (a crash in C) is not
reached.
"""

from __future__ import annotations

import atexit
import io
import json
import os
import sys
import threading
from collections.abc import Iterable
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, TextIO

import structlog
from celery.apps import worker

from carina_tasks.observability import logs

DAEMONS = frozenset({"worker", "beat", "flower", "multi"})
"""Commands of ``celery`` that run on; all others answer a human or a script, and are left alone."""


class JsonLines(io.TextIOBase):
    """A text stream that writes JSON objects, one a line. Safe to share between threads."""

    def __init__(self, stream: TextIO, name: str, hidden: Iterable[str]) -> None:
        """Wrap `stream`; `hidden` are passwords that are never shown."""
        self._stream, self._name, self._hidden = stream, name, frozenset(hidden)
        self._begin()
        # Another thread may be writing when a pool forks: its child would wait for it forever.
        os.register_at_fork(after_in_child=self._begin)

    def _begin(self) -> None:
        self._lock, self._rest = threading.RLock(), ""

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """Return the encoding of the stream below."""
        return self._stream.encoding

    @property
    def buffer(self) -> Any:
        """Return the bytes below, for what insists on them."""
        return self._stream.buffer

    def fileno(self) -> int:
        """Return the descriptor below."""
        return self._stream.fileno()

    def isatty(self) -> bool:
        """Return False: nothing here is for a terminal."""
        return False

    def writable(self) -> bool:
        """Return True."""
        return True

    def write(self, text: str) -> int:
        """Write the lines that are complete; the rest waits for its end."""
        with self._lock:
            *lines, self._rest = (self._rest + text).split("\n")
            for line in lines:
                self._line(line)
        return len(text)

    def flush(self) -> None:
        """Flush what was written."""
        with self._lock:
            self._stream.flush()

    def finish(self) -> None:
        """Write a last line that has no end."""
        with self._lock:
            self._line(self._rest)
            self._rest = ""
            self._stream.flush()

    def _line(self, line: str) -> None:
        if not line.strip():
            return
        if not _is_object(line):
            words = {
                "event": logs.without_secrets(line.rstrip(), self._hidden),
                "level": "info" if self._name == "stdout" else "warning",
                "stream": self._name,
                "timestamp": datetime.now(UTC).isoformat(),
            }
            line = json.dumps(words)
        self._stream.write(line + "\n")
        self._stream.flush()


def _is_object(line: str) -> bool:
    if not line.startswith("{"):
        return False
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False


def install(secrets: Iterable[str]) -> None:
    """Make this process write only JSON from now on.

    `secrets` are as in `logs.passwords`. Twice is once.
    """
    hidden = logs.passwords(secrets)
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None or isinstance(stream, JsonLines):
            continue
        wrapped = JsonLines(stream, name, hidden)
        # Celery writes its last messages to the original streams.
        setattr(sys, name, wrapped)
        setattr(sys, f"__{name}__", wrapped)
        atexit.register(wrapped.finish)
    sys.excepthook = _uncaught
    # It writes to the descriptor, past every stream.
    worker.safe_say = _say


def _say(text: object, *_: object, **__: object) -> None:
    """Write what Celery prints in a signal handler."""
    sys.stdout.write(f"{str(text).strip()}\n")


def of_this_command(log_format: str, secrets: Iterable[str]) -> None:
    """Install it when the settings ask for JSON and this ``celery`` command keeps running."""
    if log_format == "json" and DAEMONS & set(sys.argv[1:]):
        install(secrets)


def _uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        return
    structlog.get_logger().critical(
        "an exception that nothing handled ends this process", exc_info=(kind, error, trace)
    )
