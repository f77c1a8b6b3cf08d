"""What lvm2 says is there, as an Inventory: one JSON report, typed, complete, or an error.

``lvm fullreport`` and not ``lvs`` with ``vgs``, because (tried on lvm2 2.03.16):

* one process instead of two, and volumes and free space of a VG are from one moment;
* ``lvs`` leaves out the volumes of an exported VG and still exits with 0: they would look absent.

It shows no ``thin_count`` among the LV fields, so that comes from its segment section. With ``--binary``,
``lv_device_open`` is 1, 0, or -1 for unknown; it is -1 for every inactive LV (``lv_active`` empty: nobody can hold a
device that is not there), and for every LV when lvm has no device mapper (``lv_active`` is then ``unknown``).
"""

from __future__ import annotations

from collections import Counter
from typing import Final

import msgspec

from carina_tasks.errors import LvmReportUnreadable
from carina_tasks.lvm.command import Lvm
from carina_tasks.model import keys
from carina_tasks.model.local import Inventory, LocalVolume, VolumeGroup

_VG_FIELDS: Final = "vg_name,vg_uuid,vg_size,vg_free,vg_extent_size,vg_exported,vg_partial"
_LV_FIELDS: Final = (
    "lv_name,lv_uuid,lv_size,lv_device_open,lv_active,lv_layout,lv_role,pool_lv,lv_tags,lv_time,"
    "lv_kernel_major,lv_kernel_minor"
)
FULLREPORT: Final = (
    "--reportformat", "json", "--binary", "--units", "b", "--nosuffix", "--config", 'report/time_format="%s"',
    "--configreport", "vg", "-o", _VG_FIELDS,
    "--configreport", "lv", "-o", _LV_FIELDS,
    "--configreport", "seg", "-o", "lv_uuid,thin_count", "-S", "thin_count>=0",
    "--configreport", "pv", "-o", "pv_uuid", "-S", "pv_name=none",
    "--configreport", "pvseg", "-o", "pvseg_start", "-S", "pvseg_size<0",
)  # fmt: skip
"""Arguments of the one report this package reads. The last two sections cannot be left out, only selected away."""

_TAGS_KEPT: Final = 64
_LARGEST: Final = 1 << 60


class _Vg(msgspec.Struct):
    vg_name: str
    vg_uuid: str
    vg_size: str
    vg_free: str
    vg_extent_size: str
    vg_exported: str
    vg_partial: str


class _Lv(msgspec.Struct):
    lv_name: str
    lv_uuid: str
    lv_size: str
    lv_device_open: str
    lv_active: str
    lv_layout: str
    lv_role: str
    pool_lv: str
    lv_tags: str
    lv_time: str
    lv_kernel_major: str
    lv_kernel_minor: str


class _Seg(msgspec.Struct):
    lv_uuid: str
    thin_count: str


class _Section(msgspec.Struct):
    """One VG's part of the report. A PV in no VG has a part with neither ``vg`` nor ``lv``."""

    vg: list[_Vg] | None = None
    lv: list[_Lv] | None = None
    seg: list[_Seg] | None = None


class _Report(msgspec.Struct):
    report: list[_Section]


_DECODER = msgspec.json.Decoder(_Report)


def inventory(lvm: Lvm, node: str) -> Inventory:
    """Return everything lvm2 on this node reports.

    Raises LvmReportUnreadable rather than leave out a volume, and what `Lvm.run` raises.
    """
    return parse(lvm.run("fullreport", *FULLREPORT), node)


def parse(text: str, node: str) -> Inventory:
    """Return the JSON of ``lvm fullreport`` as the Inventory of `node`. Raises LvmReportUnreadable."""
    try:
        sections = _DECODER.decode(text).report
        names = Counter(vg.vg_name for section in sections for vg in section.vg or ())
        groups: list[VolumeGroup] = []
        volumes: list[LocalVolume] = []
        for section in sections:
            if section.vg is None and section.lv is None:
                continue
            if section.vg is None or len(section.vg) != 1 or section.lv is None or section.seg is None:
                raise ValueError("a part of the report is missing")  # noqa: TRY301
            vg = section.vg[0]
            groups.append(_group(vg, names[vg.vg_name]))
            volumes += _volumes(vg, section.lv, section.seg)
        found = Inventory(node=node, groups=tuple(groups), volumes=tuple(volumes))
        # Constructing does not check bounds and patterns, converting does: what leaves here can be read on arrival
        return msgspec.convert(msgspec.to_builtins(found), Inventory)
    except (msgspec.DecodeError, msgspec.ValidationError, ValueError) as exc:
        raise LvmReportUnreadable(f"lvm's report cannot be read: {str(exc)[:200]}") from exc


def _group(vg: _Vg, of_that_name: int) -> VolumeGroup:
    # lvm makes no volume in a VG that is exported, lacks a disk, or shares its name: it offers no space
    usable = vg.vg_exported == "0" and vg.vg_partial == "0" and of_that_name == 1
    free = int(vg.vg_free) if usable else 0
    return VolumeGroup(name=vg.vg_name, uuid=vg.vg_uuid, size=int(vg.vg_size), free=free, extent=int(vg.vg_extent_size))


def _volumes(vg: _Vg, lvs: list[_Lv], segs: list[_Seg]) -> list[LocalVolume]:
    by_uuid = {seg.lv_uuid: int(seg.thin_count) for seg in segs}
    in_pool = {lv.lv_name: by_uuid[lv.lv_uuid] for lv in lvs if lv.lv_uuid in by_uuid}
    return [_volume(vg.vg_name, lv, in_pool) for lv in lvs]


def _volume(group: str, lv: _Lv, in_pool: dict[str, int]) -> LocalVolume:
    active = lv.lv_active not in ("", "unknown")
    closed = lv.lv_device_open == "0" or (lv.lv_device_open == "-1" and lv.lv_active == "")
    tags = [tag for tag in lv.lv_tags.split(",") if tag]
    if len(tags) > _TAGS_KEPT:  # ours first: a stranger's many tags must not push them out
        tags = sorted(tags, key=lambda tag: not tag.startswith(keys.TAG_OURS))[:_TAGS_KEPT]
    return LocalVolume(
        group=group,
        name=lv.lv_name,
        uuid=lv.lv_uuid,
        size=min(int(lv.lv_size), _LARGEST),
        is_open=not closed,
        active=active,
        layout=lv.lv_layout,
        role=lv.lv_role,
        pool=lv.pool_lv,
        pool_volumes=in_pool.get(lv.pool_lv or lv.lv_name, 0),
        tags=tuple(tags),
        created=int(lv.lv_time) if lv.lv_time.isdigit() else 0,
        major=int(lv.lv_kernel_major),
        minor=int(lv.lv_kernel_minor),
    )
