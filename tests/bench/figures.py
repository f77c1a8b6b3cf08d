"""What is measured, and the table of it."""

from __future__ import annotations

import os
import platform
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

Measure = Callable[[], float]


@dataclass(frozen=True)
class Figure:
    """One kind of work, done in two ways by turns; seconds of each turn."""

    what: str
    ours: tuple[float, ...]
    bare: tuple[float, ...]
    bare_is: str
    """What ours is compared with."""

    @property
    def ratio(self) -> float:
        """Return how many times longer ours takes, median by median."""
        return statistics.median(self.ours) / statistics.median(self.bare)


def by_turns(what: str, bare_is: str, ours: Measure, bare: Measure, turns: int) -> Figure:
    """Measure both `turns` times, now one first and now the other, so that whatever else runs here
    meets both alike.
    """
    seconds: dict[Measure, list[float]] = {ours: [], bare: []}
    for turn in range(turns):
        for measure in (ours, bare) if turn % 2 == 0 else (bare, ours):
            seconds[measure].append(measure())
    return Figure(what, tuple(seconds[ours]), tuple(seconds[bare]), bare_is)


def table(figures: Sequence[Figure]) -> str:
    """Return the figures as a table of Markdown."""
    lines = [
        "| what | median | compared with | median | ratio | turns |",
        "|---|---|---|---|---|---|",
    ]
    for one in figures:
        ours, bare = _spread(one.ours), _spread(one.bare)
        lines.append(
            f"| {one.what} | {ours} | {one.bare_is} | {bare} | {one.ratio:.2f} | {len(one.ours)} |"
        )
    return "\n".join(lines)


def conditions(load_before: float) -> str:
    """Return on what the figures were measured."""
    load = os.getloadavg()[0]
    return (
        f"{os.cpu_count()} cores, {platform.machine()}, Linux {platform.release()}, Python "
        f"{platform.python_version()}; load {load_before:.1f} before and {load:.1f} after. A ratio "
        "holds for both sides alike; a median only for this machine."
    )


def _spread(seconds: Sequence[float]) -> str:
    median = statistics.median(seconds)
    unit, factor = ("s", 1.0) if median >= 1 else ("ms", 1000.0)
    low, high = min(seconds) * factor, max(seconds) * factor
    return f"{_digits(median * factor)} {unit} ({_digits(low)} to {_digits(high)})"


def _digits(number: float) -> str:
    """Return three digits that count, and no exponent."""
    return f"{number:.0f}" if number >= 100 else f"{number:.3g}"
