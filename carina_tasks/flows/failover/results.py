"""Results of a failover and of a resume: one reason for each volume."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Literal

import msgspec
import msgspec.structs

from carina_tasks.decisions import whose
from carina_tasks.model.snapshot import ClusterSnapshot


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
    claim: str = ""
    """``namespace/name`` of its claim."""
    pod: str = ""
    """The pod that uses it, in the claim's namespace; empty without one."""

    @property
    def moved(self) -> bool:
        """Return whether it is on another node now."""
        return self.outcome in ("rebuilt", "failed-back")


def with_claims(
    snapshot: ClusterSnapshot, results: Iterable[VolumeResult]
) -> tuple[VolumeResult, ...]:
    """Return the results with claim and pod of each volume, by claim.

    Args:
        snapshot: The cluster as it was read.
        results: One for each volume.
    """
    named = []
    for result in results:
        claim = whose.claim_of(snapshot, result.volume)
        pod = whose.pod_of(snapshot, claim)
        named.append(msgspec.structs.replace(result, claim=claim, pod=pod))
    return tuple(sorted(named, key=lambda result: (result.claim, result.volume)))


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
    along: tuple[str, ...] = ()
    """Other nodes that were lost at the same time. Their volumes are among these, and were planned
    together with those of `node`.
    """

    @property
    def summary(self) -> str:
        """One line for logs."""
        counts = Counter(v.outcome for v in self.volumes)
        done = f"{counts['rebuilt']} of {len(self.volumes)} volumes rebuilt"
        if counts["failed-back"]:
            done = f"{counts['failed-back']} of {len(self.volumes)} volumes failed back"
        along = f" with {len(self.along)} other nodes" if self.along else ""
        return f"{self.node}{along}: {self.outcome}, {done} ({self.reason})"


class ResumeResult(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a resume found and did."""

    volumes: tuple[VolumeResult, ...] = ()
    deleted_nodes: tuple[str, ...] = ()
    """Nodes that LogicVolumes name and that do not exist: a rebuild is asked for each."""
    not_ready_nodes: tuple[str, ...] = ()
    """NotReady nodes with volumes: a migration is asked for each, and decides itself whether it has
    lasted long enough.
    """
