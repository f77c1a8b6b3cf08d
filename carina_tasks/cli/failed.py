"""``celery -A carina_tasks carina failed``."""

from __future__ import annotations

import click

from carina_tasks.celery import app
from carina_tasks.cli.output import (
    NEEDS_A_PERSON,
    Command,
    as_json,
    one_line_errors,
    output_option,
    show_verdict,
    table,
)
from carina_tasks.decisions.whose import detailed
from carina_tasks.errors import BrokerUnavailable
from carina_tasks.flows.report.problem import ProblemsResult
from carina_tasks.flows.report.problems import find_problems
from carina_tasks.model.times import age
from carina_tasks.runtime.context import context
from carina_tasks.store import task_results


@click.command(
    "failed",
    cls=Command,
    exits={
        0: "nothing needs the operator",
        1: "something does",
        2: "the API server could not be asked",
    },
    examples=(
        "celery -A carina_tasks carina failed",
        "celery -A carina_tasks carina failed -o json | jq -r '.findings[].what'",
    ),
)
@output_option
@one_line_errors
def command(output: str) -> None:
    """Show what needs the operator.

    Refused and failed work, with the reason, since when, and what to type.

    The API server and the nodes are asked now. Task results in the broker add the failures of tasks
    whose last run failed. Without the broker it reports what it can.
    """
    found = look()
    if output == "json":
        click.echo(as_json(found))
    else:
        _show(found)
    for line in found.unknown if output != "json" else ():
        click.echo(f"not known: {line}", err=True)
    if found.need_a_person:
        raise SystemExit(NEEDS_A_PERSON)


def _show(found: ProblemsResult) -> None:
    show_verdict(found.verdict)
    if not found.findings:
        return
    rows = [
        (
            f.claim or f.what,
            f.pod or "-",
            f.node or "-",
            f.kind,
            age(found.now - f.since) if f.since else "-",
            detailed(f.reason, f.what) if f.claim else f.reason,
        )
        for f in found.findings
    ]
    click.echo("\n" + table(("WHAT", "POD", "NODE", "KIND", "SINCE", "REASON"), rows))
    if todo := dict.fromkeys(f"  {f.do}" for f in found.findings if f.do):
        click.echo("\nWhat to type or to do:")
        click.echo("\n".join(todo))


def look() -> ProblemsResult:
    """Return what needs the operator, with what the broker knows when it answers."""
    try:
        results, cut = task_results.recent(app)
    except BrokerUnavailable:
        return find_problems(context(), None)
    found = find_problems(context(), results)
    if not cut:
        return found
    return ProblemsResult(
        found.now,
        found.findings,
        (*found.unknown, f"task results beyond the first {task_results.MOST}"),
    )
