"""The page of all metrics: ``python -m tools.reference.metrics_page > docs/metrics.md``.

Made from the metrics as they are exported, so that the page cannot say anything else than the code;
a test compares the two.
"""

from __future__ import annotations

import sys
from typing import Any, Final

from prometheus_client.metrics import MetricWrapperBase

from carina_tasks.observability import metrics

HEAD: Final = """\
# Metrics

Made by `python -m tools.reference.metrics_page > docs/metrics.md`; do not edit manually.

Each process serves its own at `:PORT/metrics` when `CARINA_TASKS_METRICS_PORT` is set: control
worker, node worker, node watch and beat, however they were started. Flower has its own, `flower_…`,
on its own port. With them come what Python's client adds of itself (`process_…`, `python_…`).

Counters and histograms are a process's own: add them up (`sum by (…) (rate(…[5m]))`). Gauges of a
control worker are of the whole cluster, and all control workers report the same, within 15 s: take
one (`max by (…) (…)`), never the sum. What cannot be read any more is not shown:
`carina_tasks_observed_timestamp_seconds` shows since when.

Names of nodes are the only labels that grow with the cluster. No volume, claim or pod is a label:
their names are in Events, logs and task results.

**Pools that fork.** The default pool of a control worker is threads, and its endpoint covers
everything. With `celery -A carina_tasks worker -P processes` each child counts for itself (`-P
prefork` is celery's word for "as configured", and stays with threads). Set
`PROMETHEUS_MULTIPROC_DIR` to a folder that is empty at each start, and the endpoint adds the
children up. Without it `carina_tasks_metrics_complete` is 0, a line in the log reports it, and
counters and histograms of tasks are lacking; the gauges are right. Each child watches the cluster
by itself, so the memory of [scale.md](scale.md) counts once for each.

Alerts and a dashboard over these: [monitoring.md](monitoring.md).
"""


def page() -> str:
    """Return the page, Markdown."""
    lines = [HEAD, _table("Counters and histograms", [_counted(one) for one in counted()])]
    lines.append(
        _table(
            "Gauges",
            [
                _row(name, "gauge", one.labels, one.help, one.process)
                for name, one in metrics.GAUGES.items()
            ],
        )
    )
    return "\n".join(lines)


def counted() -> list[MetricWrapperBase]:
    """Return the metrics that a process counts itself, in the order of the source."""
    return [value for value in vars(metrics).values() if isinstance(value, MetricWrapperBase)]


def name_of(one: MetricWrapperBase) -> str:
    """Return the name under which it is exported."""
    return f"{one._name}_total" if one._type == "counter" else str(one._name)


def _counted(one: Any) -> str:
    name = name_of(one)
    return _row(
        name,
        one._type,
        one._labelnames,
        one._documentation,
        metrics.PROCESSES.get(name, "control worker"),
    )


def _row(name: str, kind: str, labels: tuple[str, ...], text: str, process: str) -> str:
    return (
        f"| `{name}` | {kind} | {', '.join(f'`{label}`' for label in labels) or '-'} | {process} | "
        f"{text} |"
    )


def _table(title: str, rows: list[str]) -> str:
    head = "| metric | type | labels | process | what it is |\n|---|---|---|---|---|\n"
    return f"## {title}\n\n{head}" + "\n".join(rows) + "\n"


if __name__ == "__main__":
    sys.stdout.write(page())
