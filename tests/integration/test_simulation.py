"""Deterministic simulation: so many histories hold, a seed is a history, and planted bugs are
found.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.planted.catalogue import BUGS, Simulation

HISTORIES = 100
"""A number and not a time, so that every run has the same ones; `.ci/run` runs 1500, `make sim`
10000.
"""

FOUND_WITHIN = {
    bug.name: finder
    for bug in BUGS
    for finder in bug.found_by
    if isinstance(finder, Simulation) and finder.within
}
"""Planted bugs that are found soon, and after how many histories at most; `docs/reliability.md` has
the others.
"""


def _simulate(*words: str) -> subprocess.CompletedProcess[str]:
    # A process of its own: the order of sets is part of a history, and so is the seed of Python's
    # hashes.
    environment = os.environ | {"PYTHONHASHSEED": "0"}
    root = Path(__file__).parents[2]
    return subprocess.run(
        [sys.executable, "-m", "tests.sim", *words],
        cwd=root,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.timeout(2400)
def test_every_history_holds(capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever goes wrong, and whenever: nothing is done that must not be, and at the end all is as
    promised.
    """
    done = _simulate("--histories", str(HISTORIES))
    with capsys.disabled():
        print(
            f"\nsimulation: {done.stdout.splitlines()[-1] if done.stdout else done.stderr[-500:]}"
        )
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
    assert f"{HISTORIES} histories passed, 0 broken" in done.stdout


def test_a_seed_is_a_history() -> None:
    """The same seed gives the same log, line by line; another seed another one."""
    first, again, other = (_simulate("--show", "--seed", seed).stdout for seed in ("3", "3", "4"))
    assert first == again
    assert len(first.splitlines()) > 50
    assert re.findall("history [0-9a-f]{16}", first) != re.findall("history [0-9a-f]{16}", other)


@pytest.mark.parametrize("bug", FOUND_WITHIN)
def test_a_planted_bug_is_found(bug: str, capsys: pytest.CaptureFixture[str]) -> None:
    """With the bug in the product's code some history breaks, and its log is printed."""
    finder = FOUND_WITHIN[bug]
    seeds = ("--seed", str(finder.first), "--histories", str(finder.within))
    done = _simulate("--plant", bug, *seeds)
    last = done.stdout.splitlines()[-1] if done.stdout else done.stderr[-500:]
    with capsys.disabled():
        print(f"\nplanted: {bug}: {last}")
    assert done.returncode == 1
    assert last.startswith("found after ")
