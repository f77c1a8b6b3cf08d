"""``celery -A carina_tasks carina resume``."""

from __future__ import annotations

import click

from carina_tasks.cli.output import Command, one_line_errors
from carina_tasks.decisions import guards
from carina_tasks.tasks.process import context


@click.command(
    "resume",
    cls=Command,
    exits={0: "resumed", 2: "the API server could not be asked"},
    examples=("celery -A carina_tasks carina resume",),
)
@one_line_errors
def command() -> None:
    """Go on after a pause, or after the mass-failure guard stopped everything. Look at `status` first.

    After the guard: you approve of failing over the nodes that are lost now, and of no others.
    """
    ctx = context()
    before = ctx.state.read()
    lost = sorted(guards.lost_nodes(ctx.cluster.observe())) if before.latched else []
    ctx.state.write(paused=None, latched=None, **({"approved": ",".join(lost)} if lost else {}))
    if lost:
        click.echo(f"approved as lost: {', '.join(lost)}")
    for word, reason in (("paused", before.paused), ("stopped by the mass-failure guard", before.latched)):
        if reason:
            click.echo(f"was {word}: {reason}")
    click.echo("resumed; what is unfinished goes on within 30 s")
