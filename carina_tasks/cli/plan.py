"""``celery -A carina_tasks carina plan NODE``."""

from __future__ import annotations

import click

from carina_tasks.cli import where
from carina_tasks.cli.output import (
    Command,
    as_json,
    one_line_errors,
    output_option,
    show_verdict,
    table,
)
from carina_tasks.decisions.whose import detailed
from carina_tasks.flows.report.failback_plan import plan_failback
from carina_tasks.flows.report.loss_plan import PlanResult, plan_node
from carina_tasks.model import quantity
from carina_tasks.model.times import moment
from carina_tasks.runtime.context import context


@click.command(
    "plan",
    cls=Command,
    exits={
        0: "every volume fits a node; with --failback: every old copy could be the volume again",
        1: "no node fits for at least one volume; with --failback, at least one old copy could not",
        2: "it could not be planned",
    },
    examples=(
        "celery -A carina_tasks carina plan 10.20.9.154",
        "celery -A carina_tasks carina plan 10.20.9.154 --not-ready",
        "celery -A carina_tasks carina plan 10.20.9.154 --failback",
        "celery -A carina_tasks carina plan 10.20.9.154 -o json | jq -r '.volumes[] | "
        'select(.outcome == "no-fit") | .volume\'',
    ),
)
@click.argument("target", metavar="NODE | NAMESPACE/CLAIM | pod/NAMESPACE/NAME")
@click.option(
    "--not-ready", is_flag=True, help="The node goes NotReady; without this, it is deleted."
)
@click.option(
    "--failback",
    is_flag=True,
    help="Show the old copies on NODE instead, and whether each could be the volume again.",
)
@output_option
@one_line_errors
def command(target: str, not_ready: bool, failback: bool, output: str) -> None:
    """Show what the loss of NODE would do: target and reason for each volume. Nothing is written.

    With a claim, a pod or a volume, NODE is the node that it is on.

    The same code as the real run plans it. With --failback it shows which old copies NODE holds
    since a failover, also those of a machine that had another name, and the age of both copies: the
    dry run of `carina failback NODE`.
    """
    if failback and not_ready:
        raise click.UsageError("--failback and --not-ready exclude each other")
    ctx = context()
    node = where.node(ctx.cluster.observe(), target)
    if failback:
        _failback(node, output)
        return
    result = plan_node(ctx, node, not_ready)
    if output == "json":
        click.echo(as_json(result))
    else:
        _show(result)
    if any(v.outcome == "no-fit" for v in result.volumes):
        raise SystemExit(1)


def _show(result: PlanResult) -> None:
    show_verdict(result.verdict)
    if not result.volumes:
        return
    rows = [
        (v.claim, v.pod or "-", v.outcome, v.target or "-", detailed(v.reason, v.volume))
        for v in result.volumes
    ]
    click.echo("\n" + table(("CLAIM", "POD", "OUTCOME", "TARGET", "REASON"), rows))
    for line in result.old_copies:
        click.echo(line)


def _failback(node: str, output: str) -> None:
    result = plan_failback(context(), node)
    if output == "json":
        click.echo(as_json(result))
    else:
        head = (
            "CLAIM",
            "OLD COPY",
            "SIZE",
            "DATA UNTIL",
            "IN USE ON",
            "IN USE SINCE",
            "VERDICT",
            "REASON",
        )
        rows = [
            (
                c.claim,
                f"{c.name} ({c.uuid})",
                quantity.show(c.bytes),
                _moment(c.data_until),
                c.in_use,
                _moment(c.in_use_since),
                c.outcome,
                detailed(c.reason, c.volume),
            )
            for c in result.copies
        ]
        if rows:
            click.echo(table(head, rows))
        click.echo(result.reason)
    if any(c.outcome == "impossible" for c in result.copies):
        raise SystemExit(1)


def _moment(seconds: int) -> str:
    return moment(seconds) if seconds else "unknown"
