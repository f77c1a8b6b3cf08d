"""Points at which something can die, and what dies there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

Kind = Literal["api", "lvm", "effect", "request", "answer", "hint"]

KILLS: Final[dict[Kind, tuple[str, ...]]] = {
    # The control worker dies before or after the write, or continues without its answer.
    "api": ("before", "after", "lost"),
    # The node's worker dies before or after the command, or takes a command that was done for one
    # that timed out.
    "lvm": ("before", "after", "lost"),
    # Between two effects of one lvm command: the worker dies with it, its deadline ends it, or
    # SIGTERM ends it alone and the shell resumes the next command.
    "effect": ("killed", "deadline", "stopped"),
    # A question to a node: the sender dies before or after; the broker took it and said no; it is
    # lost on the way; the sender dies and the node comes to it 40 s later; the node gets it twice.
    "request": ("before", "after", "lost", "vanished", "late", "twice"),
    # The node's worker dies before it answers; the control worker dies with the answer in hand.
    "answer": ("before", "after"),
    # A message that asks for another control task.
    "hint": ("before", "after", "lost", "vanished", "twice"),
}
"""What can happen at each kind of point."""

NEEDS_EVERY_NODE: Final = ("raced", "swept")
"""Not possible while an lvm command runs: a node's worker has one process, and does nothing else
until the command ends.
"""


class Killed(BaseException):
    """The control worker died: no handler of the product may catch it."""


class NodeKilled(BaseException):
    """The node's worker died."""


@dataclass(frozen=True, slots=True)
class Point:
    """One thing that is done to the outside."""

    kind: Kind
    label: str


@dataclass(frozen=True, slots=True)
class Fault:
    """What happens at the point of that number."""

    at: int
    variant: str


class Points:
    """Counts the points of one history, and reports which fault is due at each."""

    def __init__(self, faults: Sequence[Fault] = ()) -> None:
        self.seen: list[Point] = []
        self.fired: list[tuple[Fault, Point]] = []
        self.disturb: Callable[[str], str] | None = None
        """Takes variants that are more or other than a death, such as ``raced``; returns how to die
        there, if at all.
        """
        self._faults = {fault.at: fault for fault in faults}
        self._quiet = 0

    def at(self, kind: Kind, label: str) -> str:
        """Count a point; return the variant that is due there, or an empty string."""
        if self._quiet:
            return ""
        self.seen.append(Point(kind, label))
        fault = self._faults.get(len(self.seen) - 1)
        if fault is None:
            return ""
        self.fired.append((fault, self.seen[-1]))
        if fault.variant in KILLS[kind]:
            return fault.variant
        if self.disturb is None:
            raise AssertionError(f"unknown variant {fault.variant}")
        self._quiet += 1
        try:
            return self.disturb(fault.variant)
        finally:
            self._quiet -= 1
