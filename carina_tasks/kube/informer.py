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
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from carina_tasks.kube import paths
from carina_tasks.kube.api import Api, Listing, Raw, WatchEvent
from carina_tasks.kube.parsing import key_of, parse_all
from carina_tasks.kube.reflector import Reflector
from carina_tasks.kube.slim import slim
from carina_tasks.model import objects
from carina_tasks.model.snapshot import ClusterSnapshot, Unreadable
from carina_tasks.vital import VitalThread

WATCH_SECONDS = 60
"""Seconds of one watch, so a quiet kind is heard of this often: the API server sends a bookmark
shortly before the end, and ends it in order.
"""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Behind:
    """The informer shows nothing now, and why."""

    reason: str


@dataclass(frozen=True, slots=True)
class KindView(Generic[T]):
    """The objects of one kind at one moment."""

    values: Mapping[str, T]
    """The objects that can be read, by key (``namespace/name``)."""
    unreadable: Mapping[str, str]
    """Why each of the others cannot be read, by key."""


class WatchedKind(Generic[T]):
    """The objects of one kind, as the last list and the events after it left them."""

    def __init__(
        self, kind: str, parser: Callable[[Raw], T], monotonic: Callable[[], float]
    ) -> None:
        """Make an empty one.

        Args:
            kind: What reports call it, in the plural.
            parser: Reads one object; raises BadObject.
            monotonic: A clock that never goes back (seconds).
        """
        self.kind, self._parser, self._monotonic = kind, parser, monotonic
        self._lock = threading.Lock()
        self._values: dict[str, T] = {}
        self._unreadable: dict[str, str] = {}
        self._heard: float | None = None
        self._view: KindView[T] | None = None

    def listed(self, listing: Listing) -> None:
        """Replace everything by a complete list: what it lacks is gone."""
        at = self._monotonic()
        values, unreadable = parse_all(listing.items, self._parser)
        with self._lock:
            self._values, self._unreadable, self._view = values, unreadable, None
            self._heard = at

    def changed(self, event: WatchEvent) -> None:
        """Take one event of the watch."""
        at = self._monotonic()
        with self._lock:
            self._heard = at
            if event.type == "BOOKMARK":
                return
            self._view = None
            # A list's items do not repeat their kind; one that comes alone has it.
            raw = slim({k: v for k, v in event.object.items() if k not in ("kind", "apiVersion")})
            key = key_of(raw)
            self._values.pop(key, None)
            self._unreadable.pop(key, None)
            if event.type != "DELETED":
                values, unreadable = parse_all([raw], self._parser)
                self._values |= values
                self._unreadable |= unreadable

    def ended(self) -> None:
        """Take note that a watch ended in order: it showed whatever there was to show."""
        with self._lock:
            if self._heard is not None:
                self._heard = self._monotonic()

    def silent(self) -> float | None:
        """Return the seconds since anything was heard; None before the first list."""
        with self._lock:
            return None if self._heard is None else self._monotonic() - self._heard

    def view(self) -> KindView[T]:
        """Return the objects as they are now; what is returned never changes."""
        with self._lock:
            if self._view is None:
                self._view = KindView(dict(self._values), dict(self._unreadable))
            return self._view


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

        def kind(name: str, parser: Callable[[Raw], T]) -> WatchedKind[T]:
            return WatchedKind(name, parser, monotonic)

        self.nodes = kind("nodes", objects.parse_node)
        self.pods = kind("pods", objects.parse_pod)
        self.claims = kind("claims", objects.parse_claim)
        self.persistent_volumes = kind("PersistentVolumes", objects.parse_persistent_volume)
        self.logic_volumes = kind("LogicVolumes", objects.parse_logic_volume)
        self.classes = kind("StorageClasses", objects.parse_storage_class)
        self.kinds: dict[str, WatchedKind[Any]] = {
            paths.NODES: self.nodes,
            paths.PODS: self.pods,
            paths.CLAIMS: self.claims,
            paths.PERSISTENT_VOLUMES: self.persistent_volumes,
            paths.LOGIC_VOLUMES: self.logic_volumes,
            paths.STORAGE_CLASSES: self.classes,
        }

    def start(self) -> None:
        """Begin, in a thread for each kind."""
        self._process = os.getpid()
        for path, sink in self.kinds.items():
            reflector = Reflector(self._api, path, sink, WATCH_SECONDS, self._stopped)
            VitalThread(f"informer of {sink.kind}", reflector.run, self._stopped.is_set).start()

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
                return Behind(f"{one.kind} are still being read")
            if silent > self._stale_after:
                return Behind(f"the watch of {one.kind} has been silent for {silent:.0f} s")
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
        nodes, pods = self.nodes.view(), self.pods.view()
        claims, classes = self.claims.view(), self.classes.view()
        bad: dict[str, KindView[Any]] = {
            "Node": nodes,
            "Pod": pods,
            "PersistentVolumeClaim": claims,
            "PersistentVolume": pvs,
            "LogicVolume": logic_volumes,
            "StorageClass": classes,
        }
        return ClusterSnapshot(
            now=now,
            nodes=nodes.values,
            pods=tuple(pods.values.values()),
            claims=claims.values,
            persistent_volumes=pvs.values,
            logic_volumes=logic_volumes.values,
            classes=classes.values,
            unreadable=tuple(
                Unreadable(kind, key.rpartition("/")[2], reason)
                for kind, view in bad.items()
                for key, reason in view.unreadable.items()
            ),
            watched=True,
        )
