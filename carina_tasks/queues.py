"""The queues: ``control`` and one ``node.<name>`` for each node; nothing else exists.

Every queue uses Celery's default exchange (``Exchange("")``), so a message goes to the queue that
its routing key names and no binding key is kept in Redis: a node needs no key beside its own.
"""

from __future__ import annotations

from typing import Any

from celery.app.amqp import AMQP, Queues
from kombu.entity import Exchange, Queue

from carina_tasks.errors import BadInput
from carina_tasks.model import names

CONTROL = "control"
NODE_PREFIX = "node."


def queue(name: str) -> Queue:
    """Return the declaration of queue `name`.

    Raises:
        BadInput: For a queue that cannot exist.
    """
    if name != CONTROL:
        node_of(name)
    return Queue(name, Exchange("", type="direct"), routing_key=name)


def node_queue(node: str) -> Queue:
    """Return the queue of `node`.

    Raises:
        BadInput: It is no node name.
    """
    return queue(NODE_PREFIX + names.node_name(node))


def node_of(name: str) -> str:
    """Return the node that the queue `name` belongs to.

    Raises:
        BadInput: An argument is not what the task takes.
    """
    if not name.startswith(NODE_PREFIX):
        raise BadInput(f"there is no queue {name!r}: use {CONTROL!r} or '{NODE_PREFIX}<node>'")
    return names.node_name(name.removeprefix(NODE_PREFIX))


class KnownQueues(Queues):  # type: ignore[misc]
    """Celery's queue table, which makes node queues on demand and refuses every other name."""

    def __init__(self, *args: Any, **options: Any) -> None:
        # With a default exchange Celery would put it in place of Exchange(""), which is falsy, and
        # bind each queue to it: a shared key in Redis that a node may not write.
        super().__init__(*args, **{**options, "default_exchange": None})

    def __missing__(self, name: str) -> Any:
        """Declare `name`, or raise KeyError: Celery reports an unknown queue by it."""
        try:
            return self.add(queue(name))
        except BadInput as exc:
            raise KeyError(exc.message) from exc


class KnownQueuesAMQP(AMQP):  # type: ignore[misc]
    """Celery's AMQP layer with `KnownQueues`."""

    queues_cls = KnownQueues
