"""The cluster, read: complete lists and single objects as frozen values."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import msgspec

from carina_tasks.errors import BadObject, NotFound
from carina_tasks.kube import paths
from carina_tasks.kube.api import Api, Listing, Raw
from carina_tasks.model import objects
from carina_tasks.model.objects import Claim, Lease, LogicVolume, Node, PersistentVolume
from carina_tasks.model.snapshot import ClusterSnapshot, Unreadable

T = TypeVar("T")


def parse(raw: Raw, parser: Callable[[Raw], T]) -> T:
    """Return `raw` read by `parser`. Raises BadObject whatever is wrong with it."""
    try:
        value = parser(raw)
        # A parser takes the values as they are; that each field has its declared type is checked
        # here, for all of them.
        msgspec.convert(msgspec.to_builtins(value), type(value))
    except (
        msgspec.ValidationError,
        TypeError,
        AttributeError,
        KeyError,
        ValueError,
        RecursionError,
    ) as exc:
        meta = raw.get("metadata")
        name = meta.get("name") if isinstance(meta, dict) else "?"
        raise BadObject(f"{name}: a field has a wrong type: {exc}", name=str(name)) from exc
    return value


class Cluster:
    """What the API server knows, as frozen values."""

    def __init__(self, api: Api) -> None:
        self.api = api

    def observe(self) -> ClusterSnapshot:
        """Return the whole cluster as far as a failover or a sweep looks at it.

        Every list is complete or an error is raised: nothing is ever decided on a part.
        LogicVolumes are listed before PersistentVolumes, so one that has just got its PV is never
        seen without.
        """
        with ThreadPoolExecutor(4) as pool:
            lists = {
                path: pool.submit(self.api.list, path)
                for path in (
                    paths.NODES,
                    paths.PODS,
                    paths.CLAIMS,
                    paths.STORAGE_CLASSES,
                    paths.NODE_LEASES,
                )
            }
            logic_volumes = self.api.list(paths.LOGIC_VOLUMES)
            volumes = self.api.list(paths.PERSISTENT_VOLUMES)
            got = {path: future.result() for path, future in lists.items()}
        bad: list[Unreadable] = []

        def each(kind: str, listing: Listing, parser: Callable[[Raw], T]) -> list[T]:
            values = []
            for raw in listing.items:
                try:
                    values.append(parse(raw, parser))
                except BadObject as exc:
                    bad.append(
                        Unreadable(kind, str(exc.facts.get("name") or _name(raw)), exc.message)
                    )
            return values

        return ClusterSnapshot(
            now=volumes.now,
            nodes={n.name: n for n in each("Node", got[paths.NODES], objects.parse_node)},
            pods=tuple(each("Pod", got[paths.PODS], objects.parse_pod)),
            claims={
                c.meta.key: c
                for c in each("PersistentVolumeClaim", got[paths.CLAIMS], objects.parse_claim)
            },
            persistent_volumes={
                v.meta.name: v
                for v in each("PersistentVolume", volumes, objects.parse_persistent_volume)
            },
            logic_volumes={
                v.name: v for v in each("LogicVolume", logic_volumes, objects.parse_logic_volume)
            },
            classes={
                c.meta.name: c
                for c in each(
                    "StorageClass", got[paths.STORAGE_CLASSES], objects.parse_storage_class
                )
            },
            leases={
                lease.meta.name: lease
                for lease in each("Lease", got[paths.NODE_LEASES], objects.parse_lease)
            },
            unreadable=tuple(bad),
        )

    def node(self, name: str) -> tuple[Node | None, float]:
        """Return the node (None: the API server answers 404) and the API server's clock."""
        try:
            raw, now = self.api.read(paths.node(name))
        except NotFound:
            return None, self.now()
        return parse(raw, objects.parse_node), now

    def now(self) -> float:
        """Return the API server's clock (seconds since the epoch)."""
        return self.api.read("/version")[1]

    def lease(self, name: str) -> Lease | None:
        """Return the node's Lease, or None."""
        return self._get(f"{paths.NODE_LEASES}/{name}", objects.parse_lease)

    def logic_volume(self, name: str) -> LogicVolume | None:
        """Return the LogicVolume, or None when the API server answers 404. Raises BadObject."""
        return self._get(paths.logic_volume(name), objects.parse_logic_volume)

    def persistent_volume(self, name: str) -> PersistentVolume | None:
        """Return the PersistentVolume, or None when the API server answers 404.

        Raises BadObject.
        """
        return self._get(paths.persistent_volume(name), objects.parse_persistent_volume)

    def claim(self, namespace: str, name: str) -> Claim | None:
        """Return the claim, or None when the API server answers 404. Raises BadObject."""
        return self._get(paths.claim(namespace, name), objects.parse_claim)

    def pods(self) -> tuple[objects.Pod, ...]:
        """Return all pods, read again.

        Raises BadObject: a pod that cannot be read is no pod that may be overlooked.
        """
        return tuple(parse(raw, objects.parse_pod) for raw in self.api.list(paths.PODS).items)

    def pod_count(self) -> int | None:
        """Return how many pods the API server counts; None when it does not say."""
        return self.api.count(paths.PODS)

    def pods_on(self, node: str, namespace: str, claim: str) -> tuple[objects.Pod, ...]:
        """Return the pods of `namespace` that are bound to `node` and use `claim`, read again."""
        listing = self.api.list(
            f"/api/v1/namespaces/{namespace}/pods", {"fieldSelector": f"spec.nodeName={node}"}
        )
        pods = (parse(raw, objects.parse_pod) for raw in listing.items)
        return tuple(pod for pod in pods if claim in pod.claims)

    def _get(self, path: str, parser: Callable[[Raw], T]) -> T | None:
        try:
            return parse(self.api.get(path), parser)
        except NotFound:
            return None


def _name(raw: Raw) -> str:
    meta = raw.get("metadata")
    return str(meta.get("name")) if isinstance(meta, dict) else "?"
