"""The tree itself."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]
FIXED = {
    "carina_tasks",
    "workers",
    "beat_schedule.py",
    "deploy",
    "tests",
    "docker-compose.yml",
    "pyproject.toml",
}
BESIDE = {
    "README.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "LICENSE",
    "Makefile",
    "docs",
    "mkdocs.yml",
    "tools",
}


def test_top_level() -> None:
    """D8: the top level is exactly what the design fixes, and beside it what a project of this kind
    has.
    """
    tracked = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    top = {line.split("/", 1)[0] for line in tracked}
    assert {name for name in top if not name.startswith(".")} == FIXED | BESIDE


def test_lock_files_name_no_index() -> None:
    """Every lock file pins by hash and names no place to get things from."""
    for path in sorted((ROOT / "deploy" / "requirements").glob("*.txt")):
        text = path.read_text()
        assert "--hash=sha256:" in text
        assert "://" not in text
        assert "--index-url" not in text
        assert "--find-links" not in text


def test_files_are_small() -> None:
    """A file of the product over 400 lines needs a reason, and none has one yet."""
    long = {
        str(path.relative_to(ROOT)): lines
        for folder in ("carina_tasks", "workers")
        for path in (ROOT / folder).rglob("*.py")
        if (lines := len(path.read_text().splitlines())) > 400
    }
    assert long == {}


def test_no_test_imports_another() -> None:
    """What two tests need is in a module of its own, so that a test can be read and moved alone."""
    lines = {
        f"{path.relative_to(ROOT)}: {line}"
        for path in (ROOT / "tests").rglob("*.py")
        for line in path.read_text().splitlines()
        if re.match(r"\s*from tests\.[\w.]*\btest_\w+ import|\s*import tests\.[\w.]*\btest_", line)
    }
    assert lines == set()
