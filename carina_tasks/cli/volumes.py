"""``celery -A carina_tasks carina volumes NODE``."""

from __future__ import annotations

import click

from carina_tasks.cli.output import Command, as_json, one_line_errors, output_option, width
from carina_tasks.model import names, task_names
from carina_tasks.model.local import Inventory
from carina_tasks.runtime.node_calls import node_calls
from carina_tasks.views import inventory, tables


@click.command(
    "volumes",
    cls=Command,
    exits={0: "it was shown", 2: "the node does not answer"},
    examples=(
        "celery -A carina_tasks carina volumes 10.20.9.153",
        "celery -A carina_tasks carina volumes 10.20.9.153 -o json | jq -r '.volumes[].name'",
    ),
)
@click.argument("node")
@output_option
@one_line_errors
def command(node: str, output: str) -> None:
    """Show what lvm2 on NODE reports now: its volume groups and logical volumes.

    Asks the node's worker over the broker, so it works in both profiles. `celery inspect
    carina_volumes` reports the same in the open profile only.
    """
    found = node_calls().ask(names.node_name(node), task_names.INVENTORY, None, Inventory)
    if output == "json":
        click.echo(as_json(found))
        return
    click.echo(tables.text(inventory.inventory_tables(found), width()))
