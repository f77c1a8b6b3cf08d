"""What does an operator mean by this word? A claim, a pod, a volume or a node.

The on-call engineer knows ``namespace/claim`` and the pod; ``pvc-<uuid>`` is hard to remember.
A word that fits more than one thing is never guessed at: the error lists what it may mean.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from carina_tasks.errors import BadInput
from carina_tasks.model import names
from carina_tasks.model.snapshot import ClusterSnapshot

FORMS: Final = "NAMESPACE/CLAIM, pod/NAMESPACE/NAME, node/NAME, or the name of a volume"
"""How the operator writes what he means; the shorter forms work while they are unique."""
_LISTED: Final = 10
_LONGEST: Final = 600


@dataclass(frozen=True, slots=True)
class Target:
    """What a word means: the volumes of a claim or of a pod, or a node."""

    text: str
    """The thing in full, as it could have been typed: ``claim default/data-mysql-0``."""
    volumes: tuple[str, ...] = ()
    """Names of LogicVolumes, by name."""
    node: str = ""
    """The node, when the word means a node; then there are no `volumes`."""


def find(snapshot: ClusterSnapshot, word: str) -> Target:
    """Return what `word` means.

    Args:
        snapshot: The cluster as it was read.
        word: What the operator typed, in one of `FORMS`.

    Raises:
        BadInput: Nothing or more than one thing is called so; it lists what is, or is similar.
    """
    found = meanings(snapshot, word)
    if len(found) == 1:
        return found[0]
    if found:
        listed = ", ".join(target.text for target in found[:_LISTED])
        more = f" and {len(found) - _LISTED} more" if len(found) > _LISTED else ""
        raise BadInput(f"{word} may mean {listed}{more}: write one of them in full")
    known = [*snapshot.nodes, *snapshot.logic_volumes]
    known += [v.claim_key for v in snapshot.logic_volumes.values()]
    known += [v.claim for v in snapshot.logic_volumes.values()]
    near = difflib.get_close_matches(word[:100], dict.fromkeys(known), n=3, cutoff=0.75)
    hint = f"did you mean {' or '.join(near)}?" if near else f"write {FORMS}"
    raise BadInput(f"there is no volume, claim, pod or node {word[:100]}: {hint}")


def meanings(snapshot: ClusterSnapshot, word: str) -> tuple[Target, ...]:
    """Return everything that `word` may mean.

    Args:
        snapshot: The cluster as it was read.
        word: What the operator typed, in one of `FORMS`.

    Raises:
        BadInput: It is empty, too long or not printable.
    """
    if not word or len(word) > _LONGEST or not word.isprintable():
        raise BadInput(f"{word[:60]!r} names nothing: write {FORMS}")
    return tuple(dict.fromkeys(_meanings(snapshot, word)))


def one_volume(snapshot: ClusterSnapshot, word: str) -> str:
    """Return the name of the one volume that `word` means.

    Args:
        snapshot: The cluster as it was read.
        word: What the operator typed, in one of `FORMS`.

    Raises:
        BadInput: It means no volume, or more than one.
    """
    target = find(snapshot, word)
    if len(target.volumes) == 1:
        return target.volumes[0]
    listed = ", ".join(snapshot.logic_volumes[name].claim_key for name in target.volumes[:_LISTED])
    if listed:
        raise BadInput(f"{target.text} uses {len(target.volumes)} volumes: name one of {listed}")
    raise BadInput(f"{target.text} is no volume: write NAMESPACE/CLAIM or the name of a volume")


def node_of(snapshot: ClusterSnapshot, word: str) -> str:
    """Return the node that `word` means, or that holds the volumes of what it means.

    Args:
        snapshot: The cluster as it was read.
        word: What the operator typed, in one of `FORMS`.

    Raises:
        BadInput: It means nothing, several things, or volumes of several nodes.
    """
    target = find(snapshot, word)
    if target.node:
        return target.node
    nodes = sorted({snapshot.logic_volumes[name].node for name in target.volumes})
    if len(nodes) != 1:
        raise BadInput(f"{target.text} has volumes on several nodes: name one of {nodes}")
    return nodes[0]


def _meanings(snapshot: ClusterSnapshot, word: str) -> Iterator[Target]:
    """Yield everything that `word` may mean; a form that names its kind means that kind only."""
    kind, _, rest = word.partition("/")
    if kind in _KINDS and rest:
        yield from _KINDS[kind](snapshot, rest)
        if "/" in rest:
            return
    yield from _volumes(snapshot, word)
    yield from _nodes(snapshot, word)
    claims = list(_claims(snapshot, word))
    yield from claims
    if not claims:
        # A claim is what the volume is: a pod of the same name adds nothing to it.
        yield from _pods(snapshot, word)


def _volumes(snapshot: ClusterSnapshot, word: str) -> Iterator[Target]:
    name = word.removeprefix(names.VOLUME_PREFIX)
    for one in dict.fromkeys((word, name)):
        if one in snapshot.logic_volumes:
            yield Target(f"lv/{one}", (one,))


def _nodes(snapshot: ClusterSnapshot, word: str) -> Iterator[Target]:
    if word in snapshot.nodes or any(v.node == word for v in snapshot.logic_volumes.values()):
        yield Target(f"node/{word}", node=word)


def _claims(snapshot: ClusterSnapshot, word: str) -> Iterator[Target]:
    for name, one in sorted(snapshot.logic_volumes.items()):
        if word in (one.claim_key, one.claim):
            yield Target(f"pvc/{one.claim_key}", (name,))


def _pods(snapshot: ClusterSnapshot, word: str) -> Iterator[Target]:
    for pod in sorted(snapshot.pods, key=lambda pod: pod.meta.key):
        if word not in (pod.meta.key, pod.meta.name):
            continue
        claims = {f"{pod.meta.namespace}/{claim}" for claim in pod.claims}
        volumes = tuple(
            name for name, v in sorted(snapshot.logic_volumes.items()) if v.claim_key in claims
        )
        if volumes:
            yield Target(f"pod/{pod.meta.key}", volumes)


_KINDS: Final[dict[str, Callable[[ClusterSnapshot, str], Iterator[Target]]]] = {
    "pod": _pods,
    "pvc": _claims,
    "claim": _claims,
    "lv": _volumes,
    "pv": _volumes,
    "node": _nodes,
}
"""What stands before the first slash, as kubectl has it. A namespace may be called so too: then
both are meant, unless a second slash follows.
"""
