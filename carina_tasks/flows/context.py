"""Everything a flow works with, handed in."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol

from carina_tasks.broker.calls import NodeCalls
from carina_tasks.errors import MassFailure, Paused
from carina_tasks.flows.plan_memory import PlanMemory
from carina_tasks.kube.cluster import Cluster
from carina_tasks.kube.published import PublishedStatus
from carina_tasks.kube.state import StateMap
from carina_tasks.kube.writes import ClusterWrites
from carina_tasks.observability.audit import Audit
from carina_tasks.settings import Settings
from carina_tasks.store.latest_results import LatestResults
from carina_tasks.store.lock import HeldLock


class Locks(Protocol):
    """Gives a hold on a name, or None when another worker has it."""

    def __call__(self, name: str) -> AbstractContextManager[HeldLock | None]:
        """Return the hold as a context manager."""
        ...


@dataclass(frozen=True, slots=True)
class Context:
    """The outside world of a flow."""

    settings: Settings
    cluster: Cluster
    writes: ClusterWrites
    state: StateMap
    published: PublishedStatus
    nodes: NodeCalls
    audit: Audit
    latest_results: LatestResults
    lock: Locks
    worker_alive: Callable[[str], bool]
    sleep: Callable[[float], None]
    monotonic: Callable[[], float]
    progress: Callable[[str], None] = lambda text: None
    """Reports the progress of this task. Never raises."""
    ask_for_rebuild: Callable[[str], None] = lambda node: None
    """Puts a message for a deleted node on the queue: a hint that may get lost. Never raises."""
    plans: PlanMemory[Any] = field(default_factory=PlanMemory)
    """What `readiness` found last in this process."""

    def check_pause(self, node: str = "") -> None:
        """Refuse to continue while carina-tasks is paused, or stopped by the mass-failure guard.

        Args:
            node: The lost node that the work is about. When the operator approved it alone (`carina
                resume NODE`), the guard does not stop that work.

        Raises:
            Paused: The operator paused carina-tasks.
            MassFailure: The guard stopped it, and the operator did not approve `node`.
        """
        if reason := not_approved(self.approved_alone(), node):
            raise MassFailure(reason)

    def approved_alone(self) -> frozenset[str] | None:
        """Return the only nodes that may be failed over; None means all.

        A set means that the mass-failure guard stops all other nodes.

        Raises:
            Paused: The operator paused carina-tasks.
            MassFailure: The guard stopped it, and the operator approved no node.
        """
        state = self.state.read()
        if state.paused:
            raise Paused(f"paused: {state.paused}")
        if state.latched and not state.approved:
            raise MassFailure(f"stopped until the operator resumes it: {state.latched}")
        return state.approved if state.latched else None


def not_approved(only: frozenset[str] | None, node: str) -> str:
    """Return why work about `node` may not continue; empty when it may.

    Args:
        only: What `Context.approved_alone` returned: the nodes that may be failed over, None for
            all.
        node: Name of the node.
    """
    if only is None or node in only:
        return ""
    return (
        f"stopped until the operator resumes it: only {', '.join(sorted(only))} may be failed over"
    )
