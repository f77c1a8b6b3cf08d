"""What must go together: the volumes of one pod, and the pods that share one of them.

A group is all or nothing. What already speaks against moving it at all (a volume in use elsewhere,
a constraint that cannot be read) is its `refusal`; what ties it to certain nodes is in `pinned` and
`demands`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from decimal import Decimal

from msgspec import structs

from carina_tasks.decisions.placement.companions import Demand, companion_of, zone_demands
from carina_tasks.decisions.placement.constraints import Shape, shape
from carina_tasks.errors import BadObject
from carina_tasks.model.objects import LogicVolume, Pod
from carina_tasks.model.snapshot import ClusterSnapshot


@dataclass(frozen=True, slots=True, eq=False)
class PodGroup:
    """Volumes that are rebuilt on one node, and the pods that will follow them there."""

    logic_volumes: tuple[LogicVolume, ...]
    needs: Mapping[str, int]
    """Bytes that its volumes take, by VG."""
    pods: tuple[Shape, ...] = ()
    leaving: tuple[Pod, ...] = ()
    """The same pods as they are now, and those whose replacements are among them: none stays where
    it is.
    """
    pinned: tuple[tuple[str, str], ...] = ()
    """Volumes of its pods that stay where they are, as (LogicVolume, node)."""
    demands: tuple[Demand, ...] = ()
    refusal: str = ""
    size: int = field(init=False)
    """Bytes of all its volumes."""
    requests: Mapping[str, Decimal] = field(init=False)
    """What its pods request together, by resource."""
    owners: frozenset[str] = field(init=False)
    """UIDs of the controllers of its pods."""

    def __post_init__(self) -> None:
        total: dict[str, Decimal] = {}
        for one in self.pods:
            for name, value in one.pod.requests.items():
                total[name] = total.get(name, Decimal(0)) + value
        object.__setattr__(self, "size", sum(self.needs.values()))
        object.__setattr__(self, "requests", dict(sorted(total.items())))
        object.__setattr__(
            self, "owners", frozenset(o.uid for one in self.pods if (o := one.pod.controller))
        )

    @property
    def rank(self) -> tuple[int, int, str]:
        """Return the sort key: largest first (first-fit decreasing), then by name."""
        return (-self.size, -len(self.pods), self.logic_volumes[0].name)


def planned_size(logic_volume: LogicVolume, snapshot: ClusterSnapshot) -> int:
    """Return the bytes that the new LV of a logic volume takes."""
    pv = snapshot.persistent_volumes.get(logic_volume.name)
    return logic_volume.rebuilt_size(pv.capacity if pv else 0)


def make_groups(
    snapshot: ClusterSnapshot, wanted: Sequence[LogicVolume], lost: Set[str]
) -> tuple[PodGroup, ...]:
    """Return the groups of these volumes; each volume is in exactly one.

    Args:
        snapshot: The cluster as it was read.
        wanted: The logic volumes that move.
        lost: The nodes that the logic volumes leave.
    """
    left = frozenset(
        {*lost} | {logic_volume.journal.source for logic_volume in wanted if logic_volume.journal}
    )
    by_claim = {
        claim: logic_volume
        for logic_volume in wanted
        if (claim := _claim_of(logic_volume, snapshot))
    }
    users = _users(snapshot, by_claim)
    names = {logic_volume.name for logic_volume in wanted}
    joined = _Joined(logic_volume.name for logic_volume in wanted)
    for pod, claims in users:
        if _moves(pod, snapshot, left):
            for claim in claims[1:]:
                joined.join(by_claim[claims[0]].name, by_claim[claim].name)
    members: dict[str, list[LogicVolume]] = {}
    for logic_volume in wanted:
        members.setdefault(joined.root(logic_volume.name), []).append(logic_volume)
    pods: dict[str, list[Pod]] = {}
    for pod, claims in users:
        for root in dict.fromkeys(joined.root(by_claim[claim].name) for claim in claims):
            pods.setdefault(root, []).append(pod)
    return tuple(
        _group(snapshot, logic_volumes, pods.get(root, []), names, lost, left)
        for root, logic_volumes in members.items()
    )


def _group(
    snapshot: ClusterSnapshot,
    logic_volumes: list[LogicVolume],
    users: list[Pod],
    wanted: Set[str],
    lost: Set[str],
    left: frozenset[str],
) -> PodGroup:
    logic_volumes = sorted(logic_volumes, key=lambda logic_volume: logic_volume.name)
    needs: Counter[str] = Counter()
    for logic_volume in logic_volumes:
        needs[logic_volume.group] += planned_size(logic_volume, snapshot)
    elsewhere = next(
        (p for p in users if not _moves(p, snapshot, left) and p.node and p.node not in left), None
    )
    if elsewhere is not None:
        return PodGroup(
            tuple(logic_volumes),
            needs,
            refusal=f"in use on {elsewhere.node} by pod {elsewhere.meta.key}",
        )
    leaving = tuple(p for p in users if _moves(p, snapshot, left))
    follow = tuple(_renewed(pod) for pod in _without_replaced(leaving))
    try:
        shapes = tuple(shape(pod) for pod in follow)
        pinned, demands = _companions(snapshot, follow, wanted, lost)
        demands += zone_demands(snapshot, logic_volumes)
    except BadObject as exc:
        return PodGroup(tuple(logic_volumes), needs, refusal=exc.message)
    uncertain = next(
        (s.pod for s in shapes if any(t.uncertain for t in s.affinity + s.anti_affinity)), None
    )
    if uncertain is not None:
        refusal = (
            f"pod {uncertain.meta.key}: required pod (anti-)affinity with a namespaceSelector "
            "cannot be judged, because the labels of namespaces are not observed"
        )
        return PodGroup(tuple(logic_volumes), needs, refusal=refusal)
    return PodGroup(tuple(logic_volumes), needs, shapes, leaving, pinned, demands)


def _companions(
    snapshot: ClusterSnapshot, pods: Sequence[Pod], wanted: Set[str], lost: Set[str]
) -> tuple[tuple[tuple[str, str], ...], tuple[Demand, ...]]:
    """Return what the other volumes of the pods tie them to.

    Raises BadObject when one of them rules out a move.
    """
    pinned: dict[str, str] = {}
    demands: list[Demand] = []
    for pod in pods:
        for name in pod.claims:
            found = companion_of(snapshot, pod, name, wanted, lost)
            if isinstance(found, Demand):
                demands.append(found)
            elif found is not None:
                pinned[found.name] = found.node
    return tuple(sorted(pinned.items())), tuple(demands)


def _claim_of(logic_volume: LogicVolume, snapshot: ClusterSnapshot) -> str:
    """Return ``namespace/name`` of its claim.

    Empty when that claim does not exist or is bound to another PV.

    A claim that its PV is Bound to and that is not in the list counts as there: a list that
    something cut short must not part the volumes of one pod.
    """
    key, pv = (
        logic_volume.claim_key,
        snapshot.persistent_volumes.get(logic_volume.name),
    )
    claim = snapshot.claims.get(key)
    if claim is None:
        return key if pv is not None and pv.phase == "Bound" and pv.claim_key == key else ""
    return key if claim.pv_name in ("", logic_volume.name) else ""


def _users(
    snapshot: ClusterSnapshot, by_claim: Mapping[str, LogicVolume]
) -> list[tuple[Pod, list[str]]]:
    """Return the pods that use wanted volumes, each with those claims, by name.

    DaemonSets' and static pods of nodes that are gone are left out: nothing follows from them.
    """
    found = []
    users = {id(pod): pod for key in by_claim for pod in snapshot.pods_of(key)}
    for pod in sorted(users.values(), key=lambda p: (p.meta.key, p.meta.uid)):
        claims = [
            key
            for key in dict.fromkeys(f"{pod.meta.namespace}/{c}" for c in pod.claims)
            if key in by_claim
        ]
        if claims and not (_stays(pod) and not _lives(pod, snapshot)):
            found.append((pod, claims))
    return found


def _stays(pod: Pod) -> bool:
    """Return whether it belongs to its node: a DaemonSet's pod, or a static pod's mirror."""
    return pod.mirror or pod.of_daemon_set


def _lives(pod: Pod, snapshot: ClusterSnapshot) -> bool:
    return bool(pod.node) and pod.node in snapshot.nodes


def _moves(pod: Pod, snapshot: ClusterSnapshot, left: frozenset[str]) -> bool:
    """Return whether it follows its volumes.

    Unbound, on a node that they leave, or on one that is not there any more.

    They leave the lost node; planned again in mid-rebuild, also the node that their journals name
    as source.
    """
    return not _stays(pod) and (pod.node in left or not _lives(pod, snapshot))


def _renewed(pod: Pod) -> Pod:
    """Return the pod as its controller will make it again: bound nowhere, and not terminating."""
    return structs.replace(pod, node="", meta=structs.replace(pod.meta, deleting=None))


def _without_replaced(pods: Sequence[Pod]) -> tuple[Pod, ...]:
    """Return the pods without the terminating ones whose replacement is among them already.

    A ReplicaSet makes the replacement while the old pod of a dead node still terminates: both use
    the claim, only one of them will run. A StatefulSet's replacement has the same name and cannot
    exist beside the old pod.
    """
    waiting = Counter(
        (owner.uid, frozenset(pod.claims))
        for pod in pods
        if not pod.node and pod.meta.deleting is None and (owner := pod.controller)
    )
    follow = []
    for pod in pods:
        owner = pod.controller
        key = (owner.uid if owner else "", frozenset(pod.claims))
        same_name = owner is not None and owner.kind == "StatefulSet"
        if (
            pod.meta.deleting is not None
            and owner is not None
            and not same_name
            and waiting[key] > 0
        ):
            waiting[key] -= 1
        else:
            follow.append(pod)
    return tuple(follow)


class _Joined:
    """Union-find over names."""

    def __init__(self, names: Iterable[str]) -> None:
        self._parent = {name: name for name in names}

    def root(self, name: str) -> str:
        while self._parent[name] != name:
            self._parent[name] = name = self._parent[self._parent[name]]
        return name

    def join(self, one: str, other: str) -> None:
        self._parent[self.root(one)] = self.root(other)
