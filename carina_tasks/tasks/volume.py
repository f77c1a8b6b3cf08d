"""What a node worker does to its node's local volumes.

Each request is checked before lvm2 hears of it.
"""

from __future__ import annotations

from celery import shared_task

from carina_tasks.lvm import volumes
from carina_tasks.model import task_names
from carina_tasks.model.messages import (
    CreateLvs,
    LvResults,
    MarkLvs,
    PurgeLvs,
    RemoveLvs,
    RestoreLv,
    read_request,
)
from carina_tasks.runtime.node_lvm import lvm, zero
from carina_tasks.tasks.base import NodeTask, this_node


@shared_task(base=NodeTask, name=task_names.CREATE_VOLUMES)
def create_volumes(request: object) -> LvResults:
    """Make the LVs of a rebuild (a `CreateLvs` as JSON), in one lvm shell.

    Asked again, it answers ``kept``.
    """
    return volumes.create_volumes(lvm(), this_node(), read_request(request, CreateLvs), zero().look)


@shared_task(base=NodeTask, name=task_names.MARK_VOLUMES)
def mark_volumes(request: object) -> LvResults:
    """Mark LVs as orphans, or take the mark off (a `MarkLvs` as JSON)."""
    return volumes.mark_volumes(lvm(), this_node(), read_request(request, MarkLvs))


@shared_task(base=NodeTask, name=task_names.REMOVE_VOLUMES)
def remove_volumes(request: object) -> LvResults:
    """Move marked, closed orphans to the trash (a `RemoveLvs` as JSON)."""
    return volumes.remove_volumes(lvm(), this_node(), read_request(request, RemoveLvs))


@shared_task(base=NodeTask, name=task_names.PURGE_VOLUMES)
def purge_volumes(request: object) -> LvResults:
    """Remove permanently what has been in the trash for long enough (a `PurgeLvs` as JSON)."""
    return volumes.purge_volumes(lvm(), this_node(), read_request(request, PurgeLvs))


@shared_task(base=NodeTask, name=task_names.RESTORE_VOLUME)
def restore_volume(request: object) -> LvResults:
    """Bring an LV back from the trash under its old name (a `RestoreLv` as JSON)."""
    return volumes.restore_volume(lvm(), this_node(), read_request(request, RestoreLv))
