"""How cost grows with size: ``python -m tests.bench.picture > docs/scale-growth.svg``.

Draws the rows of build/bench.json that were measured at several sizes, on two logarithmic axes: a
cost that grows as the work does is a line as steep as the grey ones.
"""

from __future__ import annotations

import json
import math
import statistics
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tests.bench.__main__ import OUTPUT

WIDTH, HEIGHT, LEFT, BOTTOM, TOP, RIGHT = 830, 440, 70, 50, 20, 320
COLOURS = ("#1b6ac9", "#c2410c", "#15803d", "#7e22ce")

Point = tuple[float, float]


def main() -> int:
    """Print the picture of the last run; exit 1 when there is none."""
    if not OUTPUT.exists():
        print(f"{OUTPUT} is not there: run `make bench` first", file=sys.stderr)
        return 1
    print(svg(json.loads(OUTPUT.read_text())["rows"]))
    return 0


def svg(rows: Iterable[Mapping[str, Any]]) -> str:
    """Return the picture of every series that was measured at two sizes or more.

    Raises:
        ValueError: There is none.
    """
    lines = {name: points for name, points in _series(rows).items() if len(points) > 1}
    if not lines:
        raise ValueError("no kind of work was measured at two sizes")
    points = [point for each in lines.values() for point in each]
    axes = Axes([x for x, _ in points], [y for _, y in points])
    drawn = axes.grid()
    for number, (name, line) in enumerate(sorted(lines.items())):
        colour = COLOURS[number // 2 % len(COLOURS)]
        dash = ' stroke-dasharray="5 4"' if number % 2 == 0 else ""
        path = " ".join(f"{axes.x(x):.1f},{axes.y(y):.1f}" for x, y in line)
        drawn.append(
            f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"{dash}/>'
        )
        at = TOP + 16 + 18 * number
        drawn.append(
            f'<text x="{WIDTH - RIGHT + 14}" y="{at}" fill="{colour}">'
            f"{'- - ' if dash else '— '}{name}</text>"
        )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        'font-family="sans-serif" font-size="12">\n<rect width="100%" height="100%" fill="#fff"/>\n'
        + "\n".join(drawn)
        + "\n</svg>"
    )


def _series(rows: Iterable[Mapping[str, Any]]) -> dict[str, list[Point]]:
    """Return the lines: the median of ours and of the bare thing, by size."""
    lines: dict[str, list[Point]] = {}
    for row in rows:
        if row["series"]:
            for which in ("ours", "bare"):
                median = statistics.median(row[which])
                name = f"{row['series']}: {which}"
                lines.setdefault(name, []).append((row["size"], median))
    return {name: sorted(points) for name, points in lines.items()}


class Axes:
    """Two logarithmic axes over whole powers of ten."""

    def __init__(self, xs: Sequence[float], ys: Sequence[float]) -> None:
        """Make axes that hold every `xs` and `ys` (above 0)."""
        self.left, self.right = _decades(xs)
        self.low, self.high = _decades(ys)

    def x(self, value: float) -> float:
        """Return where a size is."""
        share = (math.log10(value) - self.left) / (self.right - self.left)
        return LEFT + share * (WIDTH - LEFT - RIGHT)

    def y(self, value: float) -> float:
        """Return where a cost is."""
        share = (math.log10(value) - self.low) / (self.high - self.low)
        return HEIGHT - BOTTOM - share * (HEIGHT - BOTTOM - TOP)

    def grid(self) -> list[str]:
        """Return the grid, its figures, and lines as steep as a cost that grows as its work."""
        right, bottom = WIDTH - RIGHT, HEIGHT - BOTTOM
        drawn = []
        for power in range(self.left, self.right + 1):
            x = self.x(10**power)
            drawn.append(f'<path d="M{x:.1f} {TOP}V{bottom}" stroke="#eee"/>')
            text = f"{10**power:,}".replace(",", " ")
            drawn.append(f'<text x="{x:.1f}" y="{bottom + 18}" text-anchor="middle">{text}</text>')
        for power in range(self.low, self.high + 1):
            y = self.y(10**power)
            drawn.append(f'<path d="M{LEFT} {y:.1f}H{right}" stroke="#eee"/>')
            text = f"{10.0**power:g} s"
            drawn.append(f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{text}</text>')
        middle = (LEFT + right) / 2
        title = "objects, volumes or nodes"
        drawn.append(f'<text x="{middle}" y="{HEIGHT - 10}" text-anchor="middle">{title}</text>')
        for power in range(self.low - (self.right - self.left), self.high):
            first, last = max(power, self.low), min(power + self.right - self.left, self.high)
            if first < last:
                x1, x2 = (self.x(10.0 ** (self.left + at - power)) for at in (first, last))
                drawn.append(
                    f'<path d="M{x1:.1f} {self.y(10.0**first):.1f}L{x2:.1f} '
                    f'{self.y(10.0**last):.1f}" stroke="#ccc"/>'
                )
        return drawn


def _decades(values: Sequence[float]) -> tuple[int, int]:
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    return low, max(high, low + 1)


if __name__ == "__main__":
    raise SystemExit(main())
