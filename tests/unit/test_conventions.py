"""The conventions that `make lint` enforces hold, and a violation is found."""

from __future__ import annotations

import ast
from pathlib import Path

from carina_tasks.decisions.placement import filters
from tools import conventions


def test_the_package_follows_them() -> None:
    """No table of contents lacks a module, no public function lacks its sections."""
    found = [
        line for path in conventions.PACKAGE.rglob("*.py") for line in conventions.violations(path)
    ]
    assert found == []


def test_a_table_of_contents_is_compared_with_the_folder(tmp_path: Path) -> None:
    """A module that is not named and a name without a module are found, private ones are not."""
    for name in ("__init__.py", "named.py", "forgotten.py", "_private.py"):
        (tmp_path / name).touch()
    lines = list(conventions.contents(tmp_path, "Title.\n\n``named``  yes\n``gone``   no"))
    assert lines == [
        "its table of contents lacks forgotten",
        "its table of contents names gone, which do not exist",
    ]


def test_sections_are_required() -> None:
    """Three parameters need Args:, and an error needs Raises:; two parameters do not."""
    source = '''
def three(ctx, a, b, c):
    """Do it. Raises BadInput when it cannot."""

def two(ctx, a, b):
    """Do it."""
'''
    first, second = conventions.public_functions(ast.parse(source))
    assert len(list(conventions.sections(first))) == 2
    assert list(conventions.sections(second)) == []


def test_the_table_of_filters_is_in_the_order_of_the_code() -> None:
    """The docstring of `filters` lists them in the order in which they are asked."""
    names = conventions.ENTRY.findall(filters.__doc__ or "")
    assert names == [one.__name__ for one in filters.FILTERS]
