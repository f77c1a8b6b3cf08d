"""The command lines that change something.

Every one that removes or tags carries a selection (``-S``) with the LV's UUID and whatever else
must still hold: lvm2 evaluates it under the VG's lock, so that check and act are one. A selection
that no longer holds selects nothing and exits with 0; so callers read a report afterwards. Tried on
lvm2 2.03.16 and 2.03.31:

* list fields need ``["a","b"]`` for "exactly these"; plain ``lv_role="public"`` also matches
  ``public,origin``, and removing an origin removes its snapshots;
* ``lvrename`` takes no selection. So what goes into the trash is tagged and deactivated first, with
  a selection, and is renamed only when a report shows that both was done: from then on nothing can
  hold it;
* ``lv_device_open!="open"`` is also true of ``unknown``, which is what every inactive LV has;
  without a device mapper ``lv_active`` is ``unknown``, and then nothing is known to be closed;
* ``lv_attr`` (lvs(8)) has one letter for everything that may be happening with an LV. lvm itself
  deactivates an LV that pvmove has locked, and leaves the others of that move suspended.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

import msgspec.structs

from carina_tasks.decisions.local_volume import RestoreCopy
from carina_tasks.decisions.removal import MoveToTrash, RemoveLv, RestoreFromTrash
from carina_tasks.model import names, well_known
from carina_tasks.model.local import LocalVolume
from carina_tasks.model.messages import LvToCreate

Command = tuple[str, ...]


WIPING: Final = "allocation/use_blkid_wiping=1"
"""What the creation of an LV pins, whatever the host's lvm.conf(5) contains: lvm wipes every
signature that blkid knows.
"""

_AT_REST: Final = 'lv_attr=~"^[-V][-wrR][a-z][-m][-aX][-oX][-tX][-zX][-X]"'
"""Selects an LV that lvm reports nothing special about: what `report.at_work` calls empty."""
_POOL_AT_REST: Final = _AT_REST.replace("[-V]", "t")


def create(wanted: LvToCreate, size: int) -> Command:
    """Return the command for a linear LV of `size` bytes, wiped and tagged as created.

    lvm2 commits the LV with its tags first and wipes it afterwards. So this tag only states that
    the creation began; `confirm` replaces it.
    """
    tag = well_known.TAG_CREATING + wanted.intent
    name, group = names.logical_volume_name(wanted.name), names.volume_group_name(wanted.group)
    size_and_tag = ("-n", name, "-L", f"{size}b", "--addtag", tag)
    return ("lvcreate", "-y", "-W", "y", "-Z", "y", "--config", WIPING, *size_and_tag, group)


def created(name: str, output: str) -> bool:
    """Return whether the last line of lvcreate's `output` reports the LV `name` as created."""
    # Between escaped quotes when lvm.conf has log/report_command_log=1 and
    # report/output_format="json".
    return re.search(rf'Logical volume \\?"{re.escape(name)}\\?" created\.', output) is not None


def confirm(lv: LocalVolume, intent: str, before: str, after: str) -> Command:
    """Return the command that reports how far the creation of `lv` is, if it is still the same LV.

    Args:
        lv: The LV.
        intent: The id of its rebuild.
        before: The prefix of the tag that it has: TAG_CREATING or TAG_ZEROING.
        after: The prefix of the tag that takes its place: TAG_ZEROING or TAG_INTENT.
    """
    same = f'{_same(lv)} && lv_tags={{"{before}{intent}"}}'
    tags = ("--deltag", before + intent, "--addtag", after + intent)
    return ("lvchange", "-y", "-S", same, *tags, _path(lv))


def extend(lv: LocalVolume, size: int) -> Command:
    """Return the command that extends `lv` to `size` bytes.

    lvextend takes no selection; it destroys nothing.
    """
    return ("lvextend", "-y", "-L", f"{size}b", _path(lv))


def tag(lv: LocalVolume, on: Sequence[str], off: Sequence[str], condition: str = "") -> Command:
    """Return the command that adds the tags `on` to an LV and removes `off`.

    Args:
        lv: The LV; nothing happens if it is another one by now.
        on: Tags to add.
        off: Tags to remove.
        condition: What else must hold, as it follows in lvm's selection (lvmreport(7)).

    """
    changes = [word for value in off for word in ("--deltag", value)]
    changes += [word for value in on for word in ("--addtag", value)]
    return ("lvchange", "-y", "-S", _same(lv) + condition, *changes, _path(lv))


