"""Conventions that no linter knows: ``python -m tools.conventions``, part of ``make lint``.

* A package's docstring is its table of contents: it names every module, and no other.
* A public function with three or more parameters documents them under ``Args:``.
* Errors are documented under ``Raises:``, not in a sentence.
* A function has at most 60 lines, its docstring not counted, and a file at most 400.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "carina_tasks"
OUTSIDE = ("emulator", "demo")
"""Packages whose functions follow the API that they emulate, and its documentation."""
PARAMETERS = 3
LINES, FILE_LINES = 60, 400
ENTRY = re.compile(r"^``(\w+)/?``", re.M)
SENTENCE = re.compile(r"(?:^|[.] |\n)Raises [A-Z]\w+")


def main() -> int:
    """Print each violation; return 1 when there is one."""
    found = [line for path in sorted(PACKAGE.rglob("*.py")) for line in violations(path)]
    print("\n".join(found), end="\n" if found else "")
    return int(bool(found))


def violations(path: Path) -> Iterator[str]:
    """Yield one line for each violation in a file."""
    tree = ast.parse(path.read_text())
    where = path.relative_to(PACKAGE.parent) if path.is_relative_to(PACKAGE.parent) else path
    if path.name == "__init__.py":
        for line in contents(path.parent, ast.get_docstring(tree) or ""):
            yield f"{where}: {line}"
    if set(where.parts) & set(OUTSIDE):
        return
    if (lines := len(path.read_text().splitlines())) > FILE_LINES:
        yield f"{where}: it has {lines} lines, more than {FILE_LINES}"
    for function in ast.walk(tree):
        if isinstance(function, ast.FunctionDef) and (lines := length(function)) > LINES:
            yield f"{where}:{function.lineno}: {function.name}: {lines} lines, more than {LINES}"
    for function in public_functions(tree):
        for line in sections(function):
            yield f"{where}:{function.lineno}: {function.name}: {line}"


def contents(folder: Path, docstring: str) -> Iterator[str]:
    """Yield what a package's table of contents lacks, and what it names without need."""
    named = set(ENTRY.findall(docstring))
    modules = {
        entry.stem
        for entry in folder.iterdir()
        if not entry.name.startswith("_")
        and (entry.suffix == ".py" or (entry / "__init__.py").exists())
    }
    if missing := modules - named:
        yield f"its table of contents lacks {', '.join(sorted(missing))}"
    if unknown := named - modules:
        yield f"its table of contents names {', '.join(sorted(unknown))}, which do not exist"


def length(function: ast.FunctionDef) -> int:
    """Return the lines of a function without its docstring."""
    first = function.body[0]
    docstring = (first.end_lineno or 0) - first.lineno + 1 if ast.get_docstring(function) else 0
    return (function.end_lineno or 0) - function.lineno + 1 - docstring


def public_functions(tree: ast.AST) -> Iterator[ast.FunctionDef]:
    """Yield the public functions and methods: of public classes, not nested, no commands."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield from public_functions(node)
        elif isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
            decorators = " ".join(ast.unparse(one) for one in node.decorator_list)
            # The docstring of a command or a task is its help text.
            if "click." not in decorators and "shared_task" not in decorators:
                yield node


def sections(function: ast.FunctionDef) -> Iterator[str]:
    """Yield the sections that a function's docstring lacks."""
    docstring = ast.get_docstring(function) or ""
    arguments = function.args
    names = [a.arg for a in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)]
    counted = [name for name in names if name not in ("self", "cls", "ctx")]
    if len(counted) >= PARAMETERS and "Args:" not in docstring:
        yield f"it has {len(counted)} parameters and no section Args:"
    if SENTENCE.search(docstring):
        yield "it names an error in a sentence: use a section Raises:"


if __name__ == "__main__":
    sys.exit(main())
