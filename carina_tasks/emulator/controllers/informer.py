"""What a controller sees of one kind.

A list, then a watch from its version on, and a list again when that breaks.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any, Generic, Protocol, TypeVar

from carina_tasks.errors import BadObject, CarinaTasksError
from carina_tasks.kube.api import Api
from carina_tasks.model.objects import ObjectMeta

WATCH_SECONDS = 60


class HasMeta(Protocol):
    """Any parsed object."""

    @property
    def meta(self) -> ObjectMeta:
        """Its metadata."""
        ...


T = TypeVar("T", bound=HasMeta)


class Informer(Generic[T]):
    """The objects at `path`, by key (``namespace/name``); `changed` is called after each change."""

    def __init__(
        self,
        api: Api,
        path: str,
        parse: Callable[[Mapping[str, Any]], T],
        changed: Callable[[], None],
    ) -> None:
        self._api, self._path, self._parse, self._changed = api, path, parse, changed
        self._objects: dict[str, T] = {}
        self._raws: dict[str, Mapping[str, Any]] = {}
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self.synced = threading.Event()

    def start(self) -> None:
        """Begin, in a thread of its own."""
        threading.Thread(target=self._run, daemon=True, name=f"informer {self._path}").start()

    def stop(self) -> None:
        """End the thread after its next event."""
        self._stopped.set()

    def all(self) -> list[T]:
        """Return the objects, ordered by key."""
        with self._lock:
            return [self._objects[key] for key in sorted(self._objects)]

    def get(self, key: str) -> T | None:
        """Return one object, or None."""
        with self._lock:
            return self._objects.get(key)

    def raw(self, key: str) -> Mapping[str, Any]:
        """Return an object that `all` returned, whole; empty when it has gone since."""
        with self._lock:
            return self._raws.get(key, {})

    def _run(self) -> None:
        while not self._stopped.is_set():
            try:
                version = self._list()
                while not self._stopped.is_set():
                    version = self._follow(version)
            except CarinaTasksError:
                self._stopped.wait(0.3)

    def _list(self) -> str:
        listing = self._api.list(self._path)
        found = [(self._read(raw), raw) for raw in listing.items]
        with self._lock:
            self._objects = {one.meta.key: one for one, _ in found if one is not None}
            self._raws = {one.meta.key: raw for one, raw in found if one is not None}
        self.synced.set()
        self._changed()
        return listing.version

    def _follow(self, version: str) -> str:
        for event in self._api.watch(self._path, version, WATCH_SECONDS):
            if self._stopped.is_set():
                break
            version = str((event.object.get("metadata") or {}).get("resourceVersion") or version)
            if event.type == "BOOKMARK":
                continue
            one = self._read(event.object)
            if one is None:
                continue
            with self._lock:
                if event.type == "DELETED":
                    self._objects.pop(one.meta.key, None)
                    self._raws.pop(one.meta.key, None)
                else:
                    self._objects[one.meta.key] = one
                    self._raws[one.meta.key] = event.object
            self._changed()
        return version

    def _read(self, raw: Mapping[str, Any]) -> T | None:
        try:
            return self._parse(raw)
        except BadObject:
            # The operator wrote nonsense into an object: real controllers skip it too.
            return None
