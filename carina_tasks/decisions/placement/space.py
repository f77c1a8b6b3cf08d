"""How much of each VG can still be given away.

    what `vgs` calls free
    + what lies closed in the trash: it goes as soon as the VG needs the space
    - what LogicVolumes claim there (spec.nodeName, or the target of a journal) and the inventory
      does not have yet
    - the reserve
    - what this plan has placed there already

A stale, closed LV of the wanted name is removed before the new one is made, so its bytes are
counted back.
"""

from __future__ import annotations

from collections.abc import Mapping

from carina_tasks.decisions.placement.candidate import Candidate
from carina_tasks.decisions.placement.groups import planned_size
from carina_tasks.decisions.placement.load import Load
from carina_tasks.model import names
from carina_tasks.model.local import LocalVolume
from carina_tasks.model.objects import LogicVolume
from carina_tasks.model.snapshot import ClusterSnapshot

Place = tuple[str, str]
"""A node and a VG of it."""


class FreeSpace:
    """The free bytes by node and VG before anything is placed. It never changes."""

    def __init__(
        self, snapshot: ClusterSnapshot, candidates: Mapping[str, Candidate], reserve: int
    ) -> None:
        """Work it out.

        Args:
            snapshot: The cluster as it was read.
            candidates: Every node with what it reported.
            reserve: Bytes of each VG that stay free.
        """
        self.free: dict[Place, int] = {
            (one.name, group.name): group.free - reserve
            for one in candidates.values()
            for group in one.groups.values()
        }
        self.claims: dict[Place, dict[str, int]] = {}
        """Bytes that LogicVolumes claim there and that the inventory does not have yet."""
        self.claimed: dict[str, tuple[Place, ...]] = {}
        """Where each LogicVolume claims something."""
        self._logic_volumes = snapshot.logic_volumes
        self._strays: dict[Place, list[str]] = {}
        """Nodes that have an LV of that VG and volume beside the one that its LogicVolume names."""
        for one in candidates.values():
            for (vg, name), lv in one.locals.items():
                if lv.trashed is not None and (one.name, vg) in self.free:
                    self.free[one.name, vg] += _given_back(one, lv, lv.trashed.name)
                self._note_stray(snapshot, one.name, vg, name)
        for logic_volume in snapshot.logic_volumes.values():
            if logic_volume.has_lv:
                for node in _nodes_of(logic_volume):
                    if node in candidates:
                        size = planned_size(logic_volume, snapshot)
                        self._claim(candidates[node], logic_volume, size)

    def concerned(self, logic_volume: LogicVolume) -> set[str]:
        """Return the nodes that a logic volume claims room on, and those that may have its LV."""
        named = self._logic_volumes.get(logic_volume.name)
        return {
            *(node for node, _ in self.claimed.get(logic_volume.name, ())),
            *self._strays.get((logic_volume.group, logic_volume.name), ()),
            *((named.node,) if named is not None else ()),
        }

    def _note_stray(self, snapshot: ClusterSnapshot, node: str, vg: str, name: str) -> None:
        volume = name.removeprefix(names.VOLUME_PREFIX)
        found = snapshot.logic_volumes.get(volume)
        if volume != name and (found is None or found.node != node):
            self._strays.setdefault((vg, volume), []).append(node)

    def _claim(self, one: Candidate, logic_volume: LogicVolume, size: int) -> None:
        key = (one.name, logic_volume.group)
        if key not in self.free:
            return
        there = stale_of(one, logic_volume)
        missing = max(0, size - (there.size if there else 0))
        if missing:
            self.claims.setdefault(key, {})[logic_volume.name] = missing
            self.claimed[logic_volume.name] = (*self.claimed.get(logic_volume.name, ()), key)
            self.free[key] -= missing


class Space:
    """The free bytes as one plan leaves them: `take` books, everything else only looks."""

    def __init__(self, before: FreeSpace) -> None:
        self._before = before
        self._changed: dict[Place, int] = {}
        self._released: set[str] = set()
        """LogicVolumes that are booked: what they claimed before is free again."""
        self._memo: dict[tuple[str, int], dict[str, int]] = {}

    def available(self, one: Candidate, group: Load) -> dict[str, int]:
        """Return the bytes that the group may take of each of its VGs on the node.

        Below zero when overbooked.

        The node must have those VGs.
        """
        key = (one.name, id(group))  # score and filter ask the same
        if key not in self._memo:
            self._memo[key] = self._available(one, group)
        return self._memo[key]

    def differs(self, group: Load) -> set[str]:
        """Return the nodes whose room for this group is not that for any other.

        They hold something of its volumes already.
        """
        return {node for v in group.logic_volumes for node in self._before.concerned(v)}

    def free(self, node: str, vg: str) -> int:
        """Return the free bytes of a VG of a node, below zero when overbooked.

        Args:
            node: Name of the node.
            vg: One of its VGs.
        """
        return self._free((node, vg))

    def _available(self, one: Candidate, group: Load) -> dict[str, int]:
        found = {}
        for vg in group.needs:
            claims = self._before.claims.get((one.name, vg), {})
            own = (
                sum(
                    claims.get(logic_volume.name, 0)
                    for logic_volume in group.logic_volumes
                    if logic_volume.name not in self._released
                )
                if claims
                else 0
            )
            found[vg] = self._free((one.name, vg)) + own
        for logic_volume in group.logic_volumes:
            found[logic_volume.group] += _given_back(one, stale_of(one, logic_volume))
        return found

    def take(self, one: Candidate, group: Load) -> dict[str, int]:
        """Book the group on the node and return the bytes left.

        What its volumes claimed anywhere is free again.
        """
        left = {
            vg: available - group.needs[vg] for vg, available in self.available(one, group).items()
        }
        for logic_volume in group.logic_volumes:
            if logic_volume.name not in self._released:
                self._released.add(logic_volume.name)
                for place in self._before.claimed.get(logic_volume.name, ()):
                    claimed = self._before.claims[place][logic_volume.name]
                    self._changed[place] = self._free(place) + claimed
        for vg, free in left.items():
            self._changed[one.name, vg] = free
        self._memo.clear()
        return left

    def _free(self, place: Place) -> int:
        changed = self._changed.get(place)
        return self._before.free[place] if changed is None else changed


def _nodes_of(logic_volume: LogicVolume) -> set[str]:
    """Return the nodes where it takes room."""
    journal = logic_volume.journal
    return {logic_volume.node, journal.target} if journal else {logic_volume.node}


def stale_of(one: Candidate, logic_volume: LogicVolume) -> LocalVolume | None:
    """Return the LV of that LogicVolume's name and VG that the node has already, or None."""
    return one.locals.get((logic_volume.group, names.VOLUME_PREFIX + logic_volume.name))


def _given_back(one: Candidate, lv: LocalVolume | None, name: str = "") -> int:
    """Return the bytes of its VG that removing this LV, called `name` before, frees.

    A thin one its own pool's, if any.
    """
    if lv is None or lv.is_open or lv.at_work:
        return 0
    if not lv.pool:
        return lv.size if lv.layout == "linear" and lv.role == "public" else 0
    pool = one.locals.get((lv.group, lv.pool))
    own = names.THIN_POOL_PREFIX + (name or lv.name).removeprefix(names.VOLUME_PREFIX)
    return pool.size if pool is not None and lv.pool_volumes == 1 and lv.pool == own else 0
