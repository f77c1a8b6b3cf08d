"""The product's informer, fed from the emulator's history by watches that lag, hang and lie.

Each control worker has an informer of its own. What it is shown when it looks follows from when the
changes were made and from what becomes of its watch; so no watch costs the simulation an event.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from random import Random
from typing import Any

from carina_tasks.emulator.api_server.cluster import Cluster as Emulator
from carina_tasks.emulator.api_server.kinds import (
    NODES,
    PERSISTENT_VOLUME_CLAIMS,
    PERSISTENT_VOLUMES,
    PODS,
    STORAGE_CLASSES,
)
from carina_tasks.emulator.api_server.store import Change
from carina_tasks.kube import paths
from carina_tasks.kube.informer import Behind, Informer, WatchedKind
from carina_tasks.model.snapshot import ClusterSnapshot
from tests.builders.pages import change_of, objects_of
from tests.sim.actors import Actors, Process
from tests.sim.chance import Chance

STALE_AFTER = 90.0
LAGS = (0.01, 0.01, 0.3, 3.0, 20.0, 60.0, 180.0)
"""Seconds between a change and the event that shows it."""
TROUBLES = ("watch-lags", "watch-silent", "watch-bookmarks-only", "watch-too-old")


class Watches:
    """Stands for `Informer` in the one `Cluster` that all processes of a history share."""

    def __init__(
        self,
        emulator: Emulator,
        resources: dict[str, str],
        actors: Actors,
        chance: Chance,
        seed: int,
    ) -> None:
        self.emulator, self.resources = emulator, resources
        self.actors, self.chance = actors, chance
        self.rng = Random(f"{seed}/watches")
        self.log: dict[str, list[tuple[float, Change]]] = {path: [] for path in resources}
        """What was changed, and when, by path."""
        self._of: dict[Process, _Fed] = {}
        for path, resource in resources.items():
            emulator.store.listen(resource, self._note(path))

    def _note(self, path: str) -> Any:
        return lambda change: self.log[path].append((self.actors.clock.now, change))

    def snapshot(self, now: float) -> ClusterSnapshot | Behind:
        """Return what the informer of the calling process shows."""
        return self._fed().informer.snapshot(now)

    def behind(self, *kinds: WatchedKind[Any]) -> Behind | None:
        """Return why the informer of the calling process shows nothing."""
        return self._fed().informer.behind(*kinds)

    @property
    def nodes(self) -> WatchedKind[Any]:
        """The nodes as the calling process sees them."""
        return self._fed().informer.nodes

    @property
    def logic_volumes(self) -> WatchedKind[Any]:
        """The LogicVolumes as the calling process sees them."""
        return self._fed().informer.logic_volumes

    @property
    def claims(self) -> WatchedKind[Any]:
        """The claims as the calling process sees them."""
        return self._fed().informer.claims

    @property
    def persistent_volumes(self) -> WatchedKind[Any]:
        """The PVs as the calling process sees them."""
        return self._fed().informer.persistent_volumes

    def _fed(self) -> _Fed:
        process = self.actors.process
        assert process is not None
        if process not in self._of:
            self._of[process] = _Fed(self)
        fed = self._of[process]
        fed.catch_up()
        return fed


@dataclass
class _Stream:
    """One watch of one process."""

    shown: int
    """How many changes of its log it has been shown."""
    lists_at: float
    """When its list arrives; a watch that begins again lists at once."""
    trouble: str = ""
    until: float = 0.0
    """When the trouble ends, with a new list."""
    lag: float = 0.01
    silent_since: float = 0.0


class _Fed:
    """One process's informer and its watches."""

    def __init__(self, watches: Watches) -> None:
        self.watches, self.at = watches, watches.actors.clock.now
        # Nothing is asked of an API server here: lists and events come from the emulator's store.
        self.informer = Informer(None, STALE_AFTER, lambda: self.at)  # type: ignore[arg-type]
        self.informer._process = os.getpid()
        self.streams = {
            path: _Stream(-1, self.at + watches.rng.choice((0.0, 0.5, 20.0)))
            for path in watches.resources
        }

    def catch_up(self) -> None:
        """Show what has arrived by now."""
        now = self.watches.actors.clock.now
        for path, stream in self.streams.items():
            self._trouble(stream, now)
            if stream.shown < 0 and stream.lists_at <= now:
                self._list(path, stream)
            if stream.shown >= 0:
                self._follow(path, stream, now)
        self.at = now

    def _trouble(self, stream: _Stream, now: float) -> None:
        chance, rng = self.watches.chance, self.watches.rng
        if stream.trouble and (now >= stream.until or not chance.odds):
            if stream.trouble != "watch-lags":
                stream.shown, stream.lists_at = -1, now
            stream.trouble, stream.lag = "", 0.01
        if not stream.trouble and chance.odds and rng.random() < 0.05:
            stream.trouble = rng.choice(TROUBLES)
            chance.count(stream.trouble)
            stream.until = now + rng.choice((5.0, 60.0, 400.0))
            stream.silent_since, stream.lag = now, rng.choice(LAGS)
            if stream.trouble == "watch-too-old":
                stream.until = now

    def _list(self, path: str, stream: _Stream) -> None:
        items = self.watches.emulator.store.items(self.watches.resources[path])
        stream.shown = len(self.watches.log[path])
        self.at = self.watches.actors.clock.now
        kind = self.informer.kinds[path]
        kind.listed(objects_of(kind.kind, (raw for _, raw in items)))

    def _follow(self, path: str, stream: _Stream, now: float) -> None:
        kind, log = self.informer.kinds[path], self.watches.log[path]
        heard = stream.silent_since if stream.trouble == "watch-silent" else now
        if stream.trouble not in ("watch-silent", "watch-bookmarks-only"):
            while stream.shown < len(log) and log[stream.shown][0] <= now - stream.lag:
                self.at, change = log[stream.shown][0] + stream.lag, log[stream.shown][1]
                kind.changed(change_of(kind.kind, change.type, change.obj))
                stream.shown += 1
        # Bookmarks come about every minute; a process that looks sees the last one.
        self.at = max(heard - 1.0, 0.0)
        silent = kind.silent()
        if silent is None or silent > 0:
            kind.changed(change_of(kind.kind, "BOOKMARK", {"metadata": {}}))
        self.at = now


def resources_of(logic_volumes: str) -> dict[str, str]:
    """Return the emulator's name of each kind that an informer watches, by path.

    Args:
        logic_volumes: The emulator's name of LogicVolumes, which are a custom resource.
    """
    return {
        paths.NODES: NODES.id,
        paths.PODS: PODS.id,
        paths.CLAIMS: PERSISTENT_VOLUME_CLAIMS.id,
        paths.PERSISTENT_VOLUMES: PERSISTENT_VOLUMES.id,
        paths.LOGIC_VOLUMES: logic_volumes,
        paths.STORAGE_CLASSES: STORAGE_CLASSES.id,
    }
