"""The cluster, read: complete lists and single objects as frozen values."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import TypeVar

import structlog

from carina_tasks.errors import BadObject, NotFound
from carina_tasks.kube import admission, event_history, kinds, paths, rights
from carina_tasks.kube.api import Api, Raw
from carina_tasks.kube.event_history import PastEvent
from carina_tasks.kube.informer import Behind, Informer, WatchedKind
from carina_tasks.kube.parsing import Named, Objects, key_of
from carina_tasks.kube.rights import Right
from carina_tasks.kube.shared import SharedReading
from carina_tasks.kube.snapshots import Everything
from carina_tasks.model import objects
from carina_tasks.model.admission import AdmissionPolicy
from carina_tasks.model.objects import (
    Claim,
    Lease,
    LogicVolume,
    Node,
    PersistentVolume,
    Pod,
    WholePersistentVolume,
)
from carina_tasks.model.snapshot import ClusterSnapshot

T = TypeVar("T")
N = TypeVar("N", bound=Named)


class PodsOnNode:
    """The pods of one node and namespace."""

    def __init__(self, pods: Iterable[Pod], unreadable: tuple[Raw, ...] = ()) -> None:
        """Make the list.

        Args:
            pods: Those that can be read.
            unreadable: The others.
        """
        self._unreadable = unreadable
        self._by_claim: dict[str, list[Pod]] = {}
        for pod in pods:
            for claim in pod.claims:
                self._by_claim.setdefault(claim, []).append(pod)

    def using(self, claim: str) -> tuple[Pod, ...]:
        """Return the pods that use `claim`.

        Raises:
            BadObject: A pod that may use it cannot be read.
        """
        for raw in self._unreadable:
            if _may_use(raw, claim):
                objects.parse_pod(raw)
        return tuple(self._by_claim.get(claim, ()))


class Cluster:
    """What the API server knows, as frozen values. Safe to share between threads."""

    def __init__(self, api: Api, informer: Informer | None = None) -> None:
        """Make the reader.

        Args:
            api: The API server.
            informer: What long-lived processes watch; without one, everything is listed.
        """
        self.api, self._informer = api, informer
        self._snapshots = SharedReading(self._observe)
        self._pods = SharedReading(self._list_pods)
        self._pods_on: dict[tuple[str, str], SharedReading[PodsOnNode]] = {}
        """By node and namespace."""
        self._ready: dict[str, SharedReading[objects.Node | None]] = {}
        self._lock = threading.Lock()

    def nodes(self) -> Objects[Node]:
        """Return all nodes, from the watch when there is one.

        Raises the adapter's errors when a list is not complete.
        """
        watched = self._watched(lambda informer: informer.nodes)
        return watched if watched is not None else self.api.read_all(kinds.NODES)

    def logic_volumes(self) -> Objects[LogicVolume]:
        """Return all LogicVolumes, from the watch when there is one.

        Raises the adapter's errors when a list is not complete.
        """
        watched = self._watched(lambda informer: informer.logic_volumes)
        return watched if watched is not None else self.api.read_all(kinds.LOGIC_VOLUMES)

    @property
    def is_watched(self) -> bool:
        """Whether nodes and LogicVolumes are watched now, so that reading them costs no list."""
        informer = self._informer
        return (
            informer is not None and informer.behind(informer.nodes, informer.logic_volumes) is None
        )

    def is_named(self, node: str) -> bool:
        """Return whether a LogicVolume names `node`, also one that cannot be read otherwise."""
        found = self.api.read_all(kinds.LOGIC_VOLUMES)
        if any(logic_volume.node == node for logic_volume in found.values.values()):
            return True
        if not found.unreadable:
            return False
        specs = (raw.get("spec") for raw in self.api.list(paths.LOGIC_VOLUMES).items)
        return any(isinstance(spec, dict) and spec.get("nodeName") == node for spec in specs)

    def events(self) -> tuple[PastEvent, ...]:
        """Return our own Events, oldest first.

        Raises:
            ApiDenied: Without the right to list them.
        """
        return event_history.events(self.api)

    @property
    def host(self) -> str:
        """The address of the API server."""
        return self.api.host

    def version(self) -> tuple[str, float]:
        """Return the API server's version and its clock (seconds since the epoch)."""
        raw, now = self.api.read("/version")
        return str(raw.get("gitVersion")), now

    def served(self, version: str) -> frozenset[str]:
        """Return the resources that the API server serves in an API version (``group/v1``)."""
        resources = self.api.get(f"/apis/{version}").get("resources") or ()
        return frozenset(str(resource.get("name")) for resource in resources)

    def missing_rights(self, wanted: tuple[Right, ...]) -> list[Right]:
        """Return the rights that our credentials lack.

        Raises:
            ApiDenied: The API server refused the credentials or the verb.
            ApiUnavailable: The Kubernetes API server did not answer.
        """
        return rights.missing(self.api, wanted)

    def has_right(self, account: str, right: Right) -> bool | None:
        """Return whether a service account has a right, None when it cannot be asked."""
        return rights.has(self.api, account, right)

    def carinas_controllers(self) -> tuple[str, ...]:
        """Return the service accounts as which Carina's own controller runs."""
        return tuple(rights.carinas_controllers(self.api))

    def carinas_policy(self) -> AdmissionPolicy | None:
        """Return the admission policy that denies Carina's own failover; None without one."""
        return admission.policy(self.api)

    def observe(self) -> ClusterSnapshot:
        """Return the whole cluster as far as a failover or a sweep looks at it.

        From the watches where they run: a moment old, so it is a suspicion (`watched`), and
        whatever follows from it is confirmed. Otherwise from lists, which begin after the call;
        threads that ask at the same time share them. Every list is complete or an error is raised:
        nothing is ever decided on a part.

        LogicVolumes are taken before PersistentVolumes, so one that has just got its PV is never
        seen without.

        Raises:
            ApiUnavailable: The API server does not answer, whatever the watches show.
        """
        if self._informer is None:
            return self._snapshots.get()
        found = self._informer.snapshot(self.now())
        if isinstance(found, Behind):
            structlog.get_logger().warning("the cluster is listed", reason=found.reason)
            return self._snapshots.get()
        return found

    def with_nodes_again(self, snapshot: ClusterSnapshot) -> ClusterSnapshot:
        """Return a watched snapshot with the nodes as a list of now has them.

        The guard against mass failure counts them, and a watch that lags would count too few lost.
        """
        if not snapshot.watched:
            return snapshot
        found = self.api.read_all(kinds.NODES)
        others = tuple(one for one in snapshot.unreadable if one.kind != "Node")
        bad = kinds.NODES.unreadable(found.unreadable)
        return replace(snapshot, nodes=found.values, unreadable=(*others, *bad))

    def pods_to_move(self, nodes: Iterable[str]) -> tuple[Pod, ...]:
        """Return the pods that are bound to these nodes, and those bound to none, read again.

        Args:
            nodes: Names of the nodes.

        Raises:
            BadObject: A pod that cannot be read is no pod that may be overlooked.
        """
        return tuple(
            pod
            for node in ("", *sorted(set(nodes)))
            for pod in self.api.read_all(kinds.PODS, _bound_to(node)).all()
        )

    def _observe(self) -> ClusterSnapshot:
        with ThreadPoolExecutor(4) as pool:
            nodes = pool.submit(self.api.read_all, kinds.NODES)
            pods = pool.submit(self.api.read_all, kinds.PODS)
            claims = pool.submit(self.api.read_all, kinds.CLAIMS)
            classes = pool.submit(self.api.read_all, kinds.STORAGE_CLASSES)
            logic_volumes = self.api.read_all(kinds.LOGIC_VOLUMES)
            pvs = self.api.read_all(kinds.PERSISTENT_VOLUMES)
            everything = Everything(
                nodes.result(),
                pods.result(),
                claims.result(),
                pvs,
                logic_volumes,
                classes.result(),
            )
        return everything.snapshot(pvs.now, watched=False)

    def node(self, name: str) -> tuple[Node | None, float]:
        """Return the node (None: the API server answers 404) and the API server's clock."""
        try:
            raw, now = self.api.read(paths.node(name))
        except NotFound:
            return None, self.now()
        return objects.parse_node(raw), now

    def is_ready(self, name: str) -> bool:
        """Ask whether there is a node of that name, and whether it is Ready.

        Threads that ask at the same time share an answer that began after they asked.

        Raises:
            BadObject: The node lacks a field or has a wrong one.
        """
        with self._lock:
            reading = self._ready.setdefault(
                name, SharedReading(lambda: self._get(paths.node(name), objects.parse_node))
            )
        found = reading.get()
        return found is not None and found.is_ready

    def now(self) -> float:
        """Return the API server's clock (seconds since the epoch)."""
        return self.api.read("/version")[1]

    def time_of_last_answer(self) -> float:
        """Return the API server's clock in its last answer (seconds since the epoch).

        For what is only shown: it may be older than the moment.
        """
        return self.api.heard_at or self.now()

    def lease(self, name: str) -> Lease | None:
        """Return the node's Lease, or None."""
        return self._get(f"{paths.NODE_LEASES}/{name}", objects.parse_lease)

    def logic_volume(self, name: str) -> LogicVolume | None:
        """Return the LogicVolume, or None when the API server answers 404.

        Raises:
            BadObject: An object in the cluster lacks a field or has a wrong one.
        """
        return self._get(paths.logic_volume(name), objects.parse_logic_volume)

    def persistent_volume(self, name: str) -> WholePersistentVolume | None:
        """Return the PersistentVolume, or None when the API server answers 404.

        Raises:
            BadObject: An object in the cluster lacks a field or has a wrong one.
        """
        return self._get(paths.persistent_volume(name), objects.parse_persistent_volume)

    def claim(self, namespace: str, name: str) -> Claim | None:
        """Return the claim, or None when the API server answers 404.

        Raises:
            BadObject: An object in the cluster lacks a field or has a wrong one.
        """
        return self._get(paths.claim(namespace, name), objects.parse_claim)

    def claim_by_watch(self, namespace: str, name: str) -> Claim | None:
        """Return the claim as its watch shows it; None without a watch, or when it is not there.

        Args:
            namespace: Its namespace.
            name: Its name.
        """
        informer = self._informer
        if informer is None or informer.behind(informer.claims) is not None:
            return None
        return informer.claims.get(f"{namespace}/{name}")

    def pv_by_watch(self, name: str) -> PersistentVolume | None:
        """Return the PV as its watch shows it; None without a watch, or when it is not there."""
        informer = self._informer
        if informer is None or informer.behind(informer.persistent_volumes) is not None:
            return None
        return informer.persistent_volumes.get(name)

    def pods(self) -> tuple[Pod, ...]:
        """Return all pods, read again.

        Raises:
            BadObject: A pod that cannot be read is no pod that may be overlooked.
        """
        return self._pods.get()

    def _list_pods(self) -> tuple[Pod, ...]:
        return self.api.read_all(kinds.PODS).all()

    def pod_count(self) -> int | None:
        """Return how many pods the API server counts; None when it does not say."""
        return self.api.count(paths.PODS)

    def pods_on(self, node: str, namespace: str) -> PodsOnNode:
        """Return the pods of `namespace` that are bound to `node`, listed again.

        Args:
            node: Name of the node.
            namespace: Namespace of the objects.
        """
        with self._lock:
            reading = self._pods_on.setdefault(
                (node, namespace), SharedReading(partial(self._list_pods_on, node, namespace))
            )
        return reading.get()

    def _list_pods_on(self, node: str, namespace: str) -> PodsOnNode:
        path = f"/api/v1/namespaces/{namespace}/pods"
        found = self.api.read_all(kinds.PODS, _bound_to(node), path)
        raws = self.api.list(path, _bound_to(node)).items if found.unreadable else ()
        unreadable = tuple(raw for raw in raws if key_of(raw) in found.unreadable)
        return PodsOnNode(tuple(found.values.values()), unreadable)

    def _watched(self, of: Callable[[Informer], WatchedKind[N]]) -> Objects[N] | None:
        """Return one cluster-scoped kind from its watch; None when that shows nothing now."""
        if self._informer is None:
            return None
        kind = of(self._informer)
        if self._informer.behind(kind) is not None:
            return None
        return kind.view()

    def _get(self, path: str, parser: Callable[[Raw], T]) -> T | None:
        try:
            return parser(self.api.get(path))
        except NotFound:
            return None


def _bound_to(node: str) -> dict[str, str]:
    return {"fieldSelector": f"spec.nodeName={node}"}


def _may_use(raw: Raw, claim: str) -> bool:
    """Return whether a pod uses the claim; True as well when only its reader can say."""
    try:
        return claim in objects.claims_of_raw(raw)
    except BadObject:
        return True
