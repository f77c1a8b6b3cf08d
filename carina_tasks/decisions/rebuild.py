"""Which step comes next for this volume's journal?

A pure function of what is observed: no task trusts where it thinks it was, so any process may die
after any step and any other continues. The order of the steps is docs/design.md, section 4; each
step's docstring gives the reason it is safe to die after it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from carina_tasks.decisions import eviction, pv_manifest
from carina_tasks.model import quantity, well_known

if TYPE_CHECKING:
    from carina_tasks.model.journal import Journal
    from carina_tasks.model.messages import LvResult
    from carina_tasks.model.objects import (
        Claim,
        LogicVolume,
        PersistentVolume,
        Pod,
        WholePersistentVolume,
    )


@dataclass(frozen=True, slots=True)
class RebuildView:
    """What was observed of one volume whose LogicVolume carries a journal."""

    logic_volume: LogicVolume
    journal: Journal
    pv: WholePersistentVolume | None
    claim: Claim | None
    lv: LvResult | None
    """The target's answer about the LV in this pass; None: not asked yet, or outdated."""
    pods: tuple[Pod, ...] = ()
    """Pods that use the claim and are bound to the journal's source."""
    source_alive: bool = False
    """The journal's source is Ready: its kubelet ends the pods that are deleted."""
    planned_pods: tuple[Pod, ...] | None = None
    """Such pods as they were listed for the plan; None: they are listed before the eviction."""
    just_written: bool = False
    """The request before this wrote the LogicVolume: the journal is the one of this view."""

    @property
    def leavings(self) -> tuple[eviction.EvictPod | eviction.LeavePod, ...]:
        """What becomes of each of the pods."""
        return tuple(
            eviction.judge_pod(pod, self.journal.kind, alive=self.source_alive) for pod in self.pods
        )


@dataclass(frozen=True, slots=True)
class ClearStatus:
    """Empty `status.status`, keep `volumeID`.

    Carina-controller deletes a LogicVolume with a status and no PV.
    """


@dataclass(frozen=True, slots=True)
class CreateLocalVolume:
    """Ask the target node to create the LV: idempotent, tagged with the intent."""

    size: int


@dataclass(frozen=True, slots=True)
class RecordStaleLv:
    """Write the UUID of the LV that has the wanted name on the target into the journal.

    The node puts it aside then. Only the journal shows that no pod can use that LV. A message that
    comes late does not, so the node leaves it alone.
    """

    uuid: str


@dataclass(frozen=True, slots=True)
class RefreshManifest:
    """Write the PV as it is now into the journal: it may have been expanded since the plan."""

    manifest: dict[str, Any]


@dataclass(frozen=True, slots=True)
class RetainPersistentVolume:
    """Set the PV's policy to Retain, so that no provisioner acts on its deletion.

    The journal has the original. An annotation reports that it was us, so that what the operator
    sets meanwhile is distinguished and kept.
    """


@dataclass(frozen=True, slots=True)
class DeletePersistentVolume:
    """Delete the PV with UID and resourceVersion preconditions: its manifest is in the journal."""


@dataclass(frozen=True, slots=True)
class StripFinalizers:
    """Take the finalizers off the PV that is being deleted, until it is gone."""


@dataclass(frozen=True, slots=True)
class CreatePersistentVolume:
    """Make the PV again under its name, for the new node."""

    body: dict[str, Any]


@dataclass(frozen=True, slots=True)
class BindClaim:
    """Touch the claim until it and the PV are Bound again.

    The controller looks at a claim only when it changes.
    """


@dataclass(frozen=True, slots=True)
class EvictPods:
    """End the pods of the claim that are bound to the source, as `eviction` decides."""

    pods: tuple[eviction.EvictPod, ...]


@dataclass(frozen=True, slots=True)
class RemoveClaimAnnotation:
    """Take the touch off the claim: nothing of us stays on it."""


@dataclass(frozen=True, slots=True)
class ClearResize:
    """Clear the claim's resize conditions: the new volume has the full size already."""


@dataclass(frozen=True, slots=True)
class RestorePolicy:
    """Set the PV's policy back from our Retain.

    The failback was given up before the PV was replaced.
    """

    policy: str


@dataclass(frozen=True, slots=True)
class ReportCapacity:
    """Write the bytes that the file system of the old copy can hold into the claim's status.

    A kubelet expands a file system as it mounts it when the claim's status reports less than the PV
    has (pkg/volume/util/operationexecutor, expandVolumeDuringMount).
    """

    bytes: int


