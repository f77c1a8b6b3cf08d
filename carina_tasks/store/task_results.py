"""What Celery's result backend still knows of control tasks.

A convenience for users, never a ground to act on.

Read as a node's answer is: raw bytes with a size limit, decoded as typed data, never through
``AsyncResult``. The scan is bounded, and reports when it was cut short.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Annotated, Any

import msgspec
from celery import Celery
from msgspec import Meta

from carina_tasks.store.answers import RESULT_KEY
from carina_tasks.store.client import connection

CONTROL_ID = "-".join("?" * n for n in (8, 4, 4, 4, 12))
"""The id of a control task, as a Redis pattern: a plain UUID. Those of nodes hold a colon, which no
node may leave out.
"""
MOST = 20_000
"""Results that are looked at. A day of ``resume`` alone is 2880."""
LARGEST = 256 << 10
"""Bytes of the largest result that is read; a larger one is left out."""
_BATCH = 500


class _Failure(msgspec.Struct):
    exc_type: str = ""
    exc_message: Any = ""


class _Meta(msgspec.Struct):
    """What Celery stores for a control task (result_extended), as far as we look at it."""

    status: str
    result: msgspec.Raw
    date_done: str | None = None
    name: Annotated[str, Meta(max_length=200)] | None = None
    args: msgspec.Raw = msgspec.Raw(b"null")


class TaskResult(msgspec.Struct, frozen=True):
    """The last that is known of one task."""

    id: str
    task: str
    args: tuple[Any, ...]
    state: str
    done: float
    """Seconds since the epoch, by the worker's clock."""
    outcome: str = ""
    """The result's own ``outcome``: ``refused``, ``done``, …; empty when it has none."""
    reason: str = ""
    volumes: tuple[tuple[str, str, str], ...] = ()
    """Volume, outcome and reason of each volume of a failover or a resume."""


class _Volume(msgspec.Struct):
    volume: str = ""
    outcome: str = ""
    reason: str = ""


class _Result(msgspec.Struct):
    outcome: str = ""
    reason: str = ""
    volumes: list[_Volume] = []


def recent(app: Celery) -> tuple[list[TaskResult], bool]:
    """Return the stored results of control tasks, oldest first, and whether some are missing.

    At most `MOST` are read.

    Raises:
        BrokerUnavailable: The broker did not answer.
    """
    found: list[TaskResult] = []
    seen = 0
    with connection(app) as client:
        for batch in _batches(client):
            seen += len(batch)
            pipe = client.pipeline(transaction=False)
            for key in batch:
                pipe.getrange(key, 0, LARGEST)
            for key, data in zip(batch, pipe.execute(), strict=True):
                stored = read(key.decode(errors="replace").removeprefix(RESULT_KEY), data)
                if stored is not None:
                    found.append(stored)
            if seen >= MOST:
                break
    return sorted(found, key=lambda one: one.done), seen >= MOST


def one(app: Celery, task_id: str) -> TaskResult | None:
    """Return what is stored of one control task, or None.

    Raises:
        BrokerUnavailable: The broker did not answer.
    """
    with connection(app) as client:
        return read(task_id, client.getrange(RESULT_KEY + task_id, 0, LARGEST))


def _batches(client: Any) -> Iterator[list[bytes]]:
    batch: list[bytes] = []
    for key in client.scan_iter(match=RESULT_KEY + CONTROL_ID, count=1000):
        batch.append(key)
        if len(batch) == _BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def read(task_id: str, data: bytes) -> TaskResult | None:
    """Return the finished task in `data`; None for anything else, whichever client wrote it."""
    if not data or len(data) > LARGEST:
        return None
    try:
        meta = msgspec.json.decode(data, type=_Meta)
        if meta.status not in ("SUCCESS", "FAILURE") or not meta.name or not meta.date_done:
            return None
        done = datetime.fromisoformat(meta.date_done).timestamp()
        args = msgspec.json.decode(meta.args, type=tuple[Any, ...] | None) or ()
        if meta.status == "FAILURE":
            failure = msgspec.json.decode(meta.result, type=_Failure)
            parts = (
                failure.exc_message
                if isinstance(failure.exc_message, list)
                else [failure.exc_message]
            )
            reason = f"{failure.exc_type[:60]}: {' '.join(str(part) for part in parts)[:500]}"
            return TaskResult(task_id, meta.name, args, "FAILURE", done, "failed", reason)
        result = _result(meta.result)
    except (msgspec.DecodeError, ValueError, OverflowError, OSError, RecursionError):
        return None
    volumes = tuple((v.volume[:253], v.outcome[:40], v.reason[:500]) for v in result.volumes)
    return TaskResult(
        task_id, meta.name, args, "SUCCESS", done, result.outcome[:40], result.reason[:500], volumes
    )


def _result(raw: msgspec.Raw) -> _Result:
    try:
        return msgspec.json.decode(raw, type=_Result)
    except msgspec.DecodeError:
        # A result without these fields, or of another release: that it ended is all that is known.
        return _Result()


def keep_for(app: Celery, task_id: str, seconds: int) -> None:
    """Let the stored result of a task expire in so many seconds.

    Args:
        app: The Celery application.
        task_id: The task.
        seconds: Seconds until the result expires.

    Raises:
        BrokerUnavailable: The broker did not answer.
    """
    with connection(app) as client:
        client.expire(RESULT_KEY + task_id, seconds)
