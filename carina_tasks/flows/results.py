"""What the tasks give back: plain JSON in the result backend, one reason for each volume."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Literal

import msgspec

from carina_tasks.model.world import Unreadable


class VolumeResult(msgspec.Struct, frozen=True, omit_defaults=True):
    """What became of one volume."""

    volume: str
    outcome: Literal["rebuilt", "failed-back", "given-up", "unfinished", "no-fit", "skipped", "refused", "failed"]
    reason: str
    source: str = ""
    target: str = ""
    again: bool = False
    """It may go on at once: a resume is asked for in place of waiting for the next one."""


class FailoverResult(msgspec.Struct, frozen=True, omit_defaults=True):
    """What became of a node's failover."""

    node: str
    outcome: Literal["done", "unfinished", "refused", "nothing-to-do"]
    reason: str
    volumes: tuple[VolumeResult, ...] = ()
    evicted: tuple[str, ...] = ()
    stuck: tuple[str, ...] = ()
    """Pods that could not be evicted, each with its reason; tried again every 30 s."""
    unreadable: tuple[str, ...] = ()

    @property
    def summary(self) -> str:
        """One line for logs."""
        counts = Counter(v.outcome for v in self.volumes)
        done = f"{counts['rebuilt']} of {len(self.volumes)} volumes rebuilt"
        if counts["failed-back"]:
            done = f"{counts['failed-back']} of {len(self.volumes)} volumes failed back"
        return f"{self.node}: {self.outcome}, {done} ({self.reason})"


