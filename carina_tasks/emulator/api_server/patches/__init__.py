"""The four ways to change an object by a patch.

``apply``         server-side apply: create or merge, with field owners and conflicts
``fields``        who owns which field: `metadata.managedFields`
``json_patch``    JSON patch (RFC 6902)
``keys``          which lists are merged, and by which key (the API's `patchMergeKey`)
``last_applied``  the way from `kubectl apply` to `kubectl apply --server-side`
``merge``         JSON merge patch (RFC 7396)
``strategic``     strategic merge patch, for built-in kinds
"""

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
