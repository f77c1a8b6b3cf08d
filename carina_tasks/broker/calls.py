"""A control worker asks nodes and waits: straight-line code with a deadline.

It listens for the answers, and looks for them now and then: a message can be lost.

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
from carina_tasks.errors import BadInput, BrokerUnavailable, CarinaTasksError, NodeSilent
from carina_tasks.model.local import Inventory
from carina_tasks.model.messages import LvResults, describe_request, to_json
from carina_tasks.store import trouble
from carina_tasks.store.answers import answer_key, fetch, new_task_id, read_answer
from carina_tasks.store.listener import Listen, Listener, listening

T = TypeVar("T", Inventory, LvResults)

BROKER_ERRORS: Final = (KombuError, redis.RedisError, OSError, RuntimeError)
"""What Celery, kombu and redis-py raise when the broker does not take a message; Celery's retries
end in a RuntimeError.
"""
_FIRST_POLL, _LAST_POLL = 0.001, 0.25
"""Seconds between two looks for an answer where none can be heard: the pause grows by half, so a
quick answer is noticed within half its own time and a slow one costs four reads a second.
"""
_LOOK = 1.0
"""Seconds between two looks for an answer whose message may have been lost."""


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
        listen: Listen = listening,
        tell: Callable[[str, object], None] = lambda task_id, answer: None,
    ) -> None:
        self._app = app
        self._deadline = deadline
        self._limit = answer_limit
        self._listen = listen
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
        try:
            ids = self._ids(requests, results)
            with self._listen(self._app, list(ids.values())) as listener:
                for node, task_id in ids.items():
                    try:
                        asked = self._send(task_id, node, task, requests[node], answer, more)
                        pending.append(asked)
                    except CarinaTasksError as exc:
                        results[node] = exc
                results.update(self._wait(pending, listener))
        except BrokerUnavailable as exc:
            results.update({node: exc for node in requests if node not in results})
        return results

    def _ids(
        self,
        requests: Mapping[str, msgspec.Struct | None],
        results: dict[str, T | CarinaTasksError],
    ) -> dict[str, str]:
        """Return the id of each question; whom it cannot be put to goes into `results`."""
        ids: dict[str, str] = {}
        for node in requests:
            try:
                queues.node_queue(node)
            except BadInput as exc:
                results[node] = exc
            else:
                ids[node] = new_task_id(self._app, node)
        return ids

    def _send(
        self,
        task_id: str,
        node: str,
        task: str,
        request: msgspec.Struct | None,
        answer: type[T],
        more: float,
    ) -> Pending[T]:
        """Send one request to a node.

        It expires with its deadline, so that a node that returns later does not run it.
        """
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

    def _wait(
        self, pending: Sequence[Pending[T]], listener: Listener
    ) -> dict[str, T | CarinaTasksError]:
        results: dict[str, T | CarinaTasksError] = {}
        waiting = {answer_key(question.id): question for question in pending}
        pause = _FIRST_POLL
        while waiting:
            left = min(question.deadline for question in waiting.values()) - time.monotonic()
            heard = listener.wait(min(_LOOK if listener.hears else pause, max(left, 0.0)))
            pause = min(pause * 1.5, _LAST_POLL)
            # Nothing was heard: everything is looked at, for a message may have been lost.
            for key in sorted(heard & waiting.keys() or waiting):
                if (result := self._result(waiting[key])) is not None:
                    results[waiting.pop(key).node] = result
        # Last: no caller waits for the monitoring.
        for question in pending:
            self._tell(question.id, results[question.node])
        return results

    def _result(self, question: Pending[T]) -> T | CarinaTasksError | None:
        """Return what became of a question, None while its node may still answer."""
        try:
            answer = self._poll(question)
        except CarinaTasksError as exc:
            return exc
        if answer is None and time.monotonic() >= question.deadline:
            return NodeSilent(f"the worker of node {question.node} did not answer in time")
        return answer

    def _poll(self, question: Pending[T]) -> T | None:
        data = fetch(self._app, question.id, self._limit)
        if not data:
            return None
        return read_answer(data, question.node, question.answer, self._limit, question.id)
