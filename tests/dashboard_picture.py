"""The dashboard as a picture: its panels where they are, drawn from what a Prometheus answered.

Grafana itself is not needed: layout, titles, units and thresholds are the dashboard's own.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

COLUMN, ROW, GAP = 50, 30, 6
"""Pixels of one cell of the grid, and between two panels."""
COLOURS = ("#1b6ac9", "#c2410c", "#15803d", "#7e22ce", "#be185d", "#0e7490", "#a16207", "#475569")
ATTRIBUTES = {
    "colour": "fill",
    "size": "font-size",
    "weight": "font-weight",
    "anchor": "text-anchor",
}
CALM, LOUD = "#15803d", "#c2410c"
LINES = 8
"""Lines of a table that a panel has room for."""

Point = tuple[float, float]


@dataclass(frozen=True)
class Series:
    """One line of a graph, one row of a table, or the one value of a number."""

    labels: Mapping[str, str]
    points: Sequence[Point]
    legend: str = ""

    @property
    def name(self) -> str:
        """Its legend, with its labels filled in; without one, the labels' values."""
        text = self.legend
        for label, value in self.labels.items():
            text = text.replace("{{" + label + "}}", value)
        text = " ".join(part for part in text.split() if not part.startswith("{{"))
        return text or ", ".join(self.labels.values())


def svg(board: Mapping[str, Any], found: Mapping[int, Sequence[Series]]) -> str:
    """Return the picture.

    Args:
        board: The dashboard.
        found: What the queries of each panel returned, by the panel's id.
    """
    panels = board["panels"]
    height = max(p["gridPos"]["y"] + p["gridPos"]["h"] for p in panels) * ROW + GAP
    drawn = "\n".join(line for panel in panels for line in _panel(panel, found))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {24 * COLUMN} {height}" '
        f'font-family="sans-serif" font-size="12">\n'
        f'<rect width="100%" height="100%" fill="#f4f5f5"/>\n{drawn}\n</svg>'
    )


def _panel(panel: Mapping[str, Any], found: Mapping[int, Sequence[Series]]) -> Iterator[str]:
    at = panel["gridPos"]
    x, y = at["x"] * COLUMN + GAP, at["y"] * ROW + GAP
    wide, high = at["w"] * COLUMN - GAP, at["h"] * ROW - GAP
    if panel["type"] == "row":
        yield _text(x, y + 18, panel["title"], size=15, weight="bold")
        return
    # A picture of its own, so that nothing leaves its panel.
    yield f'<svg x="{x}" y="{y}" width="{wide}" height="{high}">'
    yield from _contents(panel, [one for one in found.get(panel["id"], ()) if one.points])
    yield "</svg>"


def _contents(panel: Mapping[str, Any], series: Sequence[Series]) -> Iterator[str]:
    wide, high = panel["gridPos"]["w"] * COLUMN - GAP, panel["gridPos"]["h"] * ROW - GAP
    yield '<rect width="100%" height="100%" fill="#fff" stroke="#d5d7d9"/>'
    size = min(12, 1.7 * wide / len(panel["title"]))
    yield _text(8, 18, panel["title"], weight="bold", size=size)
    if not series:
        yield _text(wide / 2, high / 2 + 8, "No data", colour="#888", anchor="middle")
    elif panel["type"] == "stat":
        yield from _number(panel, series[0], wide / 2, high / 2 + 22)
    elif panel["type"] == "table":
        yield from _table(panel, series, 8, 40, wide - 16)
    else:
        yield from _graph(_unit(panel), series, (58, 30, wide - 68, high - 60))


def _number(panel: Mapping[str, Any], one: Series, x: float, y: float) -> Iterator[str]:
    value = one.points[-1][1]
    steps = panel["fieldConfig"]["defaults"].get("thresholds", {}).get("steps", [])
    reached = [s for s in steps if s.get("value") is not None and value >= s["value"]]
    text = shown(value, _unit(panel))
    yield _text(x, y, text, size=30, colour=LOUD if reached else CALM, anchor="middle")


