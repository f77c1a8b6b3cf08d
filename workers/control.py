"""The control worker: ``python -m workers.control``.

The same as ``celery -A carina_tasks worker -Q control``, with the settings and the cluster's
address checked first.
"""

from __future__ import annotations

from celery.utils.nodenames import host_format

from carina_tasks import settings
from carina_tasks.errors import CarinaTasksError
from carina_tasks.observability import logs


def main() -> int:
    """Run the worker until SIGTERM; return its exit code."""
    try:
        conf = settings.current()
        logs.begin(conf)
        from carina_tasks.celery import app
        from carina_tasks.runtime.context import context, watch_cluster

        watch_cluster()
        context()
    except CarinaTasksError as exc:
        logs.fail(f"carina-tasks control worker: {exc.message}")
    worker = app.Worker(
        queues=["control"],
        hostname=host_format("control@%h"),
        loglevel=conf.log_level.upper(),
        quiet=conf.log_format == "json",
        without_gossip=True,
        without_mingle=True,
    )
    worker.start()
    return int(worker.exitcode or 0)


if __name__ == "__main__":
    raise SystemExit(main())
