"""Prometheus metrics, and their endpoint.

Two kinds. What a process counts itself (`Counter`, `Histogram`) is added up over processes by the
query. What is true of the whole cluster (`GAUGES`) every control worker reads from its source,
so that all of them say the same, a worker that did not run the task included. Labels have few
values; names of nodes are the only ones that grow with the cluster.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from prometheus_client import (
    REGISTRY,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    multiprocess,
)
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from carina_tasks.errors import BadSetting
from carina_tasks.observability import web

MULTIPROC_DIR = "PROMETHEUS_MULTIPROC_DIR"
"""Prometheus' own variable: a folder in which forked processes share what they count."""

_FAST = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_SLOW = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)

AUDIT = Counter("carina_tasks_actions_total", "Irreversible acts, by what was done.", ["action"])
GUARDS = Counter("carina_tasks_guards_total", "Times a guard refused, by guard.", ["guard"])
FAILOVERS = Counter(
    "carina_tasks_failovers_total",
    "Runs of a node's failover, by kind (rebuild, migrate, by-hand, failback) and result. One that "
    "stays unfinished is run again.",
    ["kind", "outcome"],
)
VOLUMES = Counter("carina_tasks_volumes_total", "Volumes of failovers, by outcome.", ["outcome"])
STEP_SECONDS = Histogram(
    "carina_tasks_step_duration_seconds",
    "One step of one volume's rebuild; create-local is one request for all volumes of a target.",
    ["step"],
    buckets=_FAST,
)
ORPHANS = Counter(
    "carina_tasks_orphans_total",
    "What sweeps did to local volumes: marked, unmarked, trashed, removed, purged, failed.",
    ["outcome"],
)
SWEEP_SECONDS = Histogram(
    "carina_tasks_sweep_duration_seconds",
    "One whole sweep that ended well.",
    ["sweep"],
    buckets=_SLOW,
)
API_SECONDS = Histogram(
    "carina_tasks_api_request_duration_seconds",
    "Requests to the API server (status 0: no answer).",
    ["verb", "status"],
)
LVM_SECONDS = Histogram(
    "carina_tasks_lvm_command_duration_seconds",
    "Runs of lvm2; shell is a batch. The outcome is ok or the name of the error.",
    ["command", "outcome"],
    buckets=_FAST,
)
HINTS = Counter(
    "carina_tasks_hints_total", "Messages of the node watch, by kind of loss.", ["kind"]
)
SNAPSHOTS = Counter(
    "carina_tasks_snapshots_total",
    "Times a task looked at the whole cluster: as its watches show it, or by lists, because they "
    "showed nothing (still reading, or silent).",
    ["source"],
)
ENROLMENTS = Counter(
    "carina_tasks_enrolments_total",
    "Answers of the enrolment service: enrolled, unauthenticated (a token that proves nothing), "
    "forbidden, cut-off, limited (too often), unavailable (the API server or Redis).",
    ["outcome"],
)
CUT_OFF = Gauge(
    "carina_tasks_node_cut_off_timestamp_seconds",
    "When this enrolment service cut a node off from Redis, because it took more than it may.",
    ["node"],
    multiprocess_mode="max",
)
REJECTED = Gauge(
    "carina_tasks_answer_rejected_timestamp_seconds",
    "When this control worker last rejected an answer of a node's worker.",
    ["node"],
    multiprocess_mode="max",
)
STRANGERS = Counter(
    "carina_tasks_strangers_disconnected_total",
    "Connections of Redis that were closed because nobody had logged in on them.",
)
WATCHING = Gauge(
    "carina_tasks_watch_connected",
    "1 while this node watch follows the nodes, 0 while it cannot.",
    multiprocess_mode="livemostrecent",
)


KNOWN: Mapping[Counter, tuple[tuple[str, ...], ...]] = {
    AUDIT: tuple(
        (action,)
        for action in (
            "delete-logic-volume",
            "delete-pv",
            "evict-pod",
            "fail-back",
            "give-up-failback",
            "help-logic-volume",
            "purge-local-volume",
            "rebuild",
            "remove-local-volume",
            "restore-local-volume",
            "trash-local-volume",
        )
    ),
    GUARDS: tuple(
        (guard,) for guard in ("BadAnswer", "MassFailure", "OrphanCap", "Paused", "Unreadable")
    ),
    SNAPSHOTS: (("watches",), ("lists",)),
    FAILOVERS: tuple(
        (kind, outcome)
        for kind in ("rebuild", "migrate", "by-hand", "failback")
        for outcome in ("done", "unfinished", "refused", "nothing-to-do")
    ),
    VOLUMES: tuple(
        (outcome,)
        for outcome in (
            "rebuilt",
            "failed-back",
            "given-up",
            "no-fit",
            "skipped",
            "refused",
            "failed",
        )
    ),
    ORPHANS: tuple(
        (outcome,) for outcome in ("marked", "unmarked", "trashed", "removed", "purged", "failed")
    ),
}
"""Labels that a control worker counts from the beginning."""


