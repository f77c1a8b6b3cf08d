"""Is this node gone, or NotReady for long enough?

Sources: Kubernetes "Nodes", heartbeats and conditions; Carina's failover manual; design §5. Times are seconds since the
epoch by the API server's clock.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
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


@dataclass(frozen=True, slots=True)
class NotReadyRules:
    """How long NotReady must last (seconds)."""

    after: float
    witnessed: float
    lease_fresh: float


def absent(name: str, first: Node | None, second: Node | None, confirm: float) -> Lost | NotLost:
    """Judge two fresh GETs of node `name`, `confirm` seconds apart: only two 404s are absence.

    A node registered again under the same name is a new node, with a UID of its own: its presence is not absence, whatever
    became of the old one.
    """
    present = second or first
    if present is not None:
        return NotLost(f"node {name} exists (uid {present.meta.uid})")
    return Lost(f"node {name} was deleted (absent for {confirm:.0f} s)")


def not_ready(
    node: Node, lease: Lease | None, worker_alive: bool, now: float, rules: NotReadyRules
) -> Lost | NotLost | NotYet:
    """Judge a node that may be NotReady.

    The condition's own transition time counts, so a restart of ours starts no clock anew. The node's Lease and its worker's
    heartbeat are witnesses: while one of them says that the node lives, a longer wait applies, because its pods and open
    volumes probably live too.
    """
    if node.ready == "True":
        return NotLost(f"node {node.name} is Ready")
    lease_alive = lease is not None and lease.renewed is not None and now - lease.renewed < rules.lease_fresh
    witnesses = [name for name, lives in (("its Lease", lease_alive), ("its worker", worker_alive)) if lives]
    needed = rules.witnessed if witnesses else rules.after
    age = now - node.ready_since
    but = f" (but {' and '.join(witnesses)} still answers: {needed:.0f} s needed)" if witnesses else ""
    if age < needed:
        return NotYet(f"node {node.name} has been NotReady for {age:.0f} of {needed:.0f} s{but}", needed - age)
    return Lost(f"node {node.name} has been NotReady ({node.ready}) for {age:.0f} s{but}")
