"""``celery -A carina_tasks carina resume``."""

from __future__ import annotations

import click

from carina_tasks.cli.output import Command, by_option, one_line_errors
from carina_tasks.decisions import guards
from carina_tasks.errors import BadInput
from carina_tasks.flows import stop
from carina_tasks.flows.context import Context
from carina_tasks.model import names
from carina_tasks.runtime.context import context


@click.command(
    "resume",
    cls=Command,
    exits={0: "resumed", 2: "a node is not lost, or the API server could not be asked"},
    examples=(
        "celery -A carina_tasks carina resume",
        "celery -A carina_tasks carina resume 10.20.9.153",
    ),
)
@click.argument("nodes", nargs=-1)
@by_option
@one_line_errors
def command(nodes: tuple[str, ...], by: str) -> None:
    """Continue after a pause, or after the mass-failure guard stopped everything.

    Look at `status` first.

    After the guard: you approve of failing over the nodes that are lost now, and of no others. With
    NODES you approve of these alone: they are failed over, and everything else stays stopped.
    """
    ctx = context()
    if nodes:
        _approve(ctx, frozenset(nodes), by)
    else:
        _resume(ctx, by)


def _approve(ctx: Context, nodes: frozenset[str], by: str) -> None:
    """Approve single nodes. Raises BadInput for one that is not lost.

    Approval is for a loss, not for a name.
    """
    for name in nodes:
        names.node_name(name)
    state = ctx.state.read()
    lost = guards.lost_nodes(ctx.cluster.observe(), planned=state.maintenance)
    if wrong := sorted(nodes & state.maintenance.keys()):
        raise BadInput(
            f"{', '.join(wrong)}: in maintenance; end that first (carina maintenance end "
            f"{wrong[0]})"
        )
    if wrong := sorted(nodes - lost):
        raise BadInput(
            f"{', '.join(wrong)}: not lost; lost are: {', '.join(sorted(lost)) or 'none'}"
        )
    approved = nodes | (state.approved & lost)
    left = sorted(lost - approved)
    stop.approve(ctx, approved, by, all_lost=not left)
    click.echo(f"approved as lost: {', '.join(sorted(approved))}")
    if left and state.latched:
        click.echo(
            "everything else stays stopped by the mass-failure guard; lost and not approved: "
            f"{', '.join(left)}"
        )
    if state.paused:
        click.echo(f"still paused: {state.paused}; `carina resume` without a node ends the pause")
    else:
        click.echo("their failover begins within 30 s")


def _resume(ctx: Context, by: str) -> None:
    before, lost = stop.resume(ctx, by)
    if lost:
        click.echo(f"approved as lost: {', '.join(lost)}")
    for word, reason in (
        ("paused", before.paused),
        ("stopped by the mass-failure guard", before.latched),
    ):
        if reason:
            click.echo(f"was {word}: {reason}")
    click.echo("resumed; what is unfinished continues within 30 s")
