"""What Flower 2.2 has no option for. Each is one assignment to a class or table of Flower's.

A release of Flower that calls one of them otherwise ends at start with an AttributeError or
KeyError, and does not run with an open door.
"""

from __future__ import annotations

import copy
import logging
from collections import deque
from http import HTTPStatus
from typing import Any

from celery import Celery
from flower import urls
from flower.api import BaseApiHandler
from flower.events import EventsState
from flower.utils.search import TaskSearchEngine
from flower.views import tasks as task_pages
from flower.views.monitor import Metrics
from tornado.ioloop import IOLoop
from tornado.web import RequestHandler, authenticated, url

from carina_tasks.errors import BrokerUnavailable
from carina_tasks.flower import pages, rows, templates
from carina_tasks.store import client

ROUTINE_KEPT = 500
"""Routine tasks that Flower remembers, of the 10 000 tasks in all."""
HEADINGS = {"args": "What", "uuid": "Details"}
"""What the columns are called; Flower's own headings of these are args and UUID."""


def apply() -> None:
    """Change Flower: doors, pages, and what a row shows.

    It protects /metrics, asks for the password, names the columns, shows details, answers /readyz,
    has the page of the cluster, and shows what Celery calls success and is none.
    """
    # Flower serves it to everybody, whatever --basic-auth is: names of nodes and tasks, how many,
    # how long.
    Metrics.get = authenticated(Metrics.get)
    BaseApiHandler.write_error = _write_error
    for slug, heading in HEADINGS.items():
        _ = task_pages.TASK_COLUMNS[slug]
        task_pages.TASK_COLUMNS[slug] = heading
    _ = task_pages.TaskView.format_task
    task_pages.TaskView.format_task = _details
    EventsState.event = _event
    TaskSearchEngine.matching_ids = _matching_ids
    urls.settings["template_loader"] = templates.Templates(urls.settings["template_path"])
    # The first that matches counts, and Flower's last one matches everything.
    urls.handlers[:0] = [
        (r"/readyz", Ready),
        (r"/", pages.First),
        url(r"/cluster", pages.Cluster, name="cluster"),
        (r"/broker", pages.Broker),
    ]


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


_flowers_event = EventsState.event


def _event(self: Any, event: Any) -> None:
    """Take an event in, and give a task that ended the state that its outcome has."""
    _flowers_event(self, event)
    if event["type"] not in ("task-succeeded", "task-answered"):
        return
    task = self.tasks[event["uuid"]]
    try:
        state = rows.state_of(task)
    except Exception:
        # An event that another client sent must not end the thread that takes them all.
        logging.getLogger(__name__).exception("task %s keeps its state", task.uuid)
        return
    if state != task.state:
        task.state = state
        self.search_engine.upsert(task)
    if state == "ROUTINE":
        _forget_routine(self, task.uuid)


def _forget_routine(self: Any, uuid: str) -> None:
    """Keep the last routine tasks alone: thousands a day would push out what was done."""
    kept = self.__dict__.setdefault("routine", deque())
    if uuid not in kept:
        kept.append(uuid)
    while len(kept) > ROUTINE_KEPT:
        old = kept.popleft()
        self.tasks.pop(old, None)
        self.search_engine.remove(old)


_flowers_matching_ids = TaskSearchEngine.matching_ids


def _matching_ids(self: Any, query: str, candidates: Any = None) -> Any:
    """Return the tasks that a search finds; without one, all but the routine ones.

    Args:
        self: Flower's search engine.
        query: What was typed into the field.
        candidates: The tasks among which it is searched.
    """
    found = _flowers_matching_ids(self, query, candidates)
    return found if query.strip() else found - self.exact_postings["state"].get("routine", set())
