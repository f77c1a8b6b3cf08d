"""``celery -A carina_tasks carina leave``."""

from __future__ import annotations

import click

from carina_tasks.cli.output import Command, one_line_errors
from carina_tasks.flows import leave
from carina_tasks.runtime.context import context


@click.command(
    "leave",
    cls=Command,
    exits={
        0: "paused, and nothing of carina-tasks is on any LogicVolume",
        2: "a rebuild is under way, or the API server could not be asked; nothing was changed",
    },
    examples=("celery -A carina_tasks carina leave",),
)
@one_line_errors
def command() -> None:
    """Get ready for an uninstall: refuse while a rebuild is under way, else leave nothing behind.

    It pauses everything, waits until a failover that has just begun would show, and takes progress
    and history off the LogicVolumes: after that `failback` knows no old copies. The pause stays;
    `resume` ends it, if you stay after all. The Helm chart runs it before `helm uninstall`. Works
    without a broker.
    """
    click.echo("pausing, and waiting for what may have just begun …")
    count = leave.leave(context())
    click.echo(f"paused: {leave.REASON}; our annotations were taken off {count} LogicVolumes")
