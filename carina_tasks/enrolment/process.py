"""The process ``python -m workers.enrolment``: any number of replicas."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

import structlog

import carina_tasks
from carina_tasks import settings
from carina_tasks.enrolment import passwords, verdict
from carina_tasks.enrolment.server import Certificate, Server
from carina_tasks.enrolment.service import Enrolment
from carina_tasks.errors import BadSetting, CarinaTasksError
from carina_tasks.kube import token_review
from carina_tasks.kube.api import Api, connect
from carina_tasks.kube.events import Events
from carina_tasks.liveness import OF_THIS_PROCESS
from carina_tasks.observability import logs, metrics
from carina_tasks.observability.audit import Audit
from carina_tasks.settings import Settings
from carina_tasks.store import client
from carina_tasks.store.acl_users import AclUsers
from carina_tasks.vital import VitalThread

RECONCILE_EVERY: Final = 60.0
"""Seconds between two looks at all nodes: an emptied Redis has its users back after that."""
SUPERVISE_EVERY: Final = 1.0
"""Seconds between two looks at what each node takes of Redis."""


class ApiCluster:
    """The API server, as the service asks it."""

    def __init__(self, api: Api, audience: str, namespace: str) -> None:
        self._api, self._audience, self._namespace = api, audience, namespace

    def review(self, token: str) -> verdict.Review:
        """Return what the API server says of a token."""
        status = token_review.review(self._api, token, self._audience)
        user = status.get("user") or {}
        return verdict.Review(
            authenticated=status.get("authenticated") is True,
            user=str(user.get("username") or ""),
            audiences=tuple(status.get("audiences") or ()),
            extra={key: tuple(values) for key, values in (user.get("extra") or {}).items()},
        )

    def node(self, name: str) -> verdict.Node | None:
        """Return a node, None when there is none of that name."""
        uid = token_review.node_uid(self._api, name)
        return None if uid is None else verdict.Node(name, uid)

    def nodes(self) -> dict[str, str]:
        """Return the UIDs of all nodes by name."""
        return token_review.node_uids(self._api)

    def pod(self, name: str) -> verdict.Pod | None:
        """Return a pod of the node workers' namespace, None when there is none of that name."""
        found = token_review.pod(self._api, self._namespace, name)
        return None if found is None else verdict.Pod(name, *found)


def main() -> int:
    """Run the service until SIGTERM; return its exit code."""
    try:
        conf = settings.current()
        logs.begin(conf)
        server, enrolment = _make(conf)
    except CarinaTasksError as exc:
        logs.fail(f"carina-tasks enrolment: {exc.message}")
    done = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: done.set())
    for name, work, seconds in (
        ("reconcile", enrolment.reconcile, RECONCILE_EVERY),
        ("supervise", enrolment.supervise, SUPERVISE_EVERY),
    ):
        VitalThread(name, partial(_repeat, name, work, seconds, done), done.is_set).start()
    VitalThread("https", server.serve_forever, done.is_set).start()
    structlog.get_logger().info("enrolment: serving", port=server.server_address[1])
    done.wait()
    server.shutdown()
    return 0


def _make(conf: Settings) -> tuple[Server, Enrolment]:
    """Return the server and the service, with every setting checked."""
    from carina_tasks.celery import app

    if not conf.enrolment_broker_url:
        raise BadSetting(
            "CARINA_TASKS_ENROLMENT_BROKER_URL is not set: it is the URL of Redis as node workers "
            "reach it, without user and password"
        )
    try:
        key = passwords.master_key(Path(conf.enrolment_master_key).read_bytes())
    except OSError as exc:
        raise BadSetting(
            f"CARINA_TASKS_ENROLMENT_MASTER_KEY: {conf.enrolment_master_key} cannot be read: "
            f"{exc.strerror}"
        ) from exc
    certificate = Certificate(Path(conf.enrolment_certificate), Path(conf.enrolment_private_key))
    api = connect(conf.api_timeout, conf.page_size, metrics.observe_api)
    cluster = ApiCluster(api, conf.enrolment_audience, conf.namespace)
    enrolment = Enrolment(conf, key, cluster, AclUsers(app), Audit(Events(api)))
    for counter, labels in metrics.OF_ENROLMENT.items():
        for label in labels:
            counter.labels(label)
    metrics.serve(
        conf.metrics_port,
        metrics.AboutProcess(carina_tasks.__version__, "enrolment"),
        checks={"broker": lambda: client.ping(app), "api": lambda: api.read("/version")},
    )
    return Server(conf.enrolment_port, certificate, enrolment.enrol), enrolment


def _repeat(name: str, work: Callable[[], None], seconds: float, done: threading.Event) -> None:
    """Do `work` every so many seconds; what fails is tried again, and said once."""
    log, failing = structlog.get_logger(), False
    while True:
        OF_THIS_PROCESS.turned()
        pause = seconds
        try:
            work()
            if failing:
                log.info(f"enrolment: {name} works again")
            failing = False
        except CarinaTasksError as exc:
            if not failing:
                log.warning(f"enrolment: {name} failed; trying again", error=exc.message)
            failing, pause = True, min(seconds, 2.0)
        if done.wait(pause):
            return
