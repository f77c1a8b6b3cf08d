"""The ``celery -A carina_tasks carina …`` commands.

Every ``celery`` command imports every plugin, so nothing is imported here but click and what Celery
itself has loaded already: a command's
module is imported when it is asked for.

``pause``        stop everything; works without a broker
``resume``       end a pause, or approve lost nodes after the mass-failure guard stopped
``maintenance``  a node's machine will be away: nothing of it is failed over meanwhile
``plan``         what the loss of a node would do; the old copies that it holds
``failback``     an old copy that a failover left on a node is the volume again
``rebuild``      one volume of a live node, new and empty elsewhere; confirmed by its name
``status``       pause, nodes and their workers, whether each may be lost, what is under way
``failed``       what needs the operator, and the command for it
``retry``        send again what failed
``history``      what happened to a volume or a node
``volumes``      what lvm2 on a node reports
``trash``        what the sweeps removed
``restore``      an LV comes back from the trash
``leave``        before an uninstall: nothing is under way, and nothing of ours stays
``doctor``       does everything that failover needs exist?
``output``       how the commands print and end
``where``        what an operator means by a claim, a pod, a volume or a node
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable
from typing import Any

import click
from celery.bin.result import result

COMMANDS = {
    "doctor": "carina_tasks.cli.doctor",
    "failback": "carina_tasks.cli.failback",
    "failed": "carina_tasks.cli.failed",
    "history": "carina_tasks.cli.history",
    "leave": "carina_tasks.cli.leave",
    "maintenance": "carina_tasks.cli.maintenance",
    "pause": "carina_tasks.cli.pause",
    "plan": "carina_tasks.cli.plan",
    "rebuild": "carina_tasks.cli.rebuild",
    "restore": "carina_tasks.cli.restore",
    "retry": "carina_tasks.cli.retry",
    "resume": "carina_tasks.cli.resume",
    "status": "carina_tasks.cli.status",
    "trash": "carina_tasks.cli.trash",
    "volumes": "carina_tasks.cli.volumes",
}


PATIENCE = 3
"""Seconds for which a command waits for each answer of the broker."""


class LazyGroup(click.Group):
    """A group whose commands are imported when they are asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of the commands."""
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return the command, or None when there is none of that name."""
        module = COMMANDS.get(cmd_name)
        command: click.Command | None = importlib.import_module(module).command if module else None
        return command


def _sentence_of_a_failure(command: click.Command) -> None:
    """Let `celery result ID` say why a task failed, in place of this command's stack trace.

    It is Celery's own command, and has no option for it.
    """
    show: Callable[..., Any] | None = command.callback
    if show is None:
        return

    @functools.wraps(show)
    def shown(*args: Any, **kwargs: Any) -> Any:
        context = click.get_current_context()
        try:
            if context.obj.app.AsyncResult(kwargs["task_id"]).state == "PENDING":
                click.echo(
                    f"no result of {kwargs['task_id']} is stored yet: waiting for it until Ctrl-C "
                    "(a mistyped id never has one, and results are kept for a day)",
                    err=True,
                )
            return show(*args, **kwargs)
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except Exception as exc:
            # Whatever the task or the broker raised: the exception is the answer here.
            text = " ".join(str(exc).split()) or "it gives no reason"
            raise click.ClickException(
                f"{type(exc).__name__}: {text} (where: the same command with --traceback)"
            ) from exc

    command.callback = shown


_sentence_of_a_failure(result)


@click.group(cls=LazyGroup)
def carina() -> None:
    """Look at and steer the failover of Carina's local volumes."""
    from carina_tasks import settings
    from carina_tasks.cli.output import CouldNot
    from carina_tasks.errors import CarinaTasksError
    from carina_tasks.observability import logs

    # Standard output is the answer, perhaps JSON: what is recorded beside it goes to standard
    # error.
    conf = settings.current()
    audit = "stderr" if conf.audit_log in logs.STREAMS else conf.audit_log
    try:
        logs.configure(conf.log_format, "warning", audit, conf.secrets)
    except CarinaTasksError as exc:
        raise CouldNot(exc.message) from exc
    _be_impatient()


def _be_impatient() -> None:
    """Shorten the timeouts of the broker for a command.

    A command waits a few seconds, a worker ten.
    """
    from carina_tasks.celery import app

    app.conf.redis_socket_timeout = PATIENCE
    app.conf.broker_transport_options = {
        **app.conf.broker_transport_options,
        "socket_timeout": PATIENCE,
    }
