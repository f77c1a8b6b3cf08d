"""The names of all tasks: users call them by these, so they never change."""

from __future__ import annotations

from typing import Final

# On the queue ``control``
SWEEP_LOCAL_VOLUMES: Final = "carina.sweep.local_volumes"
SWEEP_LOGIC_VOLUMES: Final = "carina.sweep.logic_volumes"
REBUILD_NODE: Final = "carina.failover.rebuild_node"
MIGRATE_NODE: Final = "carina.failover.migrate_node"
REBUILD_VOLUME: Final = "carina.failover.rebuild_volume"
FAILBACK: Final = "carina.failover.failback"
PLAN: Final = "carina.failover.plan"
READINESS: Final = "carina.failover.readiness"
RESUME: Final = "carina.failover.resume"
STATUS: Final = "carina.failover.status"
PUBLISH: Final = "carina.failover.publish_status"
LIST_TRASH: Final = "carina.trash.list"
RESTORE: Final = "carina.trash.restore"

# On the queue of a node
CREATE_VOLUMES: Final = "carina.volume.create"
MARK_VOLUMES: Final = "carina.volume.mark"
REMOVE_VOLUMES: Final = "carina.volume.remove"
PURGE_VOLUMES: Final = "carina.volume.purge"
RESTORE_VOLUME: Final = "carina.volume.restore"
INVENTORY: Final = "carina.node.inventory"
