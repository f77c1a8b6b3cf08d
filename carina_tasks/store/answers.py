"""Answers of nodes, as their workers stored them in the result backend.

A node writes these bytes, and a node is not trusted: they are read raw with a size limit and
decoded as typed data. Celery's ``AsyncResult`` would build exceptions and children from whatever it
reads.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Sequence
from typing import Final, TypeVar

import msgspec
from celery import Celery

from carina_tasks.errors import BadAnswer, NodeFailed, NodeSilent
from carina_tasks.model.local import Inventory
from carina_tasks.model.messages import LvResults
from carina_tasks.store.acl_rules import ANSWER_SLOTS
from carina_tasks.store.client import connection

T = TypeVar("T", Inventory, LvResults)

RESULT_KEY: Final = "celery-task-meta-"
"""What Celery's Redis backend puts before the id of a task."""
SLOT_KEY: Final = "carina-tasks.slot."
"""Counts the questions to a node, so that its answers take turns in its slots."""
_LONGEST_MESSAGE = 1 << 16
_NODE_TASK = re.compile(r"([^:]+:[0-7]):.+")


class _Meta(msgspec.Struct):
    """What Celery's Redis backend stores for a task, as far as we read it."""

    status: str
    result: msgspec.Raw
    task_id: str = ""


class _Failure(msgspec.Struct):
    """The result of a failed task, as Celery's backend stores it."""

    exc_type: str
    exc_message: msgspec.Raw = msgspec.Raw(b'""')


def new_task_id(app: Celery, node: str) -> str:
    """Return the id of a new question to `node`: ``<node>:<slot>:<uuid>``.

    The slot is the key that the answer will be in. What an earlier answer left there is dropped.

    Raises:
        BrokerUnavailable: Redis does not answer.
    """
    with connection(app) as client:
        slot = int(client.incr(SLOT_KEY + node)) % ANSWER_SLOTS
        client.unlink(f"{RESULT_KEY}{node}:{slot}")
    return f"{node}:{slot}:{uuid.uuid4()}"


def answer_key(task_id: str) -> str:
    """Return the key in which the result of a task is stored.

    A node's answers share the few keys that its Redis user may write; every other task has its own.
    """
    found = _NODE_TASK.fullmatch(task_id)
    return RESULT_KEY + (found[1] if found else task_id)


def fetch(app: Celery, task_id: str, limit: int) -> bytes:
    """Return the stored bytes of a task, empty while there are none.

    Args:
        app: The Celery application.
        task_id: The task's id, ``<node>:<slot>:<uuid>``.
        limit: Bytes of the largest answer. One byte more is read, so that `read_answer` can refuse
            a larger one.

    Raises:
        BrokerUnavailable: Redis does not answer.
    """
    with connection(app) as client:
        data: bytes = client.getrange(answer_key(task_id), 0, limit)
        return data


def drop(app: Celery, task_ids: Sequence[str]) -> None:
    """Remove the answers to some tasks, which were read.

    Args:
        app: The Celery application.
        task_ids: Ids of the tasks, ``<node>:<slot>:<uuid>``.

    Raises:
        BrokerUnavailable: Redis does not answer.
    """
    if task_ids:
        with connection(app) as client:
            client.unlink(*map(answer_key, task_ids))


def read_answer(data: bytes, node: str, answer: type[T], limit: int, task_id: str = "") -> T | None:
    """Return the answer in `data`, or None while the task still runs.

    Args:
        data: The stored bytes.
        node: The node that was asked.
        answer: The type that the answer must have.
        limit: Bytes of the largest answer.
        task_id: Id of the question; the answer to another one, which came late, is none.

    Raises:
        BadAnswer: The bytes are not the answer that `node` was asked for.
        NodeFailed: The task failed on the node.
        NodeSilent: The node received the request after it had expired.
    """
    if len(data) > limit:
        raise BadAnswer(f"the answer of node {node} is larger than {limit} bytes")
    try:
        meta = msgspec.json.decode(data, type=_Meta)
        if task_id and meta.task_id and meta.task_id != task_id:
            return None
        if meta.status == "SUCCESS":
            value = msgspec.json.decode(meta.result, type=answer)
            if value.node != node:
                raise BadAnswer(f"node {node} answered for node {value.node[:80]!r}")
            return value
        if meta.status == "REVOKED":
            raise NodeSilent(f"node {node} received the request after it had expired")
        if meta.status != "FAILURE":
            return None
        failure = msgspec.json.decode(meta.result, type=_Failure)
        message = _text_of(failure.exc_message)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise BadAnswer(
            f"node {node} answered with something else than asked: {str(exc)[:200]}"
        ) from exc
    raise NodeFailed(f"node {node}: {failure.exc_type[:60]}: {message}")


def _text_of(message: msgspec.Raw) -> str:
    """Return the error message of a failed task as text, in at most 500 characters.

    Only a short one is decoded: 16 MiB of empty lists would be 400 MB of objects.
    """
    if len(message) > _LONGEST_MESSAGE:
        return bytes(memoryview(message)[:500]).decode(errors="replace")
    decoded = msgspec.json.decode(message)
    return " ".join(str(part) for part in (decoded if isinstance(decoded, list) else [decoded]))[
        :500
    ]
