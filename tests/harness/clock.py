"""Virtual time, also for the parts that read the machine's clock: the emulator, the simulated lvm,
Events.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager
from datetime import datetime, tzinfo
from types import SimpleNamespace, TracebackType
from typing import Any, Self
from unittest import mock

import structlog

from carina_tasks.emulator.api_server import cluster as emulator
from carina_tasks.emulator.api_server import deletion
from carina_tasks.emulator.api_server.kinds import custom, volumes
from carina_tasks.emulator.lvm import program
from carina_tasks.flows import threads
from carina_tasks.flows.failover import advance, planning, rehearse, whole_pvs
from carina_tasks.kube import cluster

START = 1_795_000_000.0


class Clock:
    """Seconds since the epoch, moved manually."""

    def __init__(self, now: float = START) -> None:
        self.now = now


class _Current:
    clock = Clock()


class VirtualDatetime(datetime):
    """The datetime of the patched modules."""

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
        """Return the virtual now."""
        return datetime.fromtimestamp(_Current.clock.now, tz)


class SerialExecutor:
    """A pool that runs each call where it is submitted, so that a history has one order."""

    def __init__(self, max_workers: int | None = None) -> None:
        self.max_workers = max_workers

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        return None

    def submit(self, function: Any, *arguments: Any) -> Future[Any]:
        """Run it now."""
        future: Future[Any] = Future()
        future.set_result(function(*arguments))
        return future

    map = staticmethod(map)


def use(clock: Clock) -> None:
    """Make `clock` the time of the patched modules."""
    _Current.clock = clock


@contextmanager
def virtual_world() -> Iterator[None]:
    """Replace clocks and thread pools for the time of the block, and silence the logs."""
    with ExitStack() as stack:
        for module in (emulator, deletion, custom, volumes):
            stack.enter_context(mock.patch.object(module, "datetime", VirtualDatetime))
        for module in (advance, cluster, planning, rehearse, threads, whole_pvs):
            stack.enter_context(mock.patch.object(module, "ThreadPoolExecutor", SerialExecutor))
        stack.enter_context(
            mock.patch.object(program, "time", SimpleNamespace(time=lambda: _Current.clock.now))
        )
        before = structlog.get_config()
        structlog.configure(
            wrapper_class=structlog.make_filtering_bound_logger(50), cache_logger_on_first_use=False
        )
        stack.callback(lambda: structlog.configure(**before))
        yield