OF_ENROLMENT: Mapping[Counter, tuple[str, ...]] = {
    AUDIT: ("enrol-node", "remove-node-user"),
    ENROLMENTS: (
        "enrolled",
        "unauthenticated",
        "forbidden",
        "cut-off",
        "limited",
        "unavailable",
    ),
}
"""Labels that an enrolment service counts from the beginning."""


@dataclass(frozen=True, slots=True)
class Described:
    """A gauge that is read and not counted."""

    help: str
    labels: tuple[str, ...] = ()
    process: str = "control worker"


GAUGES: Mapping[str, Described] = {
    "carina_tasks_build_info": Described(
        "1, with the release and the kind of this process.", ("version", "process"), "all"
    ),
    "carina_tasks_metrics_complete": Described(
        "1 when this endpoint covers all that this process and its children do; 0 for prefork "
        "without " + MULTIPROC_DIR + ".",
        (),
        "all",
    ),
    "carina_tasks_schedule_last_run_timestamp_seconds": Described(
        "When beat last put an entry of the schedule on the queue; its own start, for one that was "
        "not due yet.",
        ("entry",),
        "beat",
    ),
    "carina_tasks_observed_timestamp_seconds": Described(
        "When this worker last read all that it shows of a source: api, broker.", ("source",)
    ),
    "carina_tasks_paused": Described("1 while the operator has paused carina-tasks."),
    "carina_tasks_latched": Described(
        "1 while the mass-failure guard has stopped everything until the operator resumes."
    ),
    "carina_tasks_carina_failover_active": Described(
        "1 while Carina's own failover can act beside ours, 0 while RBAC or the admission policy "
        "denies it; not there while that cannot be asked. Asked every five minutes."
    ),
    "carina_tasks_maintenance_end_timestamp_seconds": Described(
        "When the maintenance of a node should be over, as the operator announced it; 0 when its "
        "entry cannot be read.",
        ("node",),
    ),
    "carina_tasks_node_ready": Described(
        "1 when Kubernetes reports that the node is Ready, else 0.", ("node",)
    ),
    "carina_tasks_node_worker_up": Described(
        "1 when the node's worker gave a heartbeat in time, else 0.", ("node",)
    ),
    "carina_tasks_logic_volumes": Described(
        "LogicVolumes by state: success, pending, failed, deleting, rebuilding, "
        "journal-unreadable, unreadable; lost: its node does not exist and no rebuild is under "
        "way.",
        ("state",),
    ),
    "carina_tasks_rebuilds": Described("Rebuilds under way: LogicVolumes with a journal."),
    "carina_tasks_rebuilds_oldest_start_timestamp_seconds": Described(
        "When the oldest rebuild that is under way began; not there while there is none."
    ),
    "carina_tasks_queue_messages": Described("Messages that wait in a queue.", ("queue",)),
    "carina_tasks_queue_oldest_message_age_seconds": Described(
        "For how long the oldest message has waited; 0 for an empty queue.", ("queue",)
    ),
    "carina_tasks_node_readiness": Described(
        "1 when the node may be lost: each of its volumes would be rebuilt elsewhere without a "
        "person; else 0.",
        ("node",),
    ),
    "carina_tasks_volumes_without_place": Described(
        "Volumes that would be unschedulable if the node were lost now.", ("node",)
    ),
    "carina_tasks_readiness_timestamp_seconds": Described("When readiness was last judged."),
    "carina_tasks_sweep_last_success_timestamp_seconds": Described(
        "When a sweep last ended well. One that reached no node did not.", ("sweep",)
    ),
    "carina_tasks_node_swept_timestamp_seconds": Described(
        "When the local volumes of a node were last compared with the cluster's.", ("node",)
    ),
    "carina_tasks_volumes_missing": Described(
        "LogicVolumes whose local volume is not on its node, by the last sweep.", ("node",)
    ),
    "carina_tasks_local_volumes_kept": Described(
        "Local volumes that the last sweep kept, of all nodes, by why: wanted, unmanaged-group, "
        "foreign-name, not-plain, at-work, open, restored, young, marked, unreadable.",
        ("why",),
    ),
    "carina_tasks_orphans_over_cap": Described(
        "Orphans that the last sweep left for the operator to confirm, because they are too many.",
        ("node",),
    ),
    "carina_tasks_trash_volumes": Described(
        "Local volumes in the trash at the last sweep.", ("node",)
    ),
    "carina_tasks_trash_bytes": Described("Bytes of those volumes.", ("node",)),
    "carina_tasks_old_copies_end_timestamp_seconds": Described(
        "When the first old copy of a node may be removed.", ("node",)
    ),
    "carina_tasks_broker_memory_bytes": Described("Memory that the broker uses."),
    "carina_tasks_broker_memory_limit_bytes": Described("Memory that it may use, if limited."),
    "carina_tasks_claim_affected": Described(
        "1 for the first claims, five at most for each cause: lost, rebuild (the oldest first), "
        "missing, unplaced (of a node that must not be lost), unreadable (names of LogicVolumes).",
        ("why", "claim", "node"),
    ),
    "carina_tasks_claim_emptied_timestamp_seconds": Described(
        "When the failover began that made a claim's volume new and empty; the last five.",
        ("claim", "node"),
    ),
}

