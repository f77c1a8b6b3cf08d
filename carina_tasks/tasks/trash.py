"""What the sweeps removed, and bringing it back."""

from __future__ import annotations

from celery import shared_task

from carina_tasks.errors import BadInput
from carina_tasks.flows.sweeps import trash
from carina_tasks.flows.sweeps.results import RestoreResult, TrashResult
from carina_tasks.model import names, task_names
from carina_tasks.runtime.context import context
from carina_tasks.tasks.base import ROUTINE, ControlTask


def _check_nodes(*nodes: object) -> None:
    for node in nodes:
        names.node_name(node)


def _check_restore(node: object, volume: object) -> None:
    names.node_name(node)
    if not isinstance(volume, str):
        raise BadInput("volume is its name in the trash, its UUID, or its old name")


@shared_task(
    base=ControlTask,
    name=task_names.LIST_TRASH,
    expires=60,
    kept=ROUTINE,
    check=staticmethod(_check_nodes),
)
def list_trash(*nodes: str) -> TrashResult:
    """Return what is in the trash of `nodes` (default: all), oldest first. Nothing is written.

    >>> list_trash.delay("10.20.9.153").get(timeout=60)  # doctest: +SKIP
    """
    return trash.list_trash(context(), nodes)


@shared_task(
    base=ControlTask, name=task_names.RESTORE, expires=300, check=staticmethod(_check_restore)
)
def restore(node: str, volume: str) -> RestoreResult:
    """Bring `volume` back from the trash of `node`, under its old name.

    The result reports what is left to do.

    `volume` is its name in the trash, its UUID, or its old name. Works while everything is paused.

    >>> restore.delay("10.20.9.153", "volume-pvc-527b5989").get(timeout=60)  # doctest: +SKIP
    """
    return trash.restore(context(), node, volume)
