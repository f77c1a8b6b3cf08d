"""The plans of the last look at all nodes, and which of them still hold."""

from __future__ import annotations

import threading
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from carina_tasks.decisions.placement.ledger import Ledger
from carina_tasks.decisions.placement.plan import Plan
from carina_tasks.decisions.placement.reuse import Facts, still_holds

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Kept(Generic[T]):
    """What was found for one node, and the plan that it rests on (without its verdicts)."""

    inputs: int
    plan: Plan
    found: T


@dataclass(slots=True)
class PlanMemory(Generic[T]):
    """What one process found last for each node. One look at a time uses it."""

    turn: threading.Lock = field(default_factory=threading.Lock)
    facts: Facts | None = None
    kept: dict[str, Kept[T]] = field(default_factory=dict)

    def found(
        self, node: str, inputs: int | None, changed: Collection[str] | None, ledger: Ledger
    ) -> T | None:
        """Return what was found for a node when that is still so, else None.

        Args:
            node: Name of the node.
            inputs: What its plan reads of its own volumes.
            changed: Nodes about which something else is true than then; None: all of them.
            ledger: The nodes as they are now.
        """
        kept = self.kept.get(node)
        if kept is None or changed is None or inputs is None or kept.inputs != inputs:
            return None
        others = [name for name in changed if name != node]
        return kept.found if still_holds(kept.plan, others, ledger) else None
