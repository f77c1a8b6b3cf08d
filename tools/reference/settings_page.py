"""The page of all settings: ``python -m tools.reference.settings_page > docs/settings.md``.

Made from `settings.Settings`, so that the page cannot say anything else than the code; a test
compares the two.
"""

from __future__ import annotations

import inspect
import re
import sys
from typing import Any, Final, Literal, get_args, get_origin

from pydantic.fields import FieldInfo

from carina_tasks.environment import PREFIX
from carina_tasks.model import quantity
from carina_tasks.settings import Settings

UNITS: Final = {
    "answer_limit": "bytes",
    "node_memory": "Kubernetes quantity",
    "node_connections": "connections",
    "enrolment_rate": "enrolments",
    "enrolment_port": "port",
    "orphan_limit": "local volumes",
    "concurrency": "volumes",
    "page_size": "objects",
    "reserve": "Kubernetes quantity",
}
"""Units that the type alone does not tell."""

HEAD: Final = """\
# Settings

Made by `python -m tools.reference.settings_page > docs/settings.md`; do not edit manually.

Every setting is an environment variable. All of them are checked before a process starts. A wrong
value, and a `CARINA_TASKS_` variable that is no setting, end the process with one line that names
the variable.

Set them alike for all processes. Two of them are a process's own: `NODE_NAME` (its presence makes a
process a node worker) and the metrics port. One more variable is read, by the Kubernetes client:
`KUBECONFIG`, a file. Without it `~/.kube/config` is tried, then the ServiceAccount of the pod. Node
workers, beat and Flower need neither.
"""


def page() -> str:
    """Return the page, Markdown."""
    parts = [HEAD]
    for title, names in _groups():
        rows = "\n".join(_row(name, Settings.model_fields[name]) for name in names)
        parts.append(
            f"## {title[0].upper()}{title[1:]}\n\n| variable | value | default | what it is, and "
            f"why this default |\n|---|---|---|---|\n{rows}\n"
        )
    return "\n".join(parts)


def _groups() -> list[tuple[str, list[str]]]:
    """Return the settings under the headings of their classes' source, in its order."""
    groups: list[tuple[str, list[str]]] = []
    classes = [c for c in reversed(Settings.__mro__) if c.__module__.startswith("carina_tasks")]
    for line in "".join(map(inspect.getsource, classes)).splitlines():
        if heading := re.fullmatch(r"    # --- (.+) ---", line):
            groups.append((heading[1], []))
        elif (field := re.match(r"    (\w+):", line)) and field[1] in Settings.model_fields:
            groups[-1][1].append(field[1])
    return groups


def _row(name: str, field: FieldInfo) -> str:
    cells = (f"`{variable(name)}`", _value(name, field), _default(field), field.description or "")
    return "| " + " | ".join(_cell(cell) for cell in cells) + " |"


def variable(name: str) -> str:
    """Return the environment variable of the setting `name`."""
    choices = getattr(Settings.model_fields[name].validation_alias, "choices", None)
    return str(choices[0]) if choices else PREFIX + name.upper()


def _value(name: str, field: FieldInfo) -> str:
    if get_origin(field.annotation) is Literal:
        return " or ".join(f"`{value}`" for value in get_args(field.annotation))
    bounds = _bounds(field)
    if field.annotation is float:
        return ("share of 1" if bounds.get("le") == 1 else "seconds") + _between(bounds)
    if field.annotation is int:
        unit = UNITS.get(name, "whole number")
        return unit if unit == "Kubernetes quantity" else unit + _between(bounds)
    if field.annotation is bool:
        return "true or false"
    return "text" if field.annotation is str else "list, comma separated"


def _bounds(field: FieldInfo) -> dict[str, Any]:
    return {
        key: getattr(item, key)
        for item in field.metadata
        for key in ("gt", "ge", "le")
        if hasattr(item, key)
    }


def _between(bounds: dict[str, Any]) -> str:
    low = (
        f"above {bounds['gt']}"
        if "gt" in bounds
        else f"{bounds['ge']} or more"
        if "ge" in bounds
        else ""
    )
    if "le" in bounds:
        low = low.removesuffix(" or more") + f" to {bounds['le']}"
    return f", {low}" if low else ""


def _default(field: FieldInfo) -> str:
    value = field.default
    if value == "":
        return "none"
    if isinstance(value, tuple):
        return f"`{','.join(value)}`"
    if isinstance(value, float):
        return f"`{value:g}`"
    if isinstance(value, int) and value and value % quantity.GIB == 0:
        return f"`{quantity.show(value)}`"
    return f"`{value}`"


def _cell(text: str) -> str:
    # A table ends a cell at a bar; a bare `<node>` would be taken for HTML.
    return text.replace("|", "\\|").replace("<", "&lt;")


if __name__ == "__main__":
    sys.stdout.write(page())
