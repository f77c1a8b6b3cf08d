"""What operators ask, as functions for a Python shell or a notebook.

    from carina_tasks.notebook import *
    status()                          # the verdict first, then tables; HTML in a notebook
    status().verdict.do               # what helps, as `carina status` has it
    plan("10.20.9.154").volumes       # Tab completes the fields
    failed(); history("default/data-mysql-0"); inventory("10.20.9.153")

The results are those of the commands: the same values, decided in the same place. Nothing here
changes anything. The cluster and the broker are those of the environment, as for ``celery``.
"""

from __future__ import annotations

import carina_tasks.views.inventory
import carina_tasks.views.status  # noqa: F401 - how both are shown
from carina_tasks.celery import app
from carina_tasks.cli.failed import look
from carina_tasks.flows.report import history as flow_history
from carina_tasks.flows.report.loss_plan import plan_node
from carina_tasks.flows.report.status import status as flow_status
from carina_tasks.model import names, task_names
from carina_tasks.model.local import Inventory
from carina_tasks.runtime.context import context
from carina_tasks.runtime.node_calls import node_calls
from carina_tasks.store import heartbeat
from carina_tasks.views.results import ResultView

__all__ = ["failed", "history", "inventory", "plan", "status"]


def status() -> ResultView:
    """Return what is happening: `carina status`."""
    return ResultView(flow_status(context(), lambda: heartbeat.beating(app)))


def plan(node: str, not_ready: bool = False) -> ResultView:
    """Return what the loss of a node would do: `carina plan NODE`.

    Args:
        node: The node.
        not_ready: Whether it falls silent instead of being deleted.

    Raises:
        BadInput: It is no name of a node.
    """
    return ResultView(plan_node(context(), names.node_name(node), not_ready))


def failed() -> ResultView:
    """Return what needs the operator, and what to type: `carina failed`."""
    return ResultView(look())


def history(target: str) -> ResultView:
    """Return what happened to a claim, pod, volume or node: `carina history TARGET`.

    Raises:
        BadInput: Nothing is known of it.
    """
    return ResultView(flow_history.history(context(), target))


def inventory(node: str) -> ResultView:
    """Return what lvm2 on a node reports now: `carina volumes NODE`.

    Raises:
        BadInput: It is no name of a node.
        NodeSilent: Its worker did not answer.
    """
    found = node_calls().ask(names.node_name(node), task_names.INVENTORY, None, Inventory)
    return ResultView(found)
