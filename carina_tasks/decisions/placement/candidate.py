"""A node that might take volumes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from carina_tasks.model.local import Inventory, LocalVolume, VolumeGroup
from carina_tasks.model.objects import Node


@dataclass(frozen=True, slots=True, eq=False)
class Candidate:
    """A node, and what its worker reported about its disks."""

    name: str
    node: Node
    answered: bool
    groups: Mapping[str, VolumeGroup] = field(default_factory=dict)
    locals: Mapping[tuple[str, str], LocalVolume] = field(default_factory=dict)
    """Its LVs by (VG, name)."""

    @property
    def labels(self) -> Mapping[str, str]:
        """The node's labels."""
        return self.node.meta.labels


def candidate(node: Node, inventory: Inventory | None) -> Candidate:
    """Return a node with its inventory, indexed for look-ups.

    The inventory is None when the node's worker does not answer.
    """
    if inventory is None:
        return Candidate(node.name, node, answered=False)
    return Candidate(
        node.name,
        node,
        answered=True,
        groups={group.name: group for group in inventory.groups},
        locals={(lv.group, lv.name): lv for lv in inventory.volumes},
    )
