"""``python -m tests.sim [--histories N] [--seed S] [--show]``: the deterministic simulation.

Without ``--show`` it runs the histories S, S+1, … and prints those that broke, and last what all of
them did. With it, the one history S and all that happened in it.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections import Counter

from tests.planted.catalogue import planted
from tests.sim import runner


def main() -> int:
    """Run; return 1 when a history broke."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.sim", description="Deterministic simulation of the whole system."
    )
    parser.add_argument("--histories", type=int, default=1000, help="how many seeds (default 1000)")
    parser.add_argument("--seed", type=int, default=1, help="the first seed (default 1)")
    parser.add_argument(
        "--show", action="store_true", help="print the whole history of the one seed"
    )
    parser.add_argument(
        "--plant",
        default="",
        help="plant a known bug (see tests/planted/catalogue.py) and stop when it is found",
    )
    parser.add_argument("--stop", action="store_true", help="stop at the first broken history")
    args = parser.parse_args()
    with planted(args.plant):
        return show(args.seed) if args.show else run(args)


def show(seed: int) -> int:
    """Print one history."""
    with runner.simulated_world():
        outcome = runner.one(seed, log=True)
    print("\n".join(outcome.log))
    for what in outcome.wrong:
        print("WRONG", what)
    print(
        f"seed {seed}: {'broken' if outcome.wrong else 'passed'}, {sum(outcome.faults.values())} "
        f"faults, history {outcome.digest[:16]}"
    )
    return int(bool(outcome.wrong))


def run(args: argparse.Namespace) -> int:
    """Run many histories and say what came of them."""
    begun, passed, broken = time.perf_counter(), 0, 0
    faults: Counter[str] = Counter()
    did: Counter[str] = Counter()
    for outcome in runner.many(range(args.seed, args.seed + args.histories)):
        faults += outcome.faults
        did += outcome.did
        if not outcome.wrong:
            passed += 1
            continue
        broken += 1
        if broken <= 20:
            print(f"seed {outcome.seed}: {'; '.join(outcome.wrong[:3])}"[:400], flush=True)
        if broken == 1:
            print("\n".join(f"    {line}" for line in outcome.log[-60:]))
        if args.plant or args.stop:
            print(f"found after {passed + broken} histories, by seed {outcome.seed}")
            return 1
    print("faults: " + ", ".join(f"{name} {count}" for name, count in faults.most_common()))
    print("done: " + ", ".join(f"{name} {count}" for name, count in did.most_common()))
    seconds = time.perf_counter() - begun
    print(
        f"{passed} histories passed, {broken} broken (seeds {args.seed} to "
        f"{args.seed + args.histories - 1}): {faults.total()} faults, {did['failovers done']} "
        f"failovers finished, {did['volumes rebuilt']} volumes rebuilt, {did['LVs removed']} "
        f"orphans removed; {seconds:.0f} s, {(passed + broken) / seconds:.0f} a second"
    )
    return int(broken > 0)


if __name__ == "__main__":
    if os.environ.get("PYTHONHASHSEED") != "0":
        # The order of sets is part of a history.
        os.execve(
            sys.executable,
            [sys.executable, "-m", "tests.sim", *sys.argv[1:]],
            {**os.environ, "PYTHONHASHSEED": "0"},
        )
    sys.exit(main())
