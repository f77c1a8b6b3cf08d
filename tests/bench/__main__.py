"""``make bench``: print the table.

Needs nothing; with root and lvm2 it measures real lvm2 too, with ``LAB=1`` rebuilds on the real
control plane.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from tests.bench import alone, idle, many, measures, rebuilds
from tests.bench.figures import Figure, conditions, record, table
from tests.integration.embedded import ONE, Embedded
from tests.lab import paths

OUTPUT = paths.REPOSITORY / "build" / "bench.json"


def run(quick: bool) -> Iterator[Figure]:
    """Measure one figure after the other, on one embedded stack."""
    embedded = Embedded({"confirm_absence": "0"})
    n, turns = (8, 1) if quick else (40, 5)
    try:
        embedded.reset()
        yield measures.node_ask(embedded, 5 if quick else 200)
        yield from idle.idle_node_worker(embedded, 2 if quick else 30)
        # Tasks are called by the measurement, and no other message comes in between.
        for process in ("watch", "beat"):
            embedded.end(process)
        yield measures.lvm_batch(
            measures.simulated_lvm(embedded, ONE), "simulated lvm", measures.GROUP, n, turns
        )
        yield measures.sweep(embedded, 30 if quick else 1000, turns)
        # Last: it leaves a control worker of its own behind.
        yield measures.threads(embedded, n, 1 if quick else 3)
    finally:
        embedded.stop()
    yield from rebuilds.rows(quick)
    yield from alone.rows(quick)
    yield from many.rows(quick)
    with measures.real_lvm() as lvm:
        if lvm is not None:
            yield measures.lvm_batch(lvm, "lvm2 on a loop device", "carina-vg-hdd", n, turns)


def main() -> int:
    """Measure, and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="small, one turn: to see that it runs, not to quote"
    )
    parser.add_argument(
        "--output", type=Path, default=OUTPUT, help="the same as JSON (default: build/bench.json)"
    )
    options = parser.parse_args()
    quick = options.quick
    load, begun = os.getloadavg()[0], time.monotonic()
    figures = []
    for figure in run(quick):
        figures.append(figure)
        print(
            f"{figure.what}: {figure.ratio:.2f} times {figure.bare_is}", file=sys.stderr, flush=True
        )
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(record(figures, load), indent=1) + "\n")
    print(f"{table(figures)}\n\n{conditions(load)} {time.monotonic() - begun:.0f} s.")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
