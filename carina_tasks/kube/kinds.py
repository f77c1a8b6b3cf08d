"""The kinds that are read: where they live, what of them is decoded, and the value made from it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Generic, TypeVar

import msgspec

from carina_tasks.kube import paths
from carina_tasks.model import objects, shapes
from carina_tasks.model.objects import (
    Claim,
    LogicVolume,
    Node,
    PersistentVolume,
    Pod,
    StorageClass,
)
from carina_tasks.model.snapshot import Unreadable

T = TypeVar("T")


class ListMeta(shapes.Shape, frozen=True):
    """ListMeta."""

    resource_version: str | None = None
    more: str | None = msgspec.field(default=None, name="continue")


S = TypeVar("S", bound=shapes.AnyObject)


class Page(shapes.Shape, Generic[S], frozen=True):
    """One page of a list."""

    kind: str
    metadata: ListMeta
    items: tuple[S, ...] | None = None


class Kind(Generic[T]):
    """One kind, with its decoders: making one costs more than using it."""

    def __init__(
        self,
        name: str,
        plural: str,
        path: str,
        shape: type[shapes.AnyObject],
        make: Callable[[Any], T],
    ) -> None:
        """Describe a kind.

        Args:
            name: Its kind in the API.
            plural: What reports call its objects.
            path: Where all of them are listed.
            shape: What of each is decoded.
            make: Makes the value from that; raises BadObject.
        """
        self.name, self.plural, self.path = name, plural, path
        self.shape, self.make = shape, make
        self.object = msgspec.json.Decoder(shape)
        self.page = msgspec.json.Decoder(Page[shape])  # type: ignore[valid-type]

    def unreadable(self, found: Mapping[str, str]) -> tuple[Unreadable, ...]:
        """Return what could not be read, as snapshots report it.

        Args:
            found: Why each object could not be read, by key.
        """
        return tuple(
            Unreadable(self.name, key.rpartition("/")[2], why) for key, why in found.items()
        )


NODES: Kind[Node] = Kind("Node", "nodes", paths.NODES, shapes.Node, objects.node_of)
PODS: Kind[Pod] = Kind("Pod", "pods", paths.PODS, shapes.Pod, objects.pod_of)
CLAIMS: Kind[Claim] = Kind(
    "PersistentVolumeClaim", "claims", paths.CLAIMS, shapes.Claim, objects.claim_of
)
PERSISTENT_VOLUMES: Kind[PersistentVolume] = Kind(
    "PersistentVolume",
    "PersistentVolumes",
    paths.PERSISTENT_VOLUMES,
    shapes.PersistentVolume,
    objects.persistent_volume_of,
)
LOGIC_VOLUMES: Kind[LogicVolume] = Kind(
    "LogicVolume",
    "LogicVolumes",
    paths.LOGIC_VOLUMES,
    shapes.LogicVolume,
    objects.logic_volume_of,
)
STORAGE_CLASSES: Kind[StorageClass] = Kind(
    "StorageClass",
    "StorageClasses",
    paths.STORAGE_CLASSES,
    shapes.StorageClass,
    objects.storage_class_of,
)
