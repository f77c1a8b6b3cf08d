"""Everything a flow works with, handed in."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from carina_tasks.broker.calls import NodeCalls
from carina_tasks.broker.findings import Findings
from carina_tasks.broker.lock import Hold
from carina_tasks.errors import MassFailure, Paused
from carina_tasks.kube.cluster import Cluster
from carina_tasks.kube.state import StateMap
from carina_tasks.kube.volumes import VolumeWrites
from carina_tasks.observability.audit import Audit
from carina_tasks.settings import Settings


class Locks(Protocol):
    """Gives a hold on a name, or None when another worker has it."""

    def __call__(self, name: str) -> AbstractContextManager[Hold | None]:
        """Return the hold as a context manager."""
        ...


@dataclass(frozen=True, slots=True)
class Context:
    """The outside world of a flow."""

    settings: Settings
    cluster: Cluster
    writes: VolumeWrites
    state: StateMap
    nodes: NodeCalls
    audit: Audit
    findings: Findings
    lock: Locks
    worker_alive: Callable[[str], bool]
    sleep: Callable[[float], None]
    monotonic: Callable[[], float]
    progress: Callable[[str], None] = lambda text: None
    """Tells whoever watches this task how far it is. Never raises."""

    def check_pause(self) -> None:
        """Refuse to go on when a person paused carina-tasks, or a guard latched it. Raises Paused or MassFailure."""
        state = self.state.read()
        if state.paused:
            raise Paused(f"paused: {state.paused}")
        if state.latched:
            raise MassFailure(f"stopped until a person resumes it: {state.latched}")
