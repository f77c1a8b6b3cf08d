"""A process reports that it lives: a key with a time to live.

``alive.<node>`` of node workers, ``carina-tasks.alive.…`` of others.

In a thread of its own, because the solo pool answers nothing while a task runs. A node's key is the
second witness when Kubernetes calls it NotReady: for that only the key's existence counts. What is
in it is for users (``carina doctor``).
"""

from __future__ import annotations

import platform
import threading
import time
from typing import Any, Protocol

import celery
import msgspec
import redis
import structlog
from celery import Celery
from celery.signals import after_task_publish
from redis.exceptions import AuthenticationError

from carina_tasks import __version__
from carina_tasks.environment import PREFIX
from carina_tasks.errors import BrokerUnavailable
from carina_tasks.liveness import OF_THIS_PROCESS
from carina_tasks.model.process import Process, Role
from carina_tasks.settings import FIELDS, Settings
from carina_tasks.store.client import connection
from carina_tasks.vital import VitalThread

KEY = "alive."
OTHERS = "carina-tasks.alive."
LARGEST = 16 << 10
"""Bytes of a heartbeat that are read."""
BEAT_TTL = 100
"""Seconds for which beat counts as alive after it has put a task on a queue: three times its most
frequent one.
"""
OWN = (
    "broker_url",
    "broker_ca",
    "broker_certificate",
    "broker_key",
    "broker_key_password",
    "broker_master_name",
    "sentinel_user",
    "sentinel_password",
    "node_name",
    "node_profile",
    "lvm_command",
    "zero_command",
    "enrolment_url",
    "enrolment_ca",
    "enrolment_token_file",
    "enrolment_certificate",
    "enrolment_private_key",
    "enrolment_master_key",
    "enrolment_port",
    "log_format",
    "log_level",
    "metrics_port",
)
"""Settings that differ between processes by nature, or hold a password."""


class Access(Protocol):
    """What is told whether Redis takes the password of this process."""

    def accepted(self) -> None:
        """Redis took it."""

    def rejected(self) -> None:
        """Redis refused it: WRONGPASS or NOAUTH."""


class Heartbeat(VitalThread):
    """Sends heartbeats until `stop`: the value `process_info` under `key`."""

    def __init__(
        self,
        app: Celery,
        node: str,
        interval: float,
        ttl: float,
        process_info: Process | None = None,
        key: str = KEY,
        access: Access | None = None,
    ) -> None:
        self._access = access
        self._ended = threading.Event()
        super().__init__("heartbeat", self._beat, self._ended.is_set)
        self._app, self._node, self._interval, self._ttl = app, node, interval, ttl
        self._info, self._key = process_info or Process("node", node), key

    def _beat(self) -> None:
        """Renew the key; say once when the broker is away, and once when it is back."""
        log = structlog.get_logger().bind(node=self._node)
        away = hung = False
        while not self._ended.wait(0 if not away else self._interval):
            if trouble := OF_THIS_PROCESS.trouble():
                # A worker that takes no task is no witness that its node lives.
                if not hung:
                    log.critical(
                        "heartbeat: none is sent, because this process does not work",
                        reason=trouble,
                    )
                hung = True
                self._ended.wait(self._interval)
                continue
            hung = False
            try:
                _beat(self._app, self._key + self._node, self._info, self._ttl)
                OF_THIS_PROCESS.broker_is_away(False)
                if self._access:
                    self._access.accepted()
                if away:
                    log.info("heartbeat: the broker is back")
                away = False
            except BrokerUnavailable as exc:
                if not away:
                    log.warning(
                        "heartbeat: the broker does not answer; trying again", error=exc.message
                    )
                away = True
                OF_THIS_PROCESS.broker_is_away(True)
                if self._access and isinstance(exc.__cause__, AuthenticationError):
                    self._access.rejected()
                continue
            if self._ended.wait(self._interval):
                return

    def stop(self) -> None:
        """End the thread at its next turn."""
        self._ended.set()


