"""Types of settings: how a variable's text is read, and its bounds."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import (
    Field,
)

from carina_tasks.errors import BadInput
from carina_tasks.model import quantity


def words(value: Any) -> Any:
    """Return the words of a text that are separated by commas or blanks."""
    return (
        tuple(word for word in re.split(r"[,\s]+", value) if word)
        if isinstance(value, str)
        else value
    )


def size(value: Any) -> Any:
    """Return a Kubernetes quantity in bytes.

    Raises:
        ValueError: It pydantic reports.
    """
    try:
        return 0 if value in (0, "0") else quantity.to_bytes(value)
    except BadInput as exc:
        raise ValueError(exc.message) from exc


Seconds = Annotated[float, Field(ge=0, le=86400)]


PositiveSeconds = Annotated[float, Field(gt=0, le=86400)]


Share = Annotated[float, Field(ge=0, le=1)]
