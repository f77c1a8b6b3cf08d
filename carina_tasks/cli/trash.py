"""``celery -A carina_tasks carina trash``."""

from __future__ import annotations

from collections import Counter

import click

from carina_tasks.cli.output import Command, as_json, one_line_errors, output_option, table
from carina_tasks.flows.sweeps.trash import list_trash
from carina_tasks.model.quantity import show
from carina_tasks.runtime.context import context


@click.command(
    "trash",
    cls=Command,
    exits={0: "it was shown", 1: "a node did not answer", 2: "it could not be asked"},
    examples=(
        "celery -A carina_tasks carina trash",
        "celery -A carina_tasks carina trash 10.20.9.153 -o json",
    ),
)
@click.argument("nodes", nargs=-1)
@output_option
@one_line_errors
def command(nodes: tuple[str, ...], output: str) -> None:
    """Show what the sweeps removed and what can still be brought back, on NODES or on all.

    The oldest first: that is the order in which a volume group that needs the space lets them go.
    Of several that had the same name on one node, each is shown with its name in the trash, by
    which `carina restore` takes it.
    """
    result = list_trash(context(), nodes)
    if output == "json":
        click.echo(as_json(result))
    elif result.volumes:
        # The name in the trash is 42 characters; the old name identifies it
        # for `carina restore`.
        often = Counter((v.node, v.name) for v in result.volumes)
        rows = [
            (
                v.node,
                v.group,
                v.name if often[v.node, v.name] == 1 else f"{v.name} (as {v.trash})",
                show(v.bytes),
                f"{v.seconds} s",
                f"{v.left} s",
                v.reason,
            )
            for v in result.volumes
        ]
        click.echo(table(("NODE", "GROUP", "VOLUME", "SIZE", "AGE", "LEFT", "REASON"), rows))
    else:
        click.echo(
            "nothing lies in the trash" + (" of the nodes that answered" if result.silent else "")
        )
    if result.silent:
        for line in result.silent:
            click.echo(f"not known: {line}", err=True)
        raise SystemExit(1)
