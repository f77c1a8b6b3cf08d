"""What a sweep of local volumes knows of all nodes: what its result and the metrics tell.

No inventory is among it, so it stays small.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from carina_tasks.flows.context import Context
from carina_tasks.flows.sweeps.results import (
    KeptVolumes,
    LocalSweepNode,
    MissingVolume,
    Swept,
    SweptNode,
)
from carina_tasks.model.snapshot import ClusterSnapshot


@dataclass(slots=True)
class Tally:
    """What was found so far."""

    nodes: int = 0
    results: list[LocalSweepNode] = field(default_factory=list)
    found: list[SweptNode] = field(default_factory=list)
    missing: list[MissingVolume] = field(default_factory=list)
    kept: Counter[str] = field(default_factory=Counter)
    """Local volumes that stay, by the kind of reason."""
    snapshot: ClusterSnapshot | None = None
    """The last look at the cluster."""

    def keep(self, ctx: Context, snapshot: ClusterSnapshot, name: str, seconds: float) -> None:
        """Keep what was found, and of nodes that were not swept what was found there last.

        Args:
            ctx: The outside world.
            snapshot: The cluster as it was read last.
            name: Under which name.
            seconds: For how long.
        """
        before = ctx.latest_results.last(name, Swept)
        now = list(self.found)
        reached = {one.node for one in now}
        if before:
            now += [n for n in before.nodes if n.node not in reached and n.node in snapshot.nodes]
        swept = Swept(
            int(snapshot.now),
            tuple(sorted(self.missing, key=lambda one: (one.node, one.volume))),
            tuple(sorted(now, key=lambda one: one.node)),
            tuple(KeptVolumes(*pair) for pair in sorted(self.kept.items())),
        )
        ctx.latest_results.keep(name, swept, seconds)
