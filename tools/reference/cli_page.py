"""The page of all commands: ``python -m tools.reference.cli_page > docs/cli.md``.

Made from the commands themselves, so that the page cannot say anything else than ``--help``; a test
compares the two.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator
from typing import Final

import click

from carina_tasks.cli import COMMANDS, carina
from carina_tasks.cli.output import Command

HEAD: Final = """\
# Commands

Made by `python -m tools.reference.cli_page > docs/cli.md`; do not edit manually.

`celery -A carina_tasks carina COMMAND`, wherever Celery's other commands run: in a cluster put
`kubectl -n kube-system exec deploy/carina-tasks-control --` before it, or install the plugin
[`kubectl carina`](install.md#later) and type `kubectl carina COMMAND`. Each takes
`--help`.

- **Output.** Tables for users; in a terminal they fit its width. `-o json` for scripts, with the
  fields of the classes beside the flows, in `carina_tasks/flows/`, and nothing else on standard
  output.
- **The first line** of `status`, `failed`, `plan` and `doctor` is the verdict: its level, the
  reason, and what to type. `HEALTHY`: nothing is wrong, and any single node may fail. `AT RISK`:
  nothing is wrong, but the loss of one node would need you. `WORKING`: something is being repaired,
  and continues by itself. `DEGRADED`: something needs you. `STOPPED`: paused, or stopped by the
  mass-failure guard. `UNKNOWN`: the API server does not answer. `status -o json` has it as
  `verdict`. The level is coloured on a terminal, unless `NO_COLOR` is set.
- **Exit codes**, the same for all: 0 well or done, 1 something needs the operator, 2 the command
  could not look or act. Those of `status` follow the verdict: 0 for `HEALTHY`, `AT RISK` and
  `WORKING`, 1 for `DEGRADED` and `STOPPED`, 2 for `UNKNOWN`.
- **Whose data it is.** Tables show the claim and its pod first; `pvc-<uuid>` is a detail. Wherever
  a command takes a volume it takes `NAMESPACE/CLAIM`, `pod/NAMESPACE/NAME` or the volume's name,
  and shorter: a claim or a pod by its name alone, while only one is called so. Where it takes a
  node, a claim or a pod means the node that it is on. A word that may mean several things is an
  error that lists them as `pvc/NAMESPACE/CLAIM`, `pod/NAMESPACE/NAME`, `lv/NAME` or `node/NAME`;
  each of these can be typed.
- **Without a part.** `status`, `failed`, `doctor` say what they can while the broker is away, and
  what they cannot; `pause` and `resume` need the API server alone.
- **Completion** in the shell, for this and Celery's other commands: `eval
  "$(_CELERY_COMPLETE=bash_source celery)"` in `~/.bashrc`; `zsh_source` and `fish_source` for
  those. It runs `celery` at each tab, which takes a second.
- **Nodes' workers** in the profile *open* are seen by Celery's own commands too: `celery -A
  carina_tasks inspect carina_volumes -t 10` reports what `carina volumes NODE` reports, for all.
  In the profile *sealed* they answer to no `inspect`; `carina volumes` asks them over their queue,
  and works in both.
"""


def page() -> str:
    """Return the page, Markdown."""
    context = click.Context(carina, info_name="carina")
    every = dict(commands(context))
    rows = [
        f"| [`{name}`](#carina-{name.replace(' ', '-')}) | {c.get_short_help_str(200)} |"
        for name, c in every.items()
    ]
    parts = [HEAD, "| command | |\n|---|---|\n" + "\n".join(rows) + "\n"]
    parts += [
        _command(name, c) if isinstance(c, Command) else _group(name, c)
        for name, c in every.items()
    ]
    return "\n".join(parts)


def commands(context: click.Context) -> Iterator[tuple[str, click.Command]]:
    """Yield every command with its name, and after a group the commands in it."""
    for name in sorted(COMMANDS):
        command = carina.get_command(context, name)
        if command is not None:
            yield name, command
        if isinstance(command, click.Group):
            yield from (
                (f"{name} {word}", command.commands[word]) for word in sorted(command.commands)
            )


def _group(name: str, command: click.Command) -> str:
    return f"## carina {name}\n\n{inspect.cleandoc(command.help or '')}\n"


def _command(name: str, command: Command) -> str:
    context = click.Context(command, info_name=name)
    words = " ".join(command.collect_usage_pieces(context))
    lines = [
        f"## carina {name}\n",
        f"`celery -A carina_tasks carina {name} {words}`\n",
        inspect.cleandoc(command.help or "") + "\n",
    ]
    options = [
        r
        for p in command.get_params(context)
        if (r := p.get_help_record(context)) and r[1] and "--help" not in r[0]
    ]
    lines.append(
        "| option | |\n|---|---|\n"
        + "\n".join(f"| `{_cell(o)}` | {_cell(text)} |" for o, text in options)
        + "\n"
    )
    codes = "\n".join(f"| {code} | {_cell(text)} |" for code, text in command.exits.items())
    lines.append(f"| exit code | |\n|---|---|\n{codes}\n")
    lines.append(
        "```console\n" + "\n".join(f"$ {example}" for example in command.examples) + "\n```\n"
    )
    return "\n".join(lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    sys.stdout.write(page())
