"""Local volumes, volume groups and a node's inventory: what lvm2 on one node reports.

Sizes are bytes. These are also the shapes that a node's answer is decoded into, so every field has
a bound.
"""

from __future__ import annotations

import re
from typing import Annotated

import msgspec
from msgspec import Meta

from carina_tasks.errors import BadInput
from carina_tasks.model import names, well_known

# \Z and not $, which would let a newline at the end through: in an lvm shell that ends a command.
Name = Annotated[
    str, Meta(min_length=1, max_length=127, pattern=r"^[a-zA-Z0-9+_.][a-zA-Z0-9+_.-]*\Z")
]
Uuid = Annotated[str, Meta(pattern=r"^[a-zA-Z0-9]{6}(-[a-zA-Z0-9]{4}){5}-[a-zA-Z0-9]{6}\Z")]
Size = Annotated[int, Meta(ge=0, le=1 << 60)]
Count = Annotated[int, Meta(ge=0, le=1 << 20)]
Tag = Annotated[str, Meta(max_length=1024)]
Text = Annotated[str, Meta(max_length=2000)]
Device = Annotated[int, Meta(ge=-1, le=1 << 32)]


class TrashTags(msgspec.Struct, frozen=True):
    """What the tags of an LV in the trash say."""

    name: str
    """Its name before, ``volume-<LogicVolume>``."""
    at: int
    """When it was put there (seconds since the epoch, API server's clock)."""
    why: str
    """The reason, as `words_of_tag` reads it."""


class LocalVolume(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One logical volume of a node, as ``lvs`` reports it."""

    group: Name
    name: Name
    uuid: Uuid
    size: Size
    is_open: bool
    """Device open count above zero (lv_device_open): mounted or held. Unknown counts as open."""
    active: bool
    layout: Tag
    """``linear``, ``thin,sparse``, ``thin,pool``, … (lv_layout)."""
    role: Tag
    """``public``, ``private``, ``public,origin,…`` (lv_role)."""
    pool: Tag = ""
    """Name of the thin pool that holds it, or empty."""
    pool_volumes: Count = 0
    """How many thin volumes that pool holds, itself included (thin_count)."""
    tags: Annotated[tuple[Tag, ...], Meta(max_length=64)] = ()
    created: int = 0
    """Seconds since the epoch by the node's own clock (lv_time): a hint, never proof of age."""
    major: Device = -1
    minor: Device = -1
    at_work: Text = ""
    """What lvm or an administrator is doing to it that forbids every change (a pvmove, a merge, a
    suspended device, a missing
    disk), or empty.
    """

    @property
    def intent(self) -> str:
        """The id of the rebuild that made it, or empty."""
        return self._tag(well_known.TAG_INTENT)

    @property
    def unfinished(self) -> bool:
        """Whether it was not wiped yet, or not zeroed where it must be.

        It may still hold the bytes of an earlier LV.
        """
        return any(
            tag.startswith((well_known.TAG_CREATING, well_known.TAG_ZEROING)) for tag in self.tags
        )

    @property
    def inactive(self) -> bool:
        """Whether it has no device, as is certain.

        Without a device mapper lvm2 does not know, and counts it as open.
        """
        return not self.active and not self.is_open

    @property
    def marked_at(self) -> int | None:
        """When a sweep marked it as an orphan, or None.

        Seconds since the epoch, by the API server's clock.
        """
        return self._epoch(well_known.TAG_ORPHAN)

    @property
    def restored_at(self) -> int | None:
        """When the operator restored it from the trash, or None.

        Seconds since the epoch, by the API server's clock.
        """
        return self._epoch(well_known.TAG_RESTORED)

    @property
    def old_name(self) -> str:
        """Its name before it went into the trash, also while a restore is half done."""
        name = self._tag(well_known.TAG_TRASH_NAME)
        if not name:
            return ""
        try:
            names.local_volume_of(names.logic_volume_of(name))
        except BadInput:
            return ""
        return name if self.name in (names.TRASH_PREFIX + self.uuid, name) else ""

    @property
    def trashed(self) -> TrashTags | None:
        """What it was, if it lies in the trash.

        Named after its own UUID, and tagged with its old name and the time.
        """
        at, name = self._epoch(well_known.TAG_TRASH_AT), self.old_name
        if at is None or not name or self.name == name:
            return None
        return TrashTags(name, at, tag_to_reason(self._tag(well_known.TAG_TRASH_WHY)))

    def _epoch(self, prefix: str) -> int | None:
        text = self._tag(prefix)
        return int(text) if text.isascii() and text.isdigit() and len(text) <= 12 else None

    def _tag(self, prefix: str) -> str:
        return next((tag.removeprefix(prefix) for tag in self.tags if tag.startswith(prefix)), "")


def reason_to_tag(text: str) -> str:
    """Return a reason as lvm takes it in a tag.

    ``_`` for blanks, ``.`` for ``;`` and ``,``, at most 200 characters.
    """
    return re.sub(r"[^A-Za-z0-9_.+:/=-]", "", re.sub(r"[;,]", ".", re.sub(r"[\s_]+", "_", text)))[
        :200
    ]


def tag_to_reason(text: str) -> str:
    """Return what `tag_of_words` wrote, with blanks again."""
    return text.replace("_", " ")


class VolumeGroup(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One volume group of a node, as ``vgs`` reports it."""

    name: Name
    uuid: Uuid
    size: Size
    free: Size
    """What lvm would allocate: 0 with a `problem`, and without disks that are closed to allocation
    (pvchange -x n).
    """
    extent: Size
    problem: Text = ""
    """Why no LV can be created there (a disk is missing, it is exported), or empty."""


class Inventory(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Everything lvm2 on one node reports, at one moment."""

    node: Annotated[str, Meta(min_length=1, max_length=253)]
    groups: Annotated[tuple[VolumeGroup, ...], Meta(max_length=1000)]
    volumes: Annotated[tuple[LocalVolume, ...], Meta(max_length=20000)]

    def find(self, group: str, name: str) -> LocalVolume | None:
        """Return the volume `group`/`name`, or None if the node has none of that name."""
        return next((v for v in self.volumes if v.group == group and v.name == name), None)
