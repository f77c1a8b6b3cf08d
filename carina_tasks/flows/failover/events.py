"""The Events and annotations that report a rebuild.

Events on the claim, and the progress on the LogicVolume.

A volume of a failover has at most three Events: planned, its pod evicted, and what it holds now.
They are on the claim, which is what the operator knows (on the LogicVolume, if there is no claim),
with the LogicVolume as the related object; a lost node gets one summary of each run. Lost data is a
Warning, as is what needs the operator; all else is Normal. All but `finished` are written after the
act, and are lost with a worker that dies in between: the journal, the history and `finished` are
what can be relied on.
"""

from __future__ import annotations

from typing import Any

import structlog

from carina_tasks.decisions import whose
from carina_tasks.errors import CarinaTasksError
from carina_tasks.flows.context import Context
from carina_tasks.kube.events import About
from carina_tasks.model import progress
from carina_tasks.model.journal import Journal
from carina_tasks.model.objects import Claim, LogicVolume, Pod
from carina_tasks.model.snapshot import ClusterSnapshot
from carina_tasks.observability.audit import about_claim, about_pod, about_volume

CLAIM_LOST = (
    "Its PersistentVolume is replaced, so Kubernetes reports ClaimLost for a moment: that is part "
    "of it"
)


def planned(
    ctx: Context,
    snapshot: ClusterSnapshot,
    logic_volume: LogicVolume,
    journal: Journal,
    but: str = "",
) -> None:
    """Report that the volume has a journal; `but` is the reason when it was planned again.

    Args:
        ctx: The outside world.
        snapshot: The cluster as it was read.
        logic_volume: The LogicVolume.
        journal: The journal of the rebuild.
        but: Why it was planned again; empty for the first plan.
    """
    message = (
        f"{_subject(logic_volume, snapshot)} is {what_happens(journal)}, under its name: "
        f"{journal.source} -> {journal.target} ({but or journal.reason})"
    )
    if not journal.given_up:
        message += f". {CLAIM_LOST}"
    about = _about(logic_volume, _claim(snapshot, logic_volume))
    event = "RebuildPlanned"
    if journal.failback:
        event = "FailbackPlanned"
    related = about_volume(logic_volume)
    # A volume that is planned again keeps its one Event, with the newest text.
    key = f"{journal.source} {journal.started}"
    ctx.audit.event(about, "Normal", event, message, key=key, related=related)


def what_happens(journal: Journal) -> str:
    """Return what the journal does to its volume, as a predicate."""
    if journal.given_up:
        return "staying with the data that it has"
    return (
        f"being restored from its old copy (LV {journal.copy})"
        if journal.failback
        else "being rebuilt, new and empty"
    )


def no_fit(
    ctx: Context, snapshot: ClusterSnapshot, logic_volume: LogicVolume, node: str, reason: str
) -> None:
    """Warn that no node can take the volume.

    Args:
        ctx: The outside world.
        snapshot: The cluster as it was read.
        logic_volume: The LogicVolume.
        node: Name of the node.
        reason: The reason, for users.
    """
    message = (
        f"{_subject(logic_volume, snapshot)}, on node {node}, is unschedulable and is left as it "
        f"is: {reason}"
    )
    ctx.audit.warn(
        _about(logic_volume, _claim(snapshot, logic_volume)),
        "NoNodeFits",
        message,
        volume=logic_volume.name,
        node=node,
    )


def blocked(
    ctx: Context, snapshot: ClusterSnapshot, logic_volume: LogicVolume, node: str, reason: str
) -> None:
    """Warn that an annotated pod cannot move, because another pod keeps its volume.

    Args:
        ctx: The outside world.
        snapshot: The cluster as it was read.
        logic_volume: The LogicVolume.
        node: Name of the node.
        reason: The reason, for users.
    """
    message = f"{_subject(logic_volume, snapshot)} stays on the NotReady node {node}: {reason}"
    ctx.audit.warn(
        _about(logic_volume, _claim(snapshot, logic_volume)),
        "MigrationBlocked",
        message,
        volume=logic_volume.name,
        node=node,
    )


