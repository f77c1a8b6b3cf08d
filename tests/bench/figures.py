"""What is measured, and the table of it."""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from importlib import metadata

Measure = Callable[[], float]


@dataclass(frozen=True)
class Figure:
    """One kind of work, done in two ways by turns; `unit`s of each turn."""

    what: str
    ours: tuple[float, ...]
    bare: tuple[float, ...]
    bare_is: str
    """What ours is compared with."""
    unit: str = "s"
    """Seconds, or ``MB``, ``% of a core``, ``connections``."""
    series: str = ""
    """The kind of work without its size; empty when only one size is measured."""
    size: int = 0
    """How much of it: volumes, objects, nodes."""
    peak: float = 0.0
    """Peak RSS of the process that did ours and nothing else (MB); 0 where it is not measured."""

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
        ours, bare = _spread(one.ours, one.unit), _spread(one.bare, one.unit)
        what = f"{one.what}, peak {one.peak:.0f} MB" if one.peak else one.what
        lines.append(
            f"| {what} | {ours} | {one.bare_is} | {bare} | {one.ratio:.2f} | {len(one.ours)} |"
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


def record(figures: Sequence[Figure], load_before: float) -> dict[str, object]:
    """Return the machine, the versions and every row as data: what build/bench.json holds."""
    packages = ("celery", "redis", "kubernetes", "msgspec")
    return {
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "machine": {
            "cores": os.cpu_count(),
            "architecture": platform.machine(),
            "kernel": platform.release(),
            "load": [load_before, os.getloadavg()[0]],
        },
        "versions": {"python": platform.python_version()}
        | {name: metadata.version(name) for name in packages},
        "rows": [asdict(one) | {"ratio": one.ratio} for one in figures],
    }


def _spread(values: Sequence[float], unit: str) -> str:
    median = statistics.median(values)
    factor = 1.0
    if unit == "s" and median < 1:
        unit, factor = "ms", 1000.0
    low, high = min(values) * factor, max(values) * factor
    return f"{_digits(median * factor)} {unit} ({_digits(low)} to {_digits(high)})"


def _digits(number: float) -> str:
    """Return three digits that count, and no exponent."""
    return f"{number:.0f}" if number >= 100 else f"{number:.3g}"
