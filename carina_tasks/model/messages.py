"""What a control worker asks a node, and what a node answers.

Both directions are checked on arrival: a request by the node worker, an answer by the control
worker. Times are seconds since the epoch; sizes are bytes.
"""

from __future__ import annotations

from typing import Annotated, Literal, TypeVar

import msgspec
from msgspec import Meta

from carina_tasks.errors import BadInput
from carina_tasks.model import quantity
from carina_tasks.model.local import Device, Name, Size, Text, Uuid

Intent = Annotated[
    str, Meta(pattern=r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\Z")
]
LocalName = Annotated[
    str, Meta(max_length=127, pattern=r"^volume-[a-z0-9]([-a-z0-9.]*[a-z0-9])?\Z")
]
TrashName = Annotated[
    str, Meta(pattern=r"^trash-[a-zA-Z0-9]{6}(-[a-zA-Z0-9]{4}){5}-[a-zA-Z0-9]{6}\Z")
]
Reason = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_.+:/=-]{0,200}\Z")]
Epoch = Annotated[int, Meta(ge=0, le=1 << 40)]


class LvToCreate(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Create the LV of one LogicVolume for a rebuild, or restore a copy for a failback."""

    group: Name
    name: LocalName
    size: Size
    intent: Intent
    stale: Uuid | None = None
    """UUID of an LV of that name that stood there before the plan: deactivated first when closed.

    Any other that this rebuild did not create is answered as ``taken`` and left alone."""
    copy: Uuid | None = None
    """UUID of the LV that a failback brings back, from its place or from the trash: nothing is ever
    created in its stead.

    A worker of an older release rejects the field; the failback is given up then.
    """
    zero: bool = False
    """Write zeroes over all of it before it counts as created: the pod reads the device itself
    (volumeMode Block).
    """
    in_use: bool = False
    """With `copy`: the LV never stopped being the volume (the failback is given up), so it may be
    open.
    """


class CreateLvs(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``carina.volume.create``: one batch, one lvm shell."""

    reserve: Size
    """Bytes of each VG that stay free, as Carina keeps them."""
    volumes: Annotated[tuple[LvToCreate, ...], Meta(min_length=1, max_length=2000)]
    trash_at: Epoch = 0
    """The API server's clock: stale copies go to the trash with this time. 0: they are removed for
    good.
    """


class LvTarget(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One LV by VG, name and UUID: every mark and removal names all three."""

    group: Name
    name: LocalName
    uuid: Uuid


class MarkLvs(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``carina.volume.mark``: tag these as orphans since `at`, take the tag off those."""

    at: Epoch
    mark: Annotated[tuple[LvTarget, ...], Meta(max_length=2000)] = ()
    unmark: Annotated[tuple[LvTarget, ...], Meta(max_length=2000)] = ()


class LvToRemove(LvTarget, frozen=True, forbid_unknown_fields=True):
    """An orphan to remove, with its reason in the form of an LVM tag."""

    why: Reason = ""


class RemoveLvs(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``carina.volume.remove``.

    These orphans go, if still closed and marked at `marked_before` or earlier.
    """

    marked_before: Epoch
    volumes: Annotated[tuple[LvToRemove, ...], Meta(min_length=1, max_length=2000)]
    trash_at: Epoch = 0
    """The API server's clock: they go to the trash with this time. 0: they are removed
    permanently.
    """


class LvInTrash(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One LV in the trash."""

    group: Name
    name: TrashName
    uuid: Uuid


class PurgeLvs(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``carina.volume.purge``.

    Remove permanently what was put into the trash at `trashed_before` or earlier.
    """

    trashed_before: Epoch
    volumes: Annotated[tuple[LvInTrash, ...], Meta(min_length=1, max_length=2000)]


class RestoreLv(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``carina.volume.restore``.

    Bring this one back under its old name; `at` is the API server's clock.
    """

    at: Epoch
    volume: LvInTrash


class LvResult(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What became of one volume of a request, in the request's order."""

    group: Name
    name: Name
    outcome: Literal[
        "created",
        "zeroing",
        "taken",
        "kept",
        "replaced",
        "removed",
        "trashed",
        "purged",
        "restored",
        "absent",
        "marked",
        "unmarked",
        "failed",
    ]
    reason: Text = ""
    """Why it failed, was taken or was left; empty when all went well."""
    transient: bool = False
    """With ``failed``: asking again may help."""
    uuid: Annotated[str, Meta(max_length=64)] = ""
    size: Size = 0
    major: Device = -1
    minor: Device = -1


class LvResults(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The answer to each request about volumes."""

    node: Annotated[str, Meta(min_length=1, max_length=253)]
    volumes: Annotated[tuple[LvResult, ...], Meta(max_length=4000)]


DESCRIBED = 50
"""Volumes of a request that people can search for: those of a whole batch of a rebuild."""


def describe_request(node: str, request: msgspec.Struct | None) -> dict[str, str]:
    """Return what people search for: node, volumes and reason as flat text.

    Flower's search finds any word of it, and one pair by ``kwargs:node=10.20.9.153``.
    """
    volumes: list[str] = []
    reason = ""
    match request:
        case CreateLvs():
            volumes = [f"{v.group}/{v.name} {quantity.show(v.size)}" for v in request.volumes]
            reason = "their node is lost"
        case MarkLvs():
            volumes = [f"{v.group}/{v.name}" for v in (*request.mark, *request.unmark)]
            reason = f"{len(request.mark)} orphans, {len(request.unmark)} no longer"
        case RemoveLvs():
            volumes = [f"{v.group}/{v.name}" for v in request.volumes]
            reason = ", ".join(sorted({v.why for v in request.volumes if v.why}))
        case PurgeLvs():
            volumes = [f"{v.group}/{v.name}" for v in request.volumes]
            reason = "their time in the trash is over"
        case RestoreLv():
            volumes = [f"{request.volume.group}/{request.volume.name}"]
            reason = "the operator asked for it"
    more = f", and {len(volumes) - DESCRIBED} more" if len(volumes) > DESCRIBED else ""
    said = {"node": node, "volumes": ", ".join(volumes[:DESCRIBED]) + more, "reason": reason}
    return {key: text for key, text in said.items() if text}


def batch_time(volumes: int) -> float:
    """Return the seconds that a batch of `volumes` may take beyond one command.

    The lvm gate gives each further one 2.
    """
    return 2.0 * max(0, volumes - 1)


T = TypeVar("T", bound=msgspec.Struct)


def read_request(body: object, kind: type[T]) -> T:
    """Return `body` (JSON data of a message) as a `kind`.

    Raises:
        BadInput: Naming the field that is wrong.
    """
    try:
        return msgspec.convert(body, kind, strict=True)
    except (msgspec.ValidationError, ValueError, TypeError, RecursionError) as exc:
        raise BadInput(f"the request is not a {kind.__name__}: {str(exc)[:300]}") from exc


def to_json(value: msgspec.Struct) -> dict[str, object]:
    """Return `value` as plain JSON data, as Celery's serialiser wants it."""
    plain: dict[str, object] = msgspec.to_builtins(value)
    return plain
