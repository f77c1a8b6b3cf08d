"""How this process asks node workers."""

from __future__ import annotations

from celery import current_app

from carina_tasks import settings
from carina_tasks.broker.calls import NodeCalls
from carina_tasks.runtime import task_events


def node_calls() -> NodeCalls:
    """Return the client of the node workers, with the limits of the settings."""
    conf, app = settings.current(), current_app._get_current_object()
    return NodeCalls(
        app,
        conf.node_deadline,
        conf.answer_limit,
        tell=task_events.answer_events(app, conf.node_profile),
    )
