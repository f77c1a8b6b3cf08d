"""The cluster as watches show it: a suspicion that costs no list.

Control workers keep an `Informer`. What it shows is a moment old, so nothing irreversible follows
from it alone: objects are read by name before they change, and absence is confirmed by name. An
informer that is still reading, or that has heard nothing for a while, shows nothing at all.

The official client has a `SharedInformer` (kubernetes.informer). It does not fit: it keeps the
client's models, which drop unknown fields; it takes a list for complete that something in between
cut short; and it cannot report when it heard something last.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from carina_tasks.kube import kinds
from carina_tasks.kube.api import Api
from carina_tasks.kube.kinds import Kind
from carina_tasks.kube.parsing import Change, Named, Objects
from carina_tasks.kube.reflector import Reflector
from carina_tasks.kube.snapshots import Everything
from carina_tasks.model.snapshot import ClusterSnapshot
from carina_tasks.vital import VitalThread

WATCH_SECONDS = 60
"""Seconds of one watch, so a quiet kind is heard of this often: the API server sends a bookmark
shortly before the end, and ends it in order.
"""

T = TypeVar("T", bound=Named)


@dataclass(frozen=True, slots=True)
class Behind:
    """The informer shows nothing now, and why."""

    reason: str


class WatchedKind(Generic[T]):
    """The objects of one kind, as the last list and the events after it left them."""

    def __init__(self, kind: Kind[T], monotonic: Callable[[], float]) -> None:
        """Make an empty one.

        Args:
            kind: The kind.
            monotonic: A clock that never goes back (seconds).
        """
        self.kind, self._monotonic = kind, monotonic
        self._lock = threading.Lock()
        self._found: Objects[T] = Objects()
        self._shown = False
        """Whether somebody else holds `_found`, so that it must be copied before it changes."""
        self._heard: float | None = None

    def listed(self, found: Objects[T]) -> None:
        """Replace everything by a complete list: what it lacks is gone."""
        at = self._monotonic()
        with self._lock:
            self._found, self._shown, self._heard = found, True, at

    def changed(self, event: Change[T]) -> None:
        """Take one event of the watch."""
        at = self._monotonic()
        with self._lock:
            self._heard = at
            if event.type == "BOOKMARK":
                return
            if self._shown:
                # What was handed out never changes.
                self._found = Objects(dict(self._found.values), dict(self._found.unreadable))
                self._shown = False
            values, unreadable = self._found.values, self._found.unreadable
            values.pop(event.key, None)
            unreadable.pop(event.key, None)
            if event.type == "DELETED":
                return
            if event.value is None:
                unreadable[event.key] = event.why
            else:
                values[event.key] = event.value

    def ended(self) -> None:
        """Take note that a watch ended in order: it showed whatever there was to show."""
        with self._lock:
            if self._heard is not None:
                self._heard = self._monotonic()

    def silent(self) -> float | None:
        """Return the seconds since anything was heard; None before the first list."""
        with self._lock:
            return None if self._heard is None else self._monotonic() - self._heard

    def get(self, key: str) -> T | None:
        """Return one object as it is now; None when there is none that can be read.

        Args:
            key: Its name, or ``namespace/name``.
        """
        with self._lock:
            return self._found.values.get(key)

    def view(self) -> Objects[T]:
        """Return the objects as they are now; what is returned never changes."""
        with self._lock:
            self._shown = True
            return self._found


class Informer:
    """Watches every kind that a decision looks at. Safe to share between threads."""

    def __init__(
        self,
        api: Api,
        stale_after: float,
        monotonic: Callable[[], float] = time.monotonic,
        observe: Callable[[str], None] = lambda source: None,
    ) -> None:
        """Make an informer; it begins with `start`.

        Args:
            api: The API server.
            stale_after: Seconds without an event or bookmark after which it shows nothing.
            monotonic: A clock that never goes back (seconds).
            observe: Called for each snapshot that is asked for, with ``watches``, or with ``lists``
                when these must be read instead.
        """
        self._api, self._stale_after, self._observe = api, stale_after, observe
        self._stopped = threading.Event()
        self._process = 0

        self.nodes = WatchedKind(kinds.NODES, monotonic)
        self.pods = WatchedKind(kinds.PODS, monotonic)
        self.claims = WatchedKind(kinds.CLAIMS, monotonic)
        self.persistent_volumes = WatchedKind(kinds.PERSISTENT_VOLUMES, monotonic)
        self.logic_volumes = WatchedKind(kinds.LOGIC_VOLUMES, monotonic)
        self.classes = WatchedKind(kinds.STORAGE_CLASSES, monotonic)
        watched: tuple[WatchedKind[Any], ...] = (
            self.nodes,
            self.pods,
            self.claims,
            self.persistent_volumes,
            self.logic_volumes,
            self.classes,
        )
        self.kinds = {one.kind.path: one for one in watched}

    def start(self) -> None:
        """Begin, in a thread for each kind."""
        self._process = os.getpid()
        for sink in self.kinds.values():
            reflector = Reflector(self._api, sink.kind, sink, WATCH_SECONDS, self._stopped)
            name = f"informer of {sink.kind.plural}"
            VitalThread(name, reflector.run, self._stopped.is_set).start()

    def stop(self) -> None:
        """End the threads after their next event."""
        self._stopped.set()

    def behind(self, *kinds: WatchedKind[Any]) -> Behind | None:
        """Return why these kinds (default: all) cannot be relied on now; None when they can."""
        if self._process != os.getpid():
            return Behind("no watch runs in this process")
        for one in kinds or self.kinds.values():
            silent = one.silent()
            if silent is None:
                return Behind(f"{one.kind.plural} are still being read")
            if silent > self._stale_after:
                return Behind(f"the watch of {one.kind.plural} has been silent for {silent:.0f} s")
        return None

    def snapshot(self, now: float) -> ClusterSnapshot | Behind:
        """Return the cluster as the watches show it, or why they show nothing.

        LogicVolumes are taken before PersistentVolumes, as the lists are. The leases are left out:
        every node renews its own every ten seconds, so the few that count are read by name.

        Args:
            now: The API server's clock (seconds since the epoch).
        """
        behind = self.behind()
        self._observe("lists" if behind else "watches")
        if behind is not None:
            return behind
        logic_volumes, pvs = self.logic_volumes.view(), self.persistent_volumes.view()
        return Everything(
            nodes=self.nodes.view(),
            pods=self.pods.view(),
            claims=self.claims.view(),
            persistent_volumes=pvs,
            logic_volumes=logic_volumes,
            classes=self.classes.view(),
        ).snapshot(now, watched=True)
