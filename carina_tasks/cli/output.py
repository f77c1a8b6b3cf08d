"""How the commands print: tables for people, JSON for scripts, one line for an error."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import ParamSpec, TypeVar

import click
import msgspec

from carina_tasks.errors import CarinaTasksError

P = ParamSpec("P")
R = TypeVar("R")

output_option = click.option(
    "-o", "--output", type=click.Choice(["table", "json"]), default="table", help="table for people, json for scripts."
)


def one_line_errors(function: Callable[P, R]) -> Callable[P, R]:
    """Tell an error of ours in one line and end with 1, in place of a stack trace."""

    @functools.wraps(function)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except CarinaTasksError as exc:
            raise click.ClickException(exc.message) from exc

    return wrapped


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Return rows under a head, in columns, as kubectl prints them."""
    lines = [[str(cell) for cell in row] for row in (head, *rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    return "\n".join("   ".join(cell.ljust(w) for cell, w in zip(line, widths, strict=True)).rstrip() for line in lines)


def as_json(value: object) -> str:
    """Return a value as indented JSON."""
    return msgspec.json.format(msgspec.json.encode(value), indent=2).decode()
