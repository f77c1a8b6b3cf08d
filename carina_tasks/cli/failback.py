"""``celery -A carina_tasks carina failback NODE [VOLUME | NAMESPACE/CLAIM …] --confirm VOLUME``."""

from __future__ import annotations

import click

from carina_tasks.cli import where
from carina_tasks.cli.output import Command, as_json, one_line_errors, output_option, table
from carina_tasks.decisions import whose
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
        "default/data-mysql-0",
    ),
)
@click.argument("node")
@click.argument(
    "wanted", nargs=-1, metavar="[NAMESPACE/CLAIM | pod/NAMESPACE/NAME | VOLUME | LV-UUID]..."
)
@click.option(
    "--confirm",
    multiple=True,
    metavar="NAMESPACE/CLAIM",
    help="Each volume that is failed back, by its claim or its name.",
)
@output_option
@one_line_errors
def command(node: str, wanted: tuple[str, ...], confirm: tuple[str, ...], output: str) -> None:
    """Restore the old copies on NODE: the volumes get the data from before the failover.

    The pods are evicted with their normal grace period and start on NODE. What was written since
    the failover is not lost: it becomes the old copy, and another failback undoes this one. Without
    names, every volume with an old copy on NODE is meant. Nothing happens until each volume is
    confirmed by its claim or its name.
    """
    ctx = context()
    snapshot = ctx.cluster.observe()
    meant = [name for word in wanted for name in where.volumes(snapshot, word)]
    confirmed = [where.one_volume(snapshot, word) for word in confirm]
    result = failback(ctx, node, meant, confirmed)
    if output == "json":
        click.echo(as_json(result))
    else:
        if result.volumes:
            rows = [
                (
                    whose.claim_of(snapshot, v.volume) or v.volume,
                    v.outcome,
                    v.source or "-",
                    v.target or "-",
                    whose.detailed(v.reason, v.volume),
                )
                for v in result.volumes
            ]
            click.echo(table(("CLAIM", "OUTCOME", "FROM", "TO", "REASON"), rows))
        click.echo(f"{result.outcome}: {result.reason}")
    if result.outcome != "done":
        raise SystemExit(1)
