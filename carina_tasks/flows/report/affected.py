"""Whose data is it? The first claims behind a gauge, so that an alert can name them.

At most `NAMED` for each cause: labels must not grow with the volumes. `carina failed` names all.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Final

from carina_tasks.decisions import volume_state
from carina_tasks.flows.report.readiness import NodeReadiness
from carina_tasks.flows.sweeps.results import MissingVolume
from carina_tasks.model.objects import LogicVolume
from carina_tasks.observability.metrics import Families

NAMED: Final = 5
"""Claims for each cause: what fits into a page, and no more series than that."""
CAUSES: Final = {"lost": "lost", "rebuilding": "rebuild", "journal-unreadable": "unreadable"}
"""The cause by the state of the LogicVolume."""


def of_logic_volumes(
    families: Families,
    logic_volumes: Iterable[LogicVolume],
    unreadable: Iterable[str],
    nodes: Mapping[str, bool],
) -> None:
    """Add the claims of LogicVolumes that are lost, being rebuilt, unreadable, or were emptied.

    Args:
        families: Collects the gauges.
        logic_volumes: All LogicVolumes that can be read.
        unreadable: Names of the others: whose they are cannot be read either.
        nodes: The nodes that exist.
    """
    found: dict[str, list[tuple[float, str, str]]] = {cause: [] for cause in CAUSES.values()}
    emptied: list[tuple[float, str, str]] = []
    for one in logic_volumes:
        cause = CAUSES.get(volume_state.state(one, nodes))
        if cause:
            # The oldest rebuild first: it is the one that the alert is about.
            began = float(one.journal.started) if one.journal else 0.0
            found[cause].append((began, one.claim_key, one.node))
        if one.history and one.history[-1].kind != "failback":
            emptied.append((-_seconds(one.history[-1].at), one.claim_key, one.node))
    found["unreadable"] += [(0.0, name, "") for name in unreadable]
    for cause, claims in found.items():
        for _, claim, node in sorted(claims)[:NAMED]:
            families.put("carina_tasks_claim_affected", 1, cause, claim, node)
    for began, claim, node in sorted(emptied)[:NAMED]:
        families.put("carina_tasks_claim_emptied_timestamp_seconds", -began, claim, node)


def of_readiness(families: Families, nodes: Iterable[NodeReadiness]) -> None:
    """Add the claims that no node would fit, of each node that must not be lost.

    Args:
        families: Collects the gauges.
        nodes: What readiness found of each node.
    """
    stuck = sorted(
        (volume.claim or volume.volume, node.node) for node in nodes for volume in node.volumes
    )
    for claim, node in stuck[:NAMED]:
        families.put("carina_tasks_claim_affected", 1, "unplaced", claim, node)


def of_sweep(families: Families, missing: Iterable[MissingVolume]) -> None:
    """Add the claims whose local volume is missing.

    Args:
        families: Collects the gauges.
        missing: What the last sweep missed.
    """
    for claim, node in sorted((one.claim or one.volume, one.node) for one in missing)[:NAMED]:
        families.put("carina_tasks_claim_affected", 1, "missing", claim, node)


def _seconds(text: str) -> float:
    try:
        return datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError):
        return 0.0
