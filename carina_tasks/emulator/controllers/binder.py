"""Claims and volumes: Bound, Lost, Released.

As kube-controller-manager's persistent-volume-binder does it: a volume is looked at whenever it
changes, a claim only when *it* changes, when its volume goes, or at the resync every 15 seconds. So
a claim whose volume was replaced stays Lost until a client changes it. Source:
pkg/controller/volume/persistentvolume/pv_controller.go, ``syncClaim`` and ``syncVolume``.
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
        pvs = {pv.meta.name: pv for pv in self._view.volumes.all()}
        due = self._claims_of_gone(pvs)
        if now >= self.next_resync:
            self.next_resync = now + RESYNC
            self._looked.clear()
        for pv in pvs.values():
            due |= self._volume(pv)
        claims = {claim.meta.key: claim for claim in self._view.claims.all()}
        for key, claim in claims.items():
            if key in due or self._looked.get(key) != claim.meta.version:
                self._looked[key] = claim.meta.version
                self._claim(claim, pvs)
        self._looked = {key: version for key, version in self._looked.items() if key in claims}

    def _claims_of_gone(self, pvs: dict[str, PersistentVolume]) -> set[str]:
        gone = {
            old.claim_key
            for name, old in self._known.items()
            if name not in pvs or pvs[name].meta.uid != old.meta.uid
        }
        self._known = pvs
        return gone

    def _volume(self, pv: PersistentVolume) -> set[str]:
        """Set the volume's phase; return the claim that is waiting for it."""
        if not pv.claim_key:
            self._phase(pv, "Available")
            return set()
        claim = self._view.claims.get(pv.claim_key)
        if claim is None or (pv.claim_uid and claim.meta.uid != pv.claim_uid):
            if pv.claim_uid and pv.phase in ("Bound", "Available"):
                self._phase(pv, "Released")
            return set()
        if claim.pv_name == pv.meta.name:
            self._phase(pv, "Bound")
            return set()
        return set() if claim.pv_name else {pv.claim_key}

    def _phase(self, pv: PersistentVolume, phase: str) -> None:
        if pv.phase != phase:
            with self._view.attempt(f"volume {pv.meta.name} {phase}"):
                body = {"metadata": {"uid": pv.meta.uid}, "status": {"phase": phase}}
                self._view.api.merge(paths.persistent_volume(pv.meta.name) + "/status", body)

    def _claim(self, claim: Claim, pvs: dict[str, PersistentVolume]) -> None:
        with self._view.attempt(f"claim {claim.meta.key}"):
            if claim.pv_name:
                pv = pvs.get(claim.pv_name)
                if pv is None:
                    self._lost(
                        claim,
                        f"Bound claim has lost its PersistentVolume {claim.pv_name}. Data on the "
                        "volume is lost!",
                    )
                elif pv.claim_uid and pv.claim_uid != claim.meta.uid:
                    self._lost(claim, f"PersistentVolume {claim.pv_name} is bound to another claim")
                else:
                    self._bound(claim, pv)
                return
            pv = next((v for v in pvs.values() if v.claim_key == claim.meta.key), None)
            if pv is not None and pv.claim_uid in ("", claim.meta.uid):
                body = {
                    "metadata": {"uid": claim.meta.uid, "annotations": {_BIND_COMPLETED: "yes"}},
                    "spec": {"volumeName": pv.meta.name},
                }
                self._view.api.merge(paths.claim(claim.meta.namespace, claim.meta.name), body)
                self._phase(pv, "Bound")
                self._bound(claim, pv)

    def _bound(self, claim: Claim, pv: PersistentVolume) -> None:
        if claim.phase == "Bound":
            return
        spec = self._view.volumes.raw(pv.meta.name).get("spec")
        if spec:
            status = {key: copy.deepcopy(spec[key]) for key in ("accessModes", "capacity")}
            self._status(claim, {"phase": "Bound", **status})

    def _lost(self, claim: Claim, message: str) -> None:
        if claim.phase != "Lost":
            self._status(claim, {"phase": "Lost"})
            about = About(
                "PersistentVolumeClaim", claim.meta.name, claim.meta.uid, claim.meta.namespace
            )
            self._view.events.say(about, "Warning", "ClaimLost", message)

    def _status(self, claim: Claim, status: dict[str, object]) -> None:
        path = paths.claim(claim.meta.namespace, claim.meta.name) + "/status"
        self._view.api.merge(path, {"metadata": {"uid": claim.meta.uid}, "status": status})
