"""The status as it is published: what viewers of the cluster read without a right to act.

The object FailoverStatus in the namespace of carina-tasks holds it (`deploy/crds`), and Redis a
copy for Flower. Its size is bounded whatever the cluster's: each list holds the most urgent
entries, and a number beside it how many there are.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

import msgspec

NAME: Final = "carina-tasks"
"""Name of the object."""
RESULT: Final = "published"
"""Name of the copy in Redis (`store.latest_results`)."""
STALE_AFTER: Final = 180
"""Seconds after which the status counts as stale: control workers write it every minute."""
REWRITTEN: Final = 60
"""Seconds after which it is written again though nothing changed: its age shows who still works."""

NODES, ROWS, UNSCHEDULABLE = 500, 50, 100
"""How many nodes, rows of any other list, and volumes of the planned losses are named."""
TEXT, NOTE = 300, 150
"""Bytes of a sentence, and of one beside each node."""


class PublishedNode(msgspec.Struct, frozen=True, rename="camel"):
    """One node."""

    node: str
    ready: str
    """``True``, ``False`` or ``Unknown`` as the condition Ready has it, or ``deleted``."""
    worker: str
    """``alive``, ``silent`` or ``unknown``."""
    volumes: int
    missing: int = 0
    """LVs that the last sweep found missing there."""
    if_lost: str = ""
    """``survives``, ``loses 5 volumes`` or ``stops failover``; empty when it is not known."""
    if_lost_reason: str = ""
    """The sentence to it."""
    note: str = ""
    """Maintenance, a cordon, since when it is NotReady."""


class PublishedVolumes(msgspec.Struct, frozen=True, rename="camel"):
    """How many logic volumes are in each state (`decisions.volume_state`)."""

    total: int = 0
    success: int = 0
    pending: int = 0
    failed: int = 0
    deleting: int = 0
    rebuilding: int = 0
    journal_unreadable: int = 0
    lost: int = 0
    unreadable: int = 0


class PublishedRebuild(msgspec.Struct, frozen=True, rename="camel"):
    """One rebuild that is under way."""

    claim: str
    """``namespace/name``."""
    pod: str
    source: str = msgspec.field(name="from")
    target: str = msgspec.field(name="to")
    since: str = ""
    """RFC 3339, as all times here; empty when it is not known."""
    step: str = ""
    """``2/5 create the local volume``."""
    reason: str = ""
    volume: str = ""


class PublishedProblem(msgspec.Struct, frozen=True, rename="camel"):
    """Something that needs the operator; of the kind ``waiting`` it continues by itself."""

    what: str
    """The claim (``namespace/name``); for what is no volume: a node, an object or a task."""
    pod: str
    node: str
    kind: str
    since: str
    reason: str
    do: str
    """What to type or to do."""
    volume: str = ""


class PublishedLoss(msgspec.Struct, frozen=True, rename="camel"):
    """A volume that would be unschedulable if `node` were lost."""

    claim: str
    pod: str
    node: str
    reason: str


class PublishedCopies(msgspec.Struct, frozen=True, rename="camel"):
    """Old copies on a node: what volumes were before a failover, and could be again."""

    node: str
    volumes: int
    until: str
    """When the first of them may be purged."""


class Published(msgspec.Struct, frozen=True, rename="camel"):
    """The published status."""

    written: str
    """When, by the API server's clock."""
    level: str
    """``HEALTHY``, ``AT RISK``, ``WORKING``, ``DEGRADED``, ``STOPPED`` or ``UNKNOWN``."""
    sentence: str
    """The verdict without its level: the reason, and what helps."""
    paused: str = ""
    latched: str = ""
    """Why the mass-failure guard stopped everything; empty when it did not."""
    nodes: tuple[PublishedNode, ...] = ()
    nodes_total: int = 0
    volumes: PublishedVolumes = PublishedVolumes()
    attention: tuple[PublishedProblem, ...] = ()
    """What needs the operator, the most urgent first, then what continues by itself."""
    attention_total: int = 0
    needs_operator: int = 0
    """How many of these need the operator."""
    rebuilds: tuple[PublishedRebuild, ...] = ()
    rebuilds_total: int = 0
    readiness_asked: str = ""
    """When it was asked what the loss of each node would do; empty when that is not known."""
    unschedulable: tuple[PublishedLoss, ...] = ()
    """Volumes that the loss of a node would leave unschedulable."""
    unschedulable_total: int = 0
    old_copies: tuple[PublishedCopies, ...] = ()
    old_copies_total: int = 0
    """Old copies on all nodes."""
    trash: int = 0
    """Local volumes in the trash of all nodes."""
    local_sweep: str = ""
    """When the last sweep of local volumes ended well."""
    logic_sweep: str = ""
    unknown: tuple[str, ...] = ()
    """What could not be asked, and why."""


def cut(text: str, most: int = TEXT) -> str:
    """Return a sentence of at most `most` bytes (UTF-8), with nothing that a terminal would obey.

    Args:
        text: The sentence.
        most: Bytes that it may have.
    """
    line = "".join(c if c.isprintable() else " " for c in text[: most + 1])
    if len(line.encode()) <= most:
        return line
    return line.encode()[: most - len(" …".encode())].decode(errors="ignore") + " …"


def seconds(text: str) -> float:
    """Return a time of the published status as seconds since the epoch; 0 when there is none."""
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        return 0.0
