"""The node watch: publishes a task when a node was deleted or becomes NotReady.

Watches nodes and puts ``rebuild_node`` and ``migrate_node`` on the control queue. It makes failover
fast and never decides anything: the tasks ask the API server themselves, and what the watch misses,
resume and the sweep find.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable

import structlog
from celery import Celery

import carina_tasks
from carina_tasks import settings
from carina_tasks.broker.calls import BROKER_ERRORS
from carina_tasks.decisions.hints import Hint, NodeWatchState
from carina_tasks.errors import ApiGone, BrokerUnavailable, CarinaTasksError
from carina_tasks.kube import paths
from carina_tasks.kube.api import Api, connect
from carina_tasks.kube.reflector import PAUSES
from carina_tasks.liveness import OF_THIS_PROCESS
from carina_tasks.model import objects, task_names
from carina_tasks.observability import logs, metrics
from carina_tasks.store import client, heartbeat, trouble
from carina_tasks.vital import VitalThread

WATCH_SECONDS = 240
TASKS = {
    "deleted": task_names.REBUILD_NODE,
    "not-ready": task_names.MIGRATE_NODE,
    "changed": task_names.READINESS,
}


class NodeWatch:
    """Watches nodes in one thread, and reports what it saw in another."""

    def __init__(
        self, api: Api, publish: Callable[[Hint], None], after: float, every: float
    ) -> None:
        self._api = api
        self._publish = publish
        self._state = NodeWatchState(after, every)
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._log = structlog.get_logger()

    def watch(self) -> None:
        """List and watch until stopped; a lost connection is taken up again with growing pauses."""
        failures = 0
        while not self._stopped.is_set():
            try:
                listing = self._api.list(paths.NODES)
                nodes = [objects.parse_node(raw) for raw in listing.items]
                with self._lock:
                    self._state.listed(nodes, listing.now - time.monotonic())
                self._log.info("watching", nodes=len(nodes))
                metrics.WATCHING.set(1)
                failures, version = 0, listing.version
                while not self._stopped.is_set():
                    version = self._follow(version)
                    # A watch that something in between closes at once must not become a loop.
                    self._stopped.wait(0.5)
            except ApiGone:
                self._stopped.wait(1)
            except CarinaTasksError as exc:
                # Denied too: credentials and roles may be put right while we run, and a watch that
                # ended would stay silent.
                metrics.WATCHING.set(0)
                pause = PAUSES[min(failures, len(PAUSES) - 1)]
                failures += 1
                self._log.warning(
                    "watching nodes failed; trying again", error=exc.message, seconds=pause
                )
                self._stopped.wait(pause)

    def _follow(self, version: str) -> str:
        for event in self._api.watch(paths.NODES, version, WATCH_SECONDS):
            if self._stopped.is_set():
                break
            version = str((event.object.get("metadata") or {}).get("resourceVersion") or version)
            if event.type == "BOOKMARK":
                continue
            node = objects.parse_node(event.object)
            with self._lock:
                if event.type == "DELETED":
                    self._log.info("node deleted", node=node.name)
                    self._state.deleted(node)
                else:
                    self._state.seen(node)
        return version

    def publish_hints(self) -> None:
        """Publish what is due, twice a second, until stopped.

        A broker that is away costs nothing but time.
        """
        failures, not_before = 0, 0.0
        while not self._stopped.wait(0.5):
            now = time.monotonic()
            OF_THIS_PROCESS.turned()
            if now < not_before:
                continue
            with self._lock:
                hints = self._state.due(now)
            for hint in hints:
                try:
                    self._publish(hint)
                except BrokerUnavailable as exc:
                    pause = PAUSES[min(failures, len(PAUSES) - 1)]
                    failures += 1
                    not_before = now + pause
                    self._log.warning(
                        "the broker takes no message; trying again",
                        error=exc.message,
                        seconds=pause,
                    )
                    break
                failures = 0
                metrics.HINTS.labels(hint.kind).inc()
                with self._lock:
                    self._state.published(hint, now)

    def stopped(self) -> bool:
        """Return whether the threads were asked to end."""
        return self._stopped.is_set()

    def stop(self) -> None:
        """End both threads at their next turn."""
        self._stopped.set()


def publisher(app: Celery) -> Callable[[Hint], None]:
    """Return what puts a hint on the control queue; it raises BrokerUnavailable."""

    def publish(hint: Hint) -> None:
        structlog.get_logger().info(
            "publishing", task=TASKS[hint.kind], node=hint.node, reason=hint.reason
        )
        try:
            app.send_task(
                TASKS[hint.kind],
                args=[hint.node] if hint.node else [],
                # Only for users: the task asks the API server itself and does not trust a message
                # about it.
                kwargsrepr=repr({"reason": hint.reason}),
                queue="control",
                expires=300,
                retry_policy={"max_retries": 1},
            )
        except BROKER_ERRORS as exc:
            why = trouble.of_app(app, exc)
            raise BrokerUnavailable(f"the broker takes no message: {why}") from exc

    return publish


def main() -> int:
    """Run the watch until SIGTERM."""
    try:
        conf = settings.current()
        logs.begin(conf)
        from carina_tasks.celery import app

        api = connect(conf.api_timeout, conf.page_size, metrics.observe_api)
        for kind in TASKS:
            metrics.HINTS.labels(kind)
        about = metrics.AboutProcess(carina_tasks.__version__, "node-watch")
        checks = {"broker": lambda: client.ping(app), "api": lambda: api.read("/version")}
        metrics.serve(conf.metrics_port, about, checks=checks)
    except CarinaTasksError as exc:
        logs.fail(f"carina-tasks node watch: {exc.message}")
    watch = NodeWatch(api, publisher(app), conf.not_ready_after, conf.watch_publish_interval)
    done = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: done.set())
    for work in (watch.watch, watch.publish_hints):
        VitalThread(work.__name__, work, watch.stopped).start()
    beats = heartbeat.of_this_process(app, "node-watch", conf)
    beats.start()
    done.wait()
    beats.stop()
    watch.stop()
    return 0
