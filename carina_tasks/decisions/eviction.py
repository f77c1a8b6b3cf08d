"""What becomes of a pod whose volume leaves its node.

Evicted, and in which way, or left alone, and why.

On a node that is lost the kubelet ends nothing any more. Then the pod is ended as the garbage
collector of pods does it (pkg/controller/podgc): the phase Failed and the condition
DisruptionTarget first, so that a Job's podFailurePolicy sees why, then one deletion with grace 0.
What remains of the pod after that waits for the owner of its finalizer, and not for us.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from carina_tasks.model import well_known

if TYPE_CHECKING:
    from carina_tasks.model.objects import Pod


@dataclass(frozen=True, slots=True)
class EvictPod:
    """The pod is to be ended."""

    pod: Pod
    at_once: bool
    """Its kubelet is out of reach: grace 0. Otherwise the pod gets the grace period that it asks
    for.
    """
    fail: bool = False
    """Its status is to say Failed first."""
    delete: bool = True
    """Its deletion is still to be asked for."""


@dataclass(frozen=True, slots=True)
class LeavePod:
    """Nothing is done to the pod."""

    pod: Pod
    reason: str
    held: tuple[str, ...] = ()
    """The finalizers that a pod which has been ended still waits for."""


def judge_pod(pod: Pod, kind: str, *, alive: bool) -> EvictPod | LeavePod:
    """Judge a pod whose volume has left its node.

    Args:
        pod: The pod, bound to the node that the volume has left.
        kind: The journal's kind. Only ``migrate`` asks for Carina's annotation on the pod; a
            ``failback`` never ends a pod by force.
        alive: The pod's node is Ready, so its kubelet ends what is deleted.
    """
    if pod.mirror:
        return LeavePod(
            pod,
            "it is a static pod: its kubelet runs it from a file, whatever the API server holds",
        )
    if pod.failed_by_us and not pod.deleted_at_once:
        # The worker that wrote its status died before the deletion. The pod has ended, so whatever
        # its annotation is now, only its object is left.
        return EvictPod(pod, at_once=True)
    if kind == "migrate" and not pod.migration_allowed:
        return LeavePod(pod, f'it is not annotated {well_known.MIGRATION_ALLOWED}: "true"')
    if kind == "migrate" and pod.of_daemon_set:
        return LeavePod(pod, "it belongs to a DaemonSet, which makes it again on the same node")
    if pod.finished:
        return _finished(pod)
    # Nothing proves that a pod has stopped when its node was alive as the failback was planned.
    if alive or kind == "failback":
        if pod.meta.deleting is not None:
            return LeavePod(pod, "it is being deleted, and its kubelet ends it")
        return EvictPod(pod, at_once=False)
    return EvictPod(pod, at_once=True, fail=True, delete=not pod.deleted_at_once)


def _finished(pod: Pod) -> LeavePod:
    if pod.meta.deleting is not None and pod.meta.finalizers:
        names = ", ".join(pod.meta.finalizers)
        return LeavePod(
            pod,
            f"it has ended; it stays until its finalizer is removed: {names}",
            pod.meta.finalizers,
        )
    return LeavePod(pod, "it has run to its end and holds no volume open")
