"""What nodes are asked: their inventories, and what they do to volumes.

What is wrong with an answer is reported here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

from carina_tasks.broker.calls import WINDOW
from carina_tasks.decisions import answers
from carina_tasks.errors import ApiUnavailable, BadAnswer, CarinaTasksError, NodeSilent
from carina_tasks.flows.context import Context
from carina_tasks.model import task_names
from carina_tasks.model.local import Inventory
from carina_tasks.model.messages import LvInTrash, LvResult, LvResults, LvTarget, LvToCreate
from carina_tasks.model.snapshot import ClusterSnapshot
from carina_tasks.observability import metrics
from carina_tasks.observability.audit import about_node

LISTS = 3
"""Lists of pods that are asked for until all are there: pods come while one lists and counts."""


def inventories(ctx: Context, nodes: Iterable[str]) -> dict[str, Inventory | CarinaTasksError]:
    """Return each node's inventory, or why there is none.

    A node whose worker sends no heartbeat is not waited for.
    """
    return {node: one for come in arriving(ctx, nodes) for node, one in come.items()}


def arriving(
    ctx: Context, nodes: Iterable[str], most: int = WINDOW
) -> Iterator[dict[str, Inventory | CarinaTasksError]]:
    """Yield the same as they come, some at a time, so that the caller need not keep all of them.

    Args:
        ctx: The outside world.
        nodes: Names of the nodes.
        most: Inventories that are handed on together, about.
    """
    silent: dict[str, Inventory | CarinaTasksError] = {}
    asked: dict[str, None] = {}
    for node in nodes:
        if ctx.worker_alive(node):
            asked[node] = None
        else:
            silent[node] = NodeSilent(f"the worker of node {node} sends no heartbeat")
    if silent:
        yield silent
    for come in ctx.nodes.stream(asked, task_names.INVENTORY, Inventory, most=most):
        for node, result in come.items():
            if isinstance(result, BadAnswer):
                _report_bad_answer(ctx, node, result.message)
        yield come


def accepted_results(
    ctx: Context,
    node: str,
    asked: Iterable[LvToCreate | LvInTrash | LvTarget],
    words: answers.AllowedOutcomes,
    ask: Callable[[], LvResults],
) -> tuple[LvResult, ...]:
    """Return the accepted results of `node` about the LVs `asked`.

    Raises what `ask` raises.

    Args:
        ctx: The outside world.
        node: Name of the node.
        asked: The LVs that were asked for.
        words: The outcomes that such a task can have.
        ask: Sends the request and returns the answer.
    """
    try:
        answer = ask()
    except BadAnswer as exc:
        _report_bad_answer(ctx, node, exc.message)
        raise
    found = answers.accept(asked, answer, words)
    if found.odd:
        _report_bad_answer(
            ctx, node, f"node {node} answered with what does not count: {'; '.join(found.odd)}"
        )
    return found.volumes


def _report_bad_answer(ctx: Context, node: str, message: str) -> None:
    metrics.REJECTED.labels(node).set_to_current_time()
    ctx.audit.guarded("BadAnswer", message, about_node(node))


def answered(results: dict[str, Inventory | CarinaTasksError]) -> dict[str, Inventory]:
    """Return only the inventories that came."""
    return {node: value for node, value in results.items() if isinstance(value, Inventory)}


def with_pvs_by_name(
    ctx: Context, snapshot: ClusterSnapshot, names: Iterable[str]
) -> ClusterSnapshot:
    """Return the world with these PersistentVolumes as the API server has them now.

    A list that lacks one (something in between can cut it short) is no proof that there is none: a
    volume whose PersistentVolume is missing counts as one that no pod can have written to.
    """
    found = {name: ctx.cluster.persistent_volume(name) for name in sorted(set(names))}
    pvs = {name: pv for name, pv in snapshot.persistent_volumes.items() if name not in found}
    return replace(
        snapshot,
        persistent_volumes=pvs | {name: pv for name, pv in found.items() if pv is not None},
    )


def confirmed(ctx: Context, snapshot: ClusterSnapshot, nodes: Iterable[str]) -> ClusterSnapshot:
    """Return the snapshot with what decides whether something may move read again.

    Nodes, and the pods of the nodes that volumes leave with those that are not scheduled; when
    these do not account for every pod that the API server counts, all pods. The pods of each list
    are added to those that were seen before: one that a list lacks (something in between can cut
    it short) may be the one that is not annotated.

    Args:
        ctx: The outside world.
        snapshot: The cluster as it was read.
        nodes: Names of the nodes that volumes leave.

    Raises:
        ApiUnavailable: More lists do not bring the pods together either.
    """
    snapshot = ctx.cluster.with_nodes_again(snapshot)
    pods = {pod.meta.uid: pod for pod in snapshot.pods}
    if snapshot.watched:
        # What was bound to another node when it was seen last is replaced by what it is now.
        pods |= {pod.meta.uid: pod for pod in ctx.cluster.pods_to_move(nodes)}
        total = ctx.cluster.pod_count()
        if total is not None and total <= len(pods):
            return replace(snapshot, pods=tuple(pods.values()))
    for _ in range(LISTS):
        pods |= {pod.meta.uid: pod for pod in ctx.cluster.pods()}
        total = ctx.cluster.pod_count()
        if total is None or total <= len(pods):
            return replace(snapshot, pods=tuple(pods.values()))
    raise ApiUnavailable(
        f"{LISTS} lists of pods hold {len(pods)} of the {total} that the API server counts: "
        "something cuts them short"
    )
