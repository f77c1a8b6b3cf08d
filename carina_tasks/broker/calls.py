"""A control worker asks nodes and waits: straight-line code with a deadline.

It listens for the answers, and looks for them now and then: a message can be lost. Many nodes are
asked a window at a time, and what each answered is handed on as it comes.

A node task's id is ``<node>:<slot>:<uuid>``, and its answer is in the key
``celery-task-meta-<node>:<slot>``. A node name has no colon, so one Redis ACL pattern ties a node
to the few keys of its own answers.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
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
from carina_tasks.store.answers import answer_key, drop, fetch, new_task_id, read_answer
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
WINDOW: Final = 64
"""Nodes that are being asked at once. Redis sends each answer to the process that subscribed to it,
and cuts off a subscriber that is 32 MB behind (client-output-buffer-limit): 64 answers of 500 kB,
650 volumes.
"""
_YOUNG = 1.0
"""Seconds after which a question holds no place in the window: its node is slow or silent."""
_LULL = 0.25
"""Seconds without an answer after which those that came are handed on."""


@dataclass(frozen=True, slots=True)
class Pending:
    """A question that was sent."""

    node: str
    id: str
    asked: float
    """By `time.monotonic`, as the deadline."""
    deadline: float


@dataclass(slots=True)
class _Round(Generic[T]):
    """The questions of one call, and what has become of them."""

    requests: Mapping[str, msgspec.Struct | None]
    task: str
    answer: type[T]
    seconds: float
    """How long each node has to answer."""
    left: deque[str]
    """Nodes that were not asked yet."""
    waiting: dict[str, Pending] = field(default_factory=dict)
    """By the key of the answer, the oldest question first."""
    ended: list[tuple[str, object]] = field(default_factory=list)
    """Id and result of each question whose result is handed on next."""
    pause: float = _FIRST_POLL
    heard: float = 0.0
    """When an answer came last, by `time.monotonic`."""

    @property
    def is_over(self) -> bool:
        """Whether nothing is left to ask or to wait for."""
        return not self.left and not self.waiting

    def room(self, now: float) -> int:
        """Return how many nodes may be asked now."""
        young = 0
        for question in reversed(self.waiting.values()):
            if now - question.asked >= _YOUNG:
                break
            young += 1
        return WINDOW - young


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
        come = self.stream(requests, task, answer, more)
        return {node: result for some in come for node, result in some.items()}

    def stream(
        self,
        requests: Mapping[str, msgspec.Struct | None],
        task: str,
        answer: type[T],
        more: float = 0,
        most: int = WINDOW,
    ) -> Iterator[dict[str, T | CarinaTasksError]]:
        """Ask every node of `requests`, and yield the answers as they come, some at a time.

        Each node comes once, with its answer or why there is none. What has come is handed on when
        no more comes for a moment, so no answer waits for a node that is silent. Nor does such a
        node keep others from being asked: after a second it holds no place in the window.

        Args:
            requests: The request for each node.
            task: Name of the task.
            answer: The type of the answer.
            more: Seconds added to the deadline, for a batch.
            most: Answers that are handed on together; more when they come at the same moment.
        """
        now: _Round[T] = _Round(requests, task, answer, self._deadline + more, deque(requests))
        told, come = set[str](), dict[str, T | CarinaTasksError]()
        try:
            with self._listen(self._app) as listener:
                while not now.is_over:
                    come |= self._put(now, listener)
                    come |= self._take(now, listener, _LULL if come else _LOOK)
                    lull = time.monotonic() - now.heard >= _LULL
                    if come and (lull or len(come) >= most or now.is_over):
                        told |= come.keys()
                        yield from self._hand_on(now, come)
                        come = {}
        except BrokerUnavailable as exc:
            rest = {node: exc for node in requests if node not in told | come.keys()}
            yield from self._hand_on(now, come | rest)

    def _hand_on(
        self, now: _Round[T], come: dict[str, T | CarinaTasksError]
    ) -> Iterator[dict[str, T | CarinaTasksError]]:
        """Yield what has come; remove the answers first, and report them to the monitoring last."""
        ended, now.ended = now.ended, []
        # Else the answers to the last questions of every node would fill Redis for an hour.
        read = [id_ for id_, result in ended if not isinstance(result, BrokerUnavailable)]
        with suppress(BrokerUnavailable):
            drop(self._app, read)
        try:
            yield come
        finally:
            # The caller does not wait for the monitoring.
            for id_, result in ended:
                self._tell(id_, result)

    def _put(self, now: _Round[T], listener: Listener) -> dict[str, T | CarinaTasksError]:
        """Ask the next nodes, as many as there is room for; return those that cannot be asked."""
        room = min(now.room(time.monotonic()), len(now.left))
        if not now.left or (room < len(now.left) and room < WINDOW // 2):
            return {}
        failed: dict[str, T | CarinaTasksError] = {}
        ids: dict[str, str] = {}
        for node in [now.left.popleft() for _ in range(room)]:
            try:
                queues.node_queue(node)
            except BadInput as exc:
                failed[node] = exc
            else:
                ids[node] = new_task_id(self._app, node)
        listener.add(list(ids.values()))
        for node, task_id in ids.items():
            try:
                self._send(now, node, task_id)
            except CarinaTasksError as exc:
                failed[node] = exc
                continue
            asked = time.monotonic()
            now.waiting[answer_key(task_id)] = Pending(node, task_id, asked, asked + now.seconds)
        now.pause, now.heard = _FIRST_POLL, time.monotonic()
        return failed

    def _send(self, now: _Round[T], node: str, task_id: str) -> None:
        """Send one request to a node.

        It expires with its deadline, so that a node that returns later does not run it.
        """
        request = now.requests[node]
        try:
            self._app.send_task(
                now.task,
                args=[] if request is None else [to_json(request)],
                # For people alone: the node's worker reads the message itself.
                argsrepr=repr((node,)),
                kwargsrepr=repr(describe_request(node, request)),
                queue=queues.node_queue(node),
                task_id=task_id,
                expires=now.seconds,
                retry_policy={"max_retries": 2, "interval_start": 0.2, "interval_step": 0.5},
            )
        except BROKER_ERRORS as exc:
            raise BrokerUnavailable(
                f"the broker does not take a message for {node}: {trouble.of_app(self._app, exc)}"
            ) from exc

    def _take(
        self, now: _Round[T], listener: Listener, patience: float
    ) -> dict[str, T | CarinaTasksError]:
        """Wait for answers, `patience` seconds at most; return what has become of questions."""
        if not now.waiting:
            return {}
        # All have the same time, so the oldest question's ends first.
        left = next(iter(now.waiting.values())).deadline - time.monotonic()
        most = patience if listener.hears else now.pause
        heard = listener.wait(min(most, max(left, 0.0)))
        now.pause = min(now.pause * 1.5, _LAST_POLL)
        come: dict[str, T | CarinaTasksError] = {}
        # Nothing was heard: everything is looked at, for a message may have been lost.
        for key in sorted(heard & now.waiting.keys() or now.waiting):
            if (result := self._result(now.waiting[key], now.answer)) is not None:
                question = now.waiting.pop(key)
                come[question.node], now.heard = result, time.monotonic()
                now.ended.append((question.id, result))
        return come

    def _result(self, question: Pending, answer: type[T]) -> T | CarinaTasksError | None:
        """Return what became of a question, None while its node may still answer."""
        try:
            found = self._poll(question, answer)
        except CarinaTasksError as exc:
            return exc
        if found is None and time.monotonic() >= question.deadline:
            return NodeSilent(f"the worker of node {question.node} did not answer in time")
        return found

    def _poll(self, question: Pending, answer: type[T]) -> T | None:
        data = fetch(self._app, question.id, self._limit)
        if not data:
            return None
        return read_answer(data, question.node, answer, self._limit, question.id)
