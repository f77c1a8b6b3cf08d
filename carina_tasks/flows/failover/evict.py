"""Evictions: pods whose volume has left their node, and movable pods without one.

`decisions.eviction` reports what becomes of each pod; here it is done, once: a pod whose deletion
with grace 0 was asked for gets no second request, however long its finalizer keeps it.
"""

from __future__ import annotations

from collections.abc import Iterable

import structlog

from carina_tasks.decisions import eviction, selection, whose
from carina_tasks.errors import (
    ApiConflict,
    ApiDenied,
    ApiInvalid,
    ApiUnauthorized,
    CarinaTasksError,
    NotFound,
)
from carina_tasks.flows import one_object
from carina_tasks.flows.context import Context
from carina_tasks.flows.failover import events
from carina_tasks.model.journal import Journal
from carina_tasks.model.objects import Claim, LogicVolume
from carina_tasks.model.snapshot import ClusterSnapshot
from carina_tasks.observability.audit import about_pod


def evict_users(ctx: Context, logic_volume: LogicVolume, journal: Journal) -> None:
    """Evict the pods that use the volume and are bound to the journal's source."""
    pods = ctx.cluster.pods_on(journal.source, logic_volume.namespace).using(logic_volume.claim)
    alive = bool(pods) and source_alive(ctx, journal.source)
    verdicts = [eviction.judge_pod(pod, journal.kind, alive=alive) for pod in pods]
    evicted = [verdict for verdict in verdicts if isinstance(verdict, eviction.EvictPod)]
    evict(
        ctx,
        evicted,
        logic_volume,
        ctx.cluster.claim(logic_volume.namespace, logic_volume.claim),
        journal,
    )


def evict(
    ctx: Context,
    verdicts: Iterable[eviction.EvictPod],
    logic_volume: LogicVolume,
    claim: Claim | None,
    journal: Journal,
) -> None:
    """Do what was decided for the pods of a volume that has left their node, and record it.

    Args:
        ctx: The outside world.
        verdicts: One for each pod that is to be ended.
        logic_volume: The volume that they use.
        claim: Its claim, for the Event.
        journal: The journal of its rebuild.

    Raises:
        ApiConflict: A pod has changed since it was read: read it again.
    """
    for verdict in verdicts:
        if end_pod(
            ctx,
            verdict,
            f"its volume {whose.titled(logic_volume)} was rebuilt on {journal.target}: "
            f"{journal.reason}",
        ):
            events.evicted(ctx, verdict.pod, logic_volume, claim, journal)


def evict_free(
    ctx: Context, snapshot: ClusterSnapshot, node: str, reason: str
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Evict the annotated pods of the NotReady `node` that no volume holds there.

    Args:
        ctx: The outside world.
        snapshot: The cluster as it was read.
        node: Name of the NotReady node.
        reason: The reason, for users.

    Returns:
        The names of the pods that were evicted, and of those that could not be, each with its
        reason.
    """
    evicted, stuck = [], []
    for pod in selection.movable_pods(snapshot, node):
        verdict = eviction.judge_pod(pod, "migrate", alive=False)
        try:
            done = isinstance(verdict, eviction.EvictPod) and end_pod(ctx, verdict, reason)
        except ApiConflict:
            continue  # It has changed since it was read; the next look is at what it is then.
        except CarinaTasksError as exc:
            one_object.check(ctx, exc)
            ctx.audit.warn(
                about_pod(pod),
                "EvictionFailed",
                f"pod {pod.meta.key} was not evicted: {exc.message}",
                node=node,
            )
            stuck.append(f"{pod.meta.key}: {exc.message}")
            continue
        if done:
            text = f"pod evicted: {reason}{events.held_by(pod)}"
            ctx.audit.acted("evict-pod", about_pod(pod), text, "PodEvicted", node=node)
            evicted.append(pod.meta.key)
    return tuple(evicted), tuple(stuck)


def end_pod(ctx: Context, verdict: eviction.EvictPod, why: str) -> bool:
    """End a pod as it was decided; return whether its deletion was asked for now.

    Args:
        ctx: The outside world.
        verdict: Which pod, and how.
        why: The message of its condition DisruptionTarget.

    Raises:
        ApiConflict: The pod has changed since it was read.
        CarinaTasksError: The API server did not do it.
    """
    pod = verdict.pod
    if verdict.fail:
        try:
            ctx.writes.fail_pod(pod, why, ctx.cluster.time_of_last_answer())
        except NotFound:
            return False
        except (ApiDenied, ApiInvalid) as exc:
            if pod.meta.finalizers or isinstance(exc, ApiUnauthorized):
                raise
            # Without a finalizer it goes at once, and its status with it.
            structlog.get_logger().warning(
                "a pod's status was not written", pod=pod.meta.key, reason=exc.message
            )
    return verdict.delete and ctx.writes.evict(pod, at_once=verdict.at_once)


def source_alive(ctx: Context, node: str) -> bool:
    """Ask the API server whether the node is Ready.

    Then its kubelet ends the pods that are deleted.
    """
    return ctx.cluster.is_ready(node)
