"""The finalizers that keep what is in use.

A volume goes when it is not Bound, a claim when no pod uses it.
"""

from __future__ import annotations

from carina_tasks.emulator.controllers.view import View
from carina_tasks.kube import paths
from carina_tasks.model.objects import ObjectMeta

OF_VOLUMES = "kubernetes.io/pv-protection"
OF_CLAIMS = "kubernetes.io/pvc-protection"


class Protection:
    """The pv-protection and pvc-protection controllers."""

    def __init__(self, view: View) -> None:
        self._view = view

    def step(self, now: float) -> None:
        """Take the finalizers off what is being deleted and not used."""
        for pv in self._view.volumes.all():
            if pv.meta.deleting is not None and pv.phase != "Bound":
                self._release(paths.persistent_volume(pv.meta.name), pv.meta, OF_VOLUMES)
        used = {
            f"{pod.meta.namespace}/{claim}"
            for pod in self._view.pods.all()
            if not pod.finished
            for claim in pod.claims
        }
        for claim in self._view.claims.all():
            if claim.meta.deleting is not None and claim.meta.key not in used:
                self._release(
                    paths.claim(claim.meta.namespace, claim.meta.name), claim.meta, OF_CLAIMS
                )

    def _release(self, path: str, meta: ObjectMeta, finalizer: str) -> None:
        if finalizer not in meta.finalizers:
            return
        left = [one for one in meta.finalizers if one != finalizer]
        body = {
            "metadata": {
                "uid": meta.uid,
                "resourceVersion": meta.version,
                "finalizers": left or None,
            }
        }
        with self._view.attempt(f"finalizer of {meta.key}"):
            self._view.api.merge(path, body)
