"""Failover of lost nodes."""

from __future__ import annotations

from celery import shared_task

from carina_tasks.flows import failover
from carina_tasks.flows import resume as flow_resume
from carina_tasks.flows.plan import plan_node
from carina_tasks.flows.results import FailoverResult, PlanResult, ResumeResult
from carina_tasks.tasks.base import ControlTask
from carina_tasks.tasks.process import context


@shared_task(base=ControlTask, name="carina.failover.rebuild_node", expires=300)
def rebuild_node(node: str) -> FailoverResult:
    """Rebuild all volumes of the deleted node `node`, empty, on other nodes.

    The message is only a hint: the task asks the API server itself whether the node is gone.

    >>> rebuild_node.delay("10.20.9.154").get(timeout=60)      # doctest: +SKIP
    """
    return failover.rebuild_node(context(), node)


@shared_task(base=ControlTask, name="carina.failover.migrate_node", expires=300)
def migrate_node(node: str) -> FailoverResult:
    """Rebuild the volumes of the annotated pods of the NotReady node `node` elsewhere, and move those pods.

    >>> migrate_node.delay("10.20.9.154").get(timeout=60)      # doctest: +SKIP
    """
    return failover.migrate_node(context(), node)


@shared_task(base=ControlTask, name="carina.failover.plan", expires=60)
def plan(node: str, not_ready: bool = False) -> PlanResult:
    """Say what the loss of `node` would do: verdict, target and reason for each volume. Nothing is written.

    >>> plan.delay("10.20.9.154").get(timeout=60)      # doctest: +SKIP
    """
    return plan_node(context(), node, not_ready is True)


@shared_task(base=ControlTask, name="carina.failover.resume", expires=60)
def resume() -> ResumeResult:
    """Go on with every rebuild that is journalled and unfinished, and ask for the failovers that the watch missed.

    >>> resume.delay()      # doctest: +SKIP
    """
    result = flow_resume.resume(context())
    for node in result.deleted_nodes:
        rebuild_node.send(node)
    for node in result.not_ready_nodes:
        migrate_node.send(node)
    return result
