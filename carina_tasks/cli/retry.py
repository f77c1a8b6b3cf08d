"""``celery -A carina_tasks carina retry``."""

from __future__ import annotations

import click
import msgspec.structs
from kombu.exceptions import OperationalError

from carina_tasks.celery import app
from carina_tasks.cli import failed
from carina_tasks.cli.output import (
    NEEDS_A_PERSON,
    Command,
    as_json,
    one_line_errors,
    output_option,
    table,
)
from carina_tasks.decisions.whose import detailed
from carina_tasks.errors import BrokerUnavailable
from carina_tasks.flows.report.retry import Retry, retry, retry_all
from carina_tasks.runtime.context import context
from carina_tasks.store import task_results, trouble


@click.command(
    "retry",
    cls=Command,
    exits={
        0: "all was sent",
        1: "something was not; the reason is printed",
        2: "nothing could be: paused, stopped, or the broker or the API server is away",
    },
    examples=(
        "celery -A carina_tasks carina retry default/data-mysql-0",
        "celery -A carina_tasks carina retry 10.20.9.154",
        "celery -A carina_tasks carina retry --all",
    ),
)
@click.argument(
    "target", required=False, metavar="[NAMESPACE/CLAIM | pod/NAMESPACE/NAME | NODE | TASK-ID]"
)
@click.option("--all", "everything", is_flag=True, help="Whatever `carina failed` shows.")
@output_option
@one_line_errors
def command(target: str | None, everything: bool, output: str) -> None:
    """Send the task that resumes a claim or a pod or a volume or a node, or a task by its id.

    The objects are read again and say what there is to do; a stored message is never sent again.
    What is sent is safe to send: the task looks for itself.
    """
    if bool(target) == everything:
        raise click.UsageError("name a task, a claim, a pod, a volume or a node, or say --all")

    def look_up(task_id: str) -> task_results.TaskResult | None:
        return task_results.one(app, task_id)

    if target:
        retries = retry(context(), target, look_up)
    else:
        retries = retry_all(context(), failed.look(), look_up)
    sent = tuple(_send(one) if one.task else one for one in retries)
    if output == "json":
        click.echo(as_json(sent))
    elif sent:
        rows = [
            (
                one.claim or one.target,
                " ".join((one.task, *one.args)) or "-",
                one.id or "not sent",
                detailed(one.reason, one.target if one.claim else ""),
            )
            for one in sent
        ]
        click.echo(table(("TARGET", "TASK", "ID", "REASON"), rows))
        if any(one.id for one in sent):
            click.echo("\nThe result, when it is there: celery -A carina_tasks result ID")
    else:
        click.echo("nothing to retry")
    if not all(one.id for one in sent):
        raise SystemExit(NEEDS_A_PERSON)


def _send(one: Retry) -> Retry:
    app.loader.import_default_modules()
    try:
        answer = app.tasks[one.task].apply_async(one.args, retry_policy={"max_retries": 1})
    except (OperationalError, OSError) as exc:
        raise BrokerUnavailable(f"the broker takes no message: {trouble.of_app(app, exc)}") from exc
    return msgspec.structs.replace(one, id=answer.id)
