"""Puts tasks on the control queue without a process of its own: a command line takes two seconds to
start.
"""

from __future__ import annotations

from typing import Any

from celery import Celery
from kombu import Exchange, Queue


class Sender:
    """Sends as a process of the product does."""

    def __init__(self, url: str) -> None:
        self._app = Celery(broker=url, set_as_current=False)
        self._app.conf.task_queues = [
            Queue("control", Exchange("", type="direct"), routing_key="control")
        ]
        self._app.conf.broker_transport_options = {"socket_timeout": 5, "socket_connect_timeout": 2}

    def send(self, task: str, *args: Any, **kwargs: Any) -> str:
        """Send a task and return its id."""
        return str(
            self._app.send_task(
                task, args=args, kwargs=kwargs, queue="control", routing_key="control"
            ).id
        )
