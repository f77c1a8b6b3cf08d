"""What a run of the matrix found, as values and as JSON."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import msgspec

RECORDED = Path(__file__).with_name("results.json")

Outcome = Literal["passed", "failed", "not tested"]


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One version of one part.

    `exact` is what the program itself reported, empty when it was not there; `tests` are pytest's
    arguments; `skipped` counts those that say themselves that they do not fit that version;
    `seconds` is the time of the whole run; `why` is a sentence for a version that was not tested;
    `broken` are the tests that failed, and `again` those that failed in the run and passed when
    they were run again by themselves: they are among `passed`.
    """

    part: str
    version: str
    exact: str = ""
    outcome: Outcome
    passed: int = 0
    failed: int = 0
    skipped: int = 0
    seconds: int = 0
    tests: tuple[str, ...]
    why: str = ""
    broken: tuple[str, ...] = ()
    again: tuple[str, ...] = ()


class Results(msgspec.Struct, frozen=True, kw_only=True):
    """One run: the day it was made (ISO 8601, UTC), the release, the machine, and its rows."""

    day: str
    release: str
    machine: str
    rows: tuple[Row, ...]


def read(path: Path = RECORDED) -> Results:
    """Return what a file holds.

    Raises:
        OSError: there is no such file.
        msgspec.ValidationError: it holds something else.
    """
    return msgspec.json.decode(path.read_bytes(), type=Results)


def write(path: Path, found: Results) -> None:
    """Write a run to a file, a line for each value.

    Raises:
        OSError: the folder cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(found), indent=1) + b"\n")


def outcome(passed: int, failed: int) -> Outcome:
    """Return what a run says of its version: one in which nothing ran shows nothing."""
    if failed:
        return "failed"
    return "passed" if passed else "not tested"


def repeated(row: Row, passed: set[str]) -> Row:
    """Return a row after its broken tests were run again.

    Args:
        row: What the whole run found.
        passed: Tests that passed at the second try.
    """
    still = tuple(one for one in row.broken if one not in passed)
    mended = tuple(one for one in row.broken if one in passed)
    return msgspec.structs.replace(
        row,
        outcome=outcome(row.passed + len(mended), len(still)),
        passed=row.passed + len(mended),
        failed=len(still),
        broken=still,
        again=(*row.again, *mended),
    )


def merge(old: Results | None, new: Results) -> Results:
    """Return the new run, with the rows of an earlier one for what it did not look at.

    With `--only` a repeated row must not drop the others.
    """
    if old is None:
        return new
    rows = {(row.part, row.version): row for row in old.rows}
    rows.update({(row.part, row.version): row for row in new.rows})
    return msgspec.structs.replace(new, rows=tuple(rows.values()))
