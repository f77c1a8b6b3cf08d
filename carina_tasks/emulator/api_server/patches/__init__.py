"""The four ways to change an object by a patch."""

from .apply import server_side_apply
from .fields import track_update
from .json_patch import json_patch
from .merge import merge_patch
from .strategic import strategic_merge

APPLY = "application/apply-patch+yaml"
JSON_PATCH = "application/json-patch+json"
MERGE = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"

__all__ = [
    "APPLY",
    "JSON_PATCH",
    "MERGE",
    "STRATEGIC",
    "json_patch",
    "merge_patch",
    "server_side_apply",
    "strategic_merge",
    "track_update",
]
