"""Which rebuilds does the API server look at alike?

Admission (policies, webhooks, RBAC) judges what an object says: its kind, namespace, labels,
annotations, class. Five hundred replicas of one application say the same but for their names and
numbers, so an answer about one is an answer about all.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Iterable

from carina_tasks.model import well_known
from carina_tasks.model.journal import Journal
from carina_tasks.model.meta import ObjectMeta
from carina_tasks.model.objects import LogicVolume, Pod
from carina_tasks.model.snapshot import ClusterSnapshot

_NUMBER = re.compile(r"\b[0-9a-f]*[0-9][0-9a-f]*\b")
"""A number, or a hexadecimal word with a digit: ordinals, addresses, UIDs, hashes."""

_OURS = frozenset({well_known.PROGRESS, well_known.HISTORY, well_known.JOURNAL})
_ORDINALS = frozenset({"apps.kubernetes.io/pod-index", "batch.kubernetes.io/job-completion-index"})
"""Labels by which Kubernetes numbers the pods of one controller (its "Well-Known Labels")."""


def admission_class(
    snapshot: ClusterSnapshot, logic_volume: LogicVolume, journal: Journal
) -> Hashable:
    """Return what two rebuilds share that the API server admits for the same reasons.

    It is only a way to ask less. Where it is wrong, the write itself is refused, and the volume
    waits with its journal; the new PV of each volume is tried all the same.

    Args:
        snapshot: The cluster as it was read.
        logic_volume: The LogicVolume.
        journal: The journal that it would get.
    """
    pv = snapshot.persistent_volumes[logic_volume.name]
    claim = snapshot.claims.get(pv.claim_key)
    users = [pod for pod in snapshot.pods_of(pv.claim_key) if pod.node == journal.source]
    own = {logic_volume.name, logic_volume.claim, *(pod.meta.name for pod in users)} - {""}
    blank = _blank(own)
    return (
        (journal.kind, journal.source, journal.target, logic_volume.namespace, logic_volume.size),
        _words(logic_volume.meta, blank),
        _words(pv.meta, blank),
        (pv.driver, pv.policy, pv.phase, pv.storage_class, pv.block),
        _words(claim.meta, blank) if claim else None,
        (claim.phase, claim.storage_class) if claim else None,
        tuple(sorted(map(repr, (_pod(pod, blank) for pod in users)))),
    )


def _pod(pod: Pod, blank: Callable[[str], str]) -> Hashable:
    owners = tuple((one.kind, one.uid) for one in pod.meta.owners)
    return owners, pod.phase, pod.meta.deleting is None, _words(pod.meta, blank)


def _words(meta: ObjectMeta, blank: Callable[[str], str]) -> Hashable:
    """Return what an object's metadata says, without what is its alone."""
    labels = {key: blank(value) for key, value in meta.labels.items() if key not in _ORDINALS}
    # Policies select by labels, so a number in one may count. In annotations numbers are
    # addresses, times and devices.
    annotations = {
        key: _NUMBER.sub("#", blank(str(value)))
        for key, value in meta.annotations.items()
        if key not in _OURS
    }
    return tuple(sorted(labels.items())), tuple(sorted(annotations.items())), meta.finalizers


def _blank(names: Iterable[str]) -> Callable[[str], str]:
    """Return a function that takes these names out of a text."""
    longest = sorted(names, key=len, reverse=True)
    own = re.compile("|".join(map(re.escape, longest)))
    return lambda text: own.sub("@", text)
