"""Reads the cluster's gauges in a thread of its own, so that no scrape waits."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from functools import partial

import structlog
from celery import current_app
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from carina_tasks.broker.queue_lengths import queue_lengths
from carina_tasks.errors import CarinaTasksError
from carina_tasks.flows.report import gauges
from carina_tasks.observability.metrics import Families
from carina_tasks.runtime.context import context
from carina_tasks.store.server_info import memory
from carina_tasks.vital import VitalThread

INTERVAL = 15.0
"""Seconds between two looks: a usual scrape interval. A look lists nodes and LogicVolumes, as
`resume` does.
"""


CARINA_INTERVAL = 300.0
"""Seconds between two questions whether Carina's own failover can act: a look lists all pods, and
the answer changes with an upgrade of Carina.
"""


class Observer(Collector):
    """The collector, and the thread that fills it.

    What cannot be read any more is not shown as if it could.
    """

    def __init__(self, interval: float = INTERVAL) -> None:
        self._interval = interval
        self._found = {"api": Families(), "broker": Families()}
        self._seen: dict[str, float] = {}
        self._nodes: tuple[str, ...] = ()
        self._away: set[str] = set()
        self._carina: bool | None = None
        self._carina_asked = -CARINA_INTERVAL

    def describe(self) -> Iterable[GaugeMetricFamily]:
        """Return nothing: no value was read yet when the registry asks."""
        return ()

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """Return what was read last; of a source that is away, only when it was read."""
        stamps = Families()
        for source, when in sorted(self._seen.items()):
            stamps.put("carina_tasks_observed_timestamp_seconds", when, source)
        return [
            family for part in (*self._found.values(), stamps) for family in part.found.values()
        ]

    def start(self) -> None:
        """Look for as long as the process lives, in a thread of its own."""
        VitalThread("metrics", self._run).start()

    def _run(self) -> None:
        while True:
            self.look()
            time.sleep(self._interval)

    def look(self) -> None:
        """Read both sources once; each on its own, because one may be away without the other."""
        self._read("api", self._read_api)
        self._read("broker", self._read_broker)

    def _read_api(self, families: Families) -> None:
        self._nodes = gauges.of_api(context(), families)
        if time.monotonic() - self._carina_asked >= CARINA_INTERVAL:
            self._carina_asked = time.monotonic()
            self._carina = self._ask_carina()
        if self._carina is not None:
            families.put("carina_tasks_carina_failover_active", self._carina)

    def _ask_carina(self) -> bool | None:
        """Return whether Carina's own failover can act; None when that is not answered.

        The other gauges of the API server do not depend on it.
        """
        try:
            return gauges.carina_active(context())
        except CarinaTasksError as exc:
            structlog.get_logger().warning(
                "whether Carina's own failover can act is not known", error=exc.message
            )
            return None

    def _read_broker(self, families: Families) -> None:
        app = current_app._get_current_object()
        gauges.of_broker(context(), families, self._nodes, partial(queue_lengths, app), time.time())
        gauges.of_memory(families, *memory(app))

    def _read(self, source: str, read: Callable[[Families], None]) -> None:
        log, families = structlog.get_logger(), Families()
        try:
            read(families)
        except CarinaTasksError as exc:
            if source not in self._away:
                log.warning(
                    "metrics: a source cannot be read; trying again",
                    source=source,
                    error=exc.message,
                )
            self._away.add(source)
            self._found[source] = Families()
            return
        if source in self._away:
            log.info("metrics: the source is back", source=source)
        self._away.discard(source)
        self._found[source] = families
        self._seen[source] = time.time()
