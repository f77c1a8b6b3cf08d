"""``celery -A carina_tasks carina maintenance start|list|end``."""

from __future__ import annotations

import click

from carina_tasks.cli.output import (
    Command,
    as_json,
    by_option,
    one_line_errors,
    output_option,
    table,
)
from carina_tasks.flows.failover import maintenance
from carina_tasks.model.maintenance import duration
from carina_tasks.model.times import age, moment
from carina_tasks.runtime.context import context


@click.group("maintenance")
def command() -> None:
    """Announce that a node's machine will be away.

    Nothing of that node is failed over until you end it.

    Stored in the cluster, so it works without a broker. It holds for a node that is NotReady and
    for one that is deleted, and it does not end by itself: an alert fires when it takes longer than
    announced. Other nodes are failed over as ever.
    """


@command.command(
    "start",
    cls=Command,
    exits={0: "announced", 2: "it could not be announced"},
    examples=(
        'celery -A carina_tasks carina maintenance start 10.20.9.153 --for 2h --reason "BIOS '
        'update"',
    ),
)
@click.argument("node")
@click.option(
    "--for", "time", required=True, metavar="TIME", help="how long it will take: 45m, 2h, 1d12h."
)
@click.option("--reason", required=True, help="why; the next operator on call reads it.")
@by_option
@one_line_errors
def start(node: str, time: str, reason: str, by: str) -> None:
    """Announce maintenance of NODE. Announced again, it ends at the new time."""
    entry = maintenance.start(context(), node, duration(time), reason, by)
    click.echo(f"node {node} is {entry}")
    click.echo(
        f"nothing of it is failed over until: celery -A carina_tasks carina maintenance end {node}"
    )


@command.command(
    "list",
    cls=Command,
    exits={
        0: "none takes longer than announced",
        1: "one does, or its entry cannot be read",
        2: "it could not be asked",
    },
    examples=(
        "celery -A carina_tasks carina maintenance list",
        "celery -A carina_tasks carina maintenance list -o json",
    ),
)
@output_option
@one_line_errors
def list_(output: str) -> None:
    """Show the nodes in maintenance, the one that ends first at the top."""
    found = maintenance.listed(context())
    if output == "json":
        click.echo(as_json(found))
    elif found.nodes:
        rows = [
            (
                n.node,
                n.ready,
                moment(n.since),
                moment(n.until),
                _left(n, found.at),
                n.by,
                n.error or n.reason,
            )
            for n in found.nodes
        ]
        click.echo(table(("NODE", "READY", "SINCE", "UNTIL", "LEFT", "BY", "REASON"), rows))
    else:
        click.echo("no node is in maintenance")
    if any(n.overdue for n in found.nodes):
        raise SystemExit(1)


def _left(entry: maintenance.MaintenanceEntry, now: int) -> str:
    if entry.error:
        return "UNREADABLE"
    return f"OVERDUE by {age(now - entry.until)}" if entry.overdue else age(entry.until - now)


@command.command(
    "end",
    cls=Command,
    exits={0: "ended", 2: "it was in none, or it could not be ended"},
    examples=("celery -A carina_tasks carina maintenance end 10.20.9.153",),
)
@click.argument("node")
@by_option
@one_line_errors
def end(node: str, by: str) -> None:
    """End the maintenance of NODE. If it is still NotReady or deleted, its failover begins now."""
    entry = maintenance.end(context(), node, by)
    click.echo(f"ended: node {node} was {entry}")
