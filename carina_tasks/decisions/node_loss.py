"""Is this node gone, or NotReady for long enough?

Sources: Kubernetes "Nodes", heartbeats and conditions; "Non-graceful node shutdown handling";
Carina's failover manual; docs/design.md, section 5. Times are seconds since the epoch by the API
server's clock.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from carina_tasks.model import times, well_known

if TYPE_CHECKING:
    from carina_tasks.model.maintenance import Maintenance
    from carina_tasks.model.objects import Lease, Node


@dataclass(frozen=True, slots=True)
class Lost:
    """The node is lost; its volumes may be rebuilt elsewhere."""

    reason: str


@dataclass(frozen=True, slots=True)
class NotLost:
    """The node is not lost, and nothing of it may be touched."""

    reason: str


@dataclass(frozen=True, slots=True)
class NotYet:
    """The node is not lost yet; look again after `wait` seconds."""

    reason: str
    wait: float
    held: str = ""
    """Why it waits longer than any other node, for an Event: a text that stays the same while it
    waits. Empty when it does not.
    """


@dataclass(frozen=True, slots=True)
class NotReadyRules:
    """How long NotReady must last (seconds)."""

    after: float
    witnessed: float
    lease_fresh: float
    cordoned: float
    """The same for a cordoned node: a planned reboot takes its time, and the data comes back with
    the machine.
    """


def in_maintenance(entry: Maintenance) -> NotLost:
    """Return that a node in maintenance is not lost, whatever became of it.

    It is not lost either when its time is over: the machine may need longer, and its data comes
    back with it. An alert calls the operator then, who ends the maintenance.
    """
    return NotLost(
        f"node {entry.node} is {entry}: nothing of it is failed over before `carina maintenance "
        f"end {entry.node}`"
    )


def absent(name: str, first: Node | None, second: Node | None, confirm: float) -> Lost | NotLost:
    """Judge two fresh GETs of node `name`, `confirm` seconds apart: only two 404s are absence.

    A node registered again under the same name is a new node, with a UID of its own: its presence
    is not absence, whatever became of the old one.

    Args:
        name: Its name.
        first: The node as the first read found it, None: 404.
        second: The node as the read after the wait found it, None: 404.
        confirm: Seconds between the two reads.
    """
    present = second or first
    if present is not None:
        return NotLost(f"node {name} exists (uid {present.meta.uid})")
    return Lost(f"node {name} was deleted (absent for {times.age(confirm)})")


def not_ready(
    node: Node, lease: Lease | None, worker_alive: bool, now: float, rules: NotReadyRules
) -> Lost | NotLost | NotYet:
    """Judge a node that may be NotReady.

    The condition's own transition time counts, so a restart of ours does not restart the clock. The
    node's Lease and its worker's heartbeat are witnesses: while one of them reports that the node
    lives, a longer wait applies, because its pods and open volumes probably live too. A cordoned
    node waits longest: its absence is planned. The taint ``out-of-service`` means the opposite, so
    without a witness there is nothing to wait for.

    Args:
        node: The node as it was just read.
        lease: Its Lease, None without one.
        worker_alive: Whether its node worker sends heartbeats.
        now: The API server's clock.
        rules: How long each wait is.
    """
    if node.is_ready:
        return NotLost(f"node {node.name} is Ready")
    lease_alive = (
        lease is not None and lease.renewed is not None and now - lease.renewed < rules.lease_fresh
    )
    witnesses = [
        name for name, lives in (("its Lease", lease_alive), ("its worker", worker_alive)) if lives
    ]
    age = now - node.ready_since
    if node.out_of_service and not witnesses:
        return Lost(
            f"node {node.name} is NotReady ({node.ready}) and tainted out-of-service: the operator "
            "vouches that it is off"
        )
    needed = rules.witnessed if witnesses else rules.after
    but = (
        f" (but {' and '.join(witnesses)} still answers: {times.age(needed)} needed)"
        if witnesses
        else ""
    )
    held = ""
    if node.cordoned and not node.out_of_service and rules.cordoned > needed:
        needed = rules.cordoned
        but = " (it is cordoned, so its absence is planned)"
        held = (
            f"node {node.name} is cordoned and NotReady: its volumes are failed over at "
            f"{times.moment(int(node.ready_since + needed))} and not before, {times.age(needed)} "
            "after it became NotReady; uncordon it, or taint it "
            f"{well_known.TAINT_OUT_OF_SERVICE}, if it will not come back"
        )
    if age < needed:
        return NotYet(
            f"node {node.name} has been NotReady for {times.age(age)} of {times.age(needed)}{but}",
            needed - age,
            held,
        )
    return Lost(f"node {node.name} has been NotReady ({node.ready}) for {times.age(age)}{but}")
