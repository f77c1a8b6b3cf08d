"""``make screenshots``: the picture of the dashboard in docs/monitoring.md.

It is drawn from the answers of a real Prometheus to the dashboard's own queries, after a real
failover on the embedded default.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests import monitoring
from tests.dashboard_picture import Series, series_of, svg
from tests.integration.embedded import Embedded
from tests.integration.monitoring_story import story
from tests.lab import parts
from tests.lab.prometheus import Prometheus

PICTURE = monitoring.ROOT / "docs" / "pictures" / "dashboard.svg"
STEP = 4
"""Seconds between two points of a graph."""


def main() -> int:
    """Play the story and draw what the dashboard shows of it."""
    if lacking := parts.missing("prometheus"):
        sys.exit("; ".join(lacking))
    embedded = Embedded()
    try:
        embedded.reset()
        with tempfile.TemporaryDirectory() as folder:
            urls = embedded.stage.metrics_urls.values()
            rules = monitoring.FOLDER / "rules.yml"
            begun = time.time()
            prometheus = Prometheus(embedded.stage.children, Path(folder), urls, rules)
            story(embedded, prometheus)
            board = monitoring.dashboard()
            found = {panel["id"]: asked(prometheus, panel, begun) for panel in board["panels"]}
            PICTURE.write_text(svg(board, found) + "\n")
    finally:
        embedded.stop()
    print(f"{PICTURE.relative_to(monitoring.ROOT)}  {PICTURE.stat().st_size >> 10} KiB")
    return 0


def asked(prometheus: Prometheus, panel: Mapping[str, Any], begun: float) -> list[Series]:
    """Return what the queries of a panel return: for a graph since `begun`, else now."""
    found: list[Series] = []
    for target in panel.get("targets", ()):
        query, legend = monitoring.query_of(target["expr"]), target.get("legendFormat") or ""
        if panel["type"] == "timeseries":
            span = {"start": str(begun), "end": str(time.time()), "step": str(STEP)}
            answer = prometheus.get("query_range", query=query, **span)
        else:
            answer = prometheus.get("query", query=query)
        found += series_of(answer["result"], legend)
    return found


if __name__ == "__main__":
    raise SystemExit(main())
