"""Which old copies a node holds, and whether each could be the volume again.

Read only, nothing is written.
"""

from __future__ import annotations

import msgspec

from carina_tasks.decisions import failback
from carina_tasks.errors import CarinaTasksError
from carina_tasks.flows import ask_nodes
from carina_tasks.flows.context import Context
from carina_tasks.model import names


class OldCopy(msgspec.Struct, frozen=True):
    """One old copy on a node, beside the copy of the volume that is in use."""

    claim: str
    """``namespace/name`` of the claim."""
    volume: str
    uuid: str
    """UUID of the old LV: it stays the same when the node or the LV gets another name."""
    name: str
    """What the LV is called now."""
    bytes: int
    data_until: int
    """When the failover began that left it, seconds since the epoch; 0: no failover from a node of
    this name is on record.
    """
    in_use: str
    """Node of the copy that is in use."""
    in_use_since: int
    """When the last failover began, seconds since the epoch: the copy in use was empty then. 0:
    unknown.
    """
    outcome: str
    """``possible`` or ``impossible``."""
    reason: str


class FailbackPlan(msgspec.Struct, frozen=True):
    """Which old copies a node holds."""

    node: str
    reason: str
    copies: tuple[OldCopy, ...] = ()


def plan_failback(ctx: Context, node: str) -> FailbackPlan:
    """Return the old copies on `node`.

    Raises:
        BadInput: The name is invalid.
        CarinaTasksError: The node or the API server does not answer.
    """
    names.node_name(node)
    snapshot = ctx.cluster.observe()
    inventory = ask_nodes.inventories(ctx, [node])[node]
    if isinstance(inventory, CarinaTasksError):
        raise inventory
    copies = []
    for lv, logic_volume in failback.old_copies(inventory, snapshot):
        conf = ctx.settings
        verdict = failback.judge_copy(
            lv, inventory, snapshot, logic_volume, conf.reserve, zero_block=conf.zero_block
        )
        until = failback.data_until(logic_volume, node)
        unknown = (
            ""
            if until
            else "; no failover from a node of this name is on record: was the machine renamed?"
        )
        copies.append(
            OldCopy(
                claim=logic_volume.claim_key,
                volume=logic_volume.name,
                uuid=lv.uuid,
                name=f"{lv.group}/{lv.name}",
                bytes=lv.size,
                data_until=until,
                in_use=logic_volume.node,
                in_use_since=failback.in_use_since(logic_volume),
                outcome="possible"
                if isinstance(verdict, failback.FailbackPossible)
                else "impossible",
                reason=verdict.reason + unknown,
            )
        )
    usable = sum(one.outcome == "possible" for one in copies)
    reason = (
        f"node {node} holds {len(copies)} old copies; {usable} of them could be the volume again"
    )
    return FailbackPlan(
        node, reason, tuple(sorted(copies, key=lambda one: (one.claim, one.volume, one.uuid)))
    )