@dataclass(frozen=True, slots=True)
class SetSuccess:
    """Write the LogicVolume's status: Success, size and device numbers.

    Right before the pods go: that it is taken shows that no other worker has finished the journal.
    """


@dataclass(frozen=True, slots=True)
class DropJournal:
    """Take the journal off the LogicVolume: the rebuild is done."""


@dataclass(frozen=True, slots=True)
class RebuildWaits:
    """Nothing can be done now; resume comes back."""

    reason: str


@dataclass(frozen=True, slots=True)
class Zeroing:
    """The target writes zeroes over the LV; resume asks again."""

    reason: str


@dataclass(frozen=True, slots=True)
class Replan:
    """The target cannot take the volume: choose another; the volume is still empty."""

    reason: str


@dataclass(frozen=True, slots=True)
class RefuseRebuild:
    """Objects contradict each other: the operator must check."""

    reason: str


Step = (
    ClearStatus
    | CreateLocalVolume
    | RecordStaleLv
    | RefreshManifest
    | RetainPersistentVolume
    | DeletePersistentVolume
    | StripFinalizers
    | CreatePersistentVolume
    | BindClaim
    | EvictPods
    | RemoveClaimAnnotation
    | ClearResize
    | RestorePolicy
    | ReportCapacity
    | SetSuccess
    | DropJournal
    | RebuildWaits
    | Zeroing
    | Replan
    | RefuseRebuild
)

PHASES: dict[type[Step], int] = {
    ClearStatus: 0,
    CreateLocalVolume: 1,
    RecordStaleLv: 1,
    RebuildWaits: 1,
    Zeroing: 1,
    Replan: 1,
    RefreshManifest: 2,
    RetainPersistentVolume: 2,
    DeletePersistentVolume: 2,
    StripFinalizers: 2,
    CreatePersistentVolume: 2,
    BindClaim: 2,
    RestorePolicy: 2,
    ReportCapacity: 2,
    RefuseRebuild: 2,
    SetSuccess: 3,
    EvictPods: 3,
    RemoveClaimAnnotation: 4,
    ClearResize: 4,
    DropJournal: 4,
}
"""Where in `progress.PHASES` each step is. Only the local volume waits or is planned again."""

METRIC_LABELS: dict[type[Step], str] = {
    ClearStatus: "clear-status",
    CreateLocalVolume: "create-local",
    RecordStaleLv: "name-stale",
    RefreshManifest: "refresh-manifest",
    RetainPersistentVolume: "retain",
    DeletePersistentVolume: "delete-volume",
    StripFinalizers: "strip-finalizers",
    CreatePersistentVolume: "create-volume",
    BindClaim: "bind",
    EvictPods: "evict",
    RemoveClaimAnnotation: "untouch",
    ClearResize: "clear-resize",
    RestorePolicy: "restore-policy",
    ReportCapacity: "report-capacity",
    SetSuccess: "set-success",
    DropJournal: "drop-journal",
    RebuildWaits: "wait",
    Zeroing: "zeroing",
    Replan: "replan",
    RefuseRebuild: "refuse",
}
"""Label ``step`` of `carina_tasks_step_duration_seconds`: dashboards of users name these, so a
class may be renamed and a label not.
"""

RESIZE_CONDITIONS = ("Resizing", "FileSystemResizePending")


def next_step(view: RebuildView) -> Step:
    """Return what is to be done next for the volume, from what is observed alone."""
    logic_volume, journal, pv = view.logic_volume, view.journal, view.pv
    if logic_volume.node != journal.target:
        return RefuseRebuild(
            f"LogicVolume names {logic_volume.node}, its journal {journal.target}: another client "
            "changed one of them"
        )
    if not pv_manifest.is_complete(journal.manifest, logic_volume.name):
        return RefuseRebuild(
            "its journal holds no PersistentVolume of its name: the operator must repair the "
            "journal"
        )
    on_target = pv is not None and pv.meta.deleting is None and pv.nodes == (journal.target,)
    if not on_target and logic_volume.status:
        return ClearStatus()
    local = _local_step(view, on_target)
    if local is not None:
        return local
    if pv is None:
        return CreatePersistentVolume(pv_manifest.replacement(view.journal, view.lv))
    if pv.meta.deleting is not None:
        return StripFinalizers()
    if not on_target:
        return _step_before_replacement(view, pv)
    return _step_after_replacement(view, pv)


