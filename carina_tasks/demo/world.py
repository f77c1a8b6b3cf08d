"""The cluster's objects: made and read as people do, through the API server."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import Any, Final

from carina_tasks.demo import manifests
from carina_tasks.demo.stage import Stage
from carina_tasks.errors import AlreadyExists, BadObject, NotFound
from carina_tasks.kube import paths
from carina_tasks.model import well_known
from carina_tasks.model.objects import (
    Claim,
    LogicVolume,
    Node,
    Pod,
    parse_logic_volume,
    parse_node,
    parse_pod,
)

Raw = dict[str, Any]
CLAIMS = f"/api/v1/namespaces/{manifests.NAMESPACE}/persistentvolumeclaims"
PODS = f"/api/v1/namespaces/{manifests.NAMESPACE}/pods"
SETS = f"/apis/apps/v1/namespaces/{manifests.NAMESPACE}/statefulsets"
PATIENCE: Final = 120.0
"""Seconds that something may take, several times what a small machine needs: a wait ends as soon as
what it waits for is there.
"""


class NotInTime(Exception):
    """The cluster did not come to be as it should within the time given."""


class World:
    """Objects on a stage."""

    def __init__(self, stage: Stage) -> None:
        self.stage, self.api, self.cluster = stage, stage.api, stage.cluster

    # --- making ---

    def prepare(self) -> None:
        """Install what every cluster with Carina has."""
        self._ensure(paths.STORAGE_CLASSES, manifests.storage_class())

    def register(self, *nodes: str) -> None:
        """Register Node objects, and wait until their kubelets have made them Ready."""
        for name in nodes:
            self._ensure(paths.NODES, manifests.node(name))
        for name in nodes:
            self.wait(f"node {name} is Ready", partial(self._is_ready, name))

    def claim(self, name: str, size: str, node: str, volume: str = "", **labels: str) -> None:
        """Make a claim whose volume goes to `node`, under the name `volume` if that is given."""
        annotations = {manifests.SELECTED_NODE: node} | (
            {manifests.VOLUME_NAME: volume} if volume else {}
        )
        self.api.create(CLAIMS, manifests.claim(name, size, labels, annotations))

    def stateful_set(self, name: str, size: str, replicas: int, migrate: str | None = None) -> None:
        """Make a StatefulSet; claims ``data-<name>-<n>`` that are there already are used."""
        self.api.create(SETS, manifests.stateful_set(name, size, replicas, migrate=migrate))

    def delete_node(self, name: str) -> None:
        """Do what ``kubectl delete node`` does; the machine's power goes, too."""
        self.stage.power_off(name)
        uid = self.api.get(paths.node(name))["metadata"]["uid"]
        self.api.delete(paths.node(name), uid=uid)

    # --- reading ---

    def ready(self, node: str) -> str:
        """Return the status of the node's Ready condition, empty when there is no such node."""
        found = self.node(node)
        return found.ready if found else ""

    def node(self, name: str) -> Node | None:
        """Return the node, or None."""
        try:
            return parse_node(self.api.get(paths.node(name)))
        except NotFound:
            return None

    def volumes(self) -> dict[str, LogicVolume]:
        """Return the LogicVolumes by name; one that does not parse is left out."""
        found = {}
        for raw in self.api.list(paths.LOGIC_VOLUMES).items:
            with suppress(BadObject):
                found[raw["metadata"]["name"]] = parse_logic_volume(raw)
        return found

    def pods(self) -> dict[str, Pod]:
        """Return the pods by name."""
        return {pod.meta.name: pod for pod in (parse_pod(raw) for raw in self.api.list(PODS).items)}

    def claims(self) -> dict[str, Claim]:
        """Return the claims by name."""
        return {claim.meta.name: claim for claim in self.cluster.observe().claims.values()}

    def running(self, *pods: str, on: str) -> bool:
        """Return whether these pods run on the node `on`."""
        found = self.pods()
        return all(
            name in found
            and found[name].phase == "Running"
            and found[name].node == on
            and found[name].meta.deleting is None
            for name in pods
        )

    def rebuilt(self, *volumes: str, away_from: str) -> bool:
        """Return whether these volumes are Success elsewhere, with no journal left."""
        found = self.volumes()
        return all(
            name in found
            and found[name].status == well_known.STATUS_SUCCESS
            and found[name].node != away_from
            and not found[name].journalled
            for name in volumes
        )

    def events(self, kind: str, name: str, namespace: str = manifests.NAMESPACE) -> list[Raw]:
        """Return the Events about one object."""
        items = self.api.list(paths.events(namespace)).items
        return [
            e
            for e in items
            if e["involvedObject"].get("kind") == kind and e["involvedObject"].get("name") == name
        ]

    def versions(self, claim: str) -> Mapping[str, str]:
        """Return the resourceVersions of everything that belongs to a claim.

        Pods, claim, volume and LogicVolume.
        """
        found = {f"pod {p.meta.name}": p.meta for p in self.pods().values() if claim in p.claims}
        one = self.api.get(f"{CLAIMS}/{claim}")
        volume = one["spec"].get("volumeName", "")
        versions = {what: f"{meta.uid}/{meta.version}" for what, meta in found.items()}
        for what, path in (
            (f"claim {claim}", f"{CLAIMS}/{claim}"),
            (f"volume {volume}", paths.persistent_volume(volume)),
            (f"LogicVolume {volume}", paths.logic_volume(volume)),
        ):
            meta = self.api.get(path)["metadata"]
            versions[what] = f"{meta['uid']}/{meta['resourceVersion']}"
        return versions

    def wait(self, what: str, check: Callable[[], object], timeout: float = PATIENCE) -> float:
        """Call `check` until it is true; return the seconds.

        Raises NotInTime after `timeout` seconds.
        """
        begun = time.monotonic()
        while not check():
            if time.monotonic() - begun > timeout:
                raise NotInTime(f"not within {timeout:.0f} s: {what}")
            time.sleep(0.1)
        return time.monotonic() - begun

    def _is_ready(self, node: str) -> bool:
        return self.ready(node) == "True"

    def _ensure(self, path: str, body: Raw) -> None:
        try:
            self.api.create(path, body)
        except AlreadyExists:
            return
