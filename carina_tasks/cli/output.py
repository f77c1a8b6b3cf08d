"""How the commands print and end: tables for users, JSON for scripts, one line for an error.

Exit codes, the same for each command: 0 all is well or done; 1 it looked, and something needs a
person; 2 it could not look or do (wrong usage, no answer, refused by a guard).
"""

from __future__ import annotations

import functools
import os
import re
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ParamSpec, TypeVar

import click
import msgspec

from carina_tasks.decisions.verdict import Verdict
from carina_tasks.errors import CarinaTasksError
from carina_tasks.views.tables import Headline, Table

P = ParamSpec("P")
R = TypeVar("R")

NEEDS_A_PERSON, COULD_NOT = 1, 2


class CouldNot(click.ClickException):
    """The command could not do what it was asked; printed in one line."""

    exit_code = COULD_NOT


class Command(click.Command):
    """A command whose help ends with its exit codes and with examples to copy."""

    def __init__(
        self,
        *args: Any,
        exits: Mapping[int, str] | None = None,
        examples: Sequence[str] = (),
        **options: Any,
    ) -> None:
        super().__init__(*args, **options)
        self.exits = dict(exits or {})
        self.examples = tuple(examples)

    def get_short_help_str(self, limit: int = 45) -> str:
        """Return the first clause of the help for the list of commands.

        Whole, and not cut in the middle.
        """
        return re.split(r"[:,.]\s", (self.help or "").strip())[0].removesuffix(".")

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write exit codes and examples below the options.

        An example is never wrapped, so that it can be copied.
        """
        with formatter.section("Exit codes"):
            formatter.write_dl([(str(code), text) for code, text in self.exits.items()])
        with formatter.section("Examples"):
            for example in self.examples:
                formatter.write(f"  {example}\n")


output_option = click.option(
    "-o",
    "--output",
    type=click.Choice(["table", "json"]),
    default="table",
    help="table for users, json for scripts.",
)


by_option = click.option(
    "--by",
    envvar="CARINA_OPERATOR",
    default="",
    metavar="WHO",
    help="Who you are, for the record; $CARINA_OPERATOR. The API server's name for this process is "
    "recorded in any case.",
)


def one_line_errors(function: Callable[P, R]) -> Callable[P, R]:
    """Print an error of ours in one line and end with 2, in place of a stack trace."""

    @functools.wraps(function)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except CarinaTasksError as exc:
            raise CouldNot(exc.message) from exc

    return wrapped


def width() -> int:
    """Return the columns of the terminal.

    0 when the output goes elsewhere, where nothing is wrapped.
    """
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else 0


def colour() -> bool:
    """Return whether the output may be coloured.

    On a terminal only, and not when NO_COLOR is set (https://no-color.org) or TERM is ``dumb``.
    """
    return (
        sys.stdout.isatty()
        and not os.environ.get("NO_COLOR")
        and os.environ.get("TERM", "") != "dumb"
    )


def show_verdict(verdict: Verdict) -> None:
    """Print the verdict as the first line."""
    click.echo(Headline(verdict.line, verdict.level).text(width(), colour()), color=colour())


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Return rows under a head, in columns, as kubectl prints them.

    In a terminal the last column is wrapped to its width.
    """
    return Table(tuple(head), tuple(tuple(row) for row in rows)).text(width())


def as_json(value: object) -> str:
    """Return a value as indented JSON."""
    return msgspec.json.format(msgspec.json.encode(value), indent=2).decode()
