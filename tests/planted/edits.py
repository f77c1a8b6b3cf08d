"""Takes one guard out of a copy of the code and runs the test that must fail."""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Edit:
    """One guard taken out of one function, and the test that must fail then.

    The code is compared as syntax trees, within the function: neither its file, its line, nor its
    formatting matters.
    """

    where: str
    """Module and qualified name of the function: ``carina_tasks.decisions.node_loss:absent``."""
    old: str
    """One expression or statement of it."""
    new: str
    """What stands there without the guard."""
    test: str
    """File and name, below `tests/unit` unless it begins with `tests/`."""


def copy_of_code(folder: Path) -> Path:
    """Copy the code and its tests into `folder`."""
    for name in ("carina_tasks", "workers", "tests", "deploy"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "beat_schedule.py"):
        shutil.copy(ROOT / name, folder / name)
    return folder


def survives(edit: Edit, copy: Path) -> str:
    """Return what is wrong: empty when the named test fails without the guard because of an
    assertion of its own.
    """
    done = without(edit, copy)
    if isinstance(done, str):
        return done
    if (
        done.returncode == 1
        and "1 failed" in done.stdout
        and not any(word in done.stdout for word in ("SyntaxError", "NameError"))
    ):
        return ""
    return (
        "the test passes without it"
        if done.returncode == 0
        else done.stdout[-300:] + done.stderr[-300:]
    )


def without(edit: Edit, copy: Path) -> subprocess.CompletedProcess[str] | str:
    """Run the named test without the guard; return how it ended, or what is wrong with the edit."""
    path = copy / file_of(edit)
    whole = path.read_text()
    places = places_of(edit, whole)
    if len(places) != 1:
        return f"its place is there {len(places)} times"
    path.write_text(replaced(whole, places[0], edit.new))
    test = edit.test if edit.test.startswith("tests/") else f"tests/unit/{edit.test}"
    command = [sys.executable, "-B", "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", test]
    try:
        return subprocess.run(
            command, cwd=copy, capture_output=True, text=True, timeout=600, check=False
        )
    finally:
        path.write_text(whole)


def file_of(edit: Edit) -> Path:
    """Return the file of the edited module, relative to the project."""
    return Path(*edit.where.partition(":")[0].split(".")).with_suffix(".py")


def places_of(edit: Edit, source: str) -> list[ast.stmt | ast.expr]:
    """Return each expression or statement of the edited function that is `edit.old`, however it is
    formatted.
    """
    wanted = ast.parse(edit.old).body[0]
    node: ast.expr | ast.stmt = wanted
    if isinstance(wanted, ast.Expr) and edit.new != "pass":
        node = wanted.value
    text = ast.unparse(node)
    function = _function(ast.parse(source), edit.where.partition(":")[2])
    return [
        found
        for found in ast.walk(function)
        if type(found) is type(node) and ast.unparse(found) == text
    ]  # type: ignore[misc]


def _function(tree: ast.AST, name: str) -> ast.AST:
    for part in filter(None, name.split(".")):
        kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
        tree = next(
            found for found in ast.walk(tree) if isinstance(found, kinds) and found.name == part
        )
    return tree


def replaced(source: str, place: ast.stmt | ast.expr, new: str) -> str:
    """Return the source with `new` in place of that node."""
    lines = source.encode().splitlines(keepends=True)
    begin = sum(map(len, lines[: place.lineno - 1])) + place.col_offset
    end = sum(map(len, lines[: (place.end_lineno or 0) - 1])) + (place.end_col_offset or 0)
    whole = source.encode()
    new = (
        new.replace("\n", "\n" + " " * place.col_offset)
        if isinstance(place, ast.stmt)
        else f"({new})"
    )
    return (whole[:begin] + new.encode() + whole[end:]).decode()
