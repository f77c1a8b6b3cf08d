"""How many messages wait in a queue, and since when the oldest does."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import msgspec
from celery import Celery

from carina_tasks.store.client import connection

SENT_AT = "sent_at"
"""Header that every message of ours carries: seconds since the epoch by the sender's clock."""


@dataclass(frozen=True, slots=True)
class QueueLength:
    """What waits in one queue."""

    messages: int
    oldest: float | None
    """When the oldest message was sent, None when there is none, or it does not say so."""


class _Headers(msgspec.Struct):
    sent_at: float | None = None


class _Envelope(msgspec.Struct):
    headers: _Headers


def queue_lengths(app: Celery, queues: Iterable[str]) -> dict[str, QueueLength]:
    """Return what waits in each of `queues`, with one question to the broker.

    A queue is a list: new messages are added at its left end, the oldest is at its right.

    Raises:
        BrokerUnavailable: The broker did not answer.
    """
    names = list(queues)
    with connection(app) as client, client.pipeline(transaction=False) as pipe:
        for name in names:
            pipe.llen(name)
            pipe.lindex(name, -1)
        answers = pipe.execute()
    pairs = zip(names, answers[::2], answers[1::2], strict=True)
    return {name: QueueLength(length, _sent_at(oldest)) for name, length, oldest in pairs}


def _sent_at(message: bytes | None) -> float | None:
    try:
        return msgspec.json.decode(message, type=_Envelope).headers.sent_at if message else None
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
