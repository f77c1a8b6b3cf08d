"""``celery -A carina_tasks carina restore NODE VOLUME``."""

from __future__ import annotations

import click

from carina_tasks.cli import where
from carina_tasks.cli.output import Command, as_json, one_line_errors, output_option
from carina_tasks.flows.sweeps.trash import restore
from carina_tasks.model import quantity
from carina_tasks.model.names import logic_volume_of
from carina_tasks.runtime.context import context


@click.command(
    "restore",
    cls=Command,
    exits={0: "restored", 2: "it could not be; the reason is printed"},
    examples=(
        "celery -A carina_tasks carina restore 10.20.9.153 "
        "volume-pvc-527b5989-3ac3-4d7a-a64d-24e0f665788b",
    ),
)
@click.argument("node")
@click.argument("volume", metavar="NAMESPACE/CLAIM | pod/NAMESPACE/NAME | VOLUME")
@output_option
@one_line_errors
def command(node: str, volume: str, output: str) -> None:
    """Bring a volume back from the trash of NODE, under its old name and with its data.

    Its claim or its pod, while the cluster has them; else VOLUME is what `carina trash` shows: its
    old name, or its name in the trash. Works while
    everything is paused. Then it reports what is left to do, with the manifest of a
    PersistentVolume where one is lacking.
    """
    ctx = context()
    result = restore(ctx, node, where.one_volume(ctx.cluster.observe(), volume))
    if output == "json":
        click.echo(as_json(result))
        return
    click.echo(f"restored: {result.group}/{result.name} on node {result.node}")
    click.echo(result.advice)
    if not result.manifest:
        return
    name = logic_volume_of(result.name)
    click.echo(f"""
Save this as {name}.yaml. Set fsType and storageClassName, and the claim in nameSpace and pvc:

{result.manifest}
Then:

kubectl apply -f {name}.yaml
kubectl patch logicvolume {name} --subresource=status --type=merge -p \\
  '{{"status":{{"volumeID":"{result.name}","status":"Success","code":0,"currentSize":"{quantity.show(result.bytes)}"}}}}'

and name the volume in its claim (spec.volumeName: {name}).""")
