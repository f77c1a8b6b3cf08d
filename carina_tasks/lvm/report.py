"""What lvm2 reports, as an Inventory: one JSON report, typed, or an error.

``lvm fullreport`` and not ``lvs`` with ``vgs``, because (tried on lvm2 2.03.16 and 2.03.31):

* one process instead of two, and volumes and free space of a VG are from one moment;
* ``lvs`` leaves out the volumes of an exported VG and still exits with 0: they would look absent.

It shows no ``thin_count`` among the LV fields, so that comes from its segment section. With
``--binary``, ``lv_device_open`` is 1, 0, or -1 for unknown; it is -1 for every inactive LV (nothing
can hold a device that does not exist), and for every LV when lvm has no device mapper.
``lv_active`` is ``active``, empty or ``unknown`` up to 2.03.16, and 1, 0 or -1 since 2.03.17: both
are read, and a value that is neither counts as unknown, which is open.

A damaged disk makes lvm write lines of its own into the middle of the report (``Retrying metadata
scan.``), and a VG that it cannot read is not in the report. The other VGs are: they are the
Inventory, and what lvm wrote is logged.
"""

from __future__ import annotations

from collections import Counter
from typing import Final

import msgspec
import structlog

from carina_tasks.errors import LvmReportUnreadable
from carina_tasks.lvm.command import Lvm
from carina_tasks.model import well_known
from carina_tasks.model.local import Inventory, LocalVolume, VolumeGroup

_VG_FIELDS: Final = "vg_name,vg_uuid,vg_size,vg_extent_size,vg_exported,vg_partial"
_LV_FIELDS: Final = (
    "lv_name,lv_uuid,lv_size,lv_attr,lv_device_open,lv_active,lv_layout,lv_role,pool_lv,lv_tags,"
    "lv_time,lv_kernel_major,lv_kernel_minor"
)
PINNED: Final = (
    'report/time_format="%s" report/list_item_separator="," report/compact_output=0 '
    'report/compact_output_cols="" '
    "report/prefixes=0 report/columns_as_rows=0 report/quoted=1 report/buffered=1 "
    "report/headings=1 "
    "log/report_command_log=0"
)
"""What the report pins besides `command.PINNED`: every setting of lvm.conf(5) that changes its
form.
"""
FULLREPORT: Final = (
    "--reportformat",
    "json",
    "--binary",
    "--units",
    "b",
    "--nosuffix",
    "--config",
    PINNED,
    "--configreport",
    "vg",
    "-o",
    _VG_FIELDS,
    "--configreport",
    "lv",
    "-o",
    _LV_FIELDS,
    "--configreport",
    "seg",
    "-o",
    "lv_uuid,thin_count",
    "-S",
    "thin_count>=0",
    "--configreport",
    "pv",
    "-o",
    "pv_free,pv_allocatable,pv_missing",
    "--configreport",
    "pvseg",
    "-o",
    "pvseg_start",
    "-S",
    "pvseg_size<0",
)
"""Arguments of the one report this package reads. The last section cannot be left out, only
selected away.
"""

_ACTIVE: Final = ("active", "1")
_INACTIVE: Final = ("", "0")
_ATTR: Final = 9
_KINDS: Final = {
    "c": "it is being converted",
    "O": "a snapshot is being merged into it",
    "S": "it is being merged into its origin",
    "p": "it belongs to a pvmove",
}
_STATES: Final = {
    "s": "it is suspended",
    "S": "it is suspended",
    "M": "it is suspended",
    "I": "it is an invalid snapshot",
    "m": "its merge failed",
    "d": "its device has no table",
    "i": "its device has an inactive table",
    "h": "it is historical",
}
_HEALTH: Final = {
    "p": "it is partial: a disk of it is missing",
    "r": "it needs a refresh",
    "m": "its mirror has mismatches",
}
_LINES: Final = 10
_TAGS_KEPT: Final = 64
_LARGEST: Final = 1 << 60


class _Vg(msgspec.Struct):
    vg_name: str
    vg_uuid: str
    vg_size: str
    vg_extent_size: str
    vg_exported: str
    vg_partial: str


class _Lv(msgspec.Struct):
    lv_name: str
    lv_uuid: str
    lv_size: str
    lv_attr: str
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


class _Pv(msgspec.Struct):
    pv_free: str
    pv_allocatable: str
    pv_missing: str


class _Section(msgspec.Struct):
    """One VG's part of the report. A PV in no VG has a part with neither ``vg`` nor ``lv``."""

    vg: list[_Vg] | None = None
    pv: list[_Pv] | None = None
    lv: list[_Lv] | None = None
    seg: list[_Seg] | None = None


class _Report(msgspec.Struct):
    report: list[_Section]


_DECODER = msgspec.json.Decoder(_Report)


