"""What the node watch should say, and when.

A pure state machine: its inputs are what was seen and the time, its output the hints that are due.
Times are seconds of any steady clock; the condition's own transition time (API server's clock) is
brought to it by the offset of the last list.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from carina_tasks.model import times

if TYPE_CHECKING:
    from carina_tasks.model.objects import Node


ASK_EVERY = 30.0
"""Seconds between two hints that nodes changed: readiness reads the whole cluster."""


@dataclass(frozen=True, slots=True)
class Hint:
    """A node that a control task should look at."""

    node: str
    kind: Literal["deleted", "not-ready", "changed"]
    """``changed``: which nodes may be lost must be asked again; that concerns all nodes, and `node`
    is empty.
    """
    reason: str


@dataclass(slots=True)
class NodeWatchState:
    """What the watch has seen, and what it has published."""

    after: float
    """Seconds of NotReady before it is worth saying."""
    every: float
    """Seconds before the same hint is published again."""
    _offset: float = 0.0
    _nodes: dict[str, Node] = field(default_factory=dict)
    _deleted: set[str] = field(default_factory=set)
    _said: dict[tuple[str, str], float] = field(default_factory=dict)
    _listed: bool = False
    _changes: int = 0
    _offered: int = 0
    _told: int = 0
    _told_at: float | None = None

    def listed(self, nodes: Iterable[Node], offset: float) -> None:
        """Take a complete list; what was there before and is not any more was deleted unseen.

        `offset` is the API server's clock minus the steady clock.
        """
        self._offset = offset
        now = {node.name: node for node in nodes}
        for name in self._nodes.keys() - now.keys():
            self._forget(name)
            self._deleted.add(name)
            self._changes += 1
        for node in now.values():
            self.seen(node)
        if not self._listed:
            # Nothing has changed yet: this is how it was.
            self._listed, self._told = True, self._changes

    def seen(self, node: Node) -> None:
        """Take a node that was added or changed."""
        self._deleted.discard(node.name)
        before = self._nodes.get(node.name)
        self._changes += before is None or _matters(before) != _matters(node)
        if node.is_ready:
            self._forget(node.name)
        self._nodes[node.name] = node

    def deleted(self, node: Node) -> None:
        """Take a deletion."""
        self._forget(node.name)
        self._deleted.add(node.name)
        self._changes += 1

    def due(self, now: float) -> tuple[Hint, ...]:
        """Return the hints to publish now.

        New things at once, the same thing again after `every` seconds.

        A deletion is published twice in all: the second time covers a message that was lost, resume
        covers the rest.
        """
        hints = [
            Hint(name, "deleted", f"node {name} was deleted") for name in sorted(self._deleted)
        ]
        for node in self._nodes.values():
            age = now + self._offset - node.ready_since
            if not node.is_ready and (age >= self.after or node.out_of_service):
                hints.append(
                    Hint(
                        node.name,
                        "not-ready",
                        f"node {node.name} has been NotReady for {times.age(age)}",
                    )
                )
        self._offered = self._changes
        if self._changes != self._told and (
            self._told_at is None or now - self._told_at >= ASK_EVERY
        ):
            hints.append(
                Hint(
                    "", "changed", "nodes were added, deleted, cordoned or changed their readiness"
                )
            )
        return tuple(
            hint
            for hint in hints
            if now >= self._said.get((hint.node, hint.kind), now) + self._pause(hint)
        )

    def published(self, hint: Hint, now: float) -> None:
        """Take note that `hint` was published."""
        if hint.kind == "changed":
            # What changed after it was offered is offered again.
            self._told, self._told_at = self._offered, now
            return
        key = (hint.node, hint.kind)
        if hint.kind == "deleted" and key in self._said:
            self._deleted.discard(hint.node)
            del self._said[key]
            return
        self._said[key] = now

    def _pause(self, hint: Hint) -> float:
        return self.every if (hint.node, hint.kind) in self._said else 0.0

    def _forget(self, name: str) -> None:
        self._nodes.pop(name, None)
        self._said.pop((name, "deleted"), None)
        self._said.pop((name, "not-ready"), None)


def _matters(node: Node) -> object:
    """Return what of a node decides where volumes may go when another one is lost."""
    return node.ready, node.unschedulable, node.taints, node.meta.uid