def _table(
    panel: Mapping[str, Any], series: Sequence[Series], x: float, y: float, wide: float
) -> Iterator[str]:
    names = list(dict.fromkeys(name for one in series for name in one.labels))
    rows: dict[tuple[str, ...], list[str]] = {}
    for one in series:
        key = tuple(one.labels.get(name, "") for name in names)
        rows.setdefault(key, []).append(shown(one.points[-1][1], _unit(panel)))
    values = max(map(len, rows.values()))
    step = wide / (len(names) + values)
    titles = (*names, *(chr(ord("A") + i) if values > 1 else "value" for i in range(values)))
    for column, name in enumerate(titles):
        yield _text(x + column * step, y, name, colour="#666")
    for line, (key, told) in enumerate(sorted(rows.items())[:LINES], 1):
        for column, cell in enumerate((*key, *told)):
            yield _text(x + column * step, y + line * 20, cell)


def _graph(
    unit: str, series: Sequence[Series], box: tuple[float, float, float, float]
) -> Iterator[str]:
    left, top, wide, high = box
    times = [time for one in series for time, _ in one.points]
    values = [value for one in series for _, value in one.points]
    first, span = min(times), max(max(times) - min(times), 1.0)
    low, top_value = min(0.0, *values), max(0.0, *values)
    top_value = top_value if top_value > low else low + 1
    scale = top_value - low
    for share in (0.0, 0.5, 1.0):
        y = top + high * (1 - share)
        yield f'<path d="M{left:.0f} {y:.0f}h{wide:.0f}" stroke="#e3e5e7"/>'
        label = shown(low + share * scale, unit)
        yield _text(left - 6, y + 4, label, colour="#666", anchor="end", size=10)
    for number, one in enumerate(series):
        colour = COLOURS[number % len(COLOURS)]
        across, down = wide / span, high / scale
        path = " ".join(
            f"{left + across * (time - first):.1f},{top + down * (top_value - value):.1f}"
            for time, value in one.points
        )
        yield f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.5"/>'
    x = left
    for number, one in enumerate(series):
        name = one.name or "value"
        if x + 6 * len(name) > left + wide - 50:
            left_out = f"and {len(series) - number} more"
            yield _text(x, top + high + 20, left_out, colour="#666", size=10)
            break
        colour = COLOURS[number % len(COLOURS)]
        yield _text(x, top + high + 20, f"— {name}", colour=colour, size=10)
        x += 20 + 6 * len(name)


def _unit(panel: Mapping[str, Any]) -> str:
    return str(panel["fieldConfig"]["defaults"].get("unit", "short"))


def shown(value: float, unit: str) -> str:
    """Return a value as a panel shows it: ``1.2 GiB``, ``350 ms``, ``4``.

    Args:
        value: The value.
        unit: Grafana's name of the unit: ``bytes``, ``s`` (seconds) or any other.
    """
    if unit == "bytes":
        for name in ("B", "KiB", "MiB", "GiB"):
            if abs(value) < 1024 or name == "GiB":
                return f"{value:.3g} {name}"
            value /= 1024
    if unit == "s" and abs(value) < 1 and value:
        return f"{value * 1000:.3g} ms"
    return f"{value:.3g}" + (" s" if unit == "s" else "")


def _text(x: float, y: float, text: str, **style: Any) -> str:
    """Return a text; what comes from a label is escaped."""
    extra = "".join(f' {ATTRIBUTES[key]}="{value}"' for key, value in style.items())
    return f'<text x="{x:.0f}" y="{y:.0f}"{extra}>{escape(text)}</text>'


def series_of(result: Iterable[Mapping[str, Any]], legend: str) -> Iterator[Series]:
    """Yield what a query of Prometheus' API returned, instant or over a range.

    Args:
        result: Its ``result``.
        legend: The legend of the panel's query.
    """
    for one in result:
        values = one.get("values") or [one["value"]]
        points = [(float(time), float(value)) for time, value in values]
        yield Series(
            {name: value for name, value in sorted(one["metric"].items()) if name != "__name__"},
            [(time, value) for time, value in points if value == value and abs(value) < 1e300],
            legend,
        )
