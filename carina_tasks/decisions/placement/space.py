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

from collections.abc import Sequence

from carina_tasks.decisions.placement.candidate import Candidate
from carina_tasks.decisions.placement.groups import PodGroup, planned_size
from carina_tasks.model import names
from carina_tasks.model.local import LocalVolume
from carina_tasks.model.objects import LogicVolume
from carina_tasks.model.snapshot import ClusterSnapshot


class Space:
    """The ledger of free bytes by node and VG: `take` books, everything else only looks."""

    def __init__(
        self, snapshot: ClusterSnapshot, candidates: Sequence[Candidate], reserve: int
    ) -> None:
        self._free = {
            (one.name, group.name): group.free - reserve
            for one in candidates
            for group in one.groups.values()
        }
        self._claims: dict[tuple[str, str], dict[str, int]] = {}
        self._memo: dict[tuple[str, int], dict[str, int]] = {}
        by_name = {one.name: one for one in candidates}
        for one in candidates:
            for (vg, _), lv in one.locals.items():
                if lv.trashed is not None and (one.name, vg) in self._free:
                    self._free[one.name, vg] += _given_back(one, lv, lv.trashed.name)
        for logic_volume in snapshot.logic_volumes.values():
            nodes = (
                {logic_volume.node, logic_volume.journal.target}
                if logic_volume.journal
                else {logic_volume.node}
            )
            if logic_volume.has_lv:
                for node in nodes & by_name.keys():
                    self._claim(by_name[node], logic_volume, planned_size(logic_volume, snapshot))

    def available(self, one: Candidate, group: PodGroup) -> dict[str, int]:
        """Return the bytes that the group may take of each of its VGs on the node.

        Below zero when overbooked.

        The node must have those VGs.
        """
        key = (one.name, id(group))  # score and filter ask the same, for each node
        if key not in self._memo:
            self._memo[key] = self._available(one, group)
        return self._memo[key]

    def _available(self, one: Candidate, group: PodGroup) -> dict[str, int]:
        found = {}
        for vg in group.needs:
            claims = self._claims.get((one.name, vg), {})
            own = (
                sum(claims.get(logic_volume.name, 0) for logic_volume in group.logic_volumes)
                if claims
                else 0
            )
            found[vg] = self._free[one.name, vg] + own
        for logic_volume in group.logic_volumes:
            found[logic_volume.group] += _given_back(one, stale_of(one, logic_volume))
        return found

    def take(self, one: Candidate, group: PodGroup) -> dict[str, int]:
        """Book the group on the node and return the bytes left.

        What its volumes claimed anywhere is free again.
        """
        left = {
            vg: available - group.needs[vg] for vg, available in self.available(one, group).items()
        }
        for (node, vg), claims in self._claims.items():
            for logic_volume in group.logic_volumes:
                self._free[node, vg] += claims.pop(logic_volume.name, 0)
        for vg, free in left.items():
            self._free[one.name, vg] = free
        self._memo.clear()
        return left

    def _claim(self, one: Candidate, logic_volume: LogicVolume, size: int) -> None:
        key = (one.name, logic_volume.group)
        if key not in self._free:
            return
        there = stale_of(one, logic_volume)
        missing = max(0, size - (there.size if there else 0))
        if missing:
            self._claims.setdefault(key, {})[logic_volume.name] = missing
            self._free[key] -= missing


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
