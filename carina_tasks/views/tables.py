"""Tables for users: what a result looks like in a terminal, in the Python shell and in a notebook.

Plain values without I/O, so that a command and the shell show the same.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import singledispatch
from html import escape

import msgspec

from carina_tasks.model.times import moment

GAP = "   "
LEAST = 40
"""Columns that the last cell needs to be read; with fewer it goes below its row."""


@dataclass(frozen=True, slots=True)
class Table:
    """Rows under a head. The last column is the one for sentences, and may be wrapped."""

    head: tuple[str, ...]
    rows: tuple[tuple[object, ...], ...]

    def text(self, width: int = 0) -> str:
        """Return it in columns, as kubectl prints them.

        `width` (characters, 0: any) is what the last column is wrapped to.
        """
        lines = [[_one_line(cell) for cell in row] for row in (self.head, *self.rows)]
        widths = [max(len(line[i]) for line in lines) for i in range(len(self.head))]
        plain = [
            GAP.join(cell.ljust(w) for cell, w in zip(line, widths, strict=True)).rstrip()
            for line in lines
        ]
        if not width or len(self.head) < 2 or max(map(len, plain)) <= width:
            return "\n".join(plain)
        left = sum(widths[:-1]) + len(GAP) * (len(widths) - 1)
        return "\n".join(
            [plain[0], *(self._wrapped(line, widths[:-1], left, width) for line in lines[1:])]
        )

    @staticmethod
    def _wrapped(line: Sequence[str], widths: Sequence[int], left: int, width: int) -> str:
        *first, last = line
        row = GAP.join(cell.ljust(w) for cell, w in zip(first, widths, strict=True))
        if width - left >= LEAST:
            parts = textwrap.wrap(last, width - left, break_on_hyphens=False) or [""]
            return "\n".join(
                (f"{row}{GAP}{parts[0]}".rstrip(), *(" " * left + part for part in parts[1:]))
            )
        parts = textwrap.wrap(last, max(width - 4, LEAST), break_on_hyphens=False)
        return "\n".join((row.rstrip(), *(f"    {part}" for part in parts)))

    def html(self) -> str:
        """Return it as an HTML table; every cell is escaped."""
        head = "".join(f"<th>{escape(cell)}</th>" for cell in self.head)
        rows = "".join(
            f"<tr>{''.join(f'<td>{escape(str(cell))}</td>' for cell in row)}</tr>"
            for row in self.rows
        )
        return f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"


@dataclass(frozen=True, slots=True)
class Headline:
    """The verdict: the first line, which begins with its level."""

    line: str
    level: str

    def text(self, width: int = 0, colour: bool = False) -> str:
        """Return the line, wrapped to `width` characters (0: any).

        Args:
            width: Characters of a line.
            colour: Whether the level is coloured with an escape sequence (ECMA-48) of a terminal.
        """
        line = _one_line(self.line)
        if width and len(line) > width:
            line = textwrap.fill(line, width, break_on_hyphens=False)
        return (
            f"\033[{COLOURS[self.level]}m{self.level}\033[0m{line[len(self.level) :]}"
            if (colour and line.startswith(self.level))
            else line
        )


COLOURS = {
    "HEALTHY": "1;32",
    "WORKING": "1;36",
    "AT RISK": "1;33",
    "DEGRADED": "1;31",
    "STOPPED": "1;31",
    "UNKNOWN": "1;35",
}
"""How a terminal shows each level (SGR): green, cyan, yellow, red, magenta."""

Part = Table | Headline | str
"""A table, the verdict, or a line of text beside tables."""


def text(parts: Iterable[Part], width: int = 0, colour: bool = False) -> str:
    """Return tables and lines one below the other, with an empty line around each table.

    Args:
        parts: What is shown.
        width: Characters of a line; 0: any.
        colour: Whether a verdict is coloured.
    """
    blocks: list[str] = []
    lines: list[str] = []
    for part in parts:
        if isinstance(part, Table):
            blocks += ["\n".join(lines)] if lines else []
            blocks.append(part.text(width))
            lines = []
        elif isinstance(part, Headline):
            lines.append(part.text(width, colour))
        else:
            lines.append(
                textwrap.fill(part, width, break_on_hyphens=False)
                if width and len(part) > width
                else part
            )
    return "\n\n".join(blocks + (["\n".join(lines)] if lines else []))


def html(parts: Iterable[Part]) -> str:
    """Return tables and lines as HTML; every text is escaped."""
    made = []
    for part in parts:
        if isinstance(part, Table):
            made.append(part.html())
        elif isinstance(part, Headline):
            made.append(f"<p><strong>{escape(part.line)}</strong></p>")
        else:
            made.append(f"<p>{escape(part)}</p>")
    return "".join(made)


def _one_line(cell: object) -> str:
    """Return a cell on one line, and without characters that a terminal would obey.

    Names and reasons come from outside.
    """
    return "".join(c if c.isprintable() else " " for c in str(cell))


@singledispatch
def of(value: msgspec.Struct) -> list[Part]:
    """Return any result as tables: a line for each plain field, then a table for each list.

    What is empty is left out. The verdict, if it has one, is the first line, as in the commands.

    A field `reason` becomes the last column, because it is the one that holds sentences. A result
    that people know in another shape registers its own.
    """
    # Known by its level and not by its class: a node worker loads this, and no placement with it.
    verdict = getattr(value, "verdict", None)
    known = getattr(verdict, "level", None) in COLOURS
    first = [Headline(verdict.line, verdict.level)] if verdict is not None and known else []
    plain: list[str] = []
    tables: list[Part] = []
    for name in value.__struct_fields__:
        got = getattr(value, name)
        if isinstance(got, tuple):
            if got:
                tables.append(_list(name, got))
        elif not _empty(got):
            plain.append(f"{_title(name)}: {moment(got) if name == 'at' else _cell(got)}")
    return [*first, *plain, *tables]


def _list(name: str, items: tuple[object, ...]) -> Table:
    first = items[0]
    if not isinstance(first, msgspec.Struct):
        return Table((_title(name).upper(),), tuple((item,) for item in items))
    fields = [
        f for f in first.__struct_fields__ if not all(_empty(getattr(item, f)) for item in items)
    ]
    fields.sort(key=lambda field: field == "reason")
    rows = tuple(tuple(_cell(getattr(item, field)) for field in fields) for item in items)
    return Table(tuple(_title(field).upper() for field in fields), rows)


def _empty(value: object) -> bool:
    return value is False or value in ("", None, ())


def _title(field: str) -> str:
    return field.replace("_", " ")


def _cell(value: object) -> object:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return ", ".join(str(one) for one in value) or "-"
    return "-" if _empty(value) else value
