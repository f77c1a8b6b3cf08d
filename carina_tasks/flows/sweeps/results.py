"""Results of the sweeps, and of the commands on the trash."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec


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
    """Removed permanently: there is no trash (retention 0)."""
    purged: tuple[str, ...] = ()
    """Removed permanently from the trash."""
    failed: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()


class LocalSweepResult(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the sweep of local volumes did."""

    nodes: tuple[LocalSweepNode, ...]
    unreadable: tuple[str, ...] = ()
    summary: str = ""
    """One line for users: how many of what, and the names of what is missing or was refused."""


def summary_of(nodes: Sequence[LocalSweepNode], claims: Mapping[str, str]) -> str:
    """Return what people ask first: was every node swept, what went, what is missing.

    Args:
        nodes: What the sweep did on each node.
        claims: The claim of each LogicVolume, by its name.
    """
    parts = [
        f"{sum(n.outcome == 'swept' for n in nodes)} of {len(nodes)} nodes swept",
        f"{sum(n.kept for n in nodes)} kept",
    ]
    for what in ("marked", "unmarked", "trashed", "removed", "purged", "failed", "missing"):
        names = [claims.get(name, name) for node in nodes for name in getattr(node, what)]
        if names:
            parts.append(
                f"{len(names)} {what} ({', '.join(names[:3])}{', …' if len(names) > 3 else ''})"
            )
    parts += [
        f"{node.node} {node.outcome}: {node.reason}" for node in nodes if node.outcome != "swept"
    ]
    return ", ".join(parts)


class LogicSweepResult(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the sweep of LogicVolumes did."""

    kept: int
    deleted: tuple[str, ...] = ()
    helped: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()
    noted: tuple[str, ...] = ()
    """LogicVolumes that are kept for a reason that the operator should know."""
    unreadable: tuple[str, ...] = ()
    deleted_nodes: tuple[str, ...] = ()


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
    claim: str = ""
    """``namespace/name`` of the claim that its LogicVolume names; empty when that is gone."""


class TrashResult(msgspec.Struct, frozen=True):
    """What lies in the trash of all nodes."""

    volumes: tuple[TrashedVolume, ...] = ()
    silent: tuple[str, ...] = ()
    """Nodes that did not answer, and why: what lies there is not known."""


class RestoreResult(msgspec.Struct, frozen=True, omit_defaults=True):
    """What was brought back, and what is left to do for the operator."""

    node: str
    group: str
    name: str
    bytes: int
    advice: str
    manifest: str = ""
    """YAML of a PersistentVolume and a LogicVolume for it, empty when the cluster has them already.
    """


class SweptNode(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a sweep of local volumes found on one node."""

    node: str
    missing: int = 0
    over_cap: int = 0
    """Orphans that wait for the operator, because they are too many."""
    trash: int = 0
    trash_bytes: int = 0
    old_copies: int = 0
    """Local volumes that hold what their LogicVolume had before a failover."""
    old_until: int = 0
    """When the first of them may go, seconds since the epoch."""
    at: int = 0
    """When it was swept last, seconds since the epoch: a node whose worker is silent keeps what was
    found then.
    """


class MissingVolume(msgspec.Struct, frozen=True):
    """A LogicVolume whose local volume is missing on its node."""

    volume: str
    node: str
    claim: str = ""
    """``namespace/name`` of its claim."""


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
    """What the metrics show for each swept node."""
    kept: tuple[KeptVolumes, ...] = ()
