"""The Events of a failover on the lost node itself: one summary of each run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from carina_tasks.flows.context import Context
from carina_tasks.flows.failover.results import VolumeResult
from carina_tasks.observability.audit import about_node


def stuck(ctx: Context, node: str, stuck: Sequence[VolumeResult]) -> None:
    """Report on the lost node how many of its volumes no node can take.

    Args:
        ctx: The outside world.
        node: Name of the node.
        stuck: Results of the logic volumes that no node fits.
    """
    if stuck:
        message = (
            f"{_volumes(len(stuck))} left as they are, no node fits: "
            f"{stuck[0].claim or stuck[0].volume}: "
            f"{stuck[0].reason}"
        )
        ctx.audit.event(about_node(node), "Warning", "NoNodeFits", message)


def finished(ctx: Context, results: Iterable[VolumeResult]) -> None:
    """Report on each lost node, in one Event for this run, how many volumes are rebuilt."""
    by_node: dict[str, list[VolumeResult]] = {}
    for result in results:
        # One that another worker finished has no source here, and is reported by that worker.
        if result.outcome == "rebuilt" and result.source:
            by_node.setdefault(result.source, []).append(result)
    for node, done in by_node.items():
        message = (
            f"{_volumes(len(done))} back, new and empty: {_spread([r.target for r in done])} "
            f"({done[0].reason})"
        )
        key = ",".join(sorted(r.volume for r in done))
        ctx.audit.event(about_node(node), "Normal", "VolumesRebuiltElsewhere", message, key=key)


def _volumes(number: int) -> str:
    return f"{number} {'volume of this node is' if number == 1 else 'volumes of this node are'}"


def _spread(targets: Iterable[str]) -> str:
    return ", ".join(f"{number} on {target}" for target, number in sorted(Counter(targets).items()))
