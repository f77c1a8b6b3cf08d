"""The Celery application: ``celery -A carina_tasks …``.

`make_app` decides by role. A *node* worker imports only the node tasks and talks to Redis in the
narrow way that its ACL allows; everything else (control worker, beat, node watch, Flower, command
line) is *control*.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from celery import Celery
from celery.backends.base import BaseKeyValueStoreBackend
from celery.signals import beat_init, before_task_publish, setup_logging, worker_ready
from celery.states import PENDING
from kombu.utils.encoding import bytes_to_str
from redis.backoff import NoBackoff
from redis.retry import Retry

from carina_tasks import environment, queues, settings
from carina_tasks.broker import tls
from carina_tasks.broker.connection import ExplainedAMQP
from carina_tasks.broker.loop import CloseIdleConnections, Turns
from carina_tasks.broker.queue_lengths import SENT_AT
from carina_tasks.errors import BadSetting
from carina_tasks.observability import (
    inspection as inspection,
)  # registers the commands of `celery inspect`
from carina_tasks.observability import json_lines, logs
from carina_tasks.settings import Settings
from carina_tasks.store import heartbeat
from carina_tasks.store.answers import RESULT_KEY, answer_key

Role = Literal["control", "node"]

RESULTS_KEPT = {"control": 86400, "node": 3600}
"""Seconds for which the broker keeps the result of a task that ran in a process of that role: an
answer of a node is read within
its deadline, what became of a failover is looked up the morning after.
"""

TASK_MODULES = {
    "control": (
        "carina_tasks.tasks.sweep",
        "carina_tasks.tasks.failover",
        "carina_tasks.tasks.trash",
        "carina_tasks.tasks.volume",
        "carina_tasks.tasks.node",
        "carina_tasks.runtime.endpoint",
        "beat_schedule",
    ),
    "node": (
        "carina_tasks.tasks.volume",
        "carina_tasks.tasks.node",
        "carina_tasks.runtime.endpoint",
    ),
}


def transport_options(conf: Settings, role: Role) -> dict[str, Any]:
    """Return the broker options of a process.

    Without these timeouts a half-open connection hung publishers permanently; with them 10 s
    (measured). A node neither keeps a record of unacknowledged messages nor looks at priorities:
    that needs scripts and shared keys, which its ACL denies, and a lost message is sent again by
    resume.
    """
    options: dict[str, Any] = {
        "socket_timeout": 10,
        "socket_connect_timeout": 2,
        "health_check_interval": 5,
    }
    if not conf.broker_url.startswith("redis+socket:"):
        options["socket_keepalive"] = True
    options |= sentinel_options(conf)
    if role == "node":
        options |= {"ack_emulation": False, "priority_steps": [0], "polling_interval": 5}
    else:
        # Nothing here runs longer, and a task that is run again because of it is harmless: it reads
        # the objects again.
        options["visibility_timeout"] = 3600
    return options


def sentinel_options(conf: Settings) -> dict[str, Any]:
    """Return the options of a Sentinel broker.

    redis-py retries a Sentinel that is away for 4 s at each new connection (measured); the next one
    in the list is asked at once instead.
    """
    if not conf.broker_master_name:
        return {}
    own = {"username": conf.sentinel_user, "password": conf.sentinel_password}
    credentials = {key: value for key, value in own.items() if value}
    encrypted = {"ssl": True, **tls.options(conf)} if conf.broker_tls else {}
    return {
        "master_name": conf.broker_master_name,
        "sentinel_kwargs": {"retry": Retry(NoBackoff(), 0), **credentials, **encrypted},
    }


class Application(Celery):  # type: ignore[misc]
    """Celery, but nothing is sent that never expires.

    `celery call` sends by name and does not look at the task's own `expires`.
    """

    serves_node = False
    """Whether this process is a node worker, which stores answers and reads none."""
    after_run: Callable[[], object] | None = None
    """Called after each run of a control task, before its result is stored."""

    def _get_backend(self) -> Any:
        """Return the result backend without its subscription to results.

        Celery subscribes to the result of every message that is sent.

        No caller needs it: a control worker listens for the answers of nodes by itself, a task,
        beat and the node watch ignore the result of what they send, and `AsyncResult.get`
        subscribes when it is called. With Redis away, each subscription raises RuntimeError after
        20 s.
        """
        backend = super()._get_backend()
        backend.on_task_call = lambda producer, task_id: {}
        if isinstance(backend, BaseKeyValueStoreBackend):
            self._answer_in_slots(backend)
        return backend

    def _answer_in_slots(self, backend: Any) -> None:
        """Let the backend store a node's answers in the few keys that its Redis user may write."""
        key_of = backend.get_key_for_task
        backend.get_key_for_task = lambda task_id, key="": key_of(
            answer_key(bytes_to_str(task_id)).removeprefix(RESULT_KEY), key
        )
        if self.serves_node:
            # Celery keeps a success that it finds under the key. A node reads nothing: what it
            # would find in the slot is the answer to an earlier question.
            backend._get_task_meta_for = lambda task_id: {"status": PENDING, "result": None}

    def send_task(self, name: str, *args: Any, **options: Any) -> Any:
        """Send the task with an expiry.

        Without `expires` it is the task's own, or the answer deadline for a node's task.
        """
        if options.get("expires") is None:
            if name not in self.tasks:
                self.loader.import_default_modules()
            task = self.tasks.get(name)
            options["expires"] = getattr(task, "expires", None) or settings.current().node_deadline
        return super().send_task(name, *args, **options)


