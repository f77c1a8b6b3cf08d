"""The node worker: ``NODE_NAME=n1 python -m workers.node``.

Takes only its own queue, runs lvm2, answers through the result backend, and knows nothing of
Kubernetes. Started without the celery command line it needs 42 MB in place of 55.

With CARINA_TASKS_ENROLMENT_URL it gets the URL of Redis from the enrolment service first.
"""

from __future__ import annotations

import os

from carina_tasks import queues, settings
from carina_tasks.enrolment import client
from carina_tasks.environment import PREFIX
from carina_tasks.errors import BadSetting, CarinaTasksError
from carina_tasks.observability import logs
from carina_tasks.store import heartbeat


def main() -> int:
    """Run the worker until SIGTERM; return its exit code."""
    try:
        conf = client.settings_to_enrol(dict(os.environ)) or settings.load()
        if not conf.node_name:
            raise BadSetting(
                "NODE_NAME is not set: it names the Kubernetes node that this worker serves"
            )
        logs.begin(conf)
        if client.settings_to_enrol(dict(os.environ)):
            os.environ[f"{PREFIX}BROKER_URL"] = client.wait_for_url(conf)
        conf = settings.current()
        logs.begin(conf)
        from carina_tasks.celery import app

    except CarinaTasksError as exc:
        logs.fail(f"carina-tasks node worker: {exc.message}")
    renewal = client.Renewal(conf) if conf.enrolment_url else None
    beats = heartbeat.of_this_process(app, "node", conf, renewal)
    beats.start()
    worker = app.Worker(
        pool="solo",
        queues=[queues.node_queue(conf.node_name).name],
        hostname=f"{conf.node_name}@{conf.node_name}",
        loglevel=conf.log_level.upper(),
        quiet=conf.log_format == "json",
        # 200 workers with these on are 12 MB/s of talk among themselves.
        without_gossip=True,
        without_mingle=True,
        without_heartbeat=conf.node_profile == "sealed",
    )
    worker.start()
    beats.stop()
    if renewal:
        renewal.begin_again()
    return int(worker.exitcode or 0)


if __name__ == "__main__":
    raise SystemExit(main())
