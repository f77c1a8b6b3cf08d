"""``celery -A carina_tasks carina status``."""

from __future__ import annotations

import time

import click

from carina_tasks.celery import app
from carina_tasks.cli.output import (
    Command,
    as_json,
    colour,
    one_line_errors,
    output_option,
    width,
)
from carina_tasks.flows.report.status import Status, status
from carina_tasks.model import times
from carina_tasks.runtime.context import context
from carina_tasks.store import heartbeat
from carina_tasks.views import tables
from carina_tasks.views.status import parts

CLEAR = "\033[H\033[J"
"""Cursor to the corner, and clear from there: the screen does not blink as it does when it is
emptied first.
"""


@click.command(
    "status",
    cls=Command,
    exits={
        0: "HEALTHY, AT RISK (well now, but one node may not be lost) or WORKING (continues by "
        "itself); with --watch always, when you end it",
        1: "DEGRADED or STOPPED: something needs the operator",
        2: "UNKNOWN: the API server could not be asked",
    },
    examples=(
        "celery -A carina_tasks carina status",
        "celery -A carina_tasks carina status --watch",
        "celery -A carina_tasks carina status -o json | jq .nodes",
    ),
)
@output_option
@click.option(
    "-w",
    "--watch",
    "every",
    type=click.FloatRange(min=0.5),
    is_flag=False,
    flag_value=2.0,
    metavar="[SECONDS]",
    help="Show it again every SECONDS (2), until Ctrl-C.",
)
@one_line_errors
def command(output: str, every: float | None) -> None:
    """Show what is happening.

    The first line is the verdict: whether all is well, else the reason and what to type. Then each
    node and its worker, what no node fits, the rebuilds under way.

    MISSING is what the last sweep reported, IF LOST what the last `carina.failover.readiness`
    returned: it runs every five minutes, and `plan NODE` asks again. While the broker or the API
    server is away it shows what is known without.
    """
    try:
        while True:
            now = status(context(), lambda: heartbeat.beating(app))
            text = _text(now, output)
            if every is None:
                click.echo(text)
                break
            # Without a terminal (a pipe, a log) each look follows the one before.
            click.echo(f"{CLEAR if width() else ''}{text}")
            if output != "json":
                click.echo(
                    f"\n{times.moment(time.time())}, again every {every:g} s; Ctrl-C ends it"
                )
            time.sleep(every)
    except KeyboardInterrupt:
        return
    if now.verdict.exit_code:
        raise SystemExit(now.verdict.exit_code)


def _text(now: Status, output: str) -> str:
    return as_json(now) if output == "json" else tables.text(parts(now), width(), colour())
