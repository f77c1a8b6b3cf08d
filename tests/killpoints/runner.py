"""Tries every point of a scenario, and counts."""

from __future__ import annotations

import multiprocessing
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from tests.harness.clock import virtual_world
from tests.harness.faults import KILLS, NEEDS_EVERY_NODE, Fault, Point
from tests.killpoints.scenarios import Scenario


@dataclass(frozen=True)
class Broken:
    """A history that did not end as promised."""

    fault: Fault
    point: Point
    wrong: tuple[str, ...]

    def __str__(self) -> str:
        return (
            f"#{self.fault.at} {self.fault.variant} {self.point.kind} {self.point.label}: "
            f"{'; '.join(self.wrong[:4])}"
        )


@dataclass
class Report:
    """What became of all histories of a scenario."""

    scenario: str
    points: list[Point] = field(default_factory=list)
    variants: Sequence[str] = ()
    histories: int = 0
    broken: list[Broken] = field(default_factory=list)

    def __str__(self) -> str:
        kinds = Counter(point.kind for point in self.points)
        shown = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))
        how = f" by {', '.join(self.variants)}" if self.variants else ""
        return (
            f"{self.scenario}{how}: {len(self.points)} points ({shown}), {self.histories} "
            f"histories, {len(self.broken)} broken"
        )


_scenario: Scenario | None = None


def every_point(
    make: Callable[[], Scenario],
    variants: Sequence[str] = (),
    *,
    workers: int = 0,
    stop: bool = False,
) -> Report:
    """Run what `make` sets up once undisturbed, then once for each point and variant (default:
    every way to die there).

    The histories are spread over `workers` processes (default: the machine's cores); their results
    do not depend on it. With `stop` the first broken one ends it.
    """
    global _scenario
    with virtual_world():
        scenario = make()
        scenario = replace(scenario, patient=scenario.patient and not stop)
        sim, wrong = scenario.history()
        report = Report(scenario.name, variants=variants)
        if wrong and not scenario.needs_fault:
            report.broken.append(
                Broken(Fault(-1, "undisturbed"), Point("api", "none"), tuple(wrong))
            )
            return report
        begin = max((fault.at for fault in scenario.first), default=-1) + 1
        todo = list(_todo(sim.points.seen[begin:], begin, variants))
        report.points = list({fault.at: point for fault, point in todo}.values())
        _scenario = scenario
        with multiprocessing.get_context("fork").Pool(workers or os.cpu_count()) as pool:
            report.histories = 0
            for broken in pool.imap(_try, todo, chunksize=1 if stop else 8):
                report.histories += 1
                report.broken += [broken] if broken else []
                if broken and stop:
                    break
    return report


def _todo(
    points: Sequence[Point], begin: int, variants: Sequence[str]
) -> Iterator[tuple[Fault, Point]]:
    for number, point in enumerate(points, begin):
        for variant in variants or KILLS[point.kind]:
            if point.kind != "effect" or variant not in NEEDS_EVERY_NODE:
                yield Fault(number, variant), point


def _try(item: tuple[Fault, Point]) -> Broken | None:
    fault, point = item
    assert _scenario is not None
    sim, wrong = _scenario.history([fault])
    met = sim.points.fired[-1][1] if sim.points.fired else None
    if met != point:
        # The same numbers must mean the same points, or the harness proves nothing.
        wrong = [f"not the same history: met {met}", *wrong]
    return Broken(fault, point, tuple(wrong)) if wrong else None
