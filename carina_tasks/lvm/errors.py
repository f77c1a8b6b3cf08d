"""What lvm writes to stderr, as errors of ours."""

from __future__ import annotations

import re
from typing import Final

from carina_tasks.errors import (
    CarinaTasksError,
    LvmBusy,
    LvmFailed,
    LvmMetadataFull,
    LvmNoSpace,
    LvmNotFound,
)

MARK: Final = "end-of-command-"
"""What separates the errors of the commands of a batch, with a number behind it."""
REASON: Final = 300
"""Characters of lvm's message in an error of ours."""
_WAY_OUT: Final = (
    "; its metadata area is full: remove LVs that are not needed (lvremove still works, `carina "
    "trash` shows candidates), then add a disk with a larger one (pvcreate --metadatasize 16m, "
    "vgextend) and close the small ones (pvchange --metadataignore y)"
)
_PATTERNS: Final = (
    (
        LvmMetadataFull,
        re.compile(r"exceeds maximum metadata size|too large for circular buffer", re.I),
    ),
    (
        LvmBusy,
        re.compile(
            r"can't get lock|flock failed|giving up waiting for lock|\bin use\b|is being used", re.I
        ),
    ),
    (LvmNoSpace, re.compile(r"insufficient (free space|suitable)|not enough free", re.I)),
    (LvmNotFound, re.compile(r"failed to find (logical volume|volume group)|\bnot found\b", re.I)),
)


def translate(stderr: str, code: int = 5) -> CarinaTasksError:
    """Return what lvm wrote to stderr as one of our errors; its message is lvm's own."""
    errors = errors_in(stderr)
    reason = errors[:REASON]
    for kind, pattern in _PATTERNS:
        if pattern.search(errors):
            return kind(reason + (_WAY_OUT if kind is LvmMetadataFull else ""), code=code)
    return LvmFailed(reason or f"lvm failed with exit code {code} and printed nothing", code=code)


def failed(stderr: str) -> bool:
    """Return whether lvm wrote something that is more than a warning."""
    return bool(errors_in(stderr))


def by_command(stderr: str, count: int) -> tuple[str, ...]:
    """Split the stderr of a batch at the marks.

    What follows a missing mark belongs to the command before it.
    """
    parts: list[list[str]] = [[] for _ in range(count)]
    at = 0
    for line in stderr.splitlines():
        mark = line.find(MARK)
        if mark < 0:
            parts[min(at, count - 1)].append(line)
            continue
        digits = re.match(r"\d+", line[mark + len(MARK) :])
        at = int(digits.group()) + 1 if digits else at + 1
    return tuple("\n".join(part) for part in parts)


def errors_in(stderr: str) -> str:
    """Return the lines of stderr that are no warnings, as one line."""
    lines = (line.strip() for line in stderr.splitlines())
    return "; ".join(
        line for line in lines if line and not line.startswith(("WARNING:", "File descriptor "))
    )
