"""Reports of the simulated lvm: the fields of VGs and LVs, as JSON and as plain columns."""

from __future__ import annotations

import time

from .options import CommandError, Options
from .selection import Row, selects
from .state import Group, State, Volume

MAJOR = 254
_SIZES = {"vg_size", "vg_free", "vg_extent_size", "lv_size", "pv_free"}
_BINARY = {
    "vg_exported": {"": "0", "exported": "1"},
    "vg_partial": {"": "0", "partial": "1"},
    "lv_device_open": {"": "0", "open": "1", "unknown": "-1"},
    "pv_allocatable": {"": "0", "allocatable": "1"},
    "pv_missing": {"": "0", "missing": "1"},
}
_LVS = "lv_name,vg_name,lv_attr,lv_size,pool_lv,lv_tags"
_VGS = "vg_name,lv_count,vg_attr,vg_size,vg_free"
_TITLES = {
    "lv_name": "LV",
    "vg_name": "VG",
    "lv_attr": "Attr",
    "lv_size": "LSize",
    "pool_lv": "Pool",
    "lv_tags": "LV Tags",
    "lv_count": "#LV",
    "vg_attr": "Attr",
    "vg_size": "VSize",
    "vg_free": "VFree",
    "lv_uuid": "LV UUID",
    "vg_uuid": "VG UUID",
}


def group_row(group: Group) -> Row:
    """Return the fields of a VG; sizes in bytes."""
    return {
        "vg_name": group.name,
        "vg_uuid": group.uuid,
        "vg_size": str(group.size),
        "vg_free": str(group.free),
        "vg_extent_size": str(group.extent),
        "vg_exported": "",
        "vg_partial": "",
        "vg_attr": "wz--n-",
        "lv_count": str(len(group.volumes)),
    }


def disk_row(group: Group) -> Row:
    """Return the fields of the one PV that a simulated VG has; sizes in bytes."""
    return group_row(group) | {
        "pv_free": str(group.free),
        "pv_allocatable": "allocatable",
        "pv_missing": "",
    }


def volume_row(group: Group, volume: Volume) -> Row:
    """Return the fields of an LV and its VG; sizes in bytes."""
    pooled = [v for v in group.volumes if v.pool == volume.name]
    held = volume.open or any(v.active for v in pooled)
    kind = (
        "t"
        if volume.layout == "thin,pool"
        else "V"
        if volume.pool
        else "o"
        if "origin" in volume.role
        else "-"
    )
    locked = "I" if volume.locked else "i"
    active, opened = ("a" if volume.active else "-"), ("o" if volume.active and held else "-")
    return group_row(group) | {
        "lv_name": volume.name,
        "lv_uuid": volume.uuid,
        "lv_size": str(volume.size),
        "lv_device_open": "unknown" if not volume.active else "open" if held else "",
        "lv_active": "active" if volume.active else "",
        "lv_layout": volume.layout,
        "lv_role": volume.role,
        "pool_lv": volume.pool,
        "thin_count": str(len(pooled)) if volume.layout == "thin,pool" else "",
        "lv_tags": ",".join(volume.tags),
        "tags": ",".join(volume.tags),
        "lv_time": str(volume.time),
        "lv_kernel_major": str(MAJOR if volume.active else -1),
        "lv_kernel_minor": str(volume.minor if volume.active else -1),
        "lv_attr": f"{kind}w{locked}-{active}{opened}----",
        "seg_start": "0",
    }


