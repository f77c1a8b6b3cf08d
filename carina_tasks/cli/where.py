"""What an operator means by an argument: a claim, a pod, a volume or a node of the cluster."""

from __future__ import annotations

from collections.abc import Sequence

from carina_tasks.celery import app
from carina_tasks.decisions import targets
from carina_tasks.errors import BadInput, CarinaTasksError
from carina_tasks.flows.context import Context
from carina_tasks.model import names
from carina_tasks.model.snapshot import ClusterSnapshot
from carina_tasks.store import heartbeat


def node(snapshot: ClusterSnapshot, word: str) -> str:
    """Return the node that `word` means, or that holds what it means.

    A node that the API server does not know counts while its worker lives: a machine that was
    renamed, or whose node was deleted.

    Args:
        snapshot: The cluster as it was read.
        word: What the operator typed.

    Raises:
        BadInput: It means nothing, or several things.
    """
    try:
        return targets.node_of(snapshot, word)
    except BadInput:
        if _lives(word):
            return word
        raise


def nodes_and_volumes(ctx: Context, words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the nodes and the volumes that `words` mean.

    Args:
        ctx: The outside world.
        words: What the operator typed.

    Raises:
        BadInput: One of them means nothing, or several things.
    """
    nodes: list[str] = []
    volumes: list[str] = []
    if not words:
        return nodes, volumes
    snapshot = ctx.cluster.observe()
    for word in words:
        if not targets.meanings(snapshot, word) and _lives(word):
            nodes.append(word)
            continue
        found = targets.find(snapshot, word)
        nodes += [found.node] if found.node else []
        volumes += found.volumes
    return nodes, volumes


def volumes(snapshot: ClusterSnapshot, word: str) -> tuple[str, ...]:
    """Return the names of the volumes that `word` means.

    What is no claim, pod or volume of the cluster is returned as it is: the UUID of an LV, or the
    name of something in the trash.

    Args:
        snapshot: The cluster as it was read.
        word: What the operator typed.

    Raises:
        BadInput: It means several things.
    """
    if not targets.meanings(snapshot, word):
        return (word,)
    return targets.find(snapshot, word).volumes or (word,)


def one_volume(snapshot: ClusterSnapshot, word: str) -> str:
    """Return the name of the one volume that `word` means; see `volumes`.

    Args:
        snapshot: The cluster as it was read.
        word: What the operator typed.

    Raises:
        BadInput: It means several things, or a pod with several volumes.
    """
    return targets.one_volume(snapshot, word) if targets.meanings(snapshot, word) else word


def _lives(word: str) -> bool:
    """Return whether a node worker of that name sends heartbeats."""
    try:
        return heartbeat.alive(app, names.node_name(word))
    except CarinaTasksError:
        return False
