"""The subcommands of the simulated lvm, and its shell.

Exit codes and words are those of lvm2 2.03.16.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable

from .options import NAME, TAG, CommandError, Options, bad_line
from .rows import fullreport, simple_report, volume_row
from .selection import selects
from .state import Group, State, Volume, changing, load, new_uuid

Command = Callable[[State, Options], str]


def main(words: list[str]) -> int:
    """Run one command, or with no words the commands on stdin, and return the exit code."""
    path = os.environ.get("CARINA_TASKS_DEMO_LVM_STATE", "")
    if not path:
        sys.stderr.write(
            "  CARINA_TASKS_DEMO_LVM_STATE must name the state file of the simulated lvm.\n"
        )
        return 4
    if words:
        return _run(path, words, "Try 'lvm help'.")
    for line in sys.stdin:
        try:
            split = _split(line)
        except CommandError as exc:
            sys.stderr.write("\n".join(exc.lines) + "\n")
            continue
        if split and not split[0].startswith("#"):
            if split[0] in ("quit", "exit"):
                break
            _run(path, split, "Try 'help'.")
    return 0


def _run(path: str, words: list[str], hint: str) -> int:
    name, *rest = words
    output = ""
    try:
        if name in _REPORTS:
            output = _REPORTS[name](load(path), Options(name, rest))
        elif name in _CHANGES:
            options = Options(name, rest)
            # Each effect is saved before the next one: like lvm2, a process that is killed leaves
            # what it has done so far.
            for effect in (*_FIRST.get(name, ()), _CHANGES[name], *_THEN.get(name, ())):
                with changing(path) as state:
                    output = effect(state, options) or output
        else:
            known = (
                f"  No such command '{name}'.  {hint}"
                if hint == "Try 'help'."
                else f"  No such command.  {hint}"
            )
            raise CommandError(2, known)  # noqa: TRY301
    except CommandError as exc:
        sys.stdout.flush()
        sys.stderr.write("\n".join(exc.lines) + "\n")
        sys.stderr.flush()
        return exc.code
    if output:
        sys.stdout.write(output + "\n")
        sys.stdout.flush()
    return 0


def _split(line: str) -> list[str]:
    """Split a line of the shell at blanks; quotes hold words together."""
    words: list[str] = []
    word, quote, inside = "", "", False
    for letter in line.rstrip("\n"):
        if quote:
            if letter == quote:
                quote = ""
            else:
                word += letter
        elif letter in "\"'" and not inside:
            quote, inside = letter, True
        elif letter.isspace():
            if inside:
                words.append(word)
            word, inside = "", False
        else:
            word, inside = word + letter, True
    if quote:
        raise CommandError(3, "  Unbalanced quotes.")
    return [*words, word] if inside else words


def _lvcreate(state: State, options: Options) -> str:
    group = _group(state, (options.names or [""])[0].partition("/")[0])
    name = options.get("name")
    if not NAME.fullmatch(name):
        raise CommandError(
            3,
            f'  Logical volume name "{name}" is invalid.',
            "  Run `lvcreate --help' for more information.",
        )
    tags = _tags(options, "addtag")
    if group.find(name):
        raise CommandError(
            5, f'  Logical Volume "{name}" already exists in volume group "{group.name}"'
        )
    volume = Volume(
        name=name,
        uuid=new_uuid(),
        tags=sorted(set(tags)),
        time=int(time.time()),
        minor=state.take_minor(),
    )
    volume.active = volume.wiped = volume.zeroed = False
    if options.has("virtualsize"):
        pool = group.find(options.get("thinpool"))
        if pool is None or pool.layout != "thin,pool":
            raise CommandError(5, f"  Thin pool {group.name}/{options.get('thinpool')} not found.")
        volume.layout, volume.pool, volume.size = (
            "thin,sparse",
            pool.name,
            _extents(options.bytes("virtualsize"), group),
        )
    else:
        volume.size = _extents(options.bytes("size"), group)
        if options.get("type") == "thin-pool":
            volume.layout, volume.role = "thin,pool", "private"
        if volume.size > group.free:
            raise CommandError(
                5,
                f'  Volume group "{group.name}" has insufficient free space '
                f"({group.free // group.extent} extents): "
                f"{volume.size // group.extent} required.",
            )
    group.volumes.append(volume)
    return ""


def _lvcreate_activates(state: State, options: Options) -> str:
    _created(state, options).active = True
    return ""


def _lvcreate_wipes(state: State, options: Options) -> str:
    volume = _created(state, options)
    volume.wiped = options.get(
        "wipesignatures", "y"
    ) == "y" and "use_blkid_wiping=0" not in options.get("config")
    return f'  Logical volume "{volume.name}" created.'


def _created(state: State, options: Options) -> Volume:
    return _volume(state, f"{options.names[0].partition('/')[0]}/{options.get('name')}")[1]


def _lvremove_deactivates(state: State, options: Options) -> str:
    for group, volume in _selected(state, options):
        if not any(v.open and v.active for v in _with(group, volume)):
            volume.active = False
    return ""


def _with(group: Group, volume: Volume) -> list[Volume]:
    """Return an LV and what is removed with it: the LVs of a pool, the snapshots of an origin."""
    return [
        v for v in group.volumes if v is volume or v.pool == volume.name or v.origin == volume.name
    ]


def _lvremove(state: State, options: Options) -> str:
    said = []
    for group, volume in _selected(state, options):
        going = _with(group, volume)
        busy = next((v for v in going if v.open and v.active), None)
        if busy:
            raise CommandError(5, f"  Logical volume {group.name}/{busy.name} in use.")
        group.volumes = [v for v in group.volumes if v not in going]
        said += [f'  Logical volume "{v.name}" successfully removed.' for v in going]
    return "\n".join(said)


def _lvextend(state: State, options: Options) -> str:
    group, volume = _volume(state, (options.names or [""])[0], "lvextend")
    new, old = _extents(options.bytes("size"), group) // group.extent, volume.size // group.extent
    if new == old:
        raise CommandError(5, f"  New size ({new} extents) matches existing size ({old} extents).")
    if new < old:
        raise CommandError(
            5, f"  New size given ({new} extents) not larger than existing size ({old} extents)"
        )
    free = group.free // group.extent
    if not volume.pool and new - old > free:
        raise CommandError(
            5, f"  Insufficient free space: {new - old} extents needed, but only {free} available"
        )
    volume.size = new * group.extent
    return f"  Logical volume {group.name}/{volume.name} successfully resized."


def _lvchange(state: State, options: Options) -> str:
    on, off, said = _tags(options, "addtag"), _tags(options, "deltag"), []
    for group, volume in _selected(state, options):
        if options.get("activate").endswith("n") and volume.active and volume.open:
            raise CommandError(5, f"  Logical volume {group.name}/{volume.name} in use.")
        volume.tags = sorted((set(volume.tags) | set(on)) - set(off))
        if options.has("activate"):
            volume.active = not options.get("activate").endswith("n")
        said.append(f"  Logical volume {group.name}/{volume.name} changed.")
    return "\n".join(said)


def _lvrename(state: State, options: Options) -> str:
    if len(options.names) == 3:
        vg, old, new = options.names
    elif len(options.names) == 2:
        (vg, _, old), new = options.names[0].partition("/"), options.names[1].rpartition("/")[2]
    else:
        raise CommandError(3, "  Old and new logical volume names required")
    group = _group(state, vg)
    volume = group.find(old)
    if volume is None:
        raise CommandError(5, f'  Existing logical volume "{old}" not found in volume group "{vg}"')
    if group.find(new) or not NAME.fullmatch(new):
        raise CommandError(5, f'  Logical volume "{new}" already exists in volume group "{vg}"')
    volume.name = new
    return f'  Renamed "{old}" to "{new}" in volume group "{vg}"'


def _vgcreate(state: State, options: Options) -> str:
    if len(options.names) < 2:
        raise CommandError(3, "  Please enter physical volume name(s)")
    name, *devices = options.names
    if state.find(name):
        raise CommandError(5, f'  A volume group called "{name}" already exists.')
    for device in devices:
        if not os.path.isfile(device):
            raise CommandError(5, f"  No device found for {device}.")
    extent = 4 << 20
    size = sum(os.path.getsize(device) // extent * extent for device in devices)
    state.groups.append(Group(name=name, uuid=new_uuid(), size=size, extent=extent))
    return f'  Volume group "{name}" successfully created'


def _group(state: State, name: str) -> Group:
    group = state.find(name)
    if group is None:
        raise CommandError(
            5, f'  Volume group "{name}" not found', f"  Cannot process volume group {name}"
        )
    return group


def _volume(state: State, path: str, command: str = "") -> tuple[Group, Volume]:
    vg, _, lv = path.partition("/")
    group = _group(state, vg)
    volume = group.find(lv)
    if volume is None:
        words = (
            f"Logical volume {lv} not found in volume group {vg}."
            if command
            else f'Failed to find logical volume "{path}"'
        )
        raise CommandError(5, f"  {words}")
    return group, volume


def _selected(state: State, options: Options) -> list[tuple[Group, Volume]]:
    """Return the named volumes for which the selection holds.

    Unlike lvm, a whole VG cannot be named.
    """
    if not options.names:
        raise CommandError(3, "  Please enter a logical volume path.")
    named = [_volume(state, path) for path in options.names]
    if not options.has("select"):
        return named
    return [
        (group, volume)
        for group, volume in named
        if selects(options.get("select"), volume_row(group, volume))
    ]


def _tags(options: Options, name: str) -> list[str]:
    tags = options.all(name)
    for tag in tags:
        if not TAG.fullmatch(tag):
            raise bad_line(f"  Invalid argument for --{name}: {tag}")
    return tags


def _extents(size: int, group: Group) -> int:
    return -(-size // group.extent) * group.extent


_REPORTS: dict[str, Command] = {
    "fullreport": fullreport,
    "lvs": lambda state, options: simple_report(state, options, "lv"),
    "vgs": lambda state, options: simple_report(state, options, "vg"),
}
_CHANGES: dict[str, Command] = {
    "lvcreate": _lvcreate,
    "lvremove": _lvremove,
    "lvextend": _lvextend,
    "lvchange": _lvchange,
    "lvrename": _lvrename,
    "vgcreate": _vgcreate,
}
_FIRST: dict[str, tuple[Command, ...]] = {"lvremove": (_lvremove_deactivates,)}
_THEN: dict[str, tuple[Command, ...]] = {"lvcreate": (_lvcreate_activates, _lvcreate_wipes)}
