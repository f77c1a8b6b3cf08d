"""``celery -A carina_tasks carina status``."""

from __future__ import annotations

import click

from carina_tasks.cli.output import as_json, one_line_errors, output_option, table
from carina_tasks.flows.results import NodeReadiness, Status
from carina_tasks.flows.status import status
from carina_tasks.tasks.process import context


@click.command("status")
@output_option
@one_line_errors
def command(output: str) -> None:
    """Show whether everything is paused, each node and its worker, and the rebuilds under way.

    IF LOST is what the last `carina.failover.readiness` said: it runs every five minutes. `plan NODE` asks anew.
    """
    now = status(context())
    if output == "json":
        click.echo(as_json(now))
        return
    if now.paused:
        click.echo(f"PAUSED: {now.paused}")
    if now.latched:
        click.echo(f"STOPPED by the mass-failure guard: {now.latched}")
    ahead = {n.node: n for n in now.readiness.nodes} if now.readiness else {}
    click.echo(
        table(
            ("NODE", "READY", "WORKER", "VOLUMES", "IF LOST"),
            [(n.node, n.ready, n.worker, n.volumes, _if_lost(ahead.get(n.node))) for n in now.nodes],
        )
    )
    if now.under_way:
        click.echo()
        click.echo(table(("UNDER WAY", "FROM", "TO", "AGE", "REASON"),
                         [(j.volume, j.source, j.target, f"{j.seconds} s", j.reason) for j in now.under_way]))  # fmt: skip
    _echo_readiness(now)


def _if_lost(node: NodeReadiness | None) -> str:
    if node is None:
        return "-"
    if node.without_place:
        return f"{node.without_place} WITHOUT A PLACE"
    return "STOPS" if node.stopped else "ready"


def _echo_readiness(now: Status) -> None:
    """Say what would happen to nodes that are not ready to be lost, and how old that answer is."""
    click.echo()
    if now.readiness is None:
        click.echo("whether a node may be lost is not known: no answer of carina.failover.readiness is kept")
        return
    rows = []
    for node in now.readiness.nodes:
        rows += [(volume.volume, node.node, volume.reason) for volume in node.volumes]
        if more := node.without_place - len(node.volumes):
            rows.append((f"and {more} more", node.node, f"celery -A carina_tasks carina plan {node.node}"))
        if node.stopped:
            rows.append(("-", node.node, f"a person would have to resume: {node.stopped}"))
    if rows:
        click.echo(table(("NOWHERE TO GO", "IF LOST", "REASON"), rows))
    click.echo(f"{now.readiness.reason} ({max(0, now.at - now.readiness.at)} s ago)")
