"""The object FailoverStatus: control workers write it, whoever may view the namespace reads it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from carina_tasks.errors import ApiDenied, NotFound
from carina_tasks.kube import paths
from carina_tasks.kube.api import Api
from carina_tasks.model import published

KIND = "FailoverStatus"
VERSION = "tasks.carina.storage.io/v1"


class PublishedStatus:
    """Reads and writes the object."""

    def __init__(self, api: Api, namespace: str) -> None:
        self._api, self._namespace = api, namespace

    def read(self) -> Mapping[str, Any]:
        """Return what was written last; empty when nothing was.

        Raises:
            ApiUnavailable: The API server did not answer.
            ApiDenied: It may not be read.
        """
        try:
            found = self._api.get(paths.failover_status(self._namespace, published.NAME))
        except NotFound:
            return {}
        status = found.get("status")
        return status if isinstance(status, dict) else {}

    def write(self, status: Mapping[str, Any]) -> None:
        """Write `status` in place of what was there.

        It has every key, so that a merge patch leaves nothing of the one before.

        Raises:
            ApiUnavailable: The API server did not answer.
            ApiDenied: It may not be written, or the CustomResourceDefinition is missing.
        """
        try:
            self._api.merge(
                paths.failover_status(self._namespace, published.NAME), {"status": status}
            )
        except NotFound:
            self._create(status)

    def _create(self, status: Mapping[str, Any]) -> None:
        body = {
            "apiVersion": VERSION,
            "kind": KIND,
            "metadata": {"name": published.NAME},
            "status": status,
        }
        try:
            self._api.create(paths.failover_statuses(self._namespace), body)
        except NotFound as exc:
            raise ApiDenied(
                "the status cannot be published: the API server has no kind FailoverStatus; "
                "kubectl apply -f deploy/crds/failoverstatuses.yaml"
            ) from exc
