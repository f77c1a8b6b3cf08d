"""What Flower 2.2 has no option for. Each is one assignment to a class or table of Flower's.

A release of Flower that calls one of them otherwise ends at start with an AttributeError or
KeyError, and does not run with an open door.
"""

from __future__ import annotations

import copy
import logging
from http import HTTPStatus
from typing import Any

from celery import Celery
from flower import urls
from flower.api import BaseApiHandler
from flower.views import tasks as task_pages
from flower.views.monitor import Metrics
from tornado.ioloop import IOLoop
from tornado.web import RequestHandler, authenticated

from carina_tasks.errors import BrokerUnavailable
from carina_tasks.flower import rows
from carina_tasks.store import client

HEADINGS = {"args": "What", "uuid": "Details"}
"""What the columns are called; Flower's own headings of these are args and UUID."""


def apply() -> None:
    """Protect /metrics, ask for the password, name the columns, show details, answer /readyz."""
    # Flower serves it to everybody, whatever --basic-auth is: names of nodes and tasks, how many,
    # how long.
    Metrics.get = authenticated(Metrics.get)
    BaseApiHandler.write_error = _write_error
    for slug, heading in HEADINGS.items():
        _ = task_pages.TASK_COLUMNS[slug]
        task_pages.TASK_COLUMNS[slug] = heading
    _ = task_pages.TaskView.format_task
    task_pages.TaskView.format_task = _details
    # The first that matches counts, and Flower's last one matches everything.
    urls.handlers.insert(0, (r"/readyz", Ready))


class Ready(RequestHandler):
    """Answers 503 while the broker cannot be used: Kubernetes' readiness probe.

    Flower's own /healthcheck answers whatever the broker does. Without a password, so it says
    nothing that is for operators alone.
    """

    async def get(self) -> None:
        """Ask the broker in a thread, so that no page waits for it."""
        app: Celery = self.application.capp  # type: ignore[attr-defined]
        try:
            await IOLoop.current().run_in_executor(None, client.ping, app)
        except BrokerUnavailable as exc:
            logging.getLogger(__name__).warning("not ready: %s", exc.message)
            self.set_status(HTTPStatus.SERVICE_UNAVAILABLE)
            self.write("broker: cannot be used, see the log\n")
            return
        self.write("broker: ok\n")


_flowers_write_error = BaseApiHandler.write_error


def _write_error(self: Any, status_code: int, **kwargs: Any) -> None:
    """Ask for the password with a 401 of the API too.

    Without it the buttons of a page that was opened by its URL fail.
    """
    if status_code == HTTPStatus.UNAUTHORIZED and self.application.options.basic_auth:
        self.set_header("WWW-Authenticate", 'Basic realm="flower"')
    _flowers_write_error(self, status_code, **kwargs)


def _details(self: Any, task: Any) -> Any:
    """Format a task for its own page, where there is room for each volume."""
    try:
        return rows.format_details(copy.copy(task))
    except Exception:
        # As Flower does: an event that another client sent must not take the page away.
        logging.getLogger(__name__).exception("task %s is shown as it came", task.uuid)
        return task
