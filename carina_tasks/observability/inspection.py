"""Commands of ``celery inspect`` for our workers: read only.

Only workers that take remote control answer: control workers, and node workers in the open profile.
"""

from __future__ import annotations

from typing import Any

from celery.worker.control import inspect_command

from carina_tasks.model import task_names


@inspect_command(name="carina_volumes", default_timeout=10.0)  # type: ignore[untyped-decorator]
def carina_volumes(state: Any) -> dict[str, Any]:
    """Volume groups and LVs of a node, as lvm2 reports them now (give it time: -t 10)."""
    if task_names.INVENTORY not in state.app.tasks or not _serves_a_node(state.app):
        return {"error": "this worker serves no node"}
    found = state.app.tasks[task_names.INVENTORY].run()
    return {
        "groups": [f"{g.name} {g.size >> 30}Gi, {g.free >> 30}Gi free" for g in found.groups],
        "volumes": [
            f"{v.group}/{v.name} {v.size >> 30}Gi {'open' if v.is_open else 'closed'}"
            for v in found.volumes
        ],
    }


def _serves_a_node(app: Any) -> bool:
    return any(str(name).startswith("node.") for name in app.amqp.queues.consume_from)
