"""The node worker: ``NODE_NAME=n1 python -m workers.node``.

Takes only its own queue, runs lvm2, answers through the result backend, and knows nothing of
Kubernetes. Started without the celery command line it needs 42 MB in place of 55.
"""

from __future__ import annotations

from carina_tasks import queues, settings
from carina_tasks.errors import BadSetting, CarinaTasksError
from carina_tasks.observability import logs
from carina_tasks.store import heartbeat


def main() -> int:
    """Run the worker until SIGTERM; return its exit code."""
    try:
        conf = settings.current()
        if not conf.node_name:
            raise BadSetting(
                "NODE_NAME is not set: it names the Kubernetes node that this worker serves"
            )
        logs.begin(conf)
        from carina_tasks.celery import app

    except CarinaTasksError as exc:
        logs.fail(f"carina-tasks node worker: {exc.message}")
    beats = heartbeat.of_this_process(app, "node", conf)
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
    return int(worker.exitcode or 0)


if __name__ == "__main__":
    raise SystemExit(main())
