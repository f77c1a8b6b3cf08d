"""``python -m tests.killpoints [SCENARIO …]``: one line for each scenario, and what broke."""

import sys
import time

from tests.killpoints.catalogue import CATALOGUE
from tests.killpoints.runner import every_point

if __name__ == "__main__":
    wanted, broken, points, histories, begun = sys.argv[1:], 0, 0, 0, time.perf_counter()
    for name, (make, variants) in CATALOGUE.items():
        if wanted and name not in wanted:
            continue
        started = time.perf_counter()
        report = every_point(make, variants)
        print(f"{name}: {report}, {time.perf_counter() - started:.1f} s", flush=True)
        for one in report.broken[:20]:
            print("   ", one)
        broken, points, histories = (
            broken + len(report.broken),
            points + len(report.points),
            histories + report.histories,
        )
    print(
        f"{points} points, {histories} histories, {broken} broken, "
        f"{time.perf_counter() - begun:.0f} s"
    )
    sys.exit(bool(broken))
