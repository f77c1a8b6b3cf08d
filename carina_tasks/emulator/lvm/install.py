"""Make a simulated node: an executable, volume groups, and volumes that are held open."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping
from pathlib import Path

from .state import Group, State, Volume, changing, new_uuid

EXTENT = 4 << 20


def install(directory: Path, state_file: Path, groups: Mapping[str, int] | None = None) -> Path:
    """Write the executable `directory`/lvm over `state_file` and return its path.

    `groups` are volume groups to begin with, name to bytes; those that are there already stay as
    they are.
    """
    package = Path(__file__).resolve().parent
    # As a top-level package, isolated and without site: importing carina_tasks would cost more than
    # the call itself
    start = (
        f"import sys; sys.path.insert(0, {str(package.parent)!r}); from lvm.program import main; "
        "sys.exit(main(sys.argv[1:]))"
    )
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / "lvm"
    path.write_text(
        "#!/bin/sh\n"
        f"CARINA_TASKS_DEMO_LVM_STATE={shlex.quote(str(state_file.resolve()))}\n"
        "export CARINA_TASKS_DEMO_LVM_STATE\n"
        f'exec {shlex.quote(sys.executable)} -IS -c {shlex.quote(start)} "$@"\n'
    )
    path.chmod(0o755)
    for name, size in (groups or {}).items():
        add_group(state_file, name, size)
    return path


def add_group(state_file: Path, name: str, size: int) -> None:
    """Add the volume group `name` of `size` bytes (whole extents of 4 MiB), unless it is there."""
    with changing(str(state_file)) as state:
        if all(group.name != name for group in state.groups):
            state.groups.append(
                Group(name=name, uuid=new_uuid(), size=size // EXTENT * EXTENT, extent=EXTENT)
            )


def set_open(state_file: Path, group: str, name: str, is_open: bool) -> None:
    """Return whether something holds the volume `group`/`name` open, as a mount would.

    Raises KeyError.
    """
    with changing(str(state_file)) as state:
        _volume(state, group, name).open = is_open


def set_locked(state_file: Path, group: str, name: str, is_locked: bool) -> None:
    """Lock the volume `group`/`name` as a pvmove does, or release it. Raises KeyError."""
    with changing(str(state_file)) as state:
        _volume(state, group, name).locked = is_locked


def _volume(state: State, group: str, name: str) -> Volume:
    volume = next(
        (v for g in state.groups if g.name == group for v in g.volumes if v.name == name), None
    )
    if volume is None:
        raise KeyError(f"{group}/{name}")
    return volume
