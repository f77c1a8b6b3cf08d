"""May the operator have one volume of a live node rebuilt elsewhere?

Nothing is lost that could prove anything here, so the operator's confirmation replaces the proof:
the volume's name, typed out. No confirmation replaces this: no pod may be using the volume. Its
pods would run on with the old copy beside new ones with the empty one. Source: docs/design.md,
sections 4 and 5.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from carina_tasks.decisions import whose
from carina_tasks.decisions.guards import GuardAllows, GuardStops
from carina_tasks.model import names, well_known

if TYPE_CHECKING:
    from carina_tasks.model.local import Inventory
    from carina_tasks.model.objects import LogicVolume
    from carina_tasks.model.snapshot import ClusterSnapshot


def live(snapshot: ClusterSnapshot, logic_volume: LogicVolume) -> GuardAllows | GuardStops:
    """Judge the volume's node: a lost one has tasks of its own, with proofs of their own."""
    node = snapshot.nodes.get(logic_volume.node)
    if node is None:
        return GuardStops(
            f"node {logic_volume.node} does not exist: carina.failover.rebuild_node rebuilds all "
            "its volumes"
        )
    if not node.is_ready:
        return GuardStops(
            f"node {logic_volume.node} is NotReady and may still use it: annotate its pod "
            f"{well_known.MIGRATION_ALLOWED}: "
            '"true", or delete the node'
        )
    return GuardAllows(f"node {logic_volume.node} is Ready")


def unused(
    snapshot: ClusterSnapshot, logic_volume: LogicVolume, inventory: Inventory | None
) -> GuardAllows | GuardStops:
    """Decide whether anything uses the volume.

    `inventory` is its node's, None when its worker does not answer.

    A pod that waits on the node for a volume which cannot be mounted uses nothing; it is evicted.
    When the node does not say whether the volume is open, such a pod may have it open, and is one
    too many.

    Args:
        snapshot: The cluster as it was read.
        logic_volume: The LogicVolume.
        inventory: What the node reported.
    """
    bound = [
        pod
        for pod in snapshot.pods_of(snapshot.persistent_volumes[logic_volume.name].claim_key)
        if pod.node
    ]
    for pod in bound:
        if pod.phase != "Pending":
            return GuardStops(f"pod {pod.meta.key} uses it on {pod.node}: scale it down first")
        if inventory is None:
            return GuardStops(
                f"the worker of node {logic_volume.node} does not say whether it is open: scale "
                f"pod {pod.meta.key} down first"
            )
    lv = (
        inventory.find(logic_volume.group, names.VOLUME_PREFIX + logic_volume.name)
        if inventory is not None
        else None
    )
    if lv is not None and lv.is_open:
        return GuardStops(
            f"it is open on node {logic_volume.node}: something has it mounted or holds it"
        )
    return GuardAllows("nothing uses it")


def forced(logic_volume: LogicVolume, force: object) -> GuardAllows | GuardStops:
    """Decide whether the operator confirmed the volume by its name."""
    if force == logic_volume.name:
        return GuardAllows("manually")
    return GuardStops(
        f"{whose.titled(logic_volume)} is on the live node {logic_volume.node} and would be new "
        "and empty elsewhere: "
        f'say force="{logic_volume.name}" (on the command line --force '
        f"{logic_volume.claim_key}) if that is what you want"
    )