def refused(
    ctx: Context, snapshot: ClusterSnapshot, logic_volume: LogicVolume, node: str, reason: str
) -> None:
    """Warn that the API server refuses something about this volume; the other volumes continue.

    Args:
        ctx: The outside world.
        snapshot: The cluster as it was read.
        logic_volume: The LogicVolume.
        node: Name of the node.
        reason: The reason, for users.
    """
    message = (
        f"{_subject(logic_volume, snapshot)}, on node {node}, is left as it is, and tried again "
        f"every 30 s: {reason}"
    )
    ctx.audit.warn(
        _about(logic_volume, _claim(snapshot, logic_volume)),
        "RebuildFailed",
        message,
        volume=logic_volume.name,
        node=node,
    )


def failed(
    ctx: Context,
    logic_volume: LogicVolume,
    claim: Claim | None,
    journal: Journal,
    phase: int,
    reason: str,
) -> None:
    """Warn that a step of a rebuild fails until the operator has removed the cause.

    Args:
        ctx: The outside world.
        logic_volume: The LogicVolume.
        claim: The claim, None when it does not exist.
        journal: The journal of the rebuild.
        phase: Index of the step in `progress.PHASES`.
        reason: The reason, for users.
    """
    report_progress(ctx, logic_volume, journal, phase, reason)
    message = (
        f"the rebuild of {_subject(logic_volume)} on {journal.target} fails, and is tried again "
        f"every 30 s: {reason}"
    )
    ctx.audit.warn(
        _about(logic_volume, claim),
        "RebuildFailed",
        message,
        intent=journal.intent,
        volume=logic_volume.name,
        node=journal.target,
    )


def sweep_failed(
    ctx: Context, snapshot: ClusterSnapshot, logic_volume: LogicVolume, reason: str
) -> None:
    """Warn that a sweep could not do what it decided about this volume; the others are swept.

    Args:
        ctx: The outside world.
        snapshot: The cluster as it was read.
        logic_volume: The LogicVolume.
        reason: The reason, for users.
    """
    subject = _subject(logic_volume, snapshot)
    message = f"{subject} is as it was, and the next sweep tries it again: {reason}"
    ctx.audit.warn(
        _about(logic_volume, _claim(snapshot, logic_volume)),
        "SweepFailed",
        message,
        volume=logic_volume.name,
        node=logic_volume.node,
    )


def waits(
    ctx: Context,
    logic_volume: LogicVolume,
    claim: Claim | None,
    journal: Journal,
    phase: int,
    reason: str,
) -> None:
    """Report why the rebuild waits, when the reason changed.

    A Normal Event: it ends by itself, or an alert says that it does not.

    Args:
        ctx: The outside world.
        logic_volume: The LogicVolume.
        claim: The claim, None when it does not exist.
        journal: The journal of the rebuild.
        phase: Index of the step in `progress.PHASES`.
        reason: The reason, for users.
    """
    if report_progress(ctx, logic_volume, journal, phase, reason):
        message = f"the rebuild of {_subject(logic_volume)} on {journal.target} waits: {reason}"
        ctx.audit.warn(
            _about(logic_volume, claim),
            "RebuildWaits",
            message,
            type_="Normal",
            intent=journal.intent,
            volume=logic_volume.name,
            node=journal.target,
        )


def report_progress(
    ctx: Context, logic_volume: LogicVolume, journal: Journal, phase: int, reason: str
) -> bool:
    """Write the progress annotation; return whether it changed.

    A wait of hours costs one PATCH.

    Args:
        ctx: The outside world.
        logic_volume: The LogicVolume.
        journal: The journal of the rebuild.
        phase: Index of the step in `progress.PHASES`.
        reason: The reason, for users.
    """
    line = progress.progress_line(journal, phase, reason)
    if progress.same_but_for_numbers(logic_volume.progress, line):
        return False
    try:
        ctx.writes.write_progress(logic_volume, line)
    except CarinaTasksError as exc:
        # Another client resumes it, or the API server is away: then there is nothing to report,
        # or no API server to report it to.
        structlog.get_logger().debug(
            "progress was not written", volume=logic_volume.name, reason=exc.message
        )
        return False
    return True