def fullreport(state: State, options: Options) -> str:
    """Return lvm's ``fullreport --reportformat json``.

    A part for each VG, each with its sections.
    """
    asked: dict[str, dict[str, str]] = {}
    section = ""
    for name, value in options.given:
        if name == "configreport":
            section = value
            asked[section] = {}
        elif name in ("options", "select"):
            asked.setdefault(section, {})[name] = value
    for kind in ("vg", "pv", "lv", "seg"):
        if "options" not in asked.get(kind, {}):
            raise CommandError(
                5, f"  The simulated fullreport wants --configreport {kind} -o FIELDS."
            )
    parts = []
    for group in state.groups:
        rows = {
            "vg": [group_row(group)],
            "pv": [disk_row(group)],
            "lv": [volume_row(group, volume) for volume in _sorted(group)],
            "pvseg": [],
            "seg": [volume_row(group, volume) for volume in _sorted(group)],
        }
        parts.append(
            {
                kind: [
                    _fields(row, asked[kind]["options"], options)
                    for row in found
                    if selects(asked[kind].get("select", 'vg_name!=""'), row)
                ]
                if found
                else []
                for kind, found in rows.items()
            }
        )
    return _json(parts)


def simple_report(state: State, options: Options, kind: str) -> str:
    """Return ``lvs`` (kind "lv") or ``vgs`` (kind "vg"), JSON or columns.

    Raises CommandError for a name not there.
    """
    rows = []
    for group, volume in _named(state, options.names, kind):
        row = volume_row(group, volume) if volume is not None else group_row(group)
        if not options.has("select") or selects(options.get("select"), row):
            rows.append(row)
    wanted = options.get("options", _LVS if kind == "lv" else _VGS)
    if wanted.startswith("+"):
        wanted = (_LVS if kind == "lv" else _VGS) + "," + wanted[1:]
    chosen = [_fields(row, wanted, options) for row in rows]
    if options.get("reportformat") == "json":
        return _json([{kind: chosen}])
    return _columns(wanted.split(","), chosen, not options.has("noheadings"))


def _named(state: State, names: list[str], kind: str) -> list[tuple[Group, Volume | None]]:
    found: list[tuple[Group, Volume | None]] = []
    for name in names or [group.name for group in state.groups]:
        vg, _, lv = name.partition("/")
        group = state.find(vg)
        if group is None:
            raise CommandError(
                5, f'  Volume group "{vg}" not found', f"  Cannot process volume group {vg}"
            )
        if kind == "vg":
            found.append((group, None))
        elif not lv:
            found += [(group, volume) for volume in _sorted(group)]
        elif volume := group.find(lv):
            found.append((group, volume))
        else:
            raise CommandError(5, f'  Failed to find logical volume "{name}"')
    return found


def _sorted(group: Group) -> list[Volume]:
    return sorted(group.volumes, key=lambda volume: volume.name)


def _fields(row: Row, wanted: str, options: Options) -> Row:
    shown: Row = {}
    for field in wanted.split(","):
        name = (
            field
            if field in row
            else next((p + field for p in ("lv_", "vg_") if p + field in row), "")
        )
        if not name:
            raise CommandError(3, f"  Unrecognised field: {field}")
        value = row[name]
        if name in _SIZES:
            value = _size(int(value), options)
        elif name in _BINARY and options.has("binary"):
            value = _BINARY[name][value]
        elif name == "lv_time" and '"%s"' not in options.get("config"):
            value = time.strftime("%Y-%m-%d %H:%M:%S +0000", time.gmtime(int(value)))
        shown[field] = value
    return shown


def _size(value: int, options: Options) -> str:
    if options.get("units") == "b":
        return str(value) if options.has("nosuffix") else f"{value}B"
    unit = next((u for u, n in (("g", 30), ("m", 20)) if value >= 1 << n), "k")
    return f"{value / (1 << {'g': 30, 'm': 20, 'k': 10}[unit]):.2f}{unit}"


def _json(parts: list[dict[str, list[Row]]]) -> str:
    import json

    return json.dumps({"report": parts}, indent=4)


def _columns(fields: list[str], rows: list[Row], headings: bool) -> str:
    lines = [[_TITLES.get(f, f) for f in fields]] if headings else []
    lines += [[row[f] for f in fields] for row in rows]
    widths = [max((len(line[i]) for line in lines), default=0) for i in range(len(fields))]
    return "\n".join(
        "  " + " ".join(w.ljust(n) for w, n in zip(line, widths, strict=True)) for line in lines
    )
