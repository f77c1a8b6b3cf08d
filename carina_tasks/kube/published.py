"""The object FailoverStatus: control workers write it, whoever may view the namespace reads it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from carina_tasks.errors import ApiDenied, ApiUnavailable, NotFound
from carina_tasks.kube import paths
from carina_tasks.kube.api import Api
from carina_tasks.model import published

GROUP = "tasks.carina.storage.io"


class PublishedStatus:
    """Reads and writes the object."""

    def __init__(self, api: Api, namespace: str) -> None:
        self._api, self._namespace = api, namespace

    def read(self) -> Mapping[str, Any]:
        """Return what was written last; empty when nothing was.

        Raises:
            ApiUnavailable: The API server did not answer.
            ApiDenied: It may not be read, or the CustomResourceDefinition is missing.
        """
        try:
            found = self._api.get(paths.failover_status(self._namespace, published.NAME))
        except NotFound:
            return {}
        except ApiUnavailable as exc:
            # A kind that is not served looks like any other 404 that names no object.
            if self.served():
                raise
            raise ApiDenied(
                "the status cannot be published: the API server has no kind FailoverStatus; "
                "kubectl apply -f deploy/crds/failoverstatuses.yaml"
            ) from exc
        status = found.get("status")
        return status if isinstance(status, dict) else {}

    def served(self) -> bool:
        """Return whether the API server has the kind.

        Raises:
            ApiUnavailable: The API server did not answer.
        """
        groups = self._api.get(paths.GROUPS).get("groups") or ()
        return any(group.get("name") == GROUP for group in groups)

    def write(self, status: Mapping[str, Any]) -> None:
        """Write `status` in place of what was there.

        It has every key, so that a merge patch leaves nothing of the one before.

        Raises:
            ApiUnavailable: The API server did not answer.
            ApiDenied: It may not be written.
        """
        try:
            self._api.merge(
                paths.failover_status(self._namespace, published.NAME), {"status": status}
            )
        except NotFound:
            body = {
                "apiVersion": f"{GROUP}/v1",
                "kind": "FailoverStatus",
                "metadata": {"name": published.NAME},
                "status": status,
            }
            self._api.create(paths.failover_statuses(self._namespace), body)
