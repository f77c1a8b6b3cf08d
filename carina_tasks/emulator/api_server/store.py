"""Objects, their versions, a bounded history, and the fan-out to watchers.

Everything runs in one thread, so each call is atomic. Stored objects are never changed in place:
a caller that changes one copies it first (`clone`), which is what lets lists, history and
watchers share them.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from .errors import JSON, expired

EventType = Literal["ADDED", "MODIFIED", "DELETED"]
Key = tuple[str, str]  # namespace ("" for cluster-scoped objects), name


def clone(value: Any) -> Any:
    """Return a deep copy of JSON data (much faster than `copy.deepcopy`)."""
    if isinstance(value, dict):
        return {key: clone(item) for key, item in value.items()}
    if isinstance(value, list):
        return [clone(item) for item in value]
    return value


@dataclass(frozen=True, slots=True)
class Change:
    """One write: the object after it (for DELETED: its last state) and before it."""

    version: int
    type: EventType
    resource: str
    key: Key
    obj: JSON
    previous: JSON | None


class Store:
    """All objects of the cluster, by resource (`plural.group`) and key."""

    def __init__(self, history: int = 10_000) -> None:
        self.version = 1
        self._objects: dict[str, dict[Key, JSON]] = {}
        self._history: deque[Change] = deque(maxlen=history)
        self._forgotten = 1  # the newest version whose change is no longer known
        self._listeners: dict[str, set[Callable[[Change], None]]] = {}

    def get(self, resource: str, key: Key) -> JSON | None:
        """Return the object, or None."""
        return self._objects.get(resource, {}).get(key)

    def items(
        self, resource: str, namespace: str = "", at: int | None = None
    ) -> list[tuple[Key, JSON]]:
        """Return the objects ordered by key, as they were at version `at` (default: now).

        Raises StatusError 410 when that version has been forgotten.
        """
        objects = self._objects.get(resource, {})
        if at is not None and at < self.version:
            objects = self._roll_back(resource, objects, at)
        return [
            (key, objects[key]) for key in sorted(objects) if not namespace or key[0] == namespace
        ]

    def _roll_back(self, resource: str, objects: dict[Key, JSON], at: int) -> dict[Key, JSON]:
        objects = dict(objects)
        for change in reversed(self.since(resource, at)):
            if change.previous is None:
                del objects[change.key]
            else:
                objects[change.key] = change.previous
        return objects

    def put(self, resource: str, key: Key, obj: JSON) -> JSON:
        """Store a new state (stamping its resourceVersion) and tell the watchers."""
        self.version += 1
        obj["metadata"]["resourceVersion"] = str(self.version)
        kept = self._objects.setdefault(resource, {})
        previous = kept.get(key)
        kept[key] = obj
        self._publish(
            Change(self.version, "MODIFIED" if previous else "ADDED", resource, key, obj, previous)
        )
        return obj

    def remove(self, resource: str, key: Key, last: JSON | None = None) -> JSON:
        """Take an object away; watchers get its last state under a new version."""
        self.version += 1
        previous = self._objects[resource].pop(key)
        gone = clone(last if last is not None else previous)
        gone["metadata"]["resourceVersion"] = str(self.version)
        self._publish(Change(self.version, "DELETED", resource, key, gone, previous))
        return previous

    def advance(self) -> None:
        """Count a write of something that is not served here."""
        self.version += 1

    def _publish(self, change: Change) -> None:
        if len(self._history) == self._history.maxlen:
            self._forgotten = self._history[0].version if self._history else change.version
        self._history.append(change)
        for listener in list(self._listeners.get(change.resource, ())):
            listener(change)

    def since(self, resource: str, version: int) -> list[Change]:
        """Return the changes of a resource after `version`, oldest first.

        StatusError 410 when some are forgotten.
        """
        if version < self._forgotten:
            raise expired(f"too old resource version: {version} ({self._forgotten})")
        start = bisect_right(self._history, version, key=lambda change: change.version)
        return [
            self._history[i]
            for i in range(start, len(self._history))
            if self._history[i].resource == resource
        ]

    def forget_history(self) -> None:
        """Drop all history, as a compaction of etcd does: every older version is then too old."""
        self._history.clear()
        self._forgotten = self.version

    def listen(self, resource: str, listener: Callable[[Change], None]) -> Callable[[], None]:
        """Call `listener` with every later change of a resource; the returned function ends it."""
        listeners = self._listeners.setdefault(resource, set())
        listeners.add(listener)
        return lambda: listeners.discard(listener)
