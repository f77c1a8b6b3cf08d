"""The connections of this process, shared by all its threads.

They are made when the first task needs them. A process that is forked makes its own.
"""

from __future__ import annotations

import os
import threading
import time
from dataclasses import replace
from functools import cache

from celery import current_app

from carina_tasks import settings
from carina_tasks.flows.context import Context
from carina_tasks.kube.api import connect
from carina_tasks.kube.cluster import Cluster
from carina_tasks.kube.event_queue import EventQueue
from carina_tasks.kube.events import Events
from carina_tasks.kube.informer import Informer
from carina_tasks.kube.published import PublishedStatus
from carina_tasks.kube.state import StateMap
from carina_tasks.kube.writes import ClusterWrites
from carina_tasks.observability import metrics
from carina_tasks.observability.audit import Audit
from carina_tasks.runtime import task_events
from carina_tasks.runtime.node_calls import node_calls
from carina_tasks.store import heartbeat, lock
from carina_tasks.store.latest_results import LatestResults

FLUSH = 10.0
"""Seconds that a task waits at most, when it is done, for its Events to be written."""

_once = threading.Lock()
_long_lived = threading.Event()
"""Whether this process lives long enough to watch the cluster; a command lists it once."""


def _forget() -> None:
    """Drop the parent's connections in a forked child, so that its first task makes new ones.

    A fork copies no thread. A lock that a thread of the parent holds would never be released in the
    child, and a watch or a queue of Events would stand still. Two processes on one connection would
    read each other's answers.
    """
    global _once
    _once = threading.Lock()
    if _context.cache_info().currsize:
        _context.cache_clear()
        current_app.after_run = None


os.register_at_fork(after_in_child=_forget)


def watch_cluster() -> None:
    """Let the context of this process watch the cluster; called before it is made."""
    _long_lived.set()


def context() -> Context:
    """Return the context of the flows; it reports the progress of this thread's task.

    Raises:
        BadSetting: There is no cluster to work on.
    """
    with _once:
        return replace(_context(), progress=task_events.progress_of_this_task())


@cache
def _context() -> Context:
    conf, app = settings.current(), current_app._get_current_object()
    api = connect(conf.api_timeout, conf.page_size, metrics.observe_api)
    informer = None
    if _long_lived.is_set() and conf.watch_stale_after:
        informer = Informer(api, conf.watch_stale_after, observe=metrics.observe_snapshot)
        informer.start()
    events: Events = Events(api)
    if _long_lived.is_set():
        events = queued = EventQueue(api)
        # Who reads a result finds the Events that belong to it, and so does who stops the worker.
        app.after_run = lambda: queued.flush(FLUSH)
    return Context(
        settings=conf,
        cluster=Cluster(api, informer),
        writes=ClusterWrites(api),
        state=StateMap(api, conf.namespace),
        published=PublishedStatus(api, conf.namespace),
        nodes=node_calls(),
        audit=Audit(events),
        latest_results=LatestResults(app),
        lock=lambda name: lock.hold(app, name, conf.lock_ttl),
        worker_alive=lambda node: heartbeat.alive(app, node),
        sleep=time.sleep,
        monotonic=time.monotonic,
    )
