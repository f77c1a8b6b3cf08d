"""HTTP responses of the API server, as lists and as errors of ours."""

from __future__ import annotations

import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import quote

from carina_tasks.errors import (
    AlreadyExists,
    ApiConflict,
    ApiDenied,
    ApiGone,
    ApiInvalid,
    ApiUnauthorized,
    ApiUnavailable,
    CarinaTasksError,
    NotFound,
)

MERGE = "application/merge-patch+json"


DRY_RUN = {"dryRun": "All"}


NO_DRY_RUN = "does not support dry run"
"""What the API server answers, with a 400, about a webhook whose sideEffects are Some or
Unknown.
"""


def error_of(
    path: str, status: int, reason: str, details: Mapping[str, Any]
) -> type[CarinaTasksError]:
    """Return the error that an HTTP status stands for.

    Args:
        path: Path of the object in the API.
        status: The HTTP status.
        reason: The ``reason`` of the Status object in the response.
        details: The ``details`` of the Status object.
    """
    if status == 404:
        # Absence is only what the API server answers for this object: a proxy's 404, or one
        # because the CRD is not installed, names no object and must never look like a volume
        # without an owner.
        wanted = path.rstrip("/").removesuffix("/status").rsplit("/", 1)[-1]
        return (
            NotFound if reason == "NotFound" and details.get("name") == wanted else ApiUnavailable
        )
    if status == 409:
        return AlreadyExists if reason == "AlreadyExists" else ApiConflict
    if status == 410:
        return ApiGone
    if status == 401:
        return ApiUnauthorized
    if status == 403:
        return ApiDenied
    if status == 422 and any(
        isinstance(c, dict) and c.get("field") == "metadata.uid"
        for c in details.get("causes") or ()
    ):
        # A UID in a patch is a precondition, and the API server calls its failure "Invalid: field
        # is immutable": the name belongs to another object now.
        return ApiConflict
    if status in (400, 413, 415, 422):
        return ApiInvalid
    return ApiUnavailable


def list_of(path: str, page: dict[str, Any]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return metadata and items of a page of a list."""
    meta, items = page.get("metadata"), page.get("items")
    if not str(page.get("kind", "")).endswith("List") or not isinstance(meta, dict):
        raise ApiUnavailable(f"GET {path}: the answer is not a list")
    if items is None:
        items = []  # Go writes an empty slice as null.
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise ApiUnavailable(f"GET {path}: the list has no items")
    return meta, items


def date_of(header: str | None) -> float:
    """Return the header Date in seconds since the epoch, or our own clock without one."""
    try:
        return parsedate_to_datetime(header).timestamp() if header else time.time()
    except ValueError:
        return time.time()


def retry_after(status: int, header: str | None) -> float | None:
    """Return the seconds after which a request that was not let in is worth another try.

    None for any other answer, and without a number (API priority and fairness always sends one).

    Args:
        status: The HTTP status.
        header: The header Retry-After, seconds as text.
    """
    return float(header) if status == 429 and header and header.isdecimal() else None


def segment(name: str) -> str:
    """Return `name` as one segment of a path."""
    return quote(name, safe="")
