"""``celery -A carina_tasks carina plan NODE``."""

from __future__ import annotations

import click

from carina_tasks.cli.output import Command, as_json, one_line_errors, output_option, table
from carina_tasks.flows.plan import plan_node
from carina_tasks.tasks.process import context


@click.command(
    "plan",
    cls=Command,
    exits={0: "every volume would have a place", 1: "one would have nowhere to go", 2: "it could not be planned"},
    examples=(
        "celery -A carina_tasks carina plan 10.20.9.154",
        "celery -A carina_tasks carina plan 10.20.9.154 --not-ready",
        "celery -A carina_tasks carina plan 10.20.9.154 -o json | jq -r '.volumes[] | select(.outcome == \"no-fit\") | .volume'",
    ),
)
@click.argument("node")
@click.option("--not-ready", is_flag=True, help="The node goes NotReady; without this, it is deleted.")
@output_option
@one_line_errors
def command(node: str, not_ready: bool, output: str) -> None:
    """Show what the loss of NODE would do: target and reason for each volume. Nothing is written.

    The same code as the real run plans it.
    """
    result = plan_node(context(), node, not_ready)
    if output == "json":
        click.echo(as_json(result))
    elif not result.volumes:
        click.echo(f"{node} has no volume of Carina's")
    else:
        click.echo(table(("VOLUME", "VERDICT", "TARGET", "REASON"),
                         [(v.volume, v.outcome, v.target or "-", v.reason) for v in result.volumes]))  # fmt: skip
        click.echo(result.reason)
    if any(v.outcome == "no-fit" for v in result.volumes):
        raise SystemExit(1)
