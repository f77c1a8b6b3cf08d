"""Whose token is this? The API server's TokenReview, and the node that the token names."""

from __future__ import annotations

from typing import Any, Final

from carina_tasks.errors import NotFound
from carina_tasks.kube import paths
from carina_tasks.kube.api import Api, Raw

REVIEWS: Final = "/apis/authentication.k8s.io/v1/tokenreviews"


def review(api: Api, token: str, audience: str) -> dict[str, Any]:
    """Return the ``status`` of the TokenReview of `token` for `audience`.

    Args:
        api: The client of the API server.
        token: The token.
        audience: Who it must be made for.

    Raises:
        ApiUnavailable: The API server does not answer.
        ApiDenied: We may create no TokenReviews.
    """
    body = {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenReview",
        "spec": {"token": token, "audiences": [audience]},
    }
    status = api.create(REVIEWS, body).get("status")
    return status if isinstance(status, dict) else {}


def node_uid(api: Api, name: str) -> str | None:
    """Return the UID of a node; None when the API server says that there is none of that name.

    Raises:
        ApiUnavailable: The API server does not answer.
    """
    try:
        return _uid(api.get(paths.node(name)))
    except NotFound:
        return None


def node_uids(api: Api) -> dict[str, str]:
    """Return the UID of every node, by name.

    Raises:
        ApiUnavailable: The API server does not answer with a whole list.
    """
    found = (one.get("metadata") or {} for one in api.list(paths.NODES).items)
    return {str(meta.get("name")): str(meta.get("uid") or "") for meta in found}


def pod(api: Api, namespace: str, name: str) -> tuple[str, str] | None:
    """Return UID and node of a pod; None when there is none of that name.

    Args:
        api: The client of the API server.
        namespace: Its namespace.
        name: Its name.

    Raises:
        ApiUnavailable: The API server does not answer.
    """
    try:
        found = api.get(paths.pod(namespace, name))
    except NotFound:
        return None
    return _uid(found), str((found.get("spec") or {}).get("nodeName") or "")


def _uid(raw: Raw) -> str:
    return str((raw.get("metadata") or {}).get("uid") or "")