NEEDS_PODS = (SetSuccess, RemoveClaimAnnotation, ClearResize, DropJournal)


def asks_for_pods(step: Step, *, gone: bool) -> bool:
    """Return whether the pods of the source are looked at before `step`: they go first, or next.

    Args:
        step: What `next_step` returns of a view without pods.
        gone: Whether they were looked at in this run, and those to be evicted were.
    """
    return isinstance(step, NEEDS_PODS) and not gone


def asks_for_last_look(step: Step) -> bool:
    """Return whether the source's pods are listed again first: one may have been bound since."""
    return isinstance(step, DropJournal)


def _local_step(view: RebuildView, on_target: bool) -> Step | None:
    journal, size = view.journal, pv_manifest.wanted_size(view.logic_volume, view.journal.manifest)
    if journal.given_up and not journal.copy:
        # The source had no LV of it when the failback was planned. Whatever is done with that, an
        # empty one is no answer.
        return None
    if view.lv is None:
        return CreateLocalVolume(size)
    if view.lv.outcome == "failed" and journal.given_up and not view.lv.transient:
        # The volume is where it was before the failback; the sweep reports an LV that is missing
        # there.
        return None
    if view.lv.outcome == "failed":
        reason = f"{journal.target}: {view.lv.reason}"
        # Once the PV names the target, a pod may have written there: a volume that cannot be
        # extended is none to throw away.
        return RebuildWaits(reason) if on_target or view.lv.transient else Replan(reason)
    if journal.failback and view.lv.uuid != journal.copy:
        return RebuildWaits(
            f"{journal.target}: it answers about LV {view.lv.uuid}, and was asked for "
            f"{journal.copy}"
        )
    if view.lv.outcome == "zeroing":
        return Zeroing(f"{journal.target}: {view.lv.reason}")
    if view.lv.outcome == "taken":
        if on_target:
            return RebuildWaits(f"{view.journal.target}: {view.lv.reason}")
        return RecordStaleLv(view.lv.uuid)
    if view.lv.major < 0:
        return RebuildWaits(f"{view.journal.target}: its LV has no device: no pod could mount it")
    # It was expanded since the node was asked.
    return CreateLocalVolume(size) if view.lv.size < size else None


def _step_before_replacement(view: RebuildView, pv: WholePersistentVolume) -> Step:
    if pv.nodes != (view.journal.source,):
        return RefuseRebuild(
            f"PersistentVolume names {', '.join(pv.nodes) or 'no node'}, its journal "
            f"{view.journal.source} and {view.journal.target}: another client changed it"
        )
    manifest = pv_manifest.manifest_of(pv, policy=pv_manifest.policy_of(pv, view.journal.manifest))
    if manifest != view.journal.manifest:
        return RefreshManifest(manifest)
    return RetainPersistentVolume() if pv.policy != "Retain" else DeletePersistentVolume()


def _step_after_replacement(view: RebuildView, pv: PersistentVolume) -> Step:
    claim = view.claim
    ours = claim is not None and claim.meta.uid == pv.claim_uid and claim.pv_name == pv.meta.name
    if claim is not None and ours and not (claim.phase == "Bound" and pv.phase == "Bound"):
        return BindClaim()
    if well_known.RETAINED in pv.meta.annotations:
        return RestorePolicy(pv_manifest.policy_of(pv, view.journal.manifest))
    if claim is not None and ours and 0 < view.journal.copy_bytes < pv.capacity:
        return ReportCapacity(view.journal.copy_bytes)
    if (
        view.logic_volume.status != well_known.STATUS_SUCCESS
        or view.logic_volume.current_size < view.logic_volume.size
    ):
        return SetSuccess()
    if evicted := tuple(
        verdict for verdict in view.leavings if isinstance(verdict, eviction.EvictPod)
    ):
        return EvictPods(evicted)
    if claim is not None and well_known.TOUCH in claim.meta.annotations:
        return RemoveClaimAnnotation()
    if claim is not None and ours and _resize_is_stale(claim, pv):
        return ClearResize()
    return DropJournal()


def _resize_is_stale(claim: Claim, pv: PersistentVolume) -> bool:
    conditions = {str(condition.get("type")) for condition in claim.conditions}
    return (
        bool(conditions & set(RESIZE_CONDITIONS))
        and claim.capacity is not None
        and quantity.to_bytes(claim.capacity) == pv.capacity
    )
