"""What all tasks share: one-line errors, and retries with growing pauses."""

from __future__ import annotations

import inspect
from contextlib import AbstractContextManager
from functools import cache
from typing import TYPE_CHECKING, Any

import msgspec
import structlog
from celery import Task, current_app

from carina_tasks import queues, settings
from carina_tasks.errors import (
    BadInput,
    BrokerUnavailable,
    CarinaTasksError,
    Refused,
    TransientError,
)
from carina_tasks.model import names
from carina_tasks.model.messages import LvResults
from carina_tasks.store import task_results

if TYPE_CHECKING:
    from carina_tasks.views.results import SentTask

# What sends tasks and shows results is imported where that happens: node workers do neither.

PAUSES = (2, 5, 15, 30, 60)
"""Seconds before each retry of a transient failure; after them resume or the next sweep runs again
anyway.
"""

ROUTINE = 3600
"""Seconds for which the result of a task is kept that runs again within minutes, or that only
reads.
"""


class ControlTask(Task):  # type: ignore[misc]
    """A task of the control queue.

    Transient errors are retried, a guard's no is a result, all others fail in one line.
    """

    abstract = True
    # Our errors are logged in one line; a stack trace is for an unexpected one.
    throws = (CarinaTasksError,)
    max_retries = len(PAUSES)
    # Characters of the result in the event that Flower sees: a thousand volumes with a reason each.
    resultrepr_maxsize = 1 << 18
    kept: int | None = None
    """Seconds for which the broker keeps the result; None: as long as Celery's result_expires,
    a day.
    """

    @staticmethod
    def check(*_args: Any, **_kwargs: Any) -> None:
        """Refuse wrong arguments. A task with arguments has its own; the worker checks again."""

    def apply_async(self, args: Any = None, kwargs: Any = None, **options: Any) -> SentTask:
        """Send the task.

        Raises:
            BadInput: For a wrong argument, TypeError for a wrong number of them.
        """
        inspect.signature(self.run).bind(*(args or ()), **(kwargs or {}))
        self.check(*(args or ()), **(kwargs or {}))
        from carina_tasks.views.results import with_result_view

        return with_result_view(self, super().apply_async(args, kwargs, **options))

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the task; on a transient error ask Celery for a retry."""
        with log_context(self):
            try:
                return self._run(*args, **kwargs)
            finally:
                if after_run := getattr(self.app, "after_run", None):
                    after_run()

    def _run(self, *args: Any, **kwargs: Any) -> Any:
        try:
            result = super().__call__(*args, **kwargs)
        except TransientError as exc:
            if self.request.called_directly or self.request.retries >= self.max_retries:
                raise
            raise self.retry(exc=exc, countdown=PAUSES[self.request.retries]) from exc
        except Refused as exc:
            # A guard's no is an answer and no failure: it runs again every 30 seconds while
            # an operator has paused us.
            return {"outcome": "refused", "reason": exc.message}
        if not self.request.called_directly:
            return msgspec.to_builtins(result)
        # Called as a function, in a shell, it is shown to the operator.
        from carina_tasks.views.results import ResultView

        return ResultView(result)

    def after_return(
        self, status: str, retval: Any, task_id: str, args: Any, kwargs: Any, einfo: Any
    ) -> None:
        """Shorten the life of the stored result of a task that runs all the time.

        Celery has one lifetime for all results of a process, and does not read `result_expires` of
        a task.

        Args:
            status: The state of the task.
            retval: What it returned.
            task_id: Its id.
            args: Its arguments.
            kwargs: Its named arguments.
            einfo: Its exception.
        """
        if self.kept is None or self.request.ignore_result:
            return
        try:
            task_results.keep_for(self.app, task_id, self.kept)
        except BrokerUnavailable as exc:
            structlog.get_logger().warning("a result is kept for a day", error=exc.message)

    def send(self, *args: Any, reason: str, **options: Any) -> None:
        """Put the task on the control queue, as another task does; `reason` is for users alone."""
        self.apply_async(args=args, kwargsrepr=repr({"reason": reason}), **options)


class NodeTask(Task):  # type: ignore[misc]
    """A task of a node's queue; it is never retried here, because the caller asks again."""

    abstract = True
    throws = (CarinaTasksError,)
    with_result_view: type[Any] = LvResults
    """What the answer is read as."""
    # A batch of 50 volumes in the event that Flower sees; an inventory may be cut.
    resultrepr_maxsize = 1 << 14

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the task and return plain JSON."""
        with log_context(self, node=settings.current().node_name):
            return msgspec.to_builtins(super().__call__(*args, **kwargs))

    def apply_async(self, args: Any = None, kwargs: Any = None, **options: Any) -> Any:
        """Send the task to a node's queue.

        Raises:
            BadInput: Without one: no worker of another queue could run it.
        """
        if not str(options.get("queue", "")).startswith(queues.NODE_PREFIX):
            name = self.run.__name__
            raise BadInput(
                f"{name} is a node's task: use {name}.ask(NODE), or "
                f"{name}.apply_async(queue='node.NODE')"
            )
        return super().apply_async(args, kwargs, **options)

    def ask(self, node: str, request: msgspec.Struct | None = None) -> Any:
        """Send the task to the queue of `node`, wait, and return the answer as a `ResultView`.

        >>> inventory.ask("10.20.9.153").volumes        # doctest: +SKIP

        Raises:
            BadInput: `node` is no valid name.
            NodeSilent: The node did not answer in time.
            NodeFailed: The task failed on the node.
            BadAnswer: The answer is not of the type that was asked for.
            BrokerUnavailable: Redis does not answer.
        """
        from carina_tasks.runtime.node_calls import node_calls
        from carina_tasks.views.results import ResultView

        return ResultView(node_calls().ask(names.node_name(node), self.name, request, self.answer))


def log_context(task: Task, **facts: str) -> AbstractContextManager[None]:
    """Give every log line of the block the task's name and id (and `facts`).

    Threads are used again, so they go with it.
    """
    facts = {key: value for key, value in facts.items() if value}
    return structlog.contextvars.bound_contextvars(
        task=task.name, task_id=task.request.id or "direct", **facts
    )


@cache
def this_node() -> str:
    """Return the node that this worker serves: NODE_NAME, or the one of its queue ``node.<name>``.

    Raises:
        BadInput: An argument is not what the task takes.
    """
    name = settings.current().node_name
    if name:
        return name
    consumed = list(current_app.amqp.queues.consume_from)
    try:
        return queues.node_of(consumed[0])
    except (BadInput, IndexError) as exc:
        raise BadInput(
            "this worker serves no node: start it with NODE_NAME or with -Q node.<name>"
        ) from exc
