"""What a node worker does to its node's local volumes. Each request is checked before lvm2 hears of it."""

from __future__ import annotations

from celery import shared_task

from carina_tasks.lvm import volumes
from carina_tasks.model.messages import (
    CreateVolumes,
    MarkVolumes,
    PurgeVolumes,
    RemoveVolumes,
    RestoreVolume,
    VolumesDone,
    read_request,
)  # fmt: skip
from carina_tasks.runtime.node_lvm import lvm, zero
from carina_tasks.tasks.base import NodeTask, this_node


@shared_task(base=NodeTask, name="carina.volume.create")
def create_volumes(request: object) -> VolumesDone:
    """Make the LVs of a rebuild (a `CreateVolumes` as JSON), in one lvm shell. Asked again, it answers ``kept``."""
    return volumes.create_volumes(lvm(), this_node(), read_request(request, CreateVolumes), zero().look)


@shared_task(base=NodeTask, name="carina.volume.mark")
def mark_volumes(request: object) -> VolumesDone:
    """Mark LVs as orphans, or take the mark off (a `MarkVolumes` as JSON)."""
    return volumes.mark_volumes(lvm(), this_node(), read_request(request, MarkVolumes))


@shared_task(base=NodeTask, name="carina.volume.remove")
def remove_volumes(request: object) -> VolumesDone:
    """Put orphans that are still closed, marked and the same LVs into the trash (a `RemoveVolumes` as JSON)."""
    return volumes.remove_volumes(lvm(), this_node(), read_request(request, RemoveVolumes))


@shared_task(base=NodeTask, name="carina.volume.purge")
def purge_volumes(request: object) -> VolumesDone:
    """Remove for good what has been in the trash for long enough (a `PurgeVolumes` as JSON)."""
    return volumes.purge_volumes(lvm(), this_node(), read_request(request, PurgeVolumes))


@shared_task(base=NodeTask, name="carina.volume.restore")
def restore_volume(request: object) -> VolumesDone:
    """Bring an LV back from the trash under its old name (a `RestoreVolume` as JSON)."""
    return volumes.restore_volume(lvm(), this_node(), read_request(request, RestoreVolume))
