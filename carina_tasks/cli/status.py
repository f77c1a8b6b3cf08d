"""``celery -A carina_tasks carina status``."""

from __future__ import annotations

import time

import click

from carina_tasks.celery import app
from carina_tasks.cli.output import (
    COULD_NOT,
    Command,
    as_json,
    one_line_errors,
    output_option,
    width,
)
from carina_tasks.flows.report.status import status
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
        0: 'it was shown; for "does anything need me?" see `carina failed`',
        2: "the API server could not be asked",
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

    Whether all is well, each node and its worker, the rebuilds under way.

    MISSING is what the last sweep reported, IF LOST what the last `carina.failover.readiness`
    returned: it runs every five minutes, and `plan NODE` asks again. While the broker or the API
    server is away it shows what is known without.
    """
    try:
        while True:
            now = status(context(), lambda: heartbeat.beating(app))
            text = as_json(now) if output == "json" else tables.text(parts(now), width())
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
    if now.api:
        raise SystemExit(COULD_NOT)
