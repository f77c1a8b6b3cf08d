"""``celery -A carina_tasks carina status``."""

from __future__ import annotations

import click

from carina_tasks.cli.output import as_json, one_line_errors, output_option, table
from carina_tasks.flows.status import status
from carina_tasks.tasks.process import context


@click.command("status")
@output_option
@one_line_errors
def command(output: str) -> None:
    """Show whether everything is paused, each node and its worker, and the rebuilds under way."""
    now = status(context())
    if output == "json":
        click.echo(as_json(now))
        return
    if now.paused:
        click.echo(f"PAUSED: {now.paused}")
    if now.latched:
        click.echo(f"STOPPED by the mass-failure guard: {now.latched}")
    click.echo(
        table(("NODE", "READY", "WORKER", "VOLUMES"), [(n.node, n.ready, n.worker, n.volumes) for n in now.nodes])
    )
    if now.under_way:
        click.echo()
        click.echo(table(("UNDER WAY", "FROM", "TO", "AGE", "REASON"),
                         [(j.volume, j.source, j.target, f"{j.seconds} s", j.reason) for j in now.under_way]))  # fmt: skip
