"""``celery -A carina_tasks carina rebuild NODE VOLUME --force VOLUME``."""

from __future__ import annotations

import click

from carina_tasks.cli import where
from carina_tasks.cli.output import Command, as_json, one_line_errors, output_option
from carina_tasks.decisions import whose
from carina_tasks.flows.failover.single_volume import rebuild_volume
from carina_tasks.runtime.context import context


@click.command(
    "rebuild",
    cls=Command,
    exits={0: "rebuilt", 1: "refused or not finished, with the reason", 2: "it could not be asked"},
    examples=(
        "celery -A carina_tasks carina rebuild 10.20.9.154 default/reports --force default/reports",
    ),
)
@click.argument("node")
@click.argument("volume", metavar="NAMESPACE/CLAIM | pod/NAMESPACE/NAME | VOLUME")
@click.option(
    "--force",
    default="",
    metavar="NAMESPACE/CLAIM",
    help="The same volume again: you want it new and empty.",
)
@output_option
@one_line_errors
def command(node: str, volume: str, force: str, output: str) -> None:
    """Rebuild one volume of the live node NODE on another node, new and empty.

    Its data does not travel.

    Refused while a pod runs with it or something has it open, and without its name typed out a
    second time. The old copy goes the way of orphans.
    """
    ctx = context()
    snapshot = ctx.cluster.observe()
    name = where.one_volume(snapshot, volume)
    # The same volume, by whichever of its names, typed out a second time.
    again = where.one_volume(snapshot, force) if force else ""
    result = rebuild_volume(ctx, node, name, again)
    if output == "json":
        click.echo(as_json(result))
    else:
        for one in result.volumes:
            place = f" on {one.target}, new and empty" if one.outcome == "rebuilt" else ""
            claim = whose.claim_of(snapshot, one.volume) or one.volume
            click.echo(f"{claim}: {one.outcome}{place} ({one.volume})")
        said = next((v.reason for v in result.volumes if v.outcome != "rebuilt"), result.reason)
        click.echo(f"{result.outcome}: {said}")
    if result.outcome != "done":
        raise SystemExit(1)
