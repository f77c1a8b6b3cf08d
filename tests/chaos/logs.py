"""The log of a product process."""

from __future__ import annotations

from tests.lab.lab import Lab


def product_log(lab: Lab) -> str:
    """Return what the control worker said of planning again."""
    text = "\n".join(lab.logs(400).values())
    return "\n".join(line for line in text.splitlines() if "planned again" in line)
