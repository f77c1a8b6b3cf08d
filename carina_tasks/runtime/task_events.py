"""Events for Flower and `celery events`, beside Celery's own. Nothing depends on them.

`update_state` writes to the result backend, which no monitor reads. An event of a type that Celery
does not know becomes a state of its own: ``task-progress`` makes PROGRESS, and the event's field
`result` is shown where the result will be.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import msgspec
import structlog
from celery import Celery, current_app, current_task
from celery.signals import celeryd_after_setup
from celery.utils.saferepr import saferepr

from carina_tasks.errors import CarinaTasksError

EVERY = 1.0
"""Seconds between two events of one task; what happens in between is not reported."""

_LONGEST = 1 << 14

_worker: list[str] = []


@celeryd_after_setup.connect
def _named(sender: str, **_: Any) -> None:
    """Keep the name of the worker in this process.

    An event of any other name would show as another worker.
    """
    _worker[:] = [sender]


class ProgressEvents:
    """Reports the progress of one task.

    Safe to call from several threads; never raises, and gives up when the broker is away.
    """

    def __init__(
        self, send: Callable[..., None], monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._send = send
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._next = monotonic()

    def __call__(self, text: str) -> None:
        """Send `text`, unless an event was sent within the last second."""
        with self._lock:
            now = self._monotonic()
            if now < self._next:
                return
            self._next = now + EVERY
        try:
            self._send("task-progress", result=text)
        except Exception as exc:
            # Whatever it is: a failover does not wait for those who watch it.
            self._next = float("inf")
            structlog.get_logger().debug("a progress event is not sent", error=str(exc))


def progress_of_this_task() -> Callable[[str], None]:
    """Return a function that reports the progress of this thread's task.

    Outside of a task it does nothing.
    """
    request = current_task.request if current_task else None
    if request is None or not request.id or request.called_directly or not _worker:
        return lambda text: None
    return ProgressEvents(partial(_event, current_app._get_current_object(), request.id))


def answer_events(app: Celery, profile: str) -> Callable[[str, object], None]:
    """Return a function that reports how a node's task ended, for nodes that cannot.

    Sealed ones, and those that never answered.
    """

    def tell(task_id: str, answer: object) -> None:
        try:
            if isinstance(answer, CarinaTasksError):
                _event(app, task_id, "task-unanswered", exception=answer.message)
            elif profile == "sealed":
                _event(
                    app,
                    task_id,
                    "task-answered",
                    result=saferepr(msgspec.to_builtins(answer), _LONGEST),
                )
        except Exception as exc:
            structlog.get_logger().debug("an answer event is not sent", error=str(exc))

    return tell


def _event(app: Celery, task_id: str, kind: str, **fields: Any) -> None:
    if _worker:
        with app.events.default_dispatcher(hostname=_worker[0]) as dispatcher:
            dispatcher.send(kind, uuid=task_id, retry=False, **fields)