def make_app(conf: Settings, role: Role) -> Celery:
    """Return the Celery application of a process with `role`.

    Raises:
        BadSetting: A file of the TLS settings cannot be used.
    """
    tls.check(conf)
    app = Application("carina_tasks", amqp=ExplainedAMQP, set_as_current=True)
    app.serves_node = role == "node"
    options = transport_options(conf, role)
    observed = role == "control" or conf.node_profile == "open"
    app.conf.update(
        broker_url=conf.broker_url,
        result_backend=conf.broker_url,
        broker_transport_options=options,
        broker_use_ssl=tls.options(conf) or None,
        redis_backend_use_ssl=tls.options(conf) or None,
        result_backend_transport_options=sentinel_options(conf),
        redis_socket_timeout=10,
        redis_socket_connect_timeout=2,
        redis_socket_keepalive="socket_keepalive" in options,
        redis_backend_health_check_interval=5,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_channel_error_retry=True,
        worker_consumer="carina_tasks.broker.consumer:PatientConsumer",
        # JSON only: a pickle from a queue would be another client's code.
        task_serializer="json",
        result_serializer="json",
        accept_content=["json"],
        include=TASK_MODULES[role],
        task_default_queue=queues.CONTROL,
        task_queues=[
            queues.queue(queues.CONTROL) if role == "control" else queues.node_queue(conf.node_name)
        ],
        task_create_missing_queues=False,
        task_ignore_result=False,
        task_track_started=role == "control",
        task_store_errors_even_if_ignored=True,
        result_expires=RESULTS_KEPT[role],
        result_extended=role == "control",
        worker_pool="threads" if role == "control" else "solo",
        worker_concurrency=conf.concurrency if role == "control" else 1,
        worker_prefetch_multiplier=1,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        worker_send_task_events=observed,
        task_send_sent_event=role == "control",
        worker_enable_remote_control=observed,
        worker_redirect_stdouts=False,
        beat_cron_starting_deadline=300,
        timezone="UTC",
        enable_utc=True,
    )
    app.steps["worker"].add(Turns)
    app.steps["consumer"].add(CloseIdleConnections)
    return app


@setup_logging.connect  # type: ignore[untyped-decorator]
def _configure_logs(**_: Any) -> None:
    """Every celery process logs as the settings say.

    Without a receiver Celery would set up its own format.
    """
    conf = settings.current()
    logs.configure(conf.log_format, conf.log_level, conf.audit_log, conf.secrets)


@worker_ready.connect  # type: ignore[untyped-decorator]
def _control_worker_lives(sender: Any, **_: Any) -> None:
    """Start the heartbeat of every control worker, however it was started."""
    conf = settings.current()
    if not conf.node_name and queues.CONTROL in sender.app.amqp.queues.consume_from:
        heartbeat.of_this_process(sender.app, "control", conf).start()


@beat_init.connect  # type: ignore[untyped-decorator]
def _beat_lives(sender: Any, **_: Any) -> None:
    heartbeat.beat_is_alive(sender.app, settings.current())


@before_task_publish.connect  # type: ignore[untyped-decorator]
def _stamp(headers: dict[str, Any], **_: Any) -> None:
    """Add to each message when it was sent.

    The age of what waits in a queue is not known otherwise.
    """
    headers[SENT_AT] = time.time()


def _app_of_this_process() -> Celery:
    try:
        conf = settings.current()
        environment.check_environment(os.environ)
        json_lines.of_this_command(conf.log_format, conf.secrets)
        made = make_app(conf, "node" if conf.node_name else "control")
    except BadSetting as exc:
        # Imported by every celery command: one line that explains what to do, not a stack trace.
        logs.fail(f"carina-tasks: {exc.message}")
    if text := tls.warning(conf):
        # Not structlog: before a process has set its log up, that writes to standard output.
        logging.getLogger(__name__).warning(text)
    return made


app = _app_of_this_process()

# Flower's own default is a file in the working folder, and doors open to everybody where there is
# none.
os.environ.setdefault("FLOWER_CONF", str(Path(__file__).parent / "flower" / "flowerconfig.py"))
