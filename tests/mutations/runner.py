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
    for name in ("carina_tasks", "workers", "tests"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "beat_schedule.py"):
        shutil.copy(ROOT / name, folder / name)
    return folder


def survives(edit: Edit, copy: Path) -> str:
    """Return what is wrong: empty when the named test fails without the guard because of an assertion of its own."""
    path = copy / edit.file
    whole = path.read_text()
    if whole.count(edit.old) != 1:
        return f"its place is there {whole.count(edit.old)} times"
    path.write_text(whole.replace(edit.old, edit.new))
    try:
        command = [
            sys.executable,
            "-B",
            "-m",
            "pytest",
            "-q",
            "-x",
            "-p",
            "no:cacheprovider",
            edit.test if edit.test.startswith("tests/") else f"tests/unit/{edit.test}",
        ]
        done = subprocess.run(command, cwd=copy, capture_output=True, text=True, timeout=300, check=False)
    finally:
        path.write_text(whole)
    if done.returncode == 1 and "SyntaxError" not in done.stdout and "NameError" not in done.stdout:
        return ""
    return "the test passes without it" if done.returncode == 0 else done.stdout[-300:] + done.stderr[-300:]
