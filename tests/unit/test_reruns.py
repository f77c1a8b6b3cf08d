"""Which failure of a test is tried once more: that of a machine of the lab, and no other."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TEST = """
from pathlib import Path
from {module} import {error}

def test_it():
    runs = Path(__file__).with_name("runs")
    runs.write_text(runs.read_text() + "x" if runs.exists() else "x")
    if len(runs.read_text()) == 1:
        raise {error}("the node did not answer within 65 s")
"""


@pytest.mark.parametrize(
    ("module", "error", "runs", "code"),
    [
        ("tests.lab.errors", "GuestStoodStill", 2, 0),
        ("tests.lab.errors", "LabError", 1, 1),
        ("carina_tasks.errors", "NodeSilent", 1, 1),
        ("builtins", "AssertionError", 1, 1),
    ],
)
def test_only_a_machine_that_stood_still_is_tried_again(
    tmp_path: Path, module: str, error: str, runs: int, code: int
) -> None:
    """A test that fails the first time alone: a node of the product that is silent is a failure."""
    file = tmp_path / "test_it.py"
    file.write_text(TEST.format(module=module, error=error))
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"),
            *("-c", str(ROOT / "pyproject.toml"), "--rootdir", str(tmp_path), str(file)),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (len((tmp_path / "runs").read_text()), done.returncode) == (runs, code), done.stdout
