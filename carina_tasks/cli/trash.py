"""``celery -A carina_tasks carina trash``."""

from __future__ import annotations

from collections import Counter

import click

from carina_tasks.cli import where
from carina_tasks.cli.output import Command, as_json, one_line_errors, output_option, table
from carina_tasks.flows.sweeps.results import TrashResult
from carina_tasks.flows.sweeps.trash import list_trash
from carina_tasks.model.names import VOLUME_PREFIX
from carina_tasks.model.quantity import show
from carina_tasks.model.times import age
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
@click.argument("words", nargs=-1, metavar="[NODE | NAMESPACE/CLAIM | pod/NAMESPACE/NAME]...")
@output_option
@one_line_errors
def command(words: tuple[str, ...], output: str) -> None:
    """Show what the sweeps removed and what can still be brought back, on nodes or on all.

    With a claim, a pod or a volume, only what was of it, on every node.

    The oldest first: that is the order in which a volume group that needs the space lets them go.
    Of several that had the same name on one node, each is shown with its name in the trash, by
    which `carina restore` takes it.
    """
    ctx = context()
    nodes, volumes = where.nodes_and_volumes(ctx, words)
    # An old copy lies on another node than the volume is on now: all of them are asked.
    result = list_trash(ctx, () if volumes else nodes)
    if words:
        kept = [
            v
            for v in result.volumes
            if v.node in nodes or v.name.removeprefix(VOLUME_PREFIX) in volumes
        ]
        result = TrashResult(tuple(kept), result.silent)
    if output == "json":
        click.echo(as_json(result))
    elif result.volumes:
        # The name in the trash is 42 characters; the old name identifies it
        # for `carina restore`.
        often = Counter((v.node, v.name) for v in result.volumes)
        rows = [
            (
                v.claim or "-",
                v.node,
                v.group,
                show(v.bytes),
                age(v.seconds),
                age(v.left),
                v.name if often[v.node, v.name] == 1 else f"{v.name} (as {v.trash})",
                v.reason,
            )
            for v in result.volumes
        ]
        click.echo(
            table(("CLAIM", "NODE", "GROUP", "SIZE", "AGE", "LEFT", "VOLUME", "REASON"), rows)
        )
    else:
        click.echo(
            "nothing lies in the trash" + (" of the nodes that answered" if result.silent else "")
        )
    if result.silent:
        for line in result.silent:
            click.echo(f"not known: {line}", err=True)
        raise SystemExit(1)
