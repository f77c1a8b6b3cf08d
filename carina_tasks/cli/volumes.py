"""``celery -A carina_tasks carina volumes NODE``."""

from __future__ import annotations

import click
import msgspec.structs

from carina_tasks import settings
from carina_tasks.celery import app
from carina_tasks.cli import where
from carina_tasks.cli.output import Command, as_json, one_line_errors, output_option, width
from carina_tasks.decisions import targets
from carina_tasks.decisions.advice import start_worker
from carina_tasks.errors import ApiDenied, ApiUnavailable, BadSetting, NodeSilent
from carina_tasks.model import names, task_names
from carina_tasks.model.local import Inventory
from carina_tasks.model.snapshot import ClusterSnapshot
from carina_tasks.runtime.context import context
from carina_tasks.runtime.node_calls import node_calls
from carina_tasks.store import heartbeat
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
@click.argument("target", metavar="NODE | NAMESPACE/CLAIM | pod/NAMESPACE/NAME")
@output_option
@one_line_errors
def command(target: str, output: str) -> None:
    """Show what lvm2 on NODE reports now: its volume groups and logical volumes.

    With a claim, a pod or a volume: the node that it is on, and its own LVs there alone.

    Asks the node's worker over the broker, so it works in both profiles. `celery inspect
    carina_volumes` reports the same in the open profile only.
    """
    node, volumes, snapshot = _where(target)
    if not heartbeat.alive(app, node):
        # No worker would take the message from Redis, and no answer would come.
        raise NodeSilent(
            f"the worker of node {node} sends no heartbeat: "
            f"{start_worker(settings.current().namespace, node)}"
        )
    found = node_calls().ask(node, task_names.INVENTORY, None, Inventory)
    if volumes:
        mine = tuple(lv for lv in found.volumes if inventory.volume_of(lv) in volumes)
        found = msgspec.structs.replace(found, volumes=mine)
    if output == "json":
        click.echo(as_json(found))
        return
    click.echo(tables.text(inventory.with_claims(found, snapshot), width()))


def _where(target: str) -> tuple[str, tuple[str, ...], ClusterSnapshot | None]:
    """Return the node, the volumes that alone are meant (none: all), and the cluster.

    Without an API server the target is the name of a node, and claims are not known.
    """
    try:
        snapshot = context().cluster.observe()
    except (ApiUnavailable, ApiDenied, BadSetting):
        return names.node_name(target), (), None
    node = where.node(snapshot, target)
    found = targets.meanings(snapshot, target)
    return node, found[0].volumes if found else (), snapshot
