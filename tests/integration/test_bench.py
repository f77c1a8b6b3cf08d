"""`make bench` runs: what it measures happens, and the table reports it. Its figures are no test's
promise.
"""

from __future__ import annotations

import json
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from tests.bench.figures import Figure, by_turns, table
from tests.bench.picture import svg
from tests.lab import paths


def test_it_runs(tmp_path: Path) -> None:
    """Each figure is measured on the embedded default, in a small way; each turn checks that its
    work was done.
    """
    output = tmp_path / "bench.json"
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench", "--quick", "--output", str(output)],
        cwd=paths.REPOSITORY,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    rows = [line for line in done.stdout.splitlines() if line.startswith("|")][2:]
    assert len(rows) >= 5
    for what in (
        "a question to a node",
        "rebuild of 3 volumes with their pods on the emulator; requests a volume:",
        "rebuild of 3 volumes beside 20 other pods",
        "lvcreate in one lvm shell",
        "a sweep of",
        "dry runs",
        "an idle node worker: memory",
        "CPU of reading",
        "CPU of the readiness",
        "lost at once",
        "CPU of the first readiness",
    ):
        assert any(what in row for row in rows), what
    assert "cores" in done.stdout
    written = json.loads(output.read_text())
    assert len(written["rows"]) == len(rows)
    assert written["machine"]["cores"]
    assert written["versions"]["celery"]
    assert next(row for row in written["rows"] if row["series"].startswith("reading"))["peak"] > 10
    # One waits for messages, one sends heartbeats and answers: no matter of speed.
    connections = next(row for row in written["rows"] if row["unit"] == "connections")
    assert connections["ours"] == [2.0]


def test_both_meet_the_same_machine() -> None:
    """Ours and the bare thing are measured by turns, and the first of a turn changes, so that load
    favours neither.
    """
    order: list[str] = []
    figure = by_turns(
        "x", "y", lambda: order.append("ours") or 2.0, lambda: order.append("bare") or 1.0, 3
    )
    assert order == ["ours", "bare", "bare", "ours", "ours", "bare"]
    assert figure.ratio == 2.0


def test_a_ratio_is_of_medians() -> None:
    """One slow turn does not change it; the table shows it with the median, and how far the turns
    lie apart.
    """
    text = table([Figure("work", (0.01, 0.02, 9.0), (0.01, 0.01, 0.01), "bare work")])
    assert "| work | 20 ms (10 to 9000) | bare work | 10 ms (10 to 10) | 2.00 | 3 |" in text


def test_growth_is_drawn() -> None:
    """A line for ours and one for the bare thing of each kind of work with two sizes; XML."""
    rows = [
        {"series": series, "size": size, "ours": [size / 100], "bare": [size / 1000]}
        for series, size in (("reading", 10), ("reading", 1000), ("once", 5), ("", 0))
    ]
    root = ET.fromstring(svg(rows))
    lines = root.findall("{http://www.w3.org/2000/svg}polyline")
    assert len(lines) == 2
    texts = {text.text for text in root.findall("{http://www.w3.org/2000/svg}text")}
    assert {"— reading: ours", "- - reading: bare"} <= texts
    with pytest.raises(ValueError, match="two sizes"):
        svg(rows[2:])
