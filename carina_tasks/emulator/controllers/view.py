"""Everything the controllers see, and the writes that they share."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from carina_tasks.emulator.controllers.informer import Informer
from carina_tasks.emulator.controllers.stateful_set import StatefulSet, parse_stateful_set
from carina_tasks.errors import ApiConflict, CarinaTasksError, NotFound
from carina_tasks.kube import paths
from carina_tasks.kube.api import Api
from carina_tasks.kube.events import Events
from carina_tasks.model import objects
from carina_tasks.model.objects import Claim, Lease, Node, PersistentVolume, Pod

STATEFUL_SETS = "/apis/apps/v1/statefulsets"


class View:
    """The cluster as the controllers see it: a moment old, as with the real ones."""

    def __init__(self, api: Api) -> None:
        self.api = api
        self.events = Events(api, controller="persistentvolume-controller")
        self.changed = threading.Event()
        self.errors: deque[str] = deque(maxlen=50)
        said = self.changed.set
        self.nodes: Informer[Node] = Informer(api, paths.NODES, objects.parse_node, said)
        self.leases: Informer[Lease] = Informer(api, paths.NODE_LEASES, objects.parse_lease, said)
        self.pods: Informer[Pod] = Informer(api, paths.PODS, objects.parse_pod, said)
        self.claims: Informer[Claim] = Informer(api, paths.CLAIMS, objects.parse_claim, said)
        self.volumes: Informer[PersistentVolume] = Informer(
            api, paths.PERSISTENT_VOLUMES, objects.parse_persistent_volume, said
        )
        self.stateful_sets: Informer[StatefulSet] = Informer(
            api, STATEFUL_SETS, parse_stateful_set, said
        )
        self._informers: tuple[Informer[Any], ...] = (
            self.nodes,
            self.leases,
            self.pods,
            self.claims,
            self.volumes,
            self.stateful_sets,
        )

    def start(self) -> None:
        """Begin to look, and wait for the first lists."""
        for informer in self._informers:
            informer.start()
        for informer in self._informers:
            informer.synced.wait(10)

    def stop(self) -> None:
        """Look no more."""
        for informer in self._informers:
            informer.stop()

    @contextmanager
    def attempt(self, what: str) -> Iterator[None]:
        """Do a write.

        When the object changed or is gone, the next round reads it again.
        """
        try:
            yield
        except (ApiConflict, NotFound):
            self.changed.set()
        except CarinaTasksError as exc:
            self.errors.append(f"{what}: {exc.message}")


def timestamp(*, micro: bool = False) -> str:
    """Return the time now as Kubernetes writes it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ" if micro else "%Y-%m-%dT%H:%M:%SZ")
