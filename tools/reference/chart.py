"""The generated parts of the Helm chart: ``python -m tools.reference.chart`` writes them.

`settings` in values.schema.json is made from `settings.Settings`, so that the chart takes what a
process takes and no more; the table in README.md is made from values.yaml. A test compares both.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Final, Literal, get_args, get_origin

import yaml

from carina_tasks.setting_types import Setting
from carina_tasks.settings import FIELDS
from tools.reference import settings_page

CHART: Final = Path(__file__).parents[2] / "deploy" / "helm" / "carina-tasks"
SCHEMA: Final = CHART / "values.schema.json"
README: Final = CHART / "README.md"
VALUES: Final = CHART / "values.yaml"

BY_THE_CHART: Final = {
    "broker_url": "the Secret broker.existingSecret",
    "broker_ca": "broker.ca",
    "broker_master_name": "broker.sentinel.masterName",
    "sentinel_user": "broker.sentinel.user",
    "sentinel_password": "broker.sentinel.existingSecret",
    "broker_certificate": "broker.clientCertificate",
    "broker_key": "broker.clientCertificate",
    "node_name": "the node of the pod",
    "node_profile": "node.credentials",
    "lvm_command": "node.lvmCommand",
    "zero_command": "node.zeroCommand",
    "namespace": "the namespace of the release",
    "metrics_port": "fixed",
    "enrolment_url": "node.credentials",
    "enrolment_ca": "enrolment.tls",
    "enrolment_token_file": "fixed",
    "enrolment_port": "fixed",
    "enrolment_certificate": "enrolment.tls",
    "enrolment_private_key": "enrolment.tls",
    "enrolment_master_key": "enrolment.existingSecret",
    "enrolment_broker_url": "enrolment.brokerUrl",
    "enrolment_audience": "fixed",
    "enrolment_account": "fixed",
}
"""Settings that the chart sets itself, and from what."""

QUANTITY: Final = {"type": ["integer", "string"], "pattern": "^[0-9]+([.][0-9]+)?[A-Za-z]*$"}
"""A number of bytes, or a Kubernetes quantity; the process checks the suffix."""

BEGIN, END = "<!-- values: made by python -m tools.reference.chart -->", "<!-- end of values -->"


def settings_schema() -> dict[str, Any]:
    """Return the JSON schema of the chart's `settings`."""
    return {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            settings_page.variable(name).removeprefix("CARINA_TASKS_"): _setting(field)
            for name, field in FIELDS.items()
            if name not in BY_THE_CHART
        },
    }


def _setting(field: Setting) -> dict[str, Any]:
    described = {"description": field.description}
    if settings_page.UNITS.get(field.name) == "Kubernetes quantity":
        return QUANTITY | described
    if get_origin(field.type) is tuple:
        # The process reads a list from a text with commas.
        return {
            "type": ["array", "string"],
            "items": {"type": "string"},
            "minItems": 1,
        } | described
    if get_origin(field.type) is Literal:
        return {"type": "string", "enum": list(get_args(field.type))} | described
    bounds = settings_page.bounds_of(field)
    limits = {word: bounds[key] for key, word in BOUNDS.items() if key in bounds}
    return {"type": TYPES[field.type], **limits} | described


TYPES: Final = {str: "string", bool: "boolean", int: "integer", float: "number"}
BOUNDS: Final = {"ge": "minimum", "le": "maximum", "gt": "exclusiveMinimum"}


def schema() -> str:
    """Return values.schema.json with its `settings` made anew."""
    whole = json.loads(SCHEMA.read_text())
    whole["properties"]["settings"] = settings_schema()
    return json.dumps(whole, indent=2, ensure_ascii=False) + "\n"


def readme() -> str:
    """Return README.md with its table made anew."""
    text = README.read_text()
    head, tail = text.split(BEGIN)[0], text.split(END)[1]
    return f"{head}{BEGIN}\n{table()}{END}{tail}"


def table() -> str:
    """Return every value with its default and its description, a Markdown table.

    Raises:
        ValueError: A value has no description in values.yaml.
    """
    rows = ["| value | default | what it is |", "|---|---|---|"]
    described = descriptions(VALUES.read_text())
    for path, default in leaves(yaml.safe_load(VALUES.read_text())):
        if path not in described:
            raise ValueError(f"values.yaml does not describe {path} (a comment `# -- …` before it)")
        shown = json.dumps(default, ensure_ascii=False).replace("|", "\\|")
        text = f"`{shown}`" if len(shown) < 60 else "see values.yaml"
        rows.append(f"| `{path}` | {text} | {described[path]} |")
    return "\n".join(rows) + "\n"


def leaves(values: dict[str, Any], before: str = "") -> list[tuple[str, Any]]:
    """Return the path and the default of every value; what a description stands before is one.

    Args:
        values: The values, or a part of them.
        before: Path of that part, with a dot at its end.
    """
    described, found = descriptions(VALUES.read_text()), []
    for key, value in values.items():
        if isinstance(value, dict) and value and before + key not in described:
            found += leaves(value, f"{before}{key}.")
        else:
            found.append((before + key, value))
    return found


def descriptions(text: str) -> dict[str, str]:
    """Return the comments `# -- …` of values.yaml by the path of the value that they stand before.

    A comment goes on in the lines below it.
    """
    found: dict[str, str] = {}
    path: list[tuple[int, str]] = []
    comment: list[str] = []
    for line in text.splitlines():
        if said := re.fullmatch(r"\s*# (-- )?(.*)", line):
            comment = [said[2]] if said[1] else [*comment, said[2]] if comment else []
        elif key := re.match(r"( *)([A-Za-z_]+):", line):
            path = [one for one in path if one[0] < len(key[1])] + [(len(key[1]), key[2])]
            if comment:
                found[".".join(name for _, name in path)] = " ".join(comment)
            comment = []
        else:
            comment = []
    return found


if __name__ == "__main__":
    for file, text in ((SCHEMA, schema()), (README, readme())):
        file.write_text(text)
