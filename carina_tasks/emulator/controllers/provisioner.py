"""A claim with a selected node gets its volume.

LogicVolume, LV, and PersistentVolume, in Carina's order.

Plays the external CSI provisioner, Carina's CSI controller and its agent on the node. A Released
volume with the policy Delete goes the other way: its LogicVolume and LV go, and then it.
"""

from __future__ import annotations

from collections.abc import Callable

from carina_tasks.demo import manifests
from carina_tasks.emulator.controllers.view import View
from carina_tasks.errors import AlreadyExists, NotFound
from carina_tasks.kube import paths
from carina_tasks.model import quantity, well_known
from carina_tasks.model.local import LocalVolume
from carina_tasks.model.objects import Claim, ObjectMeta, PersistentVolume, parse_meta

CreateLocal = Callable[[str, str, int], LocalVolume]
RemoveLocal = Callable[[str, str], None]


class Provisioner:
    """`create(node, lv, bytes)` and `remove(node, lv)` stand for Carina's agent on the node."""

    def __init__(
        self, view: View, alive: Callable[[str], bool], create: CreateLocal, remove: RemoveLocal
    ) -> None:
        self._view, self._alive, self._create, self._remove = view, alive, create, remove

    def step(self, now: float) -> None:
        """Provision what waits, delete what was released."""
        for claim in self._view.claims.all():
            if _waits(claim) and self._alive(claim.meta.annotations[manifests.SELECTED_NODE]):
                with self._view.attempt(f"provision {claim.meta.key}"):
                    self._provision(claim)
        for pv in self._view.volumes.all():
            released = pv.ours and pv.phase == "Released" and pv.policy == "Delete"
            if released and all(self._alive(node) for node in pv.nodes):
                with self._view.attempt(f"delete {pv.meta.name}"):
                    self._delete(pv)

    def _provision(self, claim: Claim) -> None:
        api, meta = self._view.api, claim.meta
        name = meta.annotations.get(manifests.VOLUME_NAME) or f"pvc-{meta.uid}"
        raw = self._view.claims.raw(meta.key)
        if not raw or self._view.volumes.get(name) is not None:
            return
        node, size = (
            meta.annotations[manifests.SELECTED_NODE],
            raw["spec"]["resources"]["requests"]["storage"],
        )
        try:
            api.create(
                paths.LOGIC_VOLUMES,
                manifests.logic_volume(name, node, size, meta.name, meta.namespace),
            )
        except AlreadyExists:
            # An earlier round came this far; each of these steps may be done twice.
            self._view.changed.set()
        lv = self._create(node, f"volume-{name}", quantity.whole_gib(quantity.to_bytes(size)))
        status = manifests.logic_volume_status(name, size, lv.major, lv.minor)
        api.merge(paths.logic_volume(name) + "/status", status)
        body = manifests.persistent_volume(
            name, node, size, dict(raw), major=lv.major, minor=lv.minor
        )
        api.create(paths.PERSISTENT_VOLUMES, body)

    def _delete(self, pv: PersistentVolume) -> None:
        api, name = self._view.api, pv.meta.name
        try:
            meta = parse_meta(api.get(paths.logic_volume(name)))
            api.delete(paths.logic_volume(name), uid=meta.uid)
            for node in pv.nodes:
                self._remove(node, pv.handle)
            self._drop_finalizer(paths.logic_volume(name), meta, well_known.LOGIC_VOLUME_FINALIZER)
        except NotFound:
            self._view.changed.set()
        if pv.meta.deleting is None:
            api.delete(paths.persistent_volume(name), uid=pv.meta.uid)
        self._drop_finalizer(
            paths.persistent_volume(name),
            pv.meta,
            "external-provisioner.volume.kubernetes.io/finalizer",
        )

    def _drop_finalizer(self, path: str, meta: ObjectMeta, finalizer: str) -> None:
        fresh = parse_meta(self._view.api.get(path))
        left = [one for one in fresh.finalizers if one != finalizer]
        self._view.api.merge(path, {"metadata": {"uid": meta.uid, "finalizers": left or None}})


def _waits(claim: Claim) -> bool:
    return (
        manifests.SELECTED_NODE in claim.meta.annotations
        and not claim.pv_name
        and claim.meta.deleting is None
        and claim.phase == "Pending"
        and claim.storage_class == manifests.STORAGE_CLASS
    )
