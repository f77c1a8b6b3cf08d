"""Many seeds, on all cores; and one seed for users."""

from __future__ import annotations

import gc
import multiprocessing
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from tests.sim.history import History, simulated_world


@dataclass
class Outcome:
    """What became of one seed."""

    seed: int
    wrong: list[str]
    faults: Counter[str]
    did: Counter[str]
    digest: str
    log: list[str] = field(default_factory=list)


def one(seed: int, *, log: bool = False) -> Outcome:
    """Run one history, in a `simulated_world`."""
    history = History(seed)
    wrong = history.run()
    lines = history.chance.lines() if log or wrong else []
    return Outcome(
        seed,
        wrong,
        history.chance.counts,
        history.chance.did,
        history.chance.digest() if log else "",
        lines,
    )


def _begin() -> None:
    gc.disable()
    _world.__enter__()


_world = simulated_world()


def _one(seed: int) -> Outcome:
    outcome = one(seed)
    if seed % 20 == 0:
        gc.collect()
    return outcome


def many(seeds: Iterable[int], workers: int = 0) -> Iterator[Outcome]:
    """Run the histories of all seeds, in their order."""
    with multiprocessing.get_context("fork").Pool(
        workers or os.cpu_count(), initializer=_begin
    ) as pool:
        yield from pool.imap(_one, seeds, chunksize=5)
