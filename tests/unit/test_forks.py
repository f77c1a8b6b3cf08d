"""A child of a pool that forks (`celery worker -P processes`) depends on no thread of its parent.

A thread does not live on in the child: a lock that it holds at that moment is never released there.
"""

from __future__ import annotations

import contextlib
import io
import os
import signal
import threading
from collections.abc import Callable, Iterator

import pytest
from celery import current_app

from carina_tasks.observability.json_lines import JsonLines
from carina_tasks.runtime import context as runtime
from carina_tasks.store import lock
from tests.builders import flow

SECONDS = 10
"""How long a child may take before the kernel ends it."""


def in_a_child(work: Callable[[], object]) -> str:
    """Do `work` in a forked child; return its result as text, empty when it does not end."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            signal.alarm(SECONDS)
            os.write(write, str(work()).encode())
        finally:
            os._exit(0)
    os.close(write)
    with os.fdopen(read) as answer:
        text = answer.read()
    os.waitpid(pid, 0)
    return text


@contextlib.contextmanager
def held(taken: contextlib.AbstractContextManager[object]) -> Iterator[None]:
    """Let another thread hold a lock during the block."""
    begun, over = threading.Event(), threading.Event()

    def hold() -> None:
        with taken:
            begun.set()
            over.wait()

    thread = threading.Thread(target=hold)
    thread.start()
    begun.wait()
    try:
        yield
    finally:
        over.set()
        thread.join()


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Count the processes that make the connections."""
    makers: list[int] = []
    monkeypatch.setattr(runtime, "connect", lambda *_: makers.append(os.getpid()) or flow.FakeApi())
    runtime._context.cache_clear()
    yield makers
    runtime._context.cache_clear()


def test_a_child_makes_connections_of_its_own(
    made: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two processes on one connection would read each other's answers; what flushes the Events of
    its parent after each task has no thread there.
    """
    # An earlier test may have made another application the current one.
    app = current_app._get_current_object()
    monkeypatch.setattr(app, "after_run", print, raising=False)
    mine = runtime.context().cluster
    assert made == [os.getpid()]
    assert in_a_child(lambda: (runtime.context().cluster is not mine, len(made))) == "(True, 2)"
    assert in_a_child(lambda: app.after_run) == "None"
    assert runtime.context().cluster is mine


def test_a_child_does_not_wait_for_who_makes_them_in_its_parent(made: list[int]) -> None:
    """The probe of /readyz asks the API server while the pool forks: the first task of such a child
    never ended.
    """
    with held(runtime._once):
        assert in_a_child(lambda: runtime.context() is not None) == "True"


def test_a_child_holds_no_lock_of_its_parent() -> None:
    """It renews what it takes itself, whatever its parent's thread was doing."""
    parent = lock.HeldLock(None)
    lock._RENEWER.add(parent, 60)

    def take() -> object:
        lock._RENEWER.add(lock.HeldLock(None), 60)
        return len(lock._RENEWER._due)

    with held(lock._RENEWER._changed):
        assert in_a_child(take) == "1"
    lock._RENEWER.remove(parent)


def test_a_child_can_log() -> None:
    """Its first line does not wait for a thread of its parent, and is no end of a line of that."""
    lines = JsonLines(io.StringIO(), "stderr", ())
    lines.write("half a ")

    def log() -> object:
        lines.write("line\n")
        return lines._stream.getvalue().count("half")  # type: ignore[attr-defined]

    with held(lines._lock):
        assert in_a_child(log) == "0"
