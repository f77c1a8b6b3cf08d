"""Kubernetes Events: what ``kubectl describe`` shows to people.

One Event for each object, reason and message; said again, its count goes up. Writing one never fails the work that it tells
of. Source: API conventions, "Events"; core/v1 validation (Events on cluster-scoped objects live in ``default``).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

import structlog

from carina_tasks.errors import AlreadyExists, CarinaTasksError
from carina_tasks.kube import paths
from carina_tasks.kube.api import Api, Raw


@dataclass(frozen=True, slots=True)
class About:
    """The object that an Event is about."""

    kind: str
    name: str
    uid: str
    namespace: str = ""
    api_version: str = "v1"


class Events:
    """Writes Events."""

    def __init__(self, api: Api) -> None:
        self._api = api

    def say(self, about: About, type_: Literal["Normal", "Warning"], reason: str, message: str) -> None:
        """Write the Event, or count it up."""
        namespace, now = about.namespace or "default", datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        digest = hashlib.sha256("\0".join((about.kind, about.uid, reason, message)).encode()).hexdigest()[:16]
        name = f"{about.name[:200].rstrip('.-')}.{digest}"
        body: Raw = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": name, "namespace": namespace},
            "involvedObject": {
                "apiVersion": about.api_version,
                "kind": about.kind,
                "name": about.name,
                # kubectl looks for a node's Events by its name in place of the UID, as kubelets write them.
                "uid": about.name if about.kind == "Node" else about.uid,
                **({"namespace": about.namespace} if about.namespace else {}),
            },
            "type": type_,
            "reason": reason,
            "message": message[:1000],
            "source": {"component": "carina-tasks"},
            "firstTimestamp": now,
            "lastTimestamp": now,
            "count": 1,
        }
        path = paths.events(namespace)
        try:
            try:
                self._api.create(path, body)
            except AlreadyExists:
                count = int(self._api.get(f"{path}/{name}").get("count") or 1)
                self._api.merge(f"{path}/{name}", {"count": count + 1, "lastTimestamp": now})
        except CarinaTasksError as exc:
            structlog.get_logger().warning(
                "an Event could not be written", about=about.name, reason=reason, error=exc.message
            )
