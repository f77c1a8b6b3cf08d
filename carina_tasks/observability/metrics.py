"""Prometheus metrics, and their endpoint.

Control workers use threads, not child processes, so that one endpoint of one process tells everything of it.
"""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram, start_http_server

AUDIT = Counter("carina_tasks_actions_total", "Irreversible acts, by what was done.", ["action"])
GUARDS = Counter("carina_tasks_guards_total", "Times a guard said no, by guard.", ["guard"])
VOLUMES = Counter(
    "carina_tasks_volumes_total",
    "Volumes of failovers, by outcome; all but rebuilt count once each attempt.",
    ["outcome"],
)
MISSING = Gauge("carina_tasks_volumes_missing", "LogicVolumes whose local volume is not on its node.", ["node"])
SWEEP_DONE = Gauge("carina_tasks_sweep_last_success_timestamp_seconds", "When a sweep last ended well.", ["sweep"])
API_SECONDS = Histogram("carina_tasks_api_request_duration_seconds", "Requests to the API server.", ["verb", "status"])


def observe_api(verb: str, _path: str, seconds: float, status: int) -> None:
    """Count one request to the API server (status 0: no answer)."""
    API_SECONDS.labels(verb, str(status)).observe(seconds)


def serve(port: int) -> None:
    """Serve this process's metrics at ``:port/metrics``; port 0 serves nothing."""
    if port:
        start_http_server(port)
