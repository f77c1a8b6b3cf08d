"""The annotations of a LogicVolume that users read: its rebuild's progress and its failovers.

``kubectl describe lv`` prints them; scripts read the history as JSON. Nothing is ever decided on
either: a rebuild goes by its journal alone.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime

import msgspec

from carina_tasks.model.journal import Journal

KEPT = 10
"""Failovers in the history of one volume; the oldest goes first."""
PHASES = (
    "planned",
    "create the local volume",
    "replace the PersistentVolume",
    "evict the pods of the old node",
    "finish",
)
"""The steps of a rebuild as people read of them; docs/concepts.md has the same five."""


class PastFailover(msgspec.Struct, frozen=True):
    """One failover that was finished."""

    at: str
    """When its journal was written, by the API server's clock (RFC 3339, UTC)."""
    kind: str
    """``rebuild``: its node was deleted. ``migrate``: its node was NotReady. ``failback``: an
    operator had its old copy restored.
    """
    source: str = msgspec.field(name="from")
    target: str = msgspec.field(name="to")
    reason: str = ""
    intent: str = ""
    """Id of the rebuild; also the LVM tag of the volume that it made, and a field of the log lines.
    """


def phase_text(phase: int) -> str:
    """Return a step as users read it everywhere: ``2/5 create the local volume``."""
    return f"{phase + 1}/{len(PHASES)} {PHASES[phase]}"


def progress_line(journal: Journal, phase: int = 0, waiting: str = "") -> str:
    """Return the one line of a rebuild that is under way.

    Step, from and to, since when, and why it waits or is done at all.

    Args:
        journal: The journal of the rebuild.
        phase: Index of the step in `progress.PHASES`.
        waiting: Why the rebuild waits; empty when it does not.
    """
    why = f"waits: {waiting}" if waiting else journal.reason
    line = (
        f"{phase_text(phase)}: {journal.source} -> {journal.target} since "
        f"{timestamp(journal.started)}, {why}"
    )
    return line[:1000]


def waiting_reason(line: str) -> str:
    """Return why a rebuild waits, from its progress line; empty when it does not."""
    return line.partition("waits: ")[2]


def parse_history(text: str) -> tuple[PastFailover, ...]:
    """Return the failovers of an annotation, the oldest first.

    None when it does not parse: people can edit annotations.
    """
    try:
        return tuple(msgspec.json.decode(text, type=list[PastFailover])) if text else ()
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return ()


def add_failover(text: str, journal: Journal) -> str:
    """Return the annotation `text` with the failover of `journal` added.

    One failover a line, because kubectl cuts each line of an annotation after 138 characters.
    """
    done = PastFailover(
        timestamp(journal.started),
        journal.kind,
        journal.source,
        journal.target,
        journal.reason[:300],
        journal.intent,
    )
    lines = [msgspec.json.encode(one).decode() for one in (*parse_history(text), done)[-KEPT:]]
    return "[" + ",\n".join(lines) + "]"


def same_but_for_numbers(old: str, new: str) -> bool:
    """Return whether two texts for users say the same.

    Other numbers ("for 61 s", "for 91 s") are no news, other percents are.
    """
    return _without_numbers(old) == _without_numbers(new)


def timestamp(seconds: float) -> str:
    """Return a time (seconds since the epoch) as Kubernetes writes it."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _without_numbers(text: str) -> str:
    text = re.sub(r"\b(\d+h\d\dm|\d+[smd])\b", "0", text)
    return re.sub(r"\d+(\.\d+)?(?![\d.]| %)", "0", text)
