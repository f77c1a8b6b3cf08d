"""What a node may take of Redis, and how often it may enrol. Pure; time is an argument."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

UNKNOWN_AGE: Final = 10.0
"""Seconds that a connection may stay without a user. A client logs in with its first command."""
UNKNOWN_PER_SOURCE: Final = 20
"""Connections without a user that one address may have; above it all of that address are closed at
once: it is filling `maxclients`. As many as a node may have with a user, by default.
"""
UNKNOWN_MANY: Final = 100
"""Connections without a user, of all other addresses together, above which all are closed at once:
a flood from many addresses.
"""


@dataclass(frozen=True, slots=True)
class Connection:
    """A connection of Redis, by CLIENT LIST."""

    id: int
    user: str
    age: float
    """Seconds."""
    memory: int
    """Bytes that Redis keeps for it."""
    said: bool
    """Whether it has sent a command."""
    source: str = ""
    """Address of the other end, without its port."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one node may take."""

    connections: int
    memory: int
    """Bytes."""


@dataclass(frozen=True, slots=True)
class Within:
    """The node keeps within its limits."""

    reason: str


@dataclass(frozen=True, slots=True)
class Floods:
    """The node takes more than it may, and is to be cut off."""

    reason: str


def judge(connections: int, memory: int, limits: Limits) -> Within | Floods:
    """Judge what a node takes.

    Args:
        connections: How many it has open.
        memory: Bytes of its keys and connections.
        limits: What it may take.
    """
    if connections > limits.connections:
        return Floods(f"{connections} connections, and {limits.connections} are allowed")
    if memory > limits.memory:
        return Floods(
            f"{memory >> 20} MiB of Redis' memory, and {limits.memory >> 20} MiB are allowed"
        )
    return Within(f"{connections} connections, {memory >> 20} MiB")


@dataclass(frozen=True, slots=True)
class Strangers:
    """The connections to close: no client has logged in on them."""

    ids: tuple[int, ...]
    crowds: Mapping[str, int]
    """How many had each address that had more than it may: where a flood comes from."""


def strangers(found: Iterable[Connection], default_is_off: bool) -> Strangers:
    """Judge the connections on which no client has logged in.

    Args:
        found: All connections.
        default_is_off: Whether the user `default`, whom Redis shows for them, may do nothing. Else
            it may be somebody's user, and only a connection that never sent a command is a
            stranger's.
    """
    unknown = [one for one in found if one.user == "default" and (default_is_off or not one.said)]
    counts = Counter(one.source for one in unknown)
    crowds = {source: many for source, many in counts.items() if many > UNKNOWN_PER_SOURCE}
    everyone = len(unknown) - sum(crowds.values()) > UNKNOWN_MANY
    return Strangers(
        tuple(
            one.id for one in unknown if everyone or one.source in crowds or one.age >= UNKNOWN_AGE
        ),
        crowds,
    )


@dataclass
class Rates:
    """How often each node enrolled. A bucket that refills, for each node.

    Not safe to share between threads: the service holds a lock.
    """

    per_minute: int
    largest: int = 20_000
    """Nodes that are remembered; above it all are forgotten."""
    _buckets: dict[str, tuple[float, float]] = field(default_factory=dict)

    def wait(self, node: str, now: float) -> float:
        """Count one enrolment; return 0, or the seconds to wait when it is one too many.

        Args:
            node: Name of the node.
            now: Seconds of a steady clock.
        """
        if len(self._buckets) >= self.largest:
            self._buckets.clear()
        left, then = self._buckets.get(node, (float(self.per_minute), now))
        left = min(float(self.per_minute), left + (now - then) * self.per_minute / 60)
        if left < 1:
            self._buckets[node] = (left, now)
            return (1 - left) * 60 / self.per_minute
        self._buckets[node] = (left - 1, now)
        return 0.0
