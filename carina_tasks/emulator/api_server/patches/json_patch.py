"""JSON patch (RFC 6902)."""

from __future__ import annotations

from typing import Any

import jsonpatch
import jsonpointer

from ..errors import JSON, StatusError, bad_request
from ..store import clone

_REJECTED = "the server rejected our request due to an error in our request"


def json_patch(target: JSON, operations: Any) -> JSON:
    """Return `target` with the operations applied.

    StatusError 422 when one of them does not fit, a failed test too.
    """
    if not isinstance(operations, list):
        raise bad_request("error decoding patch: a JSON patch is a list of operations")
    try:
        patched = jsonpatch.apply_patch(clone(target), operations)
    except jsonpatch.InvalidJsonPatch as error:
        raise bad_request(f"error decoding patch: {error}") from error
    except (jsonpatch.JsonPatchException, jsonpointer.JsonPointerException) as error:
        raise StatusError(422, "Invalid", _REJECTED, {}) from error
    if not isinstance(patched, dict):
        raise StatusError(422, "Invalid", _REJECTED, {})
    return patched
