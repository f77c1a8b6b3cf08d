"""Equal values held once.

A cluster's objects repeat each other: labels, finalizers, node names, what a pod template asks for.
A value that is shared must never be changed, so what is handed out is typed as immutable.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from sys import intern
from typing import TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

LIMIT = 4096
"""Values that a table holds before it begins anew: objects that repeat each other are neighbours in
a list, and a table must not keep alive what is long gone from the cluster.
"""

NOTHING: Mapping[str, str] = {}


def word(text: str | None) -> str:
    """Return a string that many objects hold (a phase, a driver, a node), empty for None."""
    return intern(text) if text else ""


class Table:
    """Values by a key that tells them apart. Safe to share between threads."""

    def __init__(self) -> None:
        """Make an empty one."""
        self._values: dict[Hashable, object] = {}

    def get(self, key: K, make: Callable[[K], V]) -> V:
        """Return the value of `key`, made once.

        Args:
            key: What the value is made from; equal keys of one table get the same value.
            make: Makes the value.
        """
        found = self._values.get(key)
        if found is None:
            if len(self._values) >= LIMIT:
                self._values.clear()
            found = self._values.setdefault(key, make(key))
        return found  # type: ignore[return-value]


_mappings, _tuples = Table(), Table()


def mapping(found: dict[str, str] | None) -> Mapping[str, str]:
    """Return labels or annotations; equal ones, in the same order, are one object."""
    return _mappings.get(tuple(found.items()), lambda _: found) if found else NOTHING


def whole(found: tuple[V, ...] | None) -> tuple[V, ...]:
    """Return a tuple of values that can be hashed; equal ones are one object."""
    return _tuples.get(found, lambda one: one) if found else ()
