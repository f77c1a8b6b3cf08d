"""Keep, mark, unmark or remove this local volume? And.

Is the local volume of this LogicVolume missing?

The one rule that must never be wrong: an LV is removed only if nothing can still need it. Source:
docs/design.md, section 5; carina issues 53, 95, 177 (volumes removed that should not have been).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Literal

from carina_tasks.decisions import selection
from carina_tasks.errors import BadInput
from carina_tasks.model import names, times, well_known

if TYPE_CHECKING:
    from carina_tasks.model.local import Inventory, LocalVolume
    from carina_tasks.model.objects import LogicVolume, PersistentVolume


KeepReason = Literal[
    "wanted",
    "unmanaged-group",
    "foreign-name",
    "not-plain",
    "at-work",
    "open",
    "restored",
    "young",
    "marked",
    "trash",
    "unreadable",
]


@dataclass(frozen=True, slots=True)
class KeepLv:
    """Leave it alone."""

    reason: str
    why: KeepReason
    """The kind of reason, for the metrics."""
    error: str = ""
    """Why it could not be judged; empty when it could."""


@dataclass(frozen=True, slots=True)
class UnmarkOrphan:
    """It was marked as an orphan and is not one: remove the mark."""

    reason: str


@dataclass(frozen=True, slots=True)
class MarkOrphan:
    """It looks like an orphan for the first time: mark it, a later sweep looks again."""

    reason: str


@dataclass(frozen=True, slots=True)
class RemoveOrphan:
    """An earlier sweep marked it, and it still is an orphan: remove it."""

    reason: str


@dataclass(frozen=True, slots=True)
class PurgeTrash:
    """It has been in the trash for long enough, and nothing needs it: remove it permanently."""

    reason: str


OrphanVerdict = KeepLv | UnmarkOrphan | MarkOrphan | RemoveOrphan


@dataclass(frozen=True, slots=True)
class OrphanRules:
    """Seconds, and shell patterns of the volume groups in which orphans may be removed."""

    grace: float
    mark_age: float
    groups: tuple[str, ...]
    retention: float
    """How long what was removed stays in the trash."""
    restore_hold: float
    """How long what the operator restored is left alone."""
    old_copies: float = 0.0
    """How long an old copy that a failover left stays in the trash; never shorter than `retention`.
    """


def judge_local_volume(
    lv: LocalVolume,
    inventory: Inventory,
    logic_volume: LogicVolume | None,
    pv: PersistentVolume | None,
    now: float,
    rules: OrphanRules,
) -> OrphanVerdict:
    """Judge one local volume of `inventory.node` against its LogicVolume and PV.

    None for either means that a complete list, or the API server's own 404, proved it; an error
    never does.

    Args:
        lv: The LV, as its node reported it.
        inventory: What the node reported.
        logic_volume: The LogicVolume of its name; None: a complete list or the API server's own 404
            proved that there is none. An error never does.
        pv: The PersistentVolume of its name, likewise.
        now: Seconds since the epoch, by the API server's clock.
        rules: What the settings allow.
    """
    if not any(fnmatchcase(lv.group, pattern) for pattern in rules.groups):
        return KeepLv(f"volume group {lv.group} is not managed", "unmanaged-group")
    try:
        name = names.logic_volume_of(lv.name)
    except BadInput:
        return KeepLv(
            f"its name is not Carina's ({names.VOLUME_PREFIX}<LogicVolume>)", "foreign-name"
        )
    if lv.at_work:
        return KeepLv(f"it is left alone until that has ended: {lv.at_work}", "at-work")
    wanted = _wanted(name, inventory.node, logic_volume, pv)
    if wanted:
        return UnmarkOrphan(wanted) if _marked(lv) else KeepLv(wanted, "wanted")
    exotic = _exotic(lv, name)
    if exotic:
        return KeepLv(exotic, "not-plain")
    if lv.is_open:
        in_use = "it is open: something on the node uses it"
        return UnmarkOrphan(in_use) if _marked(lv) else KeepLv(in_use, "open")
    restored = lv.restored_at
    if restored is not None and now - restored < rules.restore_hold:
        return KeepLv(
            f"the operator restored it {times.age(now - restored)} ago; it is left alone for "
            f"{times.age(rules.restore_hold)}",
            "restored",
        )
    if now - lv.created < rules.grace:
        return KeepLv(f"it is younger than {times.age(rules.grace)}", "young")
    marked = lv.marked_at
    if marked is None:
        return MarkOrphan(_why(inventory.node, logic_volume, pv))
    if now - marked < rules.mark_age:
        return KeepLv(
            f"it was marked {times.age(now - marked)} ago; it is removed "
            f"{times.age(rules.mark_age)} after "
            "its mark",
            "marked",
        )
    return RemoveOrphan(
        f"{_why(inventory.node, logic_volume, pv)}; marked {times.age(now - marked)} ago"
    )


def judge_trash(
    lv: LocalVolume,
    inventory: Inventory,
    logic_volume: LogicVolume | None,
    pv: PersistentVolume | None,
    now: float,
    rules: OrphanRules,
) -> KeepLv | PurgeTrash:
    """Judge an LV in the trash of `inventory.node` against the objects of its old name.

    Args:
        lv: The LV, as its node reported it.
        inventory: What the node reported.
        logic_volume: The LogicVolume, None when it does not exist.
        pv: The PersistentVolume, None when it does not exist.
        now: Seconds since the epoch, by the API server's clock.
        rules: What the settings allow.
    """
    trashed = lv.trashed
    if trashed is None:
        return KeepLv("it does not lie in the trash", "trash")
    if not any(fnmatchcase(lv.group, pattern) for pattern in rules.groups):
        return KeepLv(f"volume group {lv.group} is not managed", "unmanaged-group")
    if lv.at_work:
        return KeepLv(f"it is left alone until that has ended: {lv.at_work}", "at-work")
    age = now - trashed.at
    retention = rules.retention if logic_volume is None else max(rules.retention, rules.old_copies)
    if age < retention:
        lying = f"it has been in the trash for {times.age(age)} of {times.age(retention)}"
        return KeepLv(lying, "trash")
    named = (logic_volume is not None and logic_volume.node == inventory.node) or (
        pv is not None and inventory.node in pv.nodes
    )
    if named and inventory.find(lv.group, trashed.name) is None:
        return KeepLv(
            f"the cluster expects {trashed.name} on this node, and it is not there: the operator "
            "may want it back",
            "trash",
        )
    return PurgeTrash(f"in the trash for {times.age(age)} ({trashed.why})")


def old_copy(lv: LocalVolume, node: str, logic_volume: LogicVolume | None) -> bool:
    """Return whether an LV on `node` is the old copy that a failover left there.

    In the trash it is one whatever node the LogicVolume names: a second failover may have brought
    the volume back to this node, as another LV.

    Args:
        lv: The LV, as its node reported it.
        node: Name of the node.
        logic_volume: The LogicVolume, None when it does not exist.
    """
    return logic_volume is not None and (lv.trashed is not None or logic_volume.node != node)


def _wanted(
    name: str, node: str, logic_volume: LogicVolume | None, pv: PersistentVolume | None
) -> str:
    """Return why the LV may still be needed; empty when nothing can need it.

    An orphan has neither LogicVolume nor PV; or both are there and both name another node, with no
    journal between them: the stale copy on a node that returned.
    """
    if logic_volume is None and pv is None:
        return ""
    if logic_volume is None:
        return f"PersistentVolume {name} exists"
    if logic_volume.journalled:
        return f"LogicVolume {name} is being rebuilt"
    if logic_volume.node == node:
        return f"LogicVolume {name} names this node"
    if pv is None:
        return f"LogicVolume {name} exists (on {logic_volume.node}) and has no PersistentVolume"
    if not pv.nodes or node in pv.nodes:
        return f"PersistentVolume {name} names this node, or none"
    return ""


def _exotic(lv: LocalVolume, name: str) -> str:
    """Return why removing the volume could remove more than itself; empty for a plain one."""
    layout, roles = set(lv.layout.split(",")), set(lv.role.split(","))
    if "public" not in roles or roles & {
        "origin",
        "thickorigin",
        "multithickorigin",
        "thinorigin",
        "multithinorigin",
        "snapshot",
        "thicksnapshot",
        "thinsnapshot",
        "cowsnapshot",
    }:
        return f"it is no plain volume (role {lv.role}): others may depend on it"
    if layout == {"linear"}:
        return ""
    if "thin" in layout and "pool" not in layout:
        if lv.pool == names.THIN_POOL_PREFIX + name and lv.pool_volumes == 1:
            return ""
        return f"its thin pool {lv.pool} is not its own alone"
    return f"its layout is {lv.layout}, not Carina's"


def _marked(lv: LocalVolume) -> bool:
    return any(tag.startswith(well_known.TAG_ORPHAN) for tag in lv.tags)


def _why(node: str, logic_volume: LogicVolume | None, pv: PersistentVolume | None) -> str:
    if logic_volume is None or pv is None:
        return "it has neither LogicVolume nor PersistentVolume"
    return (
        f"its LogicVolume and PersistentVolume are on {logic_volume.node}; this is an old copy on "
        f"{node}"
    )


@dataclass(frozen=True, slots=True)
class MissingLocalVolume:
    """A LogicVolume is `Success` on a live node whose local volume is not there."""

    logic_volume: LogicVolume
    reason: str
    trouble: str = ""
    """Why it is no trouble of this volume alone: the node does not report its volume group at all.
    Empty when it does.
    """


def missing_local_volumes(
    logic_volumes: Iterable[LogicVolume], inventory: Inventory, now: float, grace: float
) -> Sequence[MissingLocalVolume]:
    """Return the LogicVolumes of `inventory.node` whose local volume is not there.

    They are reported, never created again: an empty volume in place of a lost one would hide the
    loss of data (carina issue 14).

    Args:
        logic_volumes: Those that may name the node.
        inventory: What the node reported.
        now: Seconds since the epoch, by the API server's clock.
        grace: Seconds for which a new LogicVolume is left alone.
    """
    found, groups = [], {group.name for group in inventory.groups}
    there = {(lv.group, lv.name) for lv in inventory.volumes}
    for logic_volume in logic_volumes:
        if (
            logic_volume.node != inventory.node
            or logic_volume.status != well_known.STATUS_SUCCESS
            or logic_volume.journalled
        ):
            continue
        if not selection.managed(logic_volume) or logic_volume.meta.deleting is not None:
            continue
        if now - logic_volume.meta.created < grace:
            continue
        name = names.VOLUME_PREFIX + logic_volume.name
        if (logic_volume.group, name) not in there:
            reason, trouble = (
                f"node {inventory.node} has no {logic_volume.group}/{name}; its data is lost or "
                "elsewhere",
                "",
            )
            if logic_volume.group not in groups:
                trouble = (
                    f"node {inventory.node} reports no volume group {logic_volume.group}: its disk "
                    "fails, is gone or was not found"
                )
                reason = f"{trouble}; {name} should be there"
            found.append(MissingLocalVolume(logic_volume, reason, trouble))
    return tuple(found)