def activate(lv: LocalVolume) -> Command:
    """Return the command that gives `lv` its device again, if it is still the same LV."""
    return ("lvchange", "-y", "-a", "y", "-S", _same(lv), _path(lv))


def prepare_trash(decision: MoveToTrash) -> list[Command]:
    """Return the commands that tag an LV for the trash and deactivate it, if allowed."""
    removal = decision.removal
    changes = [word for value in decision.tags_off for word in ("--deltag", value)]
    changes += [word for value in decision.tags for word in ("--addtag", value)]
    tagged = f'lv_tags={{"{decision.tags[0]}"}}'
    return [
        ("lvchange", "-y", "-S", _may_go(removal), *changes, _path(removal.lv)),
        ("lvchange", "-y", "-a", "n", "-S", f"{_may_go(removal)} && {tagged}", _path(removal.lv)),
    ]


def rename(lv: LocalVolume, name: str) -> Command:
    """Return the command that gives `lv` another name in its VG."""
    group = names.volume_group_name(lv.group)
    return (
        "lvrename",
        "-y",
        group,
        names.logical_volume_name(lv.name),
        names.logical_volume_name(name),
    )


def restore(decision: RestoreFromTrash) -> list[Command]:
    """Return the commands that bring an LV back.

    Out of the sweep's reach first, then its name and its device.
    """
    return _back(decision.lv, decision.name, decision.tag, decision.tags_off)


def bring_back(decision: RestoreCopy) -> list[Command]:
    """Return the commands that make an old copy the volume again.

    Tags, name and device, then the size that it lacks.
    """
    lv, name = decision.lv, decision.name
    off = tuple(t for t in decision.tags_off if t != well_known.TAG_TRASH_NAME + name)
    back = msgspec.structs.replace(lv, name=name)
    more = [extend(back, decision.size)] if decision.size > lv.size else []
    return [*_back(lv, name, decision.tag, off), *more]


def _back(lv: LocalVolume, name: str, on: str, off: Sequence[str]) -> list[Command]:
    back = msgspec.structs.replace(lv, name=name)
    return [
        tag(lv, [on], off),
        *([rename(lv, name)] if lv.name != name else []),
        activate(back),
        # Its old name stays on it until it has its device, so that a restore whose activation
        # failed can be repeated.
        tag(back, [], [well_known.TAG_TRASH_NAME + name], ' && lv_active="active"'),
    ]


def remove(decision: RemoveLv) -> list[Command]:
    """Return the commands that remove a volume, and its own thin pool once that is empty."""
    lv = decision.lv
    commands: list[Command] = [("lvremove", "-y", "-S", _may_go(decision), _path(lv))]
    if decision.pool is not None:
        selection = _same(decision.pool, _POOL_AT_REST) + " && thin_count=0"
        commands.append(("lvremove", "-y", "-S", selection, _path(decision.pool)))
    return commands


def _may_go(decision: RemoveLv) -> str:
    """Return the selection of a volume that may still go.

    The same, closed, plain, and with the tag it was judged by.
    """
    layout = '["linear"]' if decision.pool is None else '["thin","sparse"]'
    conditions = [
        _same(decision.lv),
        'lv_device_open!="open"',
        'lv_active!="unknown"',
        'lv_role=["public"]',
        f"lv_layout={layout}",
    ]
    if decision.tag:
        conditions.append(f'lv_tags={{"{decision.tag}"}}')
    return " && ".join(conditions)


def _same(lv: LocalVolume, state: str = _AT_REST) -> str:
    uuid, group, name = names.lvm_uuid(lv.uuid), names.volume_group_name(lv.group), lv.name
    return (
        f'lv_uuid="{uuid}" && vg_name="{group}" && '
        f'lv_name="{names.logical_volume_name(name)}" && {state}'
    )


def _path(lv: LocalVolume) -> str:
    return f"{names.volume_group_name(lv.group)}/{names.logical_volume_name(lv.name)}"
