"""The status as people read it: in the terminal, in the shell, in a notebook."""

from __future__ import annotations

from carina_tasks.flows.report.readiness import NodeReadiness
from carina_tasks.flows.report.status import Status
from carina_tasks.flows.sweeps.results import Swept
from carina_tasks.model.times import age, moment
from carina_tasks.views import tables
from carina_tasks.views.tables import Part, Table


@tables.of.register
def parts(now: Status) -> list[Part]:
    """Return the status as lines and tables."""
    lines: list[Part] = []
    if now.api:
        lines.append(f"THE API SERVER IS AWAY: {now.api}")
    if now.broker:
        lines.append(
            f"THE BROKER IS AWAY: {now.broker}. Nothing is failed over meanwhile; volumes in use "
            "are not concerned."
        )
    if now.paused:
        lines.append(f"PAUSED: {now.paused}")
    if now.latched:
        lines.append(f"STOPPED by the mass-failure guard: {now.latched}")
    lines += [
        f"OVERDUE: node {n.node} is {n.note}. Nothing of it is failed over. When it is back: "
        f"carina maintenance end {n.node}"
        for n in now.nodes
        if n.overdue
    ]
    if now.paused or now.latched:
        lines.append(
            "To resume, when you know why it stopped: celery -A carina_tasks carina resume"
        )
    lines.append(_nodes(now))
    if now.under_way:
        rows = tuple(
            (j.volume, j.source, j.target, age(j.seconds), j.step, j.reason) for j in now.under_way
        )
        lines.append(Table(("UNDER WAY", "FROM", "TO", "AGE", "STEP", "REASON"), rows))
    if now.local_sweep and now.local_sweep.missing:
        lines.append(
            Table(
                ("LOCAL VOLUME MISSING", "NODE"),
                tuple((m.volume, m.node) for m in now.local_sweep.missing),
            )
        )
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
                "-" if n.ready == "deleted" else _if_lost(ahead.get(n.node)),
                ("OVERDUE: " if n.overdue else "") + n.note,
            )
            for n in now.nodes
        ),
    )


def _if_lost(node: NodeReadiness | None) -> str:
    if node is None:
        return "-"
    if node.without_place:
        return f"{node.without_place} UNSCHEDULABLE"
    return "STOPS" if node.stopped else "ready"


def _nowhere(now: Status) -> Table | None:
    """Return what the loss of each node would leave unschedulable."""
    rows: list[tuple[object, ...]] = []
    for node in now.readiness.nodes if now.readiness else ():
        rows += [(volume.volume, node.node, volume.reason) for volume in node.volumes]
        if more := node.without_place - len(node.volumes):
            rows.append(
                (f"and {more} more", node.node, f"celery -A carina_tasks carina plan {node.node}")
            )
        if node.stopped:
            rows.append(("-", node.node, f"the operator would have to resume: {node.stopped}"))
    return Table(("UNSCHEDULABLE", "IF LOST", "REASON"), tuple(rows)) if rows else None


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
    look = "failed" if not now.broker else "doctor"
    tomorrow = now.readiness and not all(node.ready for node in now.readiness.nodes)
    well = "all well now; see above which node had better not be lost" if tomorrow else "all well"
    lines.append(
        well
        if now.well
        else f"What needs you, and what to type: celery -A carina_tasks carina {look}"
    )
    return lines


def _ago(now: Status, swept: Swept | None) -> str:
    return f"{age(now.at - swept.at)} ago" if swept else "not yet, as far as is known"
