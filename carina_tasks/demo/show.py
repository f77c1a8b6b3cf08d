"""What the demo prints: headings, commands, tables, progress, and the promises."""

from __future__ import annotations

import json
import sys
import time
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TextIO

_GAP = 3
"""Blanks between two columns, as kubectl has it."""


@dataclass(frozen=True, slots=True)
class Promise:
    """One promise, and whether it was kept."""

    key: str
    text: str
    kept: bool
    detail: str = ""


@dataclass
class Screen:
    """Prints; remembers the promises and how long each act took."""

    out: TextIO = field(default_factory=lambda: sys.stdout)
    promises: list[Promise] = field(default_factory=list)
    acts: list[tuple[str, float]] = field(default_factory=list)
    begun: float = field(default_factory=time.monotonic)

    def say(self, text: str = "") -> None:
        """Print a line."""
        print(text, file=self.out, flush=True)

    def title(self, text: str) -> None:
        """Print the heading of an act."""
        self.say()
        self.say(self._strong(f"== {text}"))

    def command(self, text: str) -> None:
        """Print a command that the operator would type."""
        self.say(self._strong(f"$ {text}"))

    def progress(self, text: str) -> None:
        """Print what just happened, with the seconds since the demo began."""
        self.say(f"  [{time.monotonic() - self.begun:5.1f} s] {text}")

    def table(self, rows: Sequence[Sequence[str]]) -> None:
        """Print rows in columns."""
        for line in aligned(rows):
            self.say(line)

    def promise(self, key: str, text: str, kept: bool, detail: str = "") -> None:
        """Note whether a promise was kept, and print it."""
        self.promises.append(Promise(key, text, kept, detail))
        self.say(f"  {self._verdict(kept)}  {key:<3} {text}" + (f": {detail}" if detail else ""))

    def act(self, name: str, seconds: float) -> None:
        """Note how long an act took."""
        self.acts.append((name, seconds))
        self.say(f"  {name}: {seconds:.1f} s")

    def summary(self) -> bool:
        """Print all promises and times; return whether every promise was kept."""
        self.title("What was promised, and what came of it")
        for promise in self.promises:
            line = f"  {self._verdict(promise.kept)}  {promise.key:<3} {promise.text}"
            self.say(line + ("" if promise.kept or not promise.detail else f": {promise.detail}"))
        times = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in self.acts)
        self.say(f"  {times}; all together {time.monotonic() - self.begun:.1f} s")
        return bool(self.promises) and all(promise.kept for promise in self.promises)

    def _verdict(self, kept: bool) -> str:
        return self._coloured("ok    ", 32) if kept else self._coloured("FAILED", 31)

    def _strong(self, text: str) -> str:
        return self._coloured(text, 1)

    def _coloured(self, text: str, code: int) -> str:
        return f"\033[{code}m{text}\033[0m" if self.out.isatty() else text


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return the rows as lines, each column as wide as its widest cell and three blanks."""
    if not rows:
        return []
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return [
        "".join(cell.ljust(width + _GAP) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


def server_table(url: str) -> list[list[str]]:
    """Return what ``kubectl get`` prints of a collection.

    The server's own Table, its columns of priority 0.

    Raises URLError.
    """
    accept = "application/json;as=Table;v=v1;g=meta.k8s.io"
    request = urllib.request.Request(url, headers={"Accept": accept})  # noqa: S310 - our own emulator
    with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
        table = json.load(answer)
    shown = [i for i, column in enumerate(table["columnDefinitions"]) if not column.get("priority")]
    header = [table["columnDefinitions"][i]["name"].upper() for i in shown]
    rows = [[_cell(row["cells"][i]) for i in shown] for row in table.get("rows") or ()]
    return [header, *rows]


def _cell(value: object) -> str:
    return "<none>" if value is None else str(value)
