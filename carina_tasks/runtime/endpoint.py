"""What every celery process begins with, however it was started: its watches, and its endpoint.

``python -m workers.control`` and ``celery … worker`` alike. A process without an endpoint does not
load what serves one: on each node that is 3 MB.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from celery.signals import beat_init, celeryd_after_setup

from carina_tasks import settings

if TYPE_CHECKING:
    from celery import beat


@celeryd_after_setup.connect
def _begin_worker(instance: Any, **_: Any) -> None:
    """Watch and serve before the first message is taken, and before the pool forks."""
    conf = settings.current()
    if not conf.node_name:
        # Not on a node: there is no API server to watch.
        from carina_tasks.runtime.context import watch_cluster

        watch_cluster()
    if conf.metrics_port:
        from carina_tasks.runtime import served

        served.serve_worker(instance, conf)


@beat_init.connect
def _begin_beat(sender: beat.Service, **_: Any) -> None:
    conf = settings.current()
    if conf.metrics_port:
        from carina_tasks.runtime import served

        served.serve_beat(sender, conf)
