"""``celery -A carina_tasks carina pause REASON``."""

from __future__ import annotations

import click

from carina_tasks.cli.output import Command, by_option, one_line_errors
from carina_tasks.flows import stop
from carina_tasks.runtime.context import context


@click.command(
    "pause",
    cls=Command,
    exits={0: "paused", 2: "the API server could not be asked"},
    examples=('celery -A carina_tasks carina pause "moving racks"',),
)
@click.argument("reason")
@by_option
@one_line_errors
def command(reason: str, by: str) -> None:
    """Stop everything that changes anything, until `resume`. REASON is shown by `status`.

    Who paused it, and when, is recorded with it, and as an Event.

    Written straight into the cluster, so it works without a broker. A rebuild that is under way
    stops before its next round and continues after `resume`.
    """
    if not reason.strip():
        raise click.UsageError("say why: the reason is what the next person on call reads")
    click.echo(f"paused: {stop.pause(context(), reason, by)}")
