"""Judge every version that this machine has: ``python -m tests.matrix`` (``make matrix``).

Each row is a pytest of its own in which a test that lacks a real part fails, as in CI. Its counts
come from pytest's own report; that nothing ran is never a pass. ``--again`` runs what failed once
more by itself, for a machine that was busy, and the row keeps the names of those tests.
"""

from __future__ import annotations

import argparse
import datetime
import os
import platform
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from pathlib import Path

import carina_tasks
from tests.lab import paths
from tests.matrix import results, versions
from tests.matrix.results import Results, Row
from tests.matrix.versions import Missing, There, Version

OUT = paths.REPOSITORY / "build" / "matrix.json"


def main() -> int:
    """Run what was asked for; return 1 when a version that is there failed, 2 for a bad name."""
    parser = argparse.ArgumentParser(prog="python -m tests.matrix", description=__doc__)
    parser.add_argument("--list", action="store_true", help="what is there, without a test")
    parser.add_argument(
        "--only",
        action="append",
        default=[],
        metavar="PART[ VERSION]",
        help="'Kubernetes', 'Valkey 8'; other rows stay as build/matrix.json has them",
    )
    parser.add_argument(
        "--again", action="store_true", help="only what failed in build/matrix.json, by itself"
    )
    asked = parser.parse_args()
    rows = versions.all_versions()
    unknown = [one for one in asked.only if not any(fits(row, one) for row in rows)]
    if unknown:
        names = ", ".join(row.name for row in rows)
        print(f"matrix: nothing is called {unknown[0]!r}; there are {names}", file=sys.stderr)
        return 2
    if asked.only:
        rows = tuple(row for row in rows if any(fits(row, one) for one in asked.only))
    if asked.list:
        for row in rows:
            found = row.find()
            there = found.exact if isinstance(found, There) else f"not here: {found.why}"
            print(f"{row.name:<20} {there}")
        return 0
    failed = False
    old = {(one.part, one.version): one for one in results.read(OUT).rows} if OUT.exists() else {}
    for row in rows:
        before = old.get((row.part, row.version))
        if asked.again and (before is None or before.outcome != "failed"):
            continue
        print(f"== {row.name}", flush=True)
        judged = judge_again(row, before) if asked.again and before else judge(row)
        print(f"== {line(judged)}", flush=True)
        failed = failed or judged.outcome == "failed"
        # Written after each row: what was judged is not lost when a later one is interrupted.
        keep(judged)
    print(f"{OUT.relative_to(paths.REPOSITORY)}; to record it: cp it to {results.RECORDED.name}")
    return int(failed)


def judge(row: Version) -> Row:
    """Find one version and run its tests."""
    found = row.find()
    if isinstance(found, Missing):
        return Row(
            part=row.part,
            version=row.version,
            outcome="not tested",
            tests=row.tests,
            why=found.why,
        )
    begun = time.monotonic()
    passed, broken, skipped = run(found, row.tests)
    outcome = results.outcome(len(passed), len(broken))
    return Row(
        part=row.part,
        version=row.version,
        exact=found.exact,
        outcome=outcome,
        passed=len(passed),
        failed=len(broken),
        skipped=skipped,
        seconds=round(time.monotonic() - begun),
        tests=row.tests,
        why="no test ran" if outcome == "not tested" else "",
        broken=tuple(broken),
    )


def judge_again(row: Version, before: Row) -> Row:
    """Run the broken tests of a row once more, beside the same exact version."""
    found = row.find()
    if isinstance(found, Missing) or found.exact != before.exact:
        return before
    return results.repeated(before, set(run(found, before.broken)[0]))


def run(found: There, tests: Sequence[str]) -> tuple[list[str], list[str], int]:
    """Run tests beside a version; return those that passed, those that did not, and how many were
    skipped.
    """
    with tempfile.TemporaryDirectory(prefix="matrix-") as folder:
        report = Path(folder) / "report.xml"
        command = [found.python, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
        subprocess.run(
            [*command, f"--junit-xml={report}", *tests],
            cwd=paths.REPOSITORY,
            env=environment(found, Path(folder)),
            check=False,
        )
        return counts(report)


def environment(found: There, folder: Path) -> dict[str, str]:
    """Return the environment of a row's tests; its programs are written to `folder`.

    `CI` makes a test that lacks a part fail. KUBEBUILDER_ASSETS would be another control plane.
    """
    programs = folder / "bin"
    programs.mkdir()
    for name, text in found.programs.items():
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    base = {name: value for name, value in os.environ.items() if name != "KUBEBUILDER_ASSETS"}
    path = f"{programs}:{os.environ.get('PATH', '')}"
    here = {"PATH": path, "PYTHONPATH": str(paths.REPOSITORY), "CI": "true"}
    return base | here | found.environment


def counts(report: Path) -> tuple[list[str], list[str], int]:
    """Return the tests that passed and those that did not, as arguments of pytest (one that is none
    when pytest wrote no report), and the number of those that were skipped.
    """
    if not report.exists():
        return [], ["pytest wrote no report"], 0
    passed: list[str] = []
    broken: list[str] = []
    skipped = 0
    for case in ET.parse(report).getroot().iter("testcase"):
        name = f"{str(case.get('classname')).replace('.', '/')}.py::{case.get('name')}"
        kinds = {child.tag for child in case}
        if kinds & {"failure", "error"}:
            broken.append(name)
        elif "skipped" in kinds:
            skipped += 1
        else:
            passed.append(name)
    return passed, broken, skipped


def keep(judged: Row) -> None:
    """Put one row into build/matrix.json, beside those that are there."""
    old = results.read(OUT) if OUT.exists() else None
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    machine = f"{os.cpu_count()} cores, {platform.machine()}"
    new = Results(day=today, release=carina_tasks.__version__, machine=machine, rows=(judged,))
    order = {(row.part, row.version): place for place, row in enumerate(versions.all_versions())}
    merged = results.merge(old, new)
    # A row that is no version any more goes.
    rows = [row for row in merged.rows if (row.part, row.version) in order]
    rows.sort(key=lambda row: order[row.part, row.version])
    results.write(OUT, Results(day=today, release=new.release, machine=machine, rows=tuple(rows)))


def fits(row: Version, asked: str) -> bool:
    """Return whether `--only` means this row."""
    return asked.lower() in {row.part.lower(), row.name.lower()}


def line(row: Row) -> str:
    """Return a row for people who watch."""
    took = f"{row.passed} passed, {row.failed} failed, {row.seconds} s"
    return (
        f"{row.part} {row.version} ({row.exact or 'not here'}): {row.outcome}; {row.why or took}"
        + ("".join(f"\n   {one}" for one in row.broken))
    )


if __name__ == "__main__":
    sys.exit(main())