class ResumeResult(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a resume found and did."""

    volumes: tuple[VolumeResult, ...] = ()
    deleted_nodes: tuple[str, ...] = ()
    """Nodes that LogicVolumes name and that do not exist: a rebuild is asked for each."""
    not_ready_nodes: tuple[str, ...] = ()
    """NotReady nodes with volumes: a migration is asked for each, and decides itself whether it has lasted long enough."""


class LocalSweepNode(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the sweep of local volumes did on one node."""

    node: str
    outcome: Literal["swept", "skipped", "refused", "failed"]
    reason: str = ""
    kept: int = 0
    marked: tuple[str, ...] = ()
    unmarked: tuple[str, ...] = ()
    trashed: tuple[str, ...] = ()
    """Removed, and in the trash until its retention has passed."""
    removed: tuple[str, ...] = ()
    """Removed for good: there is no trash (retention 0)."""
    purged: tuple[str, ...] = ()
    """Removed for good from the trash."""
    failed: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()


class SweptNode(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a sweep of local volumes found on one node."""

    node: str
    missing: int = 0
    over_cap: int = 0
    """Orphans that wait for a person, because they are too many."""
    trash: int = 0
    trash_bytes: int = 0
    old_copies: int = 0
    """Local volumes that hold what their LogicVolume had before a failover."""
    old_until: int = 0
    """When the first of them may go, seconds since the epoch."""
    at: int = 0
    """When it was swept last, seconds since the epoch: a node whose worker is silent keeps what was found then."""


class LocalSweepResult(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the sweep of local volumes did."""

    nodes: tuple[LocalSweepNode, ...]
    unreadable: tuple[str, ...] = ()
    summary: str = ""
    """One line for people: how many of what, and the names of what is missing or was refused."""


def summary_of(nodes: Sequence[LocalSweepNode]) -> str:
    """Return what people ask first: was every node swept, what went, what is missing."""
    parts = [
        f"{sum(n.outcome == 'swept' for n in nodes)} of {len(nodes)} nodes swept",
        f"{sum(n.kept for n in nodes)} kept",
    ]
    for what in ("marked", "unmarked", "trashed", "removed", "purged", "failed", "missing"):
        names = [name for node in nodes for name in getattr(node, what)]
        if names:
            parts.append(f"{len(names)} {what} ({', '.join(names[:3])}{', …' if len(names) > 3 else ''})")
    parts += [f"{node.node} {node.outcome}: {node.reason}" for node in nodes if node.outcome != "swept"]
    return ", ".join(parts)


class LogicSweepResult(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the sweep of LogicVolumes did."""

    kept: int
    deleted: tuple[str, ...] = ()
    helped: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()
    noted: tuple[str, ...] = ()
    """LogicVolumes that are kept for a reason that a person should know."""
    unreadable: tuple[str, ...] = ()
    deleted_nodes: tuple[str, ...] = ()


class PlannedVolume(msgspec.Struct, frozen=True, omit_defaults=True):
    """What would become of one volume."""

    volume: str
    outcome: Literal["place", "no-fit", "skipped"]
    reason: str
    target: str = ""


class PlanResult(msgspec.Struct, frozen=True):
    """What the loss of a node would do."""

    node: str
    reason: str
    volumes: tuple[PlannedVolume, ...] = ()
    old_copies: tuple[str, ...] = ()
    """One line for each other node that holds old copies of these volumes."""


class TrashedVolume(msgspec.Struct, frozen=True):
    """One local volume in the trash of a node."""

    node: str
    group: str
    name: str
    """What it was called: ``volume-<LogicVolume>``."""
    trash: str
    """What it is called now: ``trash-<UUID>``."""
    bytes: int
    seconds: int
    """How long it has been there."""
    left: int
    """Seconds until it may be purged; 0: the next sweep does, unless the cluster expects it."""
    reason: str


class TrashResult(msgspec.Struct, frozen=True):
    """What lies in the trash of all nodes."""

    volumes: tuple[TrashedVolume, ...] = ()
    silent: tuple[str, ...] = ()
    """Nodes that did not answer, and why: what lies there is not known."""


class RestoreResult(msgspec.Struct, frozen=True, omit_defaults=True):
    """What was brought back, and what is left to do for a person."""

    node: str
    group: str
    name: str
    bytes: int
    advice: str
    manifest: str = ""
    """YAML of a PersistentVolume and a LogicVolume for it, empty when the cluster has them already."""


class NodeReadiness(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the loss of one node would do now."""

    node: str
    ready: bool
    """All its volumes would be rebuilt elsewhere without a person, but for those that are left alone anyway."""
    reason: str
    places: int = 0
    """Volumes that would be rebuilt elsewhere."""
    without_place: int = 0
    """Volumes that would have nowhere to go."""
    skipped: int = 0
    """Volumes that are left alone (raw, bcache, no PersistentVolume, under way …)."""
    stopped: str = ""
    """Why the mass-failure guard would stop the failover until a person resumes it; empty when it would not."""
    volumes: tuple[PlannedVolume, ...] = ()
    """The first of those without a place, with the reason; `carina.failover.plan` names all of a node."""
    state: str = ""
    """What the node was then: its Ready condition, and whether it was cordoned."""


class Readiness(msgspec.Struct, frozen=True, omit_defaults=True):
    """For every node: would its loss now leave a volume with nowhere to go?"""

    at: int
    """When the cluster was read."""
    reason: str
    nodes: tuple[NodeReadiness, ...] = ()
    unreadable: tuple[str, ...] = ()


class NodeStatus(msgspec.Struct, frozen=True):
    """One node: its Ready condition (or ``deleted``), its worker, and how many LogicVolumes name it."""

    node: str
    ready: str
    worker: str
    volumes: int
    note: str = ""
    """What holds its failover back or makes it faster: maintenance, a cordon, the taint out-of-service."""
    overdue: bool = False
    """Its maintenance takes longer than was announced, or its entry cannot be read."""


class MissingVolume(msgspec.Struct, frozen=True):
    """A LogicVolume whose local volume is missing on its node."""

    volume: str
    node: str


class KeptVolumes(msgspec.Struct, frozen=True):
    """How many local volumes a sweep left alone for one kind of reason (`orphans.Keep.why`)."""

    why: str
    volumes: int


class Swept(msgspec.Struct, frozen=True):
    """A sweep that ended well, as it is kept for `status` and `doctor`."""

    at: int
    """Seconds since the epoch, by the API server's clock."""
    missing: tuple[MissingVolume, ...] = ()
    nodes: tuple[SweptNode, ...] = ()
    """What the metrics tell of each node that was swept."""
    kept: tuple[KeptVolumes, ...] = ()


class UnderWay(msgspec.Struct, frozen=True):
    """One rebuild that is not finished, and for how many seconds it has been under way."""

    volume: str
    source: str
    target: str
    seconds: int
    reason: str
    step: str = ""
    """Which of its steps it is at, as far as the objects tell."""


class Status(msgspec.Struct, frozen=True):
    """What is going on now."""

    paused: str
    latched: str
    nodes: tuple[NodeStatus, ...]
    under_way: tuple[UnderWay, ...]
    at: int
    """The API server's clock."""
    readiness: Readiness | None
    """The last answer to whether each node may be lost; None when there is none, it is of other nodes, or no broker answers."""
    nodes_changed: bool = False
    """There is an answer, but nodes were added, deleted, cordoned or changed their readiness since: it is asked again."""
    local_sweep: Swept | None = None
    """The last sweep of local volumes that ended well; None when none is known."""
    logic_sweep: Swept | None = None
    unreadable: int = 0
    """Objects that cannot be read."""
    api: str = ""
    """Why the API server could not be asked; then only the workers are known."""
    broker: str = ""
    """Why the broker could not be asked; then workers, readiness and sweeps are not known."""

    @property
    def well(self) -> bool:
        """Nothing that is shown needs a person now. What a loss would do (`readiness`) is a matter for tomorrow."""
        return not (
            self.paused or self.latched or self.api or self.broker or self.under_way or self.unreadable
            or any(node.ready != "True" or node.worker != "alive" or node.overdue for node in self.nodes)
            or (self.local_sweep is not None and self.local_sweep.missing)
        )  # fmt: skip


class Finding(msgspec.Struct, frozen=True, omit_defaults=True):
    """Something that needs a person."""

    kind: Literal[
        "paused",
        "stopped",
        "unreadable",
        "refused",
        "unfinished",
        "no-fit",
        "kept",
        "missing",
        "orphans",
        "silent",
        "away",
        "failed",
        "maintenance",
        "waiting",
    ]
    """``waiting`` goes on by itself; everything else needs a person."""
    what: str
    """A volume, a node, an object or a task."""
    reason: str
    node: str = ""
    since: int = 0
    """Seconds since the epoch; 0: not known."""
    do: str = ""
    """What to type."""
    id: str = ""
    """Id of the task, when it is one."""


class FailedResult(msgspec.Struct, frozen=True):
    """Everything that needs a person."""

    now: int
    """The API server's clock, seconds since the epoch."""
    findings: tuple[Finding, ...] = ()
    unknown: tuple[str, ...] = ()
    """What could not be looked at, and why."""

    @property
    def need_a_person(self) -> bool:
        """Something is there that does not go on by itself."""
        return any(finding.kind != "waiting" for finding in self.findings)


class Retry(msgspec.Struct, frozen=True, omit_defaults=True):
    """One task that is to be sent, or why none is."""

    target: str
    reason: str
    task: str = ""
    """Empty: nothing is sent, and `reason` says why."""
    args: tuple[str, ...] = ()
    id: str = ""
    """Id under which it was sent."""


class Record(msgspec.Struct, frozen=True):
    """One line of an audit trail."""

    at: int
    """Seconds since the epoch."""
    about: str
    what: str
    text: str
    count: int = 1


class HistoryResult(msgspec.Struct, frozen=True, omit_defaults=True):
    """What happened to a volume or a node, the oldest first."""

    target: str
    records: tuple[Record, ...] = ()
    unknown: tuple[str, ...] = ()


def shown(unreadable: tuple[Unreadable, ...]) -> tuple[str, ...]:
    """Return unreadable objects as lines."""
    return tuple(f"{u.kind} {u.name}: {u.reason}" for u in unreadable)
