"""Types of settings: how a variable's text is read, and its bounds."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from carina_tasks.errors import BadInput
from carina_tasks.model import names, quantity


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


def namespace(value: str) -> str:
    """Return the name of a namespace.

    Raises:
        ValueError: It pydantic reports.
    """
    try:
        return names.namespace_name(value)
    except BadInput as exc:
        raise ValueError(exc.message) from exc


def node_name(value: str) -> str:
    """Return the name of a node, or an empty text.

    Raises:
        ValueError: It pydantic reports.
    """
    try:
        return names.node_name(value) if value else value
    except BadInput as exc:
        raise ValueError(exc.message) from exc


NodeName = Annotated[str, AfterValidator(node_name)]


Namespace = Annotated[str, AfterValidator(namespace)]


DocsUrl = Annotated[str, Field(pattern=r"^(https?://[^\s]+)?$")]


Seconds = Annotated[float, Field(ge=0, le=86400)]


PositiveSeconds = Annotated[float, Field(gt=0, le=86400)]


Share = Annotated[float, Field(ge=0, le=1)]
