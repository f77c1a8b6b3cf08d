"""Failover of lost nodes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TypeVar

import structlog
from celery import current_app, shared_task
from kombu.exceptions import OperationalError

import carina_tasks.views.inventory
import carina_tasks.views.status  # noqa: F401 - how a shell prints an Inventory and a Status
from carina_tasks.errors import BadInput
from carina_tasks.flows import publish as flow_publish
from carina_tasks.flows.context import Context
from carina_tasks.flows.failover import failback as flow_failback
from carina_tasks.flows.failover import lost_node
from carina_tasks.flows.failover import resume as flow_resume
from carina_tasks.flows.failover import single_volume as flow_rebuild_volume
from carina_tasks.flows.failover.results import FailoverResult, ResumeResult
from carina_tasks.flows.publish import PublishResult
from carina_tasks.flows.report import readiness as flow_readiness
from carina_tasks.flows.report.loss_plan import PlanResult, plan_node
from carina_tasks.flows.report.readiness import Readiness
from carina_tasks.flows.report.status import Status
from carina_tasks.flows.report.status import status as flow_status
from carina_tasks.model import names, task_names
from carina_tasks.runtime.context import context
from carina_tasks.store import heartbeat, task_results
from carina_tasks.tasks.base import ROUTINE, ControlTask

MISSED = "LogicVolumes name it and it does not exist"
SETTLED = 2
"""Seconds between volumes that have moved and the question whether each node may be lost now."""


def _check_node(node: object) -> None:
    names.node_name(node)


def _check_volume(node: object, volume: object, force: object = "") -> None:
    names.node_name(node)
    names.object_name(volume)
    if not isinstance(force, str):
        raise BadInput("force is the volume's name once more")


def _check_failback(node: object, volumes: object = (), confirm: object = ()) -> None:
    names.node_name(node)
    for field, words in (("volumes", volumes), ("confirm", confirm)):
        if not isinstance(words, list | tuple) or not all(isinstance(word, str) for word in words):
            raise BadInput(f"{field} is a list of names")


def _check_plan(node: object, not_ready: object = False) -> None:
    names.node_name(node)
    if type(not_ready) is not bool:
        raise BadInput("not_ready is True or False")


def _check_readiness(after: object = 0) -> None:
    if type(after) is not int:
        raise BadInput("after is a whole number of seconds since the epoch")


@shared_task(
    base=ControlTask,
    name=task_names.REBUILD_NODE,
    expires=300,
    check=staticmethod(_check_node),
)
def rebuild_node(node: str) -> FailoverResult:
    """Rebuild all volumes of the deleted node `node`, empty, on other nodes.

    The message is only a hint: the task asks the API server itself whether the node is gone.

    >>> rebuild_node.delay("10.20.9.154").get(timeout=60)      # doctest: +SKIP
    node: 10.20.9.154
    outcome: done
    reason: node 10.20.9.154 was deleted
    VOLUME          OUTCOME   SOURCE        TARGET        REASON
    pvc-177854eb…   rebuilt   10.20.9.154   10.20.9.153   node 10.20.9.154 was deleted
    """
    ctx = replace(context(), ask_for_rebuild=_ask_for_rebuild)
    return _at_once(ctx, lost_node.rebuild_node(ctx, node))


@shared_task(
    base=ControlTask,
    name=task_names.MIGRATE_NODE,
    expires=300,
    check=staticmethod(_check_node),
)
def migrate_node(node: str) -> FailoverResult:
    """Move the annotated pods of the NotReady node `node` and rebuild their volumes.

    >>> migrate_node.delay("10.20.9.154").get(timeout=60)      # doctest: +SKIP
    node: 10.20.9.154
    outcome: refused
    reason: node 10.20.9.154 is Ready
    """
    ctx = context()
    return _at_once(ctx, lost_node.migrate_node(ctx, node))


@shared_task(
    base=ControlTask,
    name=task_names.REBUILD_VOLUME,
    expires=300,
    check=staticmethod(_check_volume),
)
def rebuild_volume(node: str, volume: str, force: str = "") -> FailoverResult:
    """Rebuild one volume of the live node `node` elsewhere, new and empty.

    Its data does not travel.

    `force` is the volume's name once more. Refused while a pod runs with it or something has it
    open.

    >>> rebuild_volume.delay("n1", "pvc-527b5989", force="pvc-527b5989").get()  # doctest: +SKIP
    """
    ctx = context()
    return _at_once(ctx, flow_rebuild_volume.rebuild_volume(ctx, node, volume, force))


@shared_task(
    base=ControlTask,
    name=task_names.FAILBACK,
    expires=300,
    check=staticmethod(_check_failback),
)
def failback(node: str, volumes: Sequence[str] = (), confirm: Sequence[str] = ()) -> FailoverResult:
    """Make old copies on `node` the volume again, with the data that they had before the failover.

    `volumes` are LogicVolumes, claims (``namespace/name``) or UUIDs of LVs, none for all; `confirm`
    has the name of each. What is in use now becomes the old copy, so a failback can be undone.

    >>> failback.delay("n1", ["default/data-0"], confirm=["pvc-527b5989"]).get()  # doctest: +SKIP
    """
    _check_failback(node, volumes, confirm)
    ctx = context()
    return _at_once(ctx, flow_failback.failback(ctx, node, volumes, confirm))


@shared_task(
    base=ControlTask,
    name=task_names.PLAN,
    expires=60,
    kept=ROUTINE,
    check=staticmethod(_check_plan),
)
def plan(node: str, not_ready: bool = False) -> PlanResult:
    """Return what the loss of `node` would do: outcome, target and reason for each volume.

    Nothing is written.

    >>> plan.delay("10.20.9.154").get(timeout=60)      # doctest: +SKIP
    node: 10.20.9.154
    reason: if 10.20.9.154 was deleted: 1 of 1 volumes would be rebuilt elsewhere, 0 left
    VOLUME          OUTCOME   TARGET        REASON
    pvc-177854eb…   place     10.20.9.153   3 Carina volumes there with it, 72Gi left
    """
    _check_plan(node, not_ready)
    return plan_node(context(), node, not_ready)


@shared_task(
    base=ControlTask,
    name=task_names.READINESS,
    expires=300,
    kept=ROUTINE,
    check=staticmethod(_check_readiness),
)
def readiness(after: int = 0) -> Readiness:
    """Return for every node whether its loss now would leave a volume that no node fits.

    Nothing is written.

    `carina status` and the metrics show the last answer. The schedule asks every five minutes, the
    node watch when nodes change, and a failover when it has moved volumes. `after` are seconds
    since the epoch: an answer of that time or later is returned as it is.

    >>> readiness.delay().get(timeout=60)      # doctest: +SKIP
    """
    _check_readiness(after)
    return flow_readiness.readiness(context(), after)


@shared_task(base=ControlTask, name=task_names.RESUME, expires=60, kept=ROUTINE)
def resume(hinted: bool = False) -> ResumeResult:
    """Resume every unfinished rebuild, and send the failovers that the node watch missed.

    `hinted` is set when a failover asked for it because something can continue at once. It then
    asks for nothing itself, so that what fails again waits for the schedule.

    >>> resume.delay()      # doctest: +SKIP
    """
    ctx = context()
    result = flow_resume.resume(ctx)
    if hinted is True:
        return _shown(ctx, result)
    _at_once(ctx, result)
    for node in result.deleted_nodes:
        rebuild_node.send(node, reason=MISSED)
    for node in result.not_ready_nodes:
        migrate_node.send(node, reason="resume saw it NotReady")
    return result


def _ask_for_rebuild(node: str) -> None:
    with _hint("rebuild"):
        rebuild_node.send(node, reason="it was deleted while others were confirmed")


R = TypeVar("R", FailoverResult, ResumeResult)


def _at_once(ctx: Context, result: R) -> R:
    """Send a resume when a volume may continue now, and have viewers see what was done.

    A hint: without it the schedule runs one within 30 s.
    """
    if any(volume.again for volume in result.volumes):
        with _hint("resume"):
            resume.send(True, reason="what could not continue may continue now")
    return _shown(ctx, result)


def _shown(ctx: Context, result: R) -> R:
    """Have viewers see what was done.

    Hints: without them the schedule publishes the status within 30 s, and judges whether nodes may
    be lost within five minutes.
    """
    with _hint("status"):
        if result.volumes:
            publish_status.send(reason="volumes were rebuilt")
        if any(volume.moved for volume in result.volumes):
            # The moment is for the watches, and for other nodes that were lost together.
            after = int(ctx.cluster.time_of_last_answer()) + 1
            readiness.send(after, reason="volumes are on other nodes now", countdown=SETTLED)
    return result


@contextmanager
def _hint(what: str) -> Iterator[None]:
    """Send hints in the block. A broker that does not take one is only logged.

    Args:
        what: What they ask for.
    """
    try:
        yield
    except (OperationalError, OSError):
        structlog.get_logger().warning(f"no {what} was asked for: the broker does not take it")


@shared_task(base=ControlTask, name=task_names.STATUS, expires=60, kept=ROUTINE)
def status() -> Status:
    """Return the status: pause, nodes and their workers, rebuilds under way.

    Nothing is written.

    >>> status()      # doctest: +SKIP
    HEALTHY: 2 nodes, 3 volumes, any single node may fail
    NODE          READY   WORKER   VOLUMES   MISSING   IF LOST
    10.20.9.152   True    alive    0         0         survives
    10.20.9.153   True    alive    3         0         survives
    """
    return flow_status(context(), lambda: heartbeat.beating(current_app))


@shared_task(base=ControlTask, name=task_names.PUBLISH, expires=30, kept=ROUTINE)
def publish_status() -> PublishResult:
    """Write the status to the object FailoverStatus, which viewers read, and to Redis for Flower.

    The schedule asks every 30 seconds; it is written when it changed or is a minute old.

    >>> publish_status.delay()      # doctest: +SKIP
    """
    stored, _ = task_results.recent(current_app)
    return flow_publish.publish(context(), lambda: heartbeat.beating(current_app), stored)
