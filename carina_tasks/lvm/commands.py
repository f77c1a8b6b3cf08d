"""The command lines that change something.

Every one that removes or tags carries a selection (``-S``) with the LV's UUID and whatever else must still hold: lvm2
evaluates it under the VG's lock, so that check and act are one. A selection that no longer holds selects nothing and
exits with 0; so callers read a report afterwards. Tried on lvm2 2.03.16:

* list fields need ``["a","b"]`` for "exactly these"; plain ``lv_role="public"`` also matches ``public,origin``, and
  removing an origin removes its snapshots;
* ``lvrename`` takes no selection. So what goes into the trash is tagged and deactivated first, with a selection, and is
  renamed only when a report shows that both was done: from then on nothing can hold it;
* ``lv_device_open!="open"`` is also true of ``unknown``, which is what every inactive LV has; without a device mapper
  ``lv_active`` is ``unknown``, and then nothing is known to be closed.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec.structs

from carina_tasks.decisions.removal import Discard, Remove, Restore
from carina_tasks.model import keys, names
from carina_tasks.model.local import LocalVolume
from carina_tasks.model.messages import CreateVolume

Command = tuple[str, ...]


def create(wanted: CreateVolume, size: int) -> Command:
    """Return the command for a linear LV of `size` bytes with wiped signatures, tagged with the rebuild's intent."""
    tag = keys.TAG_INTENT + wanted.intent
    name, group = names.logical_volume_name(wanted.name), names.volume_group_name(wanted.group)
    return ("lvcreate", "-y", "-W", "y", "-Z", "y", "-n", name, "-L", f"{size}b", "--addtag", tag, group)


def extend(volume: LocalVolume, size: int) -> Command:
    """Return the command that extends `volume` to `size` bytes (lvextend takes no selection; it destroys nothing)."""
    return ("lvextend", "-y", "-L", f"{size}b", _path(volume))


def tag(volume: LocalVolume, on: Sequence[str], off: Sequence[str]) -> Command:
    """Return the command that puts the tags `on` on `volume` and takes `off` off, if it is still the same LV."""
    changes = [word for value in off for word in ("--deltag", value)]
    changes += [word for value in on for word in ("--addtag", value)]
    return ("lvchange", "-y", "-S", _same(volume), *changes, _path(volume))


def activate(volume: LocalVolume) -> Command:
    """Return the command that gives `volume` its device again, if it is still the same LV."""
    return ("lvchange", "-y", "-a", "y", "-S", _same(volume), _path(volume))


def put_aside(decision: Discard) -> list[Command]:
    """Return the commands that tag a volume for the trash and deactivate it, each only while it may go."""
    removal = decision.removal
    changes = [word for value in decision.tags_off for word in ("--deltag", value)]
    changes += [word for value in decision.tags for word in ("--addtag", value)]
    tagged = f'lv_tags={{"{decision.tags[0]}"}}'
    return [
        ("lvchange", "-y", "-S", _may_go(removal), *changes, _path(removal.volume)),
        ("lvchange", "-y", "-a", "n", "-S", f"{_may_go(removal)} && {tagged}", _path(removal.volume)),
    ]


def rename(volume: LocalVolume, name: str) -> Command:
    """Return the command that gives `volume` another name in its VG."""
    group = names.volume_group_name(volume.group)
    return ("lvrename", "-y", group, names.logical_volume_name(volume.name), names.logical_volume_name(name))


def restore(decision: Restore) -> list[Command]:
    """Return the commands that bring a volume back: out of the sweep's reach first, then its name and its device."""
    volume, name = decision.volume, decision.name
    back = msgspec.structs.replace(volume, name=name)
    return [
        tag(volume, [decision.tag], decision.tags_off),
        *([rename(volume, name)] if volume.name != name else []),
        activate(back),
        tag(back, [], [keys.TAG_TRASH_NAME + name]),
    ]


def remove(decision: Remove) -> list[Command]:
    """Return the commands that remove a volume, and its own thin pool once that is empty."""
    volume = decision.volume
    commands: list[Command] = [("lvremove", "-y", "-S", _may_go(decision), _path(volume))]
    if decision.pool is not None:
        selection = _same(decision.pool) + " && thin_count=0"
        commands.append(("lvremove", "-y", "-S", selection, _path(decision.pool)))
    return commands


def _may_go(decision: Remove) -> str:
    """Return the selection of a volume that may still go: the same, closed, plain, and with the tag it was judged by."""
    layout = '["linear"]' if decision.pool is None else '["thin","sparse"]'
    conditions = [
        _same(decision.volume), 'lv_device_open!="open"', 'lv_active!="unknown"', 'lv_role=["public"]',
        f"lv_layout={layout}",
    ]  # fmt: skip
    if decision.tag:
        conditions.append(f'lv_tags={{"{decision.tag}"}}')
    return " && ".join(conditions)


def _same(volume: LocalVolume) -> str:
    uuid, group, name = names.lvm_uuid(volume.uuid), names.volume_group_name(volume.group), volume.name
    return f'lv_uuid="{uuid}" && vg_name="{group}" && lv_name="{names.logical_volume_name(name)}"'


def _path(volume: LocalVolume) -> str:
    return f"{names.volume_group_name(volume.group)}/{names.logical_volume_name(volume.name)}"
