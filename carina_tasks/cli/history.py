"""``celery -A carina_tasks carina history``."""

from __future__ import annotations

import click

from carina_tasks.cli.output import Command, as_json, one_line_errors, output_option, table
from carina_tasks.flows.report.history import history
from carina_tasks.model import times
from carina_tasks.runtime.context import context


@click.command(
    "history",
    cls=Command,
    exits={0: "it was shown", 2: "nothing is known of it, or the API server is away"},
    examples=(
        "celery -A carina_tasks carina history default/data-mysql-0",
        "celery -A carina_tasks carina history 10.20.9.154 -o json",
    ),
)
@click.argument("target", metavar="NAMESPACE/CLAIM | pod/NAMESPACE/NAME | NODE | VOLUME")
@output_option
@one_line_errors
def command(target: str, output: str) -> None:
    """Show what happened to a claim or a pod or a volume or a node, the oldest first.

    From the last failovers that each LogicVolume remembers, and from our Events, which the API
    server keeps for an hour unless it is configured otherwise. Longer back: the audit lines of the
    logs.
    """
    found = history(context(), target)
    if output == "json":
        click.echo(as_json(found))
        return
    if found.records:
        rows = [
            (
                times.moment(r.at),
                r.what + (f" x{r.count}" if r.count > 1 else ""),
                r.text,
            )
            for r in found.records
        ]
        click.echo(table(("WHEN", "WHAT", "TEXT"), rows))
    else:
        click.echo(f"nothing happened to {target} that is still known")
    for line in found.unknown:
        click.echo(f"not known: {line}", err=True)
