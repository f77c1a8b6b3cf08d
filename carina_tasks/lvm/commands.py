"""The command lines that change something.

Every one that removes or tags carries a selection (``-S``) with the LV's UUID and whatever else must still hold: lvm2
evaluates it under the VG's lock, so that check and act are one. A selection that no longer holds selects nothing and
exits with 0; so callers read a report afterwards. Tried on lvm2 2.03.16:

* list fields need ``["a","b"]`` for "exactly these"; plain ``lv_role="public"`` also matches ``public,origin``, and
  removing an origin removes its snapshots;
* ``lv_device_open!="open"`` is also true of ``unknown``, which is what every inactive LV has; without a device mapper
  ``lv_active`` is ``unknown``, and then nothing is known to be closed.
"""

from __future__ import annotations

from collections.abc import Sequence

from carina_tasks.decisions.local_volume import Remove
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


def remove(decision: Remove) -> list[Command]:
    """Return the commands that remove a volume, and its own thin pool once that is empty."""
    volume = decision.volume
    layout = '["linear"]' if decision.pool is None else '["thin","sparse"]'
    conditions = [
        _same(volume), 'lv_device_open!="open"', 'lv_active!="unknown"', 'lv_role=["public"]', f"lv_layout={layout}",
    ]  # fmt: skip
    if decision.tag:
        conditions.append(f'lv_tags={{"{decision.tag}"}}')
    commands: list[Command] = [("lvremove", "-y", "-S", " && ".join(conditions), _path(volume))]
    if decision.pool is not None:
        selection = _same(decision.pool) + " && thin_count=0"
        commands.append(("lvremove", "-y", "-S", selection, _path(decision.pool)))
    return commands


def _same(volume: LocalVolume) -> str:
    uuid, group, name = names.lvm_uuid(volume.uuid), names.volume_group_name(volume.group), volume.name
    return f'lv_uuid="{uuid}" && vg_name="{group}" && lv_name="{names.logical_volume_name(name)}"'


def _path(volume: LocalVolume) -> str:
    return f"{names.volume_group_name(volume.group)}/{names.logical_volume_name(volume.name)}"
