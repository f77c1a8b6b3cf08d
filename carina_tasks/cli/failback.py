"""``celery -A carina_tasks carina failback NODE [VOLUME | NAMESPACE/CLAIM …] --confirm VOLUME``."""

from __future__ import annotations

import click

from carina_tasks.cli.output import Command, as_json, one_line_errors, output_option, table
from carina_tasks.flows.failover.failback import failback
from carina_tasks.runtime.context import context


@click.command(
    "failback",
    cls=Command,
    exits={
        0: "every old copy is the volume again",
        1: "one is not: not confirmed, refused or not finished, with the reason",
        2: "it could not be asked",
    },
    examples=(
        "celery -A carina_tasks carina failback 10.20.9.154",
        "celery -A carina_tasks carina failback 10.20.9.154 default/data-mysql-0 --confirm "
        "pvc-177854eb-f811-4612-92c5-b8bb98126b94",
    ),
)
@click.argument("node")
@click.argument("wanted", nargs=-1, metavar="[VOLUME | NAMESPACE/CLAIM | LV-UUID]...")
@click.option(
    "--confirm",
    multiple=True,
    metavar="VOLUME",
    help="The name of each volume that is failed back.",
)
@output_option
@one_line_errors
def command(node: str, wanted: tuple[str, ...], confirm: tuple[str, ...], output: str) -> None:
    """Restore the old copies on NODE: the volumes get the data from before the failover.

    The pods are evicted with their normal grace period and start on NODE. What was written since
    the failover is not lost: it becomes the old copy, and another failback undoes this one. Without
    names, every volume with an old copy on NODE is meant. Nothing happens until each volume is
    confirmed by its name.
    """
    result = failback(context(), node, wanted, confirm)
    if output == "json":
        click.echo(as_json(result))
    else:
        if result.volumes:
            rows = [
                (v.volume, v.outcome, v.source or "-", v.target or "-", v.reason)
                for v in result.volumes
            ]
            click.echo(table(("VOLUME", "OUTCOME", "FROM", "TO", "REASON"), rows))
        click.echo(f"{result.outcome}: {result.reason}")
    if result.outcome != "done":
        raise SystemExit(1)
