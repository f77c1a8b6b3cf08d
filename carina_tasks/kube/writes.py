"""Writes of rebuilds and sweeps, guarded by UID and, for order, by resourceVersion.

Every write may have happened without its answer having arrived, so each is either idempotent or
fails with ApiConflict on a second try; the caller reads again and decides again.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from carina_tasks.errors import ApiConflict, LostMidway, NotFound
from carina_tasks.kube import paths
from carina_tasks.kube.dry_run import DryRun, Raw, TryApi, WriteApi
from carina_tasks.model import names, objects, progress, quantity, well_known
from carina_tasks.model.journal import Journal
from carina_tasks.model.objects import (
    Claim,
    LogicVolume,
    ObjectMeta,
    PersistentVolume,
    Pod,
    WholePersistentVolume,
)


class ClusterWrites:
    """Writes to LogicVolumes, PersistentVolumes, claims and pods. Safe to share between threads."""

    def __init__(self, api: TryApi, sleep: Callable[[float], None] = time.sleep) -> None:
        self._api: WriteApi = api
        self._tried, self._sleep = api, sleep

    @property
    def rehearsal(self) -> ClusterWrites:
        """The same writes as dry runs.

        The API server reports what it would answer, and nothing is changed.
        """
        found = ClusterWrites(self._tried, self._sleep)
        found._api = DryRun(self._tried)
        return found

    # --- LogicVolume ---

    def write_journal(
        self, logic_volume: LogicVolume, journal: Journal, phase: int = 0
    ) -> LogicVolume:
        """Write the journal, the node that it names and what users read of it, in one PATCH.

        Args:
            logic_volume: The LogicVolume.
            journal: The journal of the rebuild.
            phase: Index of the step in `progress.PHASES`.

        Raises:
            ApiConflict: The object has changed.
        """
        annotations: dict[str, str | None] = {
            well_known.JOURNAL: journal.to_json(),
            well_known.PROGRESS: progress.progress_line(journal, phase),
        }
        body = _guarded(logic_volume.meta, annotations) | {"spec": {"nodeName": journal.target}}
        return _logic_volume(self._api.merge(paths.logic_volume(logic_volume.name), body))

    def drop_journal(self, logic_volume: LogicVolume, journal: Journal) -> LogicVolume:
        """Remove the journal and add the failover to the history, in one PATCH.

        A failback that was given up is no part of the history: the volume is where it was.

        Raises:
            ApiConflict: The object has changed.
        """
        gone: dict[str, str | None] = {well_known.JOURNAL: None, well_known.PROGRESS: None}
        if not journal.given_up:
            gone[well_known.HISTORY] = progress.add_failover(
                str(logic_volume.meta.annotations.get(well_known.HISTORY) or ""), journal
            )
        return self._annotate(logic_volume, gone)

    def write_progress(self, logic_volume: LogicVolume, line: str | None) -> LogicVolume:
        """Write the line that people read of a rebuild, or take it off (None).

        Raises:
            ApiConflict: The object has changed.
        """
        return self._annotate(logic_volume, {well_known.PROGRESS: line})

    def forget(self, logic_volume: LogicVolume) -> LogicVolume:
        """Take off what carina-tasks wrote for people: progress and history.

        Raises:
            ApiConflict: The object has changed.
        """
        return self._annotate(logic_volume, {well_known.PROGRESS: None, well_known.HISTORY: None})

    def clear_status(self, logic_volume: LogicVolume, message: str) -> LogicVolume:
        """Empty `status.status`, keep `volumeID`, set `currentSize` to the size.

        No agent of Carina's then acts on it.
        """
        status = {
            "status": "",
            "code": 0,
            "message": message,
            "currentSize": quantity.show(logic_volume.size),
        }
        return self._status(logic_volume, status)

    def set_success(self, logic_volume: LogicVolume, major: int, minor: int) -> LogicVolume:
        """Write the status of a volume that is there (major, minor: its device numbers, or -1).

        Args:
            logic_volume: The LogicVolume.
            major: Device number of the LV, -1 when it is unknown.
            minor: Device number of the LV, -1 when it is unknown.
        """
        status: dict[str, Any] = {
            "status": well_known.STATUS_SUCCESS,
            "code": 0,
            "message": "",
            "volumeID": names.local_volume_of(logic_volume.name),
            "currentSize": quantity.show(logic_volume.size),
        }
        if major >= 0:
            status |= {"deviceMajor": major, "deviceMinor": minor}
        return self._status(logic_volume, status)

    def delete_logic_volume(self, logic_volume: LogicVolume) -> None:
        """Delete the LogicVolume unless it changed since it was read.

        Then Carina's finalizer is removed.
        """
        try:
            self._api.delete(
                paths.logic_volume(logic_volume.name),
                uid=logic_volume.meta.uid,
                version=logic_volume.meta.version,
            )
            self.finish_deletion(logic_volume)
        except NotFound:
            return

    def finish_deletion(self, logic_volume: LogicVolume) -> None:
        """Take Carina's finalizer off a LogicVolume that is being deleted."""
        try:
            raw = self._api.get(paths.logic_volume(logic_volume.name))
            fresh = _logic_volume(raw)
            if fresh.meta.uid != logic_volume.meta.uid or fresh.meta.deleting is None:
                return
            left = [
                finalizer
                for finalizer in fresh.meta.finalizers
                if finalizer != well_known.LOGIC_VOLUME_FINALIZER
            ]
            body = _guarded(fresh.meta)
            body["metadata"]["finalizers"] = left or None
            self._api.merge(paths.logic_volume(logic_volume.name), body)
        except NotFound:
            return

    def _annotate(
        self, logic_volume: LogicVolume, annotations: dict[str, str | None]
    ) -> LogicVolume:
        body = _guarded(logic_volume.meta, annotations)
        return _logic_volume(self._api.merge(paths.logic_volume(logic_volume.name), body))

    def _status(self, logic_volume: LogicVolume, status: dict[str, Any]) -> LogicVolume:
        body = _guarded(logic_volume.meta) | {"status": status}
        return _logic_volume(
            self._api.merge(paths.logic_volume(logic_volume.name) + "/status", body)
        )

    # --- PersistentVolume ---

    def retain(self, pv: PersistentVolume) -> WholePersistentVolume:
        """Set this PV's policy to Retain, and record that it was us; return it as it is now."""
        body = _guarded(pv.meta, {well_known.RETAINED: "true"}) | {
            "spec": {"persistentVolumeReclaimPolicy": "Retain"}
        }
        return _pv(self._api.merge(paths.persistent_volume(pv.meta.name), body))

    def restore_policy(self, pv: PersistentVolume, policy: str) -> WholePersistentVolume:
        """Set the policy of this PV back to what it was before `retain`.

        Raises:
            ApiConflict: The PV has changed.
        """
        body = _guarded(pv.meta, {well_known.RETAINED: None}) | {
            "spec": {"persistentVolumeReclaimPolicy": policy}
        }
        return _pv(self._api.merge(paths.persistent_volume(pv.meta.name), body))

    def delete_persistent_volume(self, pv: PersistentVolume) -> WholePersistentVolume | None:
        """Delete this PV, unchanged since it was read.

        Return it as finalizers keep it; None when it is gone.

        Raises:
            NotFound: It is gone already.
            ApiConflict: It has changed.
        """
        left = self._api.delete(
            paths.persistent_volume(pv.meta.name), uid=pv.meta.uid, version=pv.meta.version
        )
        return _pv(left) if left.get("kind") == "PersistentVolume" else None

    def strip_finalizers(self, pv: PersistentVolume, tries: int = 50) -> None:
        """Remove the finalizers of the PV that is being deleted.

        Ends when it is gone, or another PV has its name.

        An object that is being deleted goes with its last finalizer, so an answer without any is
        its end. A provisioner puts its finalizer back within 3 to 34 ms (measured), so this is
        repeated.

        Raises:
            LostMidway: The PV still exists after `tries` tries.
        """
        for _ in range(tries):
            try:
                left = self._api.merge(
                    paths.persistent_volume(pv.meta.name),
                    {"metadata": {"uid": pv.meta.uid, "finalizers": None}},
                )
                meta = left.get("metadata") or {}
                if meta.get("deletionTimestamp") and not meta.get("finalizers"):
                    return
                fresh = self._api.get(paths.persistent_volume(pv.meta.name))
            except (NotFound, ApiConflict):
                return
            if (fresh.get("metadata") or {}).get("uid") != pv.meta.uid:
                return
            self._sleep(0.02)
        raise LostMidway(
            f"PersistentVolume {pv.meta.name} keeps its finalizers: another client puts them back"
        )

    def create_persistent_volume(self, body: Raw) -> WholePersistentVolume:
        """Make a PV, and return it.

        Raises:
            AlreadyExists: An object of that name is already there.
        """
        return _pv(self._api.create(paths.PERSISTENT_VOLUMES, body))

    # --- claim and pods ---

    def annotate_claim(self, claim: Claim, now: float) -> str:
        """Change the claim's touch annotation, so that the volume controller looks at it now.

        Return what it is now.

        Raises:
            ApiConflict: The claim has changed: another worker may have finished, and no worker
                would take a touch off that came after it.
        """
        touch = f"{now:.3f}"
        body = _guarded(claim.meta, {well_known.TOUCH: touch})
        self._api.merge(paths.claim(claim.meta.namespace, claim.meta.name), body)
        return touch

    def remove_claim_annotation(self, claim: Claim) -> Claim:
        """Take the touch annotation off, and return the claim as it is now."""
        body = {"metadata": {"uid": claim.meta.uid, "annotations": {well_known.TOUCH: None}}}
        return _claim(self._api.merge(paths.claim(claim.meta.namespace, claim.meta.name), body))

    def report_capacity(self, claim: Claim, size: int) -> None:
        """Write the bytes `size` as the capacity in the claim's status.

        Raises:
            ApiConflict: The claim has changed.
        """
        body = _guarded(claim.meta) | {"status": {"capacity": {"storage": quantity.show(size)}}}
        self._api.merge(paths.claim(claim.meta.namespace, claim.meta.name) + "/status", body)

    def clear_resize(self, claim: Claim, types: tuple[str, ...]) -> Claim:
        """Take the conditions of these types off the claim's status; return it as it is now.

        Raises:
            ApiConflict: The claim has changed.
        """
        left = [dict(one) for one in claim.conditions if one.get("type") not in types]
        body = _guarded(claim.meta) | {"status": {"conditions": left or None}}
        path = paths.claim(claim.meta.namespace, claim.meta.name) + "/status"
        return _claim(self._api.merge(path, body))

    def fail_pod(self, pod: Pod, message: str, now: float) -> None:
        """Write into the pod's status that it has ended and why, before it is deleted.

        The garbage collector of pods does the same.

        A Job counts a pod whose finalizer keeps it only once its phase is Failed or Succeeded, and
        its podFailurePolicy looks for the condition.

        Args:
            pod: The pod as it was read.
            message: The condition's message, for users.
            now: Seconds since the epoch.

        Raises:
            ApiConflict: The pod has changed since it was read.
            NotFound: It is gone.
        """
        condition = {
            "type": well_known.DISRUPTION_TARGET,
            "status": "True",
            "reason": well_known.DISRUPTED_BY_US,
            "message": message[:1000],
            "lastTransitionTime": progress.timestamp(now),
        }
        others = [
            dict(one) for one in pod.conditions if one.get("type") != well_known.DISRUPTION_TARGET
        ]
        body = _guarded(pod.meta) | {
            "status": {"phase": "Failed", "conditions": [*others, condition]}
        }
        self._api.merge(paths.pod(pod.meta.namespace, pod.meta.name) + "/status", body)

    def evict(self, pod: Pod, *, at_once: bool = True) -> bool:
        """Delete this pod, with grace 0 or the grace that it asks for.

        Return whether it was there.
        """
        grace = 0 if at_once else None
        try:
            self._api.delete(
                paths.pod(pod.meta.namespace, pod.meta.name), uid=pod.meta.uid, grace=grace
            )
        except (NotFound, ApiConflict):
            # Gone, or created again under its name: either way this one is no more.
            return False
        return True


def _guarded(meta: ObjectMeta, annotations: dict[str, str | None] | None = None) -> Raw:
    """Return a patch body that gets 409 unless the object is the one that was read."""
    metadata: Raw = {"uid": meta.uid, "resourceVersion": meta.version}
    if annotations:
        metadata["annotations"] = annotations
    return {"metadata": metadata}


def _logic_volume(raw: Raw) -> LogicVolume:
    return objects.parse_logic_volume(raw)


def _pv(raw: Raw) -> WholePersistentVolume:
    return objects.parse_persistent_volume(raw)


def _claim(raw: Raw) -> Claim:
    return objects.parse_claim(raw)
