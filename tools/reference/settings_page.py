"""The page of all settings: ``python -m tools.reference.settings_page > docs/settings.md``.

Made from `settings.Settings`, so that the page cannot say anything else than the code; a test
compares the two.
"""

from __future__ import annotations

import inspect
import re
import sys
from dataclasses import asdict
from typing import Any, Final, Literal, get_args, get_origin

from carina_tasks.model import quantity
from carina_tasks.setting_types import Setting
from carina_tasks.settings import FIELDS, Settings

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
        rows = "\n".join(_row(name, FIELDS[name]) for name in names)
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
        elif (field := re.match(r"    (\w+):", line)) and field[1] in FIELDS:
            groups[-1][1].append(field[1])
    return groups


def _row(name: str, field: Setting) -> str:
    cells = (f"`{variable(name)}`", _value(name, field), _default(field), field.description)
    return "| " + " | ".join(_cell(cell) for cell in cells) + " |"


def variable(name: str) -> str:
    """Return the environment variable of the setting `name`."""
    return FIELDS[name].variable


def _value(name: str, field: Setting) -> str:
    if get_origin(field.type) is Literal:
        return " or ".join(f"`{value}`" for value in get_args(field.type))
    bounds = bounds_of(field)
    if field.type is float:
        return ("share of 1" if bounds.get("le") == 1 else "seconds") + _between(bounds)
    if field.type is int:
        unit = UNITS.get(name, "whole number")
        return unit if unit == "Kubernetes quantity" else unit + _between(bounds)
    if field.type is bool:
        return "true or false"
    return "text" if field.type is str else "list, comma separated"


def bounds_of(field: Setting) -> dict[str, Any]:
    """Return the bounds that a number has: ``gt``, ``ge``, ``le``."""
    found = asdict(field.bounds) if field.bounds else {}
    return {key: value for key, value in found.items() if value is not None}


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


def _default(field: Setting) -> str:
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