PROCESSES: Mapping[str, str] = {
    "carina_tasks_api_request_duration_seconds": "control worker, node watch, enrolment",
    "carina_tasks_enrolments_total": "enrolment",
    "carina_tasks_node_cut_off_timestamp_seconds": "enrolment",
    "carina_tasks_strangers_disconnected_total": "enrolment",
    "carina_tasks_lvm_command_duration_seconds": "node worker",
    "carina_tasks_hints_total": "node watch",
    "carina_tasks_watch_connected": "node watch",
}
"""Which process counts it, where that is not the control worker."""


@dataclass
class Families:
    """Gauges of one moment, built one value at a time."""

    found: dict[str, GaugeMetricFamily] = field(default_factory=dict)

    def put(self, name: str, value: float, *labels: str) -> None:
        """Add one value.

        Args:
            name: A gauge that `GAUGES` describes.
            value: Its value.
            labels: The values of its labels.

        Raises:
            KeyError: `GAUGES` does not describe it.
        """
        described = GAUGES[name]
        family = self.found.get(name)
        if family is None:
            family = self.found[name] = GaugeMetricFamily(
                name, described.help, labels=described.labels
            )
        family.add_metric(labels, value)


class AboutProcess(Collector):
    """What this process is, and whether its endpoint covers all its children."""

    def __init__(self, version: str, process: str, complete: bool = True) -> None:
        self._version, self._process, self._complete = version, process, complete

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """Return both gauges."""
        families = Families()
        families.put("carina_tasks_build_info", 1, self._version, self._process)
        families.put("carina_tasks_metrics_complete", self._complete)
        return families.found.values()


def begin_at_zero() -> None:
    """Export every known counter as 0.

    One that appears with its first event hides that event from rate() and increase().
    """
    for counter, labels in KNOWN.items():
        for values in labels:
            counter.labels(*values)


def observe_snapshot(source: str) -> None:
    """Count a look at the whole cluster by where it came from: ``watches`` or ``lists``."""
    SNAPSHOTS.labels(source).inc()


def observe_api(verb: str, _path: str, seconds: float, status: int) -> None:
    """Count one request to the API server (status 0: no answer).

    Args:
        verb: The verb of the request.
        _path: Path of the object.
        seconds: How long it took.
        status: The HTTP status.
    """
    API_SECONDS.labels(verb, str(status)).observe(seconds)


def observe_lvm(command: str, seconds: float, outcome: str) -> None:
    """Count one run of lvm2.

    Args:
        command: The lvm command.
        seconds: How long it took.
        outcome: The outcome.
    """
    LVM_SECONDS.labels(command, outcome).observe(seconds)


def shared() -> bool:
    """Return whether forked processes share what they count."""
    return MULTIPROC_DIR in os.environ


def serve(port: int, *collectors: Collector, checks: Mapping[str, web.Check] | None = None) -> None:
    """Serve this process's metrics, and what `collectors` read, at ``:port/metrics``.

    Port 0 serves nothing.

    `checks` are what ``/readyz`` asks, by name.

    Raises:
        BadSetting: The port cannot be had.
    """
    if not port:
        return
    registry: CollectorRegistry = REGISTRY
    if shared():
        registry = CollectorRegistry()
        multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
    for collector in collectors:
        registry.register(collector)
    try:
        web.serve(port, registry, checks or {})
    except OSError as exc:
        raise BadSetting(
            f"CARINA_TASKS_METRICS_PORT: port {port} cannot be had: {exc.strerror}"
        ) from exc
