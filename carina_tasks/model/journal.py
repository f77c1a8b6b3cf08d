"""The rebuild's journal.

An annotation on the LogicVolume that records what is left to do, so that any worker can do it.

It holds everything that would be lost with the objects that a rebuild deletes (the PV's manifest
above all), so any control worker can finish what another began, with no help from the broker or
from memory.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from carina_tasks.errors import BadObject
from carina_tasks.model.messages import Intent

NodeName = Annotated[
    str, Meta(min_length=1, max_length=253, pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?\Z")
]
Uid = Annotated[str, Meta(max_length=64)]
VERSION: Final = 1
"""Version of the journals that this release reads and writes."""


class Journal(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One volume's rebuild or failback."""

    intent: Intent
    """Id of this rebuild; also the LVM tag of the volume it makes."""
    kind: Literal["rebuild", "migrate", "failback"]
    """``rebuild``: the node was deleted. ``migrate``: it was NotReady. ``failback``: an operator
    had the old copy restored.

    A release that does not know ``failback`` reports the journal as unreadable and leaves the
    LogicVolume alone.
    """
    source: NodeName
    target: NodeName
    reason: Annotated[str, Meta(max_length=1000)]
    started: int
    """Seconds since the epoch, by the API server's clock."""
    manifest: dict[str, Any]
    """The PV to be created again: name, labels, annotations, finalizers, ownerReferences and spec,
    as
    raw JSON.
    """
    source_uid: Uid = ""
    """UID of the lost node's object, when it was known."""
    stale: Annotated[str, Meta(max_length=64)] = ""
    """UUID of an LV of the wanted name on the target that the plan-time inventory had, or empty."""
    together: tuple[Annotated[str, Meta(min_length=1, max_length=253)], ...] = ()
    """Names of the other LogicVolumes that were planned with it, because they share its pods: none
    of them is left behind.
    """
    copy: Annotated[str, Meta(max_length=64)] = ""
    """UUID of the old LV on the target that becomes the volume again; only in a failback."""
    copy_bytes: int = 0
    """What a file system on it can hold, until the claim reports that size; 0: the claim reports
    it, or it was not smaller.
    """
    before: Annotated[str, Meta(max_length=64)] = ""
    """UUID of the LV on the source that was in use when the failback was planned; empty when there
    was none.
    """
    given_up: bool = False
    """The old copy could not be restored: source and target are exchanged, `copy` is the LV that
    was in use all the time.
    """
    version: Literal[1] = 1
    """Raised when a field is added or changes its meaning: it is written then, and an older release
    leaves the journal alone.
    """

    @property
    def failback(self) -> bool:
        """Whether it restores an existing LV, so that no empty LV may replace it."""
        return self.kind == "failback"

    def to_json(self) -> str:
        """Return the annotation's value."""
        return msgspec.json.encode(self).decode()

    @staticmethod
    def from_json(text: str) -> Journal:
        """Read the annotation's value.

        Raises:
            BadObject: It is not a journal of a version that we know. What a later release wrote is
                for that release to finish: a step that this one does not know may be done already.
        """
        try:
            return msgspec.json.decode(text, type=Journal)
        except (msgspec.DecodeError, UnicodeError, RecursionError) as exc:
            if (version := _version(text)) > VERSION:
                raise BadObject(
                    f"the journal is of version {version}, and this release knows {VERSION}: a "
                    "later release began this rebuild, and has to finish it"
                ) from exc
            raise BadObject(f"the journal does not parse: {str(exc)[:200]}") from exc


class _Versioned(msgspec.Struct):
    version: int = 0


def _version(text: str) -> int:
    """Return the version that a text claims to have, 0 when it claims none."""
    try:
        return msgspec.json.decode(text, type=_Versioned).version
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return 0
