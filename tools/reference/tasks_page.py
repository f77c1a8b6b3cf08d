"""The page of all tasks: ``python -m tools.reference.tasks_page > docs/tasks.md``.

Made from the tasks as Celery has them registered and from the types of their arguments and results,
so that the page cannot say anything else than the code; a test compares the two.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import itertools
import re
import sys
import textwrap
import typing
from typing import Any, Final

import msgspec
from celery import Task
from msgspec import inspect as kinds

from carina_tasks import queues
from carina_tasks.celery import TASK_MODULES, app
from carina_tasks.model import messages
from carina_tasks.tasks.base import NodeTask

HEAD: Final = """\
# Tasks

Made by `python -m tools.reference.tasks_page > docs/tasks.md`; do not edit manually.

Arguments and results are JSON. A task is called by its name (`celery -A carina_tasks call NAME
--args '["…"]'`), from `celery -A carina_tasks shell` by its function, or by beat. A task that fails
ends with one line that gives the reason; errors that may pass (the API server or the broker is
away) are retried five times with growing pauses first. Control tasks can be called at any time,
twice, and late: each reads the objects again and does only what is left to do.

In the shell and in a notebook a result prints as tables, and its fields are there by name:
`plan("n1")` asks in this process, `plan.delay("n1").get()` in a control worker;
`_.volumes[0].target` and `_["volumes"][0]["target"]` are the same. A call with wrong arguments
fails at the call, before anything is sent. Pods, scripts and `celery call` get the same answer from
the worker.

Control workers send the tasks of a node's queue. The operator may send an inventory. Never put the
others on a queue manually: they do as they are asked, and only the control task knows why.
"""


def page() -> str:
    """Return the page, Markdown."""
    shown: dict[str, type[msgspec.Struct]] = {}
    parts = [HEAD]
    parts += [_task(task, shown) for task in tasks().values()]
    parts.append(
        "## Shapes\n\nSizes are bytes. Times are seconds since the epoch. A field with a default "
        "may be left out, and results of control tasks leave it out when it has that value.\n"
    )
    done: set[str] = set()
    while left := [struct for name, struct in sorted(shown.items()) if name not in done]:
        # Describing one may name others.
        for struct in left:
            done.add(struct.__name__)
            parts.append(_shape(struct, shown))
    return "\n".join(parts)


def tasks() -> dict[str, Task]:
    """Return our tasks by name, those of control workers first."""
    for module in TASK_MODULES["control"]:
        importlib.import_module(module)
    app.finalize()
    ours = [task for name, task in app.tasks.items() if name.startswith("carina.")]
    return {
        task.name: task
        for task in sorted(ours, key=lambda task: (isinstance(task, NodeTask), task.name))
    }


def _task(task: Task, shown: dict[str, type[msgspec.Struct]]) -> str:
    hints = typing.get_type_hints(task.run)
    doc, _, example = (inspect.getdoc(task.run) or "").partition("\n>>> ")
    for word in re.findall(r"`(\w+)`", doc):
        if isinstance(struct := getattr(messages, word, None), type) and issubclass(
            struct, msgspec.Struct
        ):
            shown[word] = struct
            doc = doc.replace(f"`{word}`", f"[`{word}`](#{word.lower()})")
    queue = f"`{queues.NODE_PREFIX}<name>`" if isinstance(task, NodeTask) else f"`{queues.CONTROL}`"
    lines = [
        f"## {task.name}\n",
        f"{doc.strip().replace('``', '`')}\n",
        f"- queue: {queue}",
        f"- function: `{task.run.__name__}`, in `{_file(task)}`",
        f"- arguments: {_arguments(task)}",
        f"- expires: {_expires(task)}",
        f"- result: {_kind(kinds.type_info(hints['return']), shown)}",
    ]
    if example:
        call, *result = (
            line.split("  # doctest")[0].rstrip() for line in example.strip().splitlines()
        )
        lines.append(
            "\n```python\n" + "\n".join([f">>> {call}" if result else call, *result]) + "\n```"
        )
    return "\n".join(lines) + "\n"


def _file(task: Task) -> str:
    return str(task.run.__module__).replace(".", "/") + ".py"


def _arguments(task: Task) -> str:
    parameters = inspect.signature(task.run).parameters.values()
    named = [
        f"`{p.name}`"
        + ("" if p.default is p.empty else f" (default {msgspec.json.encode(p.default).decode()})")
        for p in parameters
    ]
    return ", ".join(named) or "none"


def _expires(task: Task) -> str:
    if isinstance(task, NodeTask):
        return (
            "with the deadline of the caller (`CARINA_TASKS_NODE_DEADLINE`, more for a large batch)"
        )
    return f"after {task.expires} s on the queue, also when it is sent by `celery call`"


def _shape(struct: type[msgspec.Struct], shown: dict[str, type[msgspec.Struct]]) -> str:
    info = typing.cast(kinds.StructType, kinds.type_info(struct))
    docs = _field_docs(struct)
    rows = [
        f"| `{field.name}` | {_kind(field.type, shown)} | {_default(field)} | "
        f"{docs.get(field.name, '')} |"
        for field in info.fields
    ]
    doc = " ".join((inspect.getdoc(struct) or "").split()).replace("``", "`")
    return (
        f"### {struct.__name__}\n\n{doc}\n\n| field | type | default | |\n|---|---|---|---|\n"
        + "\n".join(rows)
        + "\n"
    )


def _kind(kind: Any, shown: dict[str, type[msgspec.Struct]]) -> str:
    match kind:
        case kinds.StructType():
            shown[kind.cls.__name__] = kind.cls
            return f"[`{kind.cls.__name__}`](#{kind.cls.__name__.lower()})"
        case kinds.VarTupleType() | kinds.ListType():
            return f"list of {_kind(kind.item_type, shown)}"
        case kinds.LiteralType():
            return ", ".join(f"`{value}`" for value in kind.values)
        case kinds.UnionType():
            return " or ".join(_kind(each, shown) for each in kind.types)
        case kinds.Metadata():
            return _kind(kind.type, shown)
    words: dict[Any, str] = {
        kinds.StrType: "text",
        kinds.IntType: "whole number",
        kinds.BoolType: "true or false",
        kinds.NoneType: "null",
    }
    return words[type(kind)]


def _default(field: Any) -> str:
    if field.required:
        return "required"
    return f"`{msgspec.json.encode(field.default).decode()}`"


def _field_docs(struct: type[msgspec.Struct]) -> dict[str, str]:
    """Return the string that stands below each field in the source.

    Python itself does not keep it.
    """
    body = typing.cast(
        ast.ClassDef, ast.parse(textwrap.dedent(inspect.getsource(struct))).body[0]
    ).body
    docs = {}
    for field, below in itertools.pairwise(body):
        match field, below:
            case (
                ast.AnnAssign(target=ast.Name(id=name)),
                ast.Expr(value=ast.Constant(value=str(text))),
            ):
                docs[name] = (
                    " ".join(inspect.cleandoc(text).split()).replace("``", "`").replace("<", "&lt;")
                )
    return docs


if __name__ == "__main__":
    sys.stdout.write(page())
