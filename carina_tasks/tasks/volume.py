"""What a node worker does to its node's local volumes. Each request is checked before lvm2 hears of it."""

from __future__ import annotations

from celery import shared_task

from carina_tasks.lvm import volumes
from carina_tasks.model.messages import CreateVolumes, MarkVolumes, RemoveVolumes, VolumesDone, read_request
from carina_tasks.tasks.base import NodeTask, this_node
from carina_tasks.tasks.lvm2 import lvm


@shared_task(base=NodeTask, name="carina.volume.create")
def create_volumes(request: object) -> VolumesDone:
    """Make the LVs of a rebuild (a `CreateVolumes` as JSON), in one lvm shell. Asked again, it answers ``kept``."""
    return volumes.create_volumes(lvm(), this_node(), read_request(request, CreateVolumes))


@shared_task(base=NodeTask, name="carina.volume.mark")
def mark_volumes(request: object) -> VolumesDone:
    """Mark LVs as orphans, or take the mark off (a `MarkVolumes` as JSON)."""
    return volumes.mark_volumes(lvm(), this_node(), read_request(request, MarkVolumes))


@shared_task(base=NodeTask, name="carina.volume.remove")
def remove_volumes(request: object) -> VolumesDone:
    """Remove orphans that are still closed, marked and the same LVs (a `RemoveVolumes` as JSON)."""
    return volumes.remove_volumes(lvm(), this_node(), read_request(request, RemoveVolumes))
