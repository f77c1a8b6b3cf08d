"""Steps of a worker's blueprints; see Celery's "Extensions and Bootsteps"."""

from __future__ import annotations

from typing import Any

from celery import bootsteps
from celery.signals import task_postrun, task_prerun

from carina_tasks.liveness import INTERVAL, OF_THIS_PROCESS


class Turns(bootsteps.StartStopStep):  # type: ignore[misc]
    """Calls `Liveness.turned` from the worker's own loop, so that it is seen when that hangs.

    Celery's timer runs in the loop of a worker whose transport is asynchronous, which Redis is,
    with the *solo* and the *threads* pool alike.
    """

    requires = ("celery.worker.components:Timer", "celery.worker.components:Pool")

    def __init__(self, worker: Any, **options: Any) -> None:
        super().__init__(worker, **options)
        self._entry: Any = None

    def start(self, worker: Any) -> None:
        """Begin with the worker.

        A pool that runs its tasks in the loop reports it before and after each.
        """
        self._entry = worker.timer.call_repeatedly(INTERVAL, OF_THIS_PROCESS.turned)
        if worker.pool_cls.__module__ == "celery.concurrency.solo":
            task_prerun.connect(_began, weak=False)
            task_postrun.connect(_ended, weak=False)

    def stop(self, worker: Any) -> None:
        """End with the worker."""
        if self._entry is not None:
            self._entry.cancel()


class CloseIdleConnections(bootsteps.StartStopStep):  # type: ignore[misc]
    """Closes what declaring the queues left open, each time that the consumer has connected.

    A node worker then has two connections, one that waits for messages and one for heartbeats and
    answers: ten thousand nodes are what a Redis takes by default as clients (`maxclients`).
    """

    requires = ("celery.worker.consumer.tasks:Tasks",)

    def start(self, consumer: Any) -> None:
        """Close them; a command that needs one opens it again."""
        consumer.task_consumer.channel.pool.disconnect(inuse_connections=False)


def _began(**_: Any) -> None:
    OF_THIS_PROCESS.began()


def _ended(**_: Any) -> None:
    OF_THIS_PROCESS.ended()