def inventory(lvm: Lvm, node: str) -> Inventory:
    """Return everything lvm2 on this node reports.

    Raises:
        LvmReportUnreadable: Rather than leave out an LV of a VG that lvm can read, and what
            `Lvm.report` raises.
    """
    reported = lvm.report("fullreport", *FULLREPORT)
    text, others = _json_of(reported.output)
    if others or reported.code:
        structlog.get_logger().warning(
            "lvm reported trouble beside its report",
            exit_code=reported.code,
            lines=others[:_LINES],
            stderr=reported.stderr,
        )
    try:
        return parse(text, node)
    except LvmReportUnreadable as exc:
        wrote = "; ".join([*others, *reported.stderr.split("\n")])
        raise LvmReportUnreadable(
            f"{exc.message}; lvm wrote: {wrote[:500] or 'nothing else'}"
        ) from exc


def _json_of(output: str) -> tuple[str, list[str]]:
    """Return the lines of `output` that can be of a JSON document, and the others.

    A line with an object, a bracket or a comma is always kept: one that is broken makes the report
    unreadable, and hides nothing.
    """
    kept: list[str] = []
    others: list[str] = []
    for line in output.splitlines():
        (kept if line.lstrip()[:1] in ("{", "}", "[", "]", ",", '"', "") else others).append(line)
    return "\n".join(kept), [line.strip()[:200] for line in others]


def parse(text: str, node: str) -> Inventory:
    """Return the JSON of ``lvm fullreport`` as the Inventory of `node`.

    Raises:
        LvmReportUnreadable: lvm answered with something that is not a JSON report.
    """
    try:
        sections = _DECODER.decode(text).report
        names = Counter(vg.vg_name for section in sections for vg in section.vg or ())
        groups: list[VolumeGroup] = []
        lvs: list[LocalVolume] = []
        for section in sections:
            if section.vg is None and section.lv is None:
                continue
            if (
                section.vg is None
                or len(section.vg) != 1
                or None in (section.lv, section.seg, section.pv)
            ):
                raise ValueError("a part of the report is missing")  # noqa: TRY301
            vg = section.vg[0]
            groups.append(_group(vg, section.pv or [], names[vg.vg_name]))
            lvs += _volumes(vg, section.lv or [], section.seg or [])
        found = Inventory(node=node, groups=tuple(groups), volumes=tuple(lvs))
        # Constructing does not check bounds and patterns, converting does: what leaves here can be
        # read on arrival
        return msgspec.convert(msgspec.to_builtins(found), Inventory)
    except (msgspec.DecodeError, msgspec.ValidationError, ValueError) as exc:
        raise LvmReportUnreadable(f"lvm's report cannot be read: {str(exc)[:200]}") from exc


def _group(vg: _Vg, pvs: list[_Pv], of_that_name: int) -> VolumeGroup:
    """Return a VG with the space that lvm would allocate from.

    Not on disks that are missing or closed to allocation.
    """
    problem = (
        "a disk of it is missing (see `pvs`; attach the disk again, or remove it with `vgreduce "
        "--removemissing`)"
        if vg.vg_partial != "0" or any(pv.pv_missing != "0" for pv in pvs)
        else "it is exported (vgimport)"
        if vg.vg_exported != "0"
        else f"the node has {of_that_name} volume groups of this name (vgrename UUID)"
        if of_that_name > 1
        else ""
    )
    free = sum(int(pv.pv_free) for pv in pvs if pv.pv_allocatable == "1" and pv.pv_missing == "0")
    return VolumeGroup(
        name=vg.vg_name,
        uuid=vg.vg_uuid,
        size=int(vg.vg_size),
        free=0 if problem else free,
        extent=int(vg.vg_extent_size),
        problem=problem,
    )


def _volumes(vg: _Vg, lvs: list[_Lv], segs: list[_Seg]) -> list[LocalVolume]:
    by_uuid = {seg.lv_uuid: int(seg.thin_count) for seg in segs}
    in_pool = {lv.lv_name: by_uuid[lv.lv_uuid] for lv in lvs if lv.lv_uuid in by_uuid}
    return [_volume(vg.vg_name, lv, in_pool) for lv in lvs]


def _volume(group: str, lv: _Lv, in_pool: dict[str, int]) -> LocalVolume:
    active = lv.lv_active in _ACTIVE
    closed = lv.lv_device_open == "0" or (lv.lv_device_open == "-1" and lv.lv_active in _INACTIVE)
    tags = [tag for tag in lv.lv_tags.split(",") if tag]
    if len(tags) > _TAGS_KEPT:  # ours first: a stranger's many tags must not push them out
        tags = sorted(tags, key=lambda tag: not tag.startswith(well_known.TAG_OURS))[:_TAGS_KEPT]
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
        at_work=at_work(lv.lv_attr),
    )


def at_work(attr: str) -> str:
    """Return which operation on an LV forbids every change to it, or an empty string.

    `attr` is ``lv_attr`` (lvs(8)): type, permissions, allocation policy, fixed minor, state, open,
    target, zeroing, health.
    """
    if len(attr) < _ATTR:
        return f"lvm reports it as {attr!r}, which this version does not know"
    kind, policy, state, health = attr[0], attr[2], attr[4], attr[8]
    return (
        _KINDS.get(kind, "")
        or ("it is locked, as during a pvmove" if policy.isupper() else "")
        or ("" if state in "-aX" else _STATES.get(state, f"its device is in the state {state!r}"))
        or ("" if health in "-X" else _HEALTH.get(health, f"its health is {health!r}"))
    )
