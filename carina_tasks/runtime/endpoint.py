"""The metrics endpoint of every celery process, however it was started.

``python -m workers.control`` and ``celery … worker`` alike.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import structlog
from celery import beat
from celery.signals import beat_init, celeryd_after_setup
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

import carina_tasks
from carina_tasks import settings
from carina_tasks.errors import BadSetting
from carina_tasks.observability import metrics, web
from carina_tasks.observability.metrics import AboutProcess, Families
from carina_tasks.store import client

FORKING = "celery.concurrency.prefork"


class Schedule(Collector):
    """When beat last sent what."""

    def __init__(self, scheduler: beat.Scheduler) -> None:
        self._scheduler = scheduler

    def collect(self) -> list[GaugeMetricFamily]:
        """Return one value for each entry."""
        families = Families()
        for name, entry in sorted(self._scheduler.schedule.items()):
            when = entry.last_run_at
            families.put(
                "carina_tasks_schedule_last_run_timestamp_seconds",
                when.timestamp() if when else 0,
                name,
            )
        return list(families.found.values())


@celeryd_after_setup.connect
def _serve_worker(instance: Any, **_: Any) -> None:
    """Serve before the first message is taken, and before the pool forks."""
    conf = settings.current()
    if not conf.node_name:
        # Not on a node: there is no API server to watch.
        from carina_tasks.runtime.context import watch_cluster

        watch_cluster()
    if not conf.metrics_port:
        return
    forking = instance.pool_cls.__module__ == FORKING
    complete = metrics.shared() or not forking
    if not complete:
        structlog.get_logger().warning(
            "metrics: the pool forks, and what its children count is not in this endpoint",
            do=f"use the default pool (threads), or set {metrics.MULTIPROC_DIR} to an empty folder",
        )
    if conf.node_name:
        about = AboutProcess(carina_tasks.__version__, "node", complete)
        _serve(conf.metrics_port, about, checks={"broker": partial(client.ping, instance.app)})
        return
    # Not on a node: there is no API server to read.
    from carina_tasks.runtime.context import context
    from carina_tasks.runtime.observer import Observer

    metrics.begin_at_zero()
    observer = Observer()
    checks: dict[str, web.Check] = {
        "broker": partial(client.ping, instance.app),
        "api": lambda: context().cluster.now(),
    }
    _serve(
        conf.metrics_port,
        AboutProcess(carina_tasks.__version__, "control", complete),
        observer,
        checks=checks,
    )
    observer.start()


@beat_init.connect
def _serve_beat(sender: beat.Service, **_: Any) -> None:
    _serve(
        settings.current().metrics_port,
        AboutProcess(carina_tasks.__version__, "beat"),
        Schedule(sender.scheduler),
        checks={"broker": partial(client.ping, sender.app)},
    )


def _serve(
    port: int, *collectors: Collector, checks: Mapping[str, web.Check] | None = None
) -> None:
    try:
        metrics.serve(port, *collectors, checks=checks)
    except BadSetting as exc:
        # Celery swallows an Exception of a signal's receiver; this one is to end the process, in
        # one line.
        raise SystemExit(f"carina-tasks: {exc.message}") from exc
