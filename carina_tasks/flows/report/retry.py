"""Which task resumes something that failed.

Decided from the objects as they are now, like everything else.

A stored message is never sent again: of a task that failed only its name and the node that it was
for are looked at, and then the objects say what there is to do. Nothing is written here; the caller
sends the task.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import msgspec
import msgspec.structs

from carina_tasks.decisions import targets
from carina_tasks.errors import BadInput
from carina_tasks.flows.context import Context
from carina_tasks.flows.report.problem import ProblemsResult
from carina_tasks.model import names, task_names
from carina_tasks.model.objects import LogicVolume
from carina_tasks.model.snapshot import ClusterSnapshot
from carina_tasks.store.task_results import TaskResult

FOR_ALL = (task_names.RESUME, task_names.SWEEP_LOCAL_VOLUMES, task_names.SWEEP_LOGIC_VOLUMES)
_TASK_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class Retry(msgspec.Struct, frozen=True, omit_defaults=True):
    """One task that is to be sent, or why none is."""

    target: str
    reason: str
    task: str = ""
    """Empty: nothing is sent, and `reason` gives the reason."""
    args: tuple[str, ...] = ()
    id: str = ""
    """Id under which it was sent."""
    claim: str = ""
    """``namespace/name`` of the claim, when it is about a volume."""


def retry(
    ctx: Context, target: str, stored: Callable[[str], TaskResult | None]
) -> tuple[Retry, ...]:
    """Return what is to be sent for `target`: a task's id, a claim, a pod, a volume or a node.

    `stored` looks a task up.

    Raises:
        BadInput: It means nothing or several things, Paused or MassFailure while nothing would be
            done.
    """
    ctx.check_pause()
    snapshot = ctx.cluster.observe()
    if _TASK_ID.fullmatch(target):
        return (_of_task(snapshot, target, stored(target)),)
    found = targets.find(snapshot, target)
    if found.node:
        return (_of_node(snapshot, found.node),)
    retries: list[Retry] = []
    for name in found.volumes:
        one = _of_volume(snapshot, snapshot.logic_volumes[name])
        if not one.task or (one.task, one.args) not in {(r.task, r.args) for r in retries}:
            retries.append(one)
    return tuple(retries)


def retry_all(
    ctx: Context, found: ProblemsResult, stored: Callable[[str], TaskResult | None]
) -> tuple[Retry, ...]:
    """Return what is to be sent for all that `carina failed` shows, each task once."""
    ctx.check_pause()
    snapshot = ctx.cluster.observe()
    retries: list[Retry] = []
    for item in found.findings:
        if item.id:
            one = _of_task(snapshot, item.id, stored(item.id))
        elif item.what in snapshot.logic_volumes:
            one = _of_volume(snapshot, snapshot.logic_volumes[item.what])
        else:
            one = Retry(
                item.what,
                f"{item.reason}: the operator must check at it"
                + (f": {item.do}" if item.do else ""),
            )
        if not one.task or (one.task, one.args) not in {
            (known.task, known.args) for known in retries
        }:
            retries.append(one)
    return tuple(retries)


def _of_task(snapshot: ClusterSnapshot, task_id: str, stored: TaskResult | None) -> Retry:
    if stored is None:
        return Retry(task_id, "no finished task of that id is stored: results are kept for a day")
    if stored.task in FOR_ALL:
        return Retry(task_id, f"it ended {stored.state}; it takes no arguments", stored.task)
    if stored.task in (task_names.REBUILD_NODE, task_names.MIGRATE_NODE) and _is_node(stored.args):
        one = _of_node(snapshot, str(stored.args[0]))
        return Retry(task_id, one.reason, one.task, one.args)
    return Retry(task_id, f"{stored.task} is no task that resumes anything")


def _is_node(args: Sequence[object]) -> bool:
    try:
        return len(args) == 1 and bool(names.node_name(args[0]))
    except BadInput:
        return False


def _of_volume(snapshot: ClusterSnapshot, logic_volume: LogicVolume) -> Retry:
    one = _task_of_volume(snapshot, logic_volume)
    return msgspec.structs.replace(one, claim=logic_volume.claim_key)


def _task_of_volume(snapshot: ClusterSnapshot, logic_volume: LogicVolume) -> Retry:
    if logic_volume.journal_error:
        return Retry(logic_volume.name, f"{logic_volume.journal_error}: put it right first")
    if logic_volume.journal is not None:
        return Retry(
            logic_volume.name,
            f"its rebuild on {logic_volume.journal.target} is unfinished",
            task_names.RESUME,
        )
    if logic_volume.name not in snapshot.persistent_volumes:
        return Retry(
            logic_volume.name,
            "it has no PersistentVolume: the sweep of LogicVolumes judges it",
            task_names.SWEEP_LOGIC_VOLUMES,
        )
    one = _of_node(snapshot, logic_volume.node)
    if one.task != task_names.SWEEP_LOCAL_VOLUMES:
        return Retry(logic_volume.name, one.reason, one.task, one.args)
    return Retry(
        logic_volume.name,
        f"{one.reason}; whether its local volume is there is reported",
        task_names.SWEEP_LOCAL_VOLUMES,
    )


def _of_node(snapshot: ClusterSnapshot, node: str) -> Retry:
    found = snapshot.nodes.get(node)
    if found is None:
        if not any(logic_volume.node == node for logic_volume in snapshot.logic_volumes.values()):
            return Retry(
                node, f"there is no node {node}, and no LogicVolume names it: nothing is left to do"
            )
        return Retry(node, f"node {node} does not exist", task_names.REBUILD_NODE, (node,))
    if not found.is_ready:
        return Retry(node, f"node {node} is not Ready", task_names.MIGRATE_NODE, (node,))
    return Retry(
        node,
        f"node {node} is Ready: nothing to fail over, its local volumes are swept",
        task_names.SWEEP_LOCAL_VOLUMES,
    )
