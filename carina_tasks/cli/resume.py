"""``celery -A carina_tasks carina resume``."""

from __future__ import annotations

import click

from carina_tasks.cli.output import one_line_errors
from carina_tasks.tasks.process import context


@click.command("resume")
@one_line_errors
def command() -> None:
    """Go on after a pause, or after the mass-failure guard stopped everything. Look at `status` first."""
    ctx = context()
    before = ctx.state.read()
    ctx.state.write(paused=None, latched=None)
    for word, reason in (("paused", before.paused), ("stopped by the mass-failure guard", before.latched)):
        if reason:
            click.echo(f"was {word}: {reason}")
    click.echo("resumed; what is unfinished goes on within 30 s")
