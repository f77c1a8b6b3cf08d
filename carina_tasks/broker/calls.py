"""A control worker asks nodes and waits: straight-line code with a deadline.

A node task's id is ``<node>:<slot>:<uuid>``, and its answer is in the key
``celery-task-meta-<node>:<slot>``. A node name has no colon, so one Redis ACL pattern ties a node
to the few keys of its own answers.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

import msgspec
import redis
from celery import Celery
from kombu.exceptions import KombuError

from carina_tasks import queues
from carina_tasks.errors import BrokerUnavailable, CarinaTasksError, NodeSilent
from carina_tasks.model.local import Inventory
from carina_tasks.model.messages import LvResults, describe_request, to_json
from carina_tasks.store import trouble
from carina_tasks.store.answers import fetch, new_task_id, read_answer

T = TypeVar("T", Inventory, LvResults)

BROKER_ERRORS: Final = (KombuError, redis.RedisError, OSError, RuntimeError)
"""What Celery, kombu and redis-py raise when the broker does not take a message; Celery's retries
end in a RuntimeError.
"""
_FIRST_POLL, _LAST_POLL = 0.001, 0.25
"""Seconds between two looks for an answer: the pause grows by half, so a quick answer is noticed
within half its own time and a slow one costs four reads a second.
"""


@dataclass(frozen=True, slots=True)
class Pending(Generic[T]):
    """A question that was sent."""

    node: str
    id: str
    deadline: float
    """By `time.monotonic`."""
    answer: type[T]


class NodeCalls:
    """Asks node workers. Safe to share between threads."""

    def __init__(
        self,
        app: Celery,
        deadline: float,
        answer_limit: int,
        sleep: Callable[[float], None] = time.sleep,
        tell: Callable[[str, object], None] = lambda task_id, answer: None,
    ) -> None:
        self._app = app
        self._deadline = deadline
        self._limit = answer_limit
        self._sleep = sleep
        self._tell = tell

    def ask(
        self, node: str, task: str, request: msgspec.Struct | None, answer: type[T], more: float = 0
    ) -> T:
        """Return the answer of `node`.

        `more` seconds are added to the deadline, for a request that is a batch.

        Args:
            node: Name of the node.
            task: Name of the task.
            request: What the control worker asks for.
            answer: The type of the answer.
            more: Seconds added to the deadline, for a batch.

        Raises:
            NodeSilent: The node's worker did not answer before the deadline.
            NodeFailed: The node's worker ran the task and it failed.
            BadAnswer: A node answered with something that is not an answer.
            BrokerUnavailable: The broker did not answer.
        """
        result = self.ask_all({node: request}, task, answer, more)[node]
        if isinstance(result, CarinaTasksError):
            raise result
        return result

    def ask_all(
        self,
        requests: Mapping[str, msgspec.Struct | None],
        task: str,
        answer: type[T],
        more: float = 0,
    ) -> dict[str, T | CarinaTasksError]:
        """Ask every node of `requests` at once.

        Return for each its answer, or why there is none.

        Args:
            requests: The request for each node.
            task: Name of the task.
            answer: The type of the answer.
            more: Seconds added to the deadline, for a batch.
        """
        results: dict[str, T | CarinaTasksError] = {}
        pending: list[Pending[T]] = []
        for node, request in requests.items():
            try:
                pending.append(self.send(node, task, request, answer, more))
            except CarinaTasksError as exc:
                results[node] = exc
        results.update(self._wait(pending))
        return results

    def send(
        self, node: str, task: str, request: msgspec.Struct | None, answer: type[T], more: float = 0
    ) -> Pending[T]:
        """Send one request to a node.

        It expires with its deadline, so that a node that returns later does not run it.

        Args:
            node: Name of the node.
            task: Name of the task.
            request: What the control worker asks for.
            answer: The type of the answer.
            more: Seconds added to the deadline, for a batch.
        """
        task_id = new_task_id(self._app, node)
        try:
            self._app.send_task(
                task,
                args=[] if request is None else [to_json(request)],
                # For people alone: the node's worker reads the message itself.
                argsrepr=repr((node,)),
                kwargsrepr=repr(describe_request(node, request)),
                queue=queues.node_queue(node),
                task_id=task_id,
                expires=self._deadline + more,
                retry_policy={"max_retries": 2, "interval_start": 0.2, "interval_step": 0.5},
            )
        except BROKER_ERRORS as exc:
            raise BrokerUnavailable(
                f"the broker does not take a message for {node}: {trouble.of_app(self._app, exc)}"
            ) from exc
        return Pending(node, task_id, time.monotonic() + self._deadline + more, answer)

    def _wait(self, pending: Sequence[Pending[T]]) -> dict[str, T | CarinaTasksError]:
        results: dict[str, T | CarinaTasksError] = {}
        waiting, pause = list(pending), _FIRST_POLL
        while waiting:
            still = []
            for question in waiting:
                try:
                    answer = self._poll(question)
                except CarinaTasksError as exc:
                    results[question.node] = exc
                    continue
                if answer is not None:
                    results[question.node] = answer
                elif time.monotonic() >= question.deadline:
                    results[question.node] = NodeSilent(
                        f"the worker of node {question.node} did not answer in time"
                    )
                else:
                    still.append(question)
            waiting = still
            if waiting:
                self._sleep(pause)
                pause = min(pause * 1.5, _LAST_POLL)
        # Last: no caller waits for the monitoring.
        for question in pending:
            self._tell(question.id, results[question.node])
        return results

    def _poll(self, question: Pending[T]) -> T | None:
        data = fetch(self._app, question.id, self._limit)
        if not data:
            return None
        return read_answer(data, question.node, question.answer, self._limit, question.id)