def replaced(ctx: Context, logic_volume: LogicVolume, journal: Journal) -> None:
    """Record that the PV was deleted, to be created again.

    Its claim gets a ClaimLost of Kubernetes' own at this moment; the Event of the plan explains it.

    Args:
        ctx: The outside world.
        logic_volume: The LogicVolume.
        journal: The journal of the rebuild.
    """
    ctx.audit.noted(
        "delete-pv",
        f"{_subject(logic_volume)}: its PersistentVolume is replaced under its name, "
        f"{journal.source} -> {journal.target}",
        object=logic_volume.claim or logic_volume.name,
        intent=journal.intent,
        volume=logic_volume.name,
    )


def held_by(pod: Pod) -> str:
    """Return a text with the finalizers that keep an evicted pod, empty without any."""
    names = ", ".join(pod.meta.finalizers)
    return f"; the pod stays until its finalizer is removed: {names}" if names else ""


def evicted(
    ctx: Context, pod: Pod, logic_volume: LogicVolume, claim: Claim | None, journal: Journal
) -> None:
    """Record that a pod was deleted: on the claim, which outlives it.

    Args:
        ctx: The outside world.
        pod: The pod.
        logic_volume: The LogicVolume.
        claim: The claim, None when it does not exist.
        journal: The journal of the rebuild.
    """
    there = "was restored from its old copy" if journal.failback else "was rebuilt"
    message = (
        f"pod {pod.meta.key} evicted from node {journal.source}: its "
        f"{_subject(logic_volume)} {there} on {journal.target}"
    )
    message += held_by(pod)
    ctx.audit.acted(
        "evict-pod",
        _about(logic_volume, claim),
        message,
        "PodEvicted",
        key=pod.meta.uid,
        related=about_pod(pod),
        intent=journal.intent,
        volume=logic_volume.name,
        node=journal.source,
    )


def finished(
    ctx: Context, logic_volume: LogicVolume, claim: Claim | None, journal: Journal
) -> None:
    """Record that the journal is done, and what the volume holds.

    Args:
        ctx: The outside world.
        logic_volume: The LogicVolume.
        claim: The claim, None when it does not exist.
        journal: The journal of the rebuild.
    """
    about, related, key = _about(logic_volume, claim), about_volume(logic_volume), journal.intent
    facts: dict[str, Any] = {
        "volume": logic_volume.name,
        "source": journal.source,
        "target": journal.target,
        "intent": journal.intent,
    }
    if journal.given_up:
        event = "FailbackGivenUp"
        message = (
            f"{_subject(logic_volume)} stays on node {journal.target} with the data that it has: "
            f"{journal.reason}"
        )
        ctx.audit.acted(
            "give-up-failback", about, message, event, key, related=related, wait=True, **facts
        )
    elif journal.failback:
        event = "VolumeFailedBack"
        message = (
            f"{_subject(logic_volume)} is on node {journal.target} with the data of its old copy "
            f"(LV {journal.copy}); what was written on {journal.source} is the old copy now "
            f"({journal.reason})"
        )
        ctx.audit.acted(
            "fail-back", about, message, event, key, related=related, wait=True, **facts
        )
    else:
        event = "VolumeRebuiltEmpty"
        message = (
            f"{_subject(logic_volume)} is new and empty on node {journal.target}: it was on "
            f"{journal.source}, and data does not travel ({journal.reason})"
        )
        ctx.audit.acted(
            "rebuild",
            about,
            message,
            event,
            key,
            type_="Warning",
            related=related,
            wait=True,
            **facts,
        )


def _subject(logic_volume: LogicVolume, snapshot: ClusterSnapshot | None = None) -> str:
    """Return the volume as an Event names it: its claim, its name, its pod where it is known."""
    pod = whose.pod_of(snapshot, logic_volume.claim_key) if snapshot is not None else ""
    return f"volume {whose.titled(logic_volume)}" + (f" of pod {pod}" if pod else "")


def _about(logic_volume: LogicVolume, claim: Claim | None) -> About:
    """Return the claim, or the LogicVolume where there is none."""
    return about_claim(claim) if claim is not None else about_volume(logic_volume)


def _claim(snapshot: ClusterSnapshot, logic_volume: LogicVolume) -> Claim | None:
    return snapshot.claims.get(logic_volume.claim_key)
