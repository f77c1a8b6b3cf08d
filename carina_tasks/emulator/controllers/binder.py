"""Claims and volumes: Bound, Lost, Released.

As kube-controller-manager's persistent-volume-binder does it: a volume is looked at whenever it changes, a claim only when
*it* changes, when its volume goes, or at the resync every 15 seconds. So a claim whose volume was replaced stays Lost until
somebody touches it. Source: pkg/controller/volume/persistentvolume/pv_controller.go, ``syncClaim`` and ``syncVolume``.
"""

from __future__ import annotations

import copy

from carina_tasks.emulator.controllers.view import View
from carina_tasks.kube import paths
from carina_tasks.kube.events import About
from carina_tasks.model.objects import Claim, PersistentVolume

RESYNC = 15.0
_BIND_COMPLETED = "pv.kubernetes.io/bind-completed"


class Binder:
    """Remembers which version of each claim it has looked at."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._looked: dict[str, str] = {}
        self._known: dict[str, PersistentVolume] = {}
        self.next_resync = 0.0
        """When every claim is looked at again, by the loop's steady clock."""

    def step(self, now: float) -> None:
        """Look at every volume, and at the claims that are due."""
        volumes = {volume.meta.name: volume for volume in self._view.volumes.all()}
        due = self._claims_of_gone(volumes)
        if now >= self.next_resync:
            self.next_resync = now + RESYNC
            self._looked.clear()
        for volume in volumes.values():
            due |= self._volume(volume)
        claims = {claim.meta.key: claim for claim in self._view.claims.all()}
        for key, claim in claims.items():
            if key in due or self._looked.get(key) != claim.meta.version:
                self._looked[key] = claim.meta.version
                self._claim(claim, volumes)
        self._looked = {key: version for key, version in self._looked.items() if key in claims}

    def _claims_of_gone(self, volumes: dict[str, PersistentVolume]) -> set[str]:
        gone = {
            old.claim_key
            for name, old in self._known.items()
            if name not in volumes or volumes[name].meta.uid != old.meta.uid
        }
        self._known = volumes
        return gone

    def _volume(self, volume: PersistentVolume) -> set[str]:
        """Set the volume's phase; return the claim that is waiting for it."""
        if not volume.claim_key:
            self._phase(volume, "Available")
            return set()
        claim = self._view.claims.get(volume.claim_key)
        if claim is None or (volume.claim_uid and claim.meta.uid != volume.claim_uid):
            if volume.claim_uid and volume.phase in ("Bound", "Available"):
                self._phase(volume, "Released")
            return set()
        if claim.volume == volume.meta.name:
            self._phase(volume, "Bound")
            return set()
        return set() if claim.volume else {volume.claim_key}

    def _phase(self, volume: PersistentVolume, phase: str) -> None:
        if volume.phase != phase:
            with self._view.attempt(f"volume {volume.meta.name} {phase}"):
                body = {"metadata": {"uid": volume.meta.uid}, "status": {"phase": phase}}
                self._view.api.merge(paths.volume(volume.meta.name) + "/status", body)

    def _claim(self, claim: Claim, volumes: dict[str, PersistentVolume]) -> None:
        with self._view.attempt(f"claim {claim.meta.key}"):
            if claim.volume:
                volume = volumes.get(claim.volume)
                if volume is None:
                    self._lost(
                        claim, f"Bound claim has lost its PersistentVolume {claim.volume}. Data on the volume is lost!"
                    )
                elif volume.claim_uid and volume.claim_uid != claim.meta.uid:
                    self._lost(claim, f"PersistentVolume {claim.volume} is bound to another claim")
                else:
                    self._bound(claim, volume)
                return
            volume = next((v for v in volumes.values() if v.claim_key == claim.meta.key), None)
            if volume is not None and volume.claim_uid in ("", claim.meta.uid):
                body = {
                    "metadata": {"uid": claim.meta.uid, "annotations": {_BIND_COMPLETED: "yes"}},
                    "spec": {"volumeName": volume.meta.name},
                }
                self._view.api.merge(paths.claim(claim.meta.namespace, claim.meta.name), body)
                self._phase(volume, "Bound")
                self._bound(claim, volume)

    def _bound(self, claim: Claim, volume: PersistentVolume) -> None:
        if claim.phase == "Bound":
            return
        status = copy.deepcopy(
            {
                "phase": "Bound",
                "accessModes": volume.raw["spec"]["accessModes"],
                "capacity": volume.raw["spec"]["capacity"],
            }
        )
        self._status(claim, status)

    def _lost(self, claim: Claim, message: str) -> None:
        if claim.phase != "Lost":
            self._status(claim, {"phase": "Lost"})
            about = About("PersistentVolumeClaim", claim.meta.name, claim.meta.uid, claim.meta.namespace)
            self._view.events.say(about, "Warning", "ClaimLost", message)

    def _status(self, claim: Claim, status: dict[str, object]) -> None:
        path = paths.claim(claim.meta.namespace, claim.meta.name) + "/status"
        self._view.api.merge(path, {"metadata": {"uid": claim.meta.uid}, "status": status})
