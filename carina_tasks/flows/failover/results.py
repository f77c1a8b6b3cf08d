"""Results of a failover and of a resume: one reason for each volume."""

from __future__ import annotations

from collections import Counter
from typing import Literal

import msgspec


class VolumeResult(msgspec.Struct, frozen=True, omit_defaults=True):
    """What became of one volume."""

    volume: str
    outcome: Literal[
        "rebuilt", "failed-back", "given-up", "unfinished", "no-fit", "skipped", "refused", "failed"
    ]
    reason: str
    source: str = ""
    target: str = ""
    again: bool = False
    """It may continue at once: a resume is asked for in place of waiting for the next one."""


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
    """NotReady nodes with volumes: a migration is asked for each, and decides itself whether it has
    lasted long enough.
    """