def of_this_process(
    app: Celery, role: Role, conf: Settings, access: Access | None = None
) -> Heartbeat:
    """Return the heartbeat of a control worker or node watch on this host, or of a node worker.

    Args:
        app: The Celery application.
        role: What the process does.
        conf: The settings of this process.
        access: What is told whether Redis takes the password of a node worker.
    """
    process_info = process(role, conf)
    if role == "node":
        return Heartbeat(
            app,
            conf.node_name,
            conf.heartbeat_interval,
            conf.heartbeat_ttl,
            process_info,
            access=access,
        )
    return Heartbeat(
        app,
        f"{role}.{process_info.name}",
        conf.heartbeat_interval,
        conf.heartbeat_ttl,
        process_info,
        OTHERS,
    )


def beat_is_alive(app: Celery, conf: Settings) -> None:
    """Send a heartbeat now, and whenever this process, which is beat, has put a task on a queue.

    That is its only work. Its first task is due after half a minute: without the heartbeat now,
    `carina doctor` would find no beat right after an installation.
    """
    process_info = process("beat", conf)

    def published(**_: Any) -> None:
        try:
            _beat(app, f"{OTHERS}beat.{process_info.name}", process_info, BEAT_TTL)
        except BrokerUnavailable as exc:
            structlog.get_logger().warning("beat: no heartbeat was left", error=exc.message)

    after_task_publish.connect(published, weak=False)
    published()


def process(role: Role, conf: Settings) -> Process:
    """Return what this process reports about itself."""
    changed = {
        PREFIX + name.upper(): str(getattr(conf, name))[:300]
        for name, setting in FIELDS.items()
        if name not in OWN and getattr(conf, name) != setting.default
    }
    return Process(
        role=role,
        name=conf.node_name or platform.node(),
        version=__version__,
        celery=celery.__version__,
        redis=redis.__version__,
        profile=conf.node_profile if role == "node" else "",
        settings=changed,
    )


def processes(app: Celery) -> list[Process]:
    """Return every process that sent a heartbeat within its time to live.

    A node writes what it likes under its own key: role and name are taken from the key, the rest is
    typed and bounded.

    Raises:
        BrokerUnavailable: The broker did not answer.
    """
    found = []
    with connection(app) as client:
        for prefix in (KEY, OTHERS):
            for key in sorted(client.scan_iter(match=f"{prefix}*", count=1000)):
                data = client.getrange(key, 0, LARGEST)
                found.append(
                    _read(
                        key.decode(errors="replace").removeprefix(prefix), data, node=prefix == KEY
                    )
                )
    return found


def _beat(app: Celery, key: str, process_info: Process, ttl: float) -> None:
    value = msgspec.json.encode(msgspec.structs.replace(process_info, at=time.time()))
    with connection(app) as client:
        client.set(key, value, ex=max(1, int(ttl)))


def _read(name: str, data: bytes, *, node: bool) -> Process:
    role, _, host = ("node", "", name) if node else name.partition(".")
    try:
        process_info = msgspec.json.decode(data, type=Process)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        process_info = Process("node", name)
    return msgspec.structs.replace(process_info, role=msgspec.convert(role, Role), name=host[:300])


def alive(app: Celery, node: str) -> bool:
    """Return whether the worker of `node` sent a heartbeat within its time to live.

    Raises:
        BrokerUnavailable: The broker did not answer.
    """
    with connection(app) as client:
        return bool(client.exists(KEY + node))


def beating(app: Celery) -> frozenset[str]:
    """Return the nodes whose workers sent a heartbeat within their time to live.

    Raises:
        BrokerUnavailable: The broker did not answer.
    """
    with connection(app) as client:
        found = client.scan_iter(match=f"{KEY}*", count=1000)
        return frozenset(key.decode(errors="replace").removeprefix(KEY) for key in found)
