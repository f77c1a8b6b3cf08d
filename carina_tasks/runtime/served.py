"""The metrics endpoint of a worker or of beat, and what it checks."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import structlog
from celery import beat
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

import carina_tasks
from carina_tasks.errors import BadSetting
from carina_tasks.observability import metrics, web
from carina_tasks.observability.metrics import AboutProcess, Families
from carina_tasks.settings import Settings
from carina_tasks.store import client

FORKING = "celery.concurrency.prefork"


def serve_worker(instance: Any, conf: Settings) -> None:
    """Serve the endpoint of a worker.

    Args:
        instance: Celery's worker, before it begins.
        conf: The settings.

    Raises:
        SystemExit: The port cannot be served.
    """
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


def serve_beat(service: beat.Service, conf: Settings) -> None:
    """Serve the endpoint of beat.

    Args:
        service: Celery's beat.
        conf: The settings.

    Raises:
        SystemExit: The port cannot be served.
    """
    _serve(
        conf.metrics_port,
        AboutProcess(carina_tasks.__version__, "beat"),
        Schedule(service.scheduler),
        checks={"broker": partial(client.ping, service.app)},
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
