"""What a node worker answers about its node."""

from __future__ import annotations

from celery import shared_task

from carina_tasks.lvm import report
from carina_tasks.model import task_names
from carina_tasks.model.local import Inventory
from carina_tasks.runtime.node_lvm import lvm
from carina_tasks.tasks.base import NodeTask, this_node


@shared_task(base=NodeTask, name=task_names.INVENTORY, answer=Inventory)
def inventory() -> Inventory:
    """Return the node's volume groups and logical volumes as lvm2 reports them now.

    >>> inventory.ask("10.20.9.153")        # doctest: +SKIP
    GROUP           SIZE    FREE
    carina-vg-hdd   100Gi   95Gi
    GROUP           VOLUME                 SIZE   USE    NOTE
    carina-vg-hdd   volume-pvc-177854eb…   5Gi    open
    """
    return report.inventory(lvm(), this_node())
