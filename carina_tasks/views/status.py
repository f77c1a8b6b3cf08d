"""The status as people read it: in the terminal, in the shell, in a notebook."""

from __future__ import annotations

from carina_tasks.decisions.whose import detailed
from carina_tasks.flows.report.status import Status
from carina_tasks.flows.sweeps.results import Swept
from carina_tasks.model.times import age, moment
from carina_tasks.views import tables
from carina_tasks.views.tables import Part, Table

SHOWN = 20
"""Rows of volumes that no node fits: as many as leave the rest of the status on one screen."""


@tables.of.register
def parts(now: Status) -> list[Part]:
    """Return the status as lines and tables."""
    lines: list[Part] = [tables.Headline(now.verdict.line, now.verdict.level)]
    if now.broker and now.verdict.level != "DEGRADED":
        lines.append(f"The broker is away: {now.broker}. Nothing is failed over meanwhile.")
    if now.paused and now.latched:
        # The verdict names the pause alone.
        lines.append(f"Also stopped by the mass-failure guard: {now.latched}")
    lines.append(_nodes(now))
    if now.unplaced:
        rows: tuple[tuple[object, ...], ...] = tuple(
            (u.claim, u.pod or "-", u.node, detailed(u.reason, u.volume))
            for u in now.unplaced[:SHOWN]
        )
        if (more := len(now.unplaced) - SHOWN) > 0:
            rows += ((f"and {more} more", "-", "-", "celery -A carina_tasks carina failed"),)
        lines.append(Table(("UNSCHEDULED", "POD", "LOST NODE", "REASON"), rows))
    if now.under_way:
        rows = tuple(
            (
                j.claim,
                j.pod or "-",
                j.source,
                j.target,
                age(j.seconds),
                j.step,
                detailed(j.reason, j.volume),
            )
            for j in now.under_way
        )
        head = ("UNDER WAY", "POD", "FROM", "TO", "AGE", "STEP", "REASON")
        lines.append(Table(head, rows))
    if now.local_sweep and now.local_sweep.missing:
        rows = tuple((m.claim, m.node, m.volume) for m in now.local_sweep.missing)
        lines.append(Table(("LOCAL VOLUME MISSING", "NODE", "VOLUME"), rows))
    stuck = _nowhere(now)
    lines += [stuck] if stuck else []
    return [*lines, *_last_lines(now)]


def _nodes(now: Status) -> Table:
    ahead = {n.node: n for n in now.readiness.nodes} if now.readiness else {}
    missing = [m.node for m in now.local_sweep.missing] if now.local_sweep else None
    return Table(
        ("NODE", "READY", "WORKER", "VOLUMES", "MISSING", "IF LOST", "NOTE"),
        tuple(
            (
                n.node,
                n.ready,
                n.worker,
                "-" if now.api else n.volumes,
                "-" if missing is None else missing.count(n.node),
                "-" if n.ready == "deleted" or n.node not in ahead else ahead[n.node].in_short,
                ("OVERDUE: " if n.overdue else "") + n.note,
            )
            for n in now.nodes
        ),
    )


def _nowhere(now: Status) -> Table | None:
    """Return what the loss of each node would leave unschedulable."""
    rows: list[tuple[object, ...]] = []
    for node in now.readiness.nodes if now.readiness else ():
        rows += [
            (
                volume.claim or "-",
                volume.pod or "-",
                node.node,
                detailed(volume.reason, volume.volume),
            )
            for volume in node.volumes
        ]
        if more := node.without_place - len(node.volumes):
            plan = f"celery -A carina_tasks carina plan {node.node}"
            rows.append((f"and {more} more", "-", node.node, plan))
        if node.stopped:
            reason = f"the operator would have to resume: {node.stopped}"
            rows.append(("-", "-", node.node, reason))
    return Table(("UNSCHEDULABLE", "POD", "IF LOST", "REASON"), tuple(rows)) if rows else None


def _last_lines(now: Status) -> list[Part]:
    if now.api:
        return [
            "Nodes without a worker and all volumes are not known until the API server is back."
        ]
    lines: list[Part] = []
    if now.readiness:
        lines.append(f"{now.readiness.reason} (asked {age(now.at - now.readiness.at)} ago)")
    elif now.nodes_changed:
        lines.append(
            "whether a node may be lost is being asked again: the nodes changed since the last "
            "answer"
        )
    elif not now.broker:
        lines.append(
            "whether a node may be lost is not known: no answer of carina.failover.readiness is "
            "kept"
        )
    if not now.broker:
        lines.append(
            f"swept: local volumes {_ago(now, now.local_sweep)}, LogicVolumes "
            f"{_ago(now, now.logic_sweep)}"
        )
    for node in now.local_sweep.nodes if now.local_sweep else ():
        if node.old_copies:
            lines.append(
                f"node {node.node} holds the data that {node.old_copies} volumes had before they "
                f"were failed over, until {moment(node.old_until)}; to restore it: celery -A "
                f"carina_tasks carina plan {node.node} --failback"
            )
    if trash := sum(node.trash for node in now.local_sweep.nodes) if now.local_sweep else 0:
        lines.append(
            f"in the trash: {trash} local volumes; see celery -A carina_tasks carina trash"
        )
    if now.unreadable:
        lines.append(f"{now.unreadable} objects cannot be read and are left alone")
    if now.verdict.exit_code:
        look = "failed" if not now.broker else "doctor"
        lines.append(f"What needs you, and what to type: celery -A carina_tasks carina {look}")
    return lines


def _ago(now: Status, swept: Swept | None) -> str:
    return f"{age(now.at - swept.at)} ago" if swept else "not yet, as far as is known"
