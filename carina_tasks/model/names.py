"""Which strings Kubernetes and LVM take as names.

Every name that comes from a message or an object passes one of these before it reaches a queue
name, a URL or an lvm command line.

Sources: Kubernetes "Object Names and IDs" (RFC 1123 subdomain, 253 characters); lvm(8) "VALID
NAMES": ``a-z A-Z 0-9 + _ . -``, not starting with a hyphen, at most 127 characters, not ``.`` or
``..``, no reserved words or infixes.
"""

from __future__ import annotations

import re

from carina_tasks.errors import BadInput

_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_LVM = re.compile(r"[a-zA-Z0-9+_.][a-zA-Z0-9+_.-]*")
_LVM_UUID = re.compile(r"[a-zA-Z0-9]{6}(-[a-zA-Z0-9]{4}){5}-[a-zA-Z0-9]{6}")
_LVM_RESERVED_INFIX = (
    "_cdata",
    "_cmeta",
    "_corig",
    "_mlog",
    "_mimage",
    "_pmspare",
    "_rimage",
    "_rmeta",
    "_tdata",
    "_tmeta",
    "_vdata",
    "_cvol",
    "_wcorig",
    "_iorig",
    "_imeta",
    "_vorigin",
)
_LVM_RESERVED_PREFIX = ("snapshot", "pvmove")

VOLUME_PREFIX = "volume-"
"""Carina names the LV of LogicVolume X ``volume-X``; nothing without this prefix is ever ours."""

TRASH_PREFIX = "trash-"
"""A removed LV waits as ``trash-<its own UUID>``: no two can meet, and no volume of Carina's is
called so.
"""

THIN_POOL_PREFIX = "thin-"
"""Old Carina clusters hold ``volume-X`` in a thin pool ``thin-X``; both go together."""


def node_name(value: object) -> str:
    """Return `value` if Kubernetes takes it as the name of a node.

    Raises:
        BadInput: An argument is not what the task takes.
    """
    return _subdomain(value, "node name")


def object_name(value: object) -> str:
    """Return `value` if Kubernetes takes it as an object's name (RFC 1123 subdomain).

    Raises:
        BadInput: An argument is not what the task takes.
    """
    return _subdomain(value, "object name")


def namespace_name(value: object) -> str:
    """Return `value` if Kubernetes takes it as a namespace (RFC 1123 label, 63 characters).

    Raises:
        BadInput: An argument is not what the task takes.
    """
    if not isinstance(value, str) or len(value) > 63 or not _LABEL.fullmatch(value):
        raise BadInput(
            f"{_show(value)} is not a namespace: use lower case letters, digits and '-', at most 63"
        )
    return value


def volume_group_name(value: object) -> str:
    """Return `value` if lvm takes it as the name of a volume group.

    Raises:
        BadInput: An argument is not what the task takes.
    """
    return _lvm(value, "volume group")


def logical_volume_name(value: object) -> str:
    """Return `value` if lvm takes it as the name of a logical volume.

    Raises:
        BadInput: An argument is not what the task takes.
    """
    name = _lvm(value, "logical volume")
    if name.startswith(_LVM_RESERVED_PREFIX) or any(infix in name for infix in _LVM_RESERVED_INFIX):
        raise BadInput(
            f"{_show(value)} is not a logical volume name: lvm reserves that name (lvm(8))"
        )
    return name


def lvm_uuid(value: object) -> str:
    """Return `value` if it is the UUID of an LV or VG (32 characters in groups 6-4-4-4-4-4-6).

    Raises:
        BadInput: An argument is not what the task takes.
    """
    if not isinstance(value, str) or not _LVM_UUID.fullmatch(value):
        raise BadInput(f"{_show(value)} is not an lvm UUID (6-4-4-4-4-4-6 letters and digits)")
    return value


def local_volume_of(logic_volume: str) -> str:
    """Return the LV name of a LogicVolume.

    Raises:
        BadInput: Lvm would not take it.
    """
    return logical_volume_name(VOLUME_PREFIX + object_name(logic_volume))


def logic_volume_of(local_volume: str) -> str:
    """Return the LogicVolume name of an LV; the LV must have Carina's prefix.

    Raises:
        BadInput: An argument is not what the task takes.
    """
    if not local_volume.startswith(VOLUME_PREFIX):
        raise BadInput(
            f"{_show(local_volume)} is not Carina's: its name does not start with {VOLUME_PREFIX!r}"
        )
    return object_name(local_volume.removeprefix(VOLUME_PREFIX))


def trash_of(uuid: str) -> str:
    """Return the name under which the LV of that UUID lies in the trash.

    Raises:
        BadInput: An argument is not what the task takes.
    """
    return logical_volume_name(TRASH_PREFIX + lvm_uuid(uuid))


def _subdomain(value: object, what: str) -> str:
    if not isinstance(value, str) or len(value) > 253 or not _SUBDOMAIN.fullmatch(value):
        raise BadInput(
            f"{_show(value)} is not a {what}: use lower case letters, digits, '-' and '.', at most "
            "253"
        )
    return value


def _lvm(value: object, what: str) -> str:
    if (
        not isinstance(value, str)
        or len(value) > 127
        or value in (".", "..")
        or not _LVM.fullmatch(value)
    ):
        raise BadInput(
            f"{_show(value)} is not a {what} name: use letters, digits and '+_.-', at most 127 "
            "(lvm(8))"
        )
    return value


def _show(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
