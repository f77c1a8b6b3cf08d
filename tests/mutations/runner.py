"""Takes one guard out of a copy of the code and runs the test that must fail."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from tests.mutations.catalogue import Edit

ROOT = Path(__file__).parents[2]


def copy_of_code(folder: Path) -> Path:
    """Copy the code and its tests into `folder`."""
    for name in ("carina_tasks", "workers", "tests", "deploy"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "beat_schedule.py"):
        shutil.copy(ROOT / name, folder / name)
    return folder


def survives(edit: Edit, copy: Path) -> str:
    """Return what is wrong: empty when the named test fails without the guard because of an assertion of its own."""
    done = without(edit, copy)
    if isinstance(done, str):
        return done
    if (
        done.returncode == 1
        and "1 failed" in done.stdout
        and not any(word in done.stdout for word in ("SyntaxError", "NameError"))
    ):
        return ""
    return "the test passes without it" if done.returncode == 0 else done.stdout[-300:] + done.stderr[-300:]


def without(edit: Edit, copy: Path) -> subprocess.CompletedProcess[str] | str:
    """Run the named test without the guard; return how it ended, or what is wrong with the edit."""
    path = copy / edit.file
    whole = path.read_text()
    if whole.count(edit.old) != 1:
        return f"its place is there {whole.count(edit.old)} times"
    path.write_text(whole.replace(edit.old, edit.new))
    test = edit.test if edit.test.startswith("tests/") else f"tests/unit/{edit.test}"
    command = [sys.executable, "-B", "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", test]
    try:
        return subprocess.run(command, cwd=copy, capture_output=True, text=True, timeout=600, check=False)
    finally:
        path.write_text(whole)
