"""``celery -A carina_tasks carina doctor``."""

from __future__ import annotations

import shutil

import click

from carina_tasks import settings
from carina_tasks.celery import app
from carina_tasks.cli.output import (
    Command,
    as_json,
    one_line_errors,
    output_option,
    show_verdict,
    table,
)
from carina_tasks.decisions.doctor import verdict_of
from carina_tasks.errors import BrokerUnavailable
from carina_tasks.flows.report.doctor import examine
from carina_tasks.runtime.context import context
from carina_tasks.store import heartbeat, server_info


@click.command(
    "doctor",
    cls=Command,
    exits={0: "every check is OK", 1: "at least one is WARN, none FAIL", 2: "at least one is FAIL"},
    examples=(
        "celery -A carina_tasks carina doctor",
        "celery -A carina_tasks carina doctor -o json | jq -r '.[] | select(.verdict != \"OK\")'",
    ),
)
@output_option
@one_line_errors
def command(output: str) -> None:
    """Check everything that failover needs, and say what to do about what is not right.

    Broker (version, eviction, users), API server (every verb of deploy/rbac.yaml, Carina's kinds),
    a worker for each node, control workers, beat, node watch, sweeps, clocks, versions, settings,
    and Carina's own failover beside ours. Run it where the control workers run: rights are those of
    the credentials at hand.
    """
    broker: server_info.BrokerInfo | BrokerUnavailable
    try:
        broker, processes = server_info.look(app), heartbeat.processes(app)
    except BrokerUnavailable as exc:
        broker, processes = exc, []
    checks = examine(
        context(),
        heartbeat.process("control", settings.current()),
        broker,
        processes,
        lambda program: shutil.which(program) is not None,
    )
    if output == "json":
        click.echo(as_json(checks))
    else:
        show_verdict(verdict_of(checks))
        click.echo(
            "\n"
            + table(
                ("CHECK", "VERDICT", "FINDING"), [(c.area, c.verdict, c.finding) for c in checks]
            )
        )
        if todo := list(dict.fromkeys(f"  {c.area}: {c.do}" for c in checks if c.do)):
            click.echo("\nWhat to type, or read:")
            click.echo("\n".join(todo))
    verdicts = {c.verdict for c in checks}
    if worst := 2 if "FAIL" in verdicts else 1 if "WARN" in verdicts else 0:
        raise SystemExit(worst)
