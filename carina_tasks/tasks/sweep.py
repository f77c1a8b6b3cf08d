"""The two sweeps."""

from __future__ import annotations

from collections.abc import Mapping

from celery import shared_task

from carina_tasks.errors import BadInput
from carina_tasks.flows.sweeps.local_volumes import sweep_local_volumes as sweep_local
from carina_tasks.flows.sweeps.logic_volumes import sweep_logic_volumes as sweep_logic
from carina_tasks.flows.sweeps.results import LocalSweepResult, LogicSweepResult
from carina_tasks.model import names, task_names
from carina_tasks.runtime.context import context
from carina_tasks.tasks.base import ControlTask
from carina_tasks.tasks.failover import MISSED, rebuild_node


def _check_confirm(confirm: object = None) -> None:
    confirm = {} if confirm is None else confirm
    if not isinstance(confirm, Mapping) or not all(
        type(n) is int and n > 0 for n in confirm.values()
    ):
        raise BadInput('confirm takes a node and the number of its orphans: {"10.20.9.153": 37}')
    for node in confirm:
        names.node_name(node)


@shared_task(
    base=ControlTask,
    name=task_names.SWEEP_LOCAL_VOLUMES,
    expires=600,
    check=staticmethod(_check_confirm),
)
def sweep_local_volumes(confirm: Mapping[str, int] | None = None) -> LocalSweepResult:
    """Compare each node's local volumes with the LogicVolumes.

    Mark orphans, remove those marked before, report missing.

    `confirm` is the operator's yes to more orphans than one sweep may remove: the node's name and
    the exact number.

    >>> sweep_local_volumes.delay(confirm={"10.20.9.153": 37})      # doctest: +SKIP
    """
    _check_confirm(confirm)
    return sweep_local(context(), confirm)


@shared_task(base=ControlTask, name=task_names.SWEEP_LOGIC_VOLUMES, expires=600)
def sweep_logic_volumes() -> LogicSweepResult:
    """Compare the LogicVolumes with the PersistentVolumes.

    Delete those without one; find deleted nodes that were missed.

    >>> sweep_logic_volumes.delay()      # doctest: +SKIP
    """
    result = sweep_logic(context())
    for node in result.deleted_nodes:
        rebuild_node.send(node, reason=MISSED)
    return result
