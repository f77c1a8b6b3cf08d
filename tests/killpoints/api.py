"""The API emulator without a socket: the product's own `Api`, whose requests go to the emulator's functions.

Only the way there is other: paths, preconditions, versions, patches, Status answers and their translation into errors are the
emulator's and the product's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.utils import formatdate
from typing import Any

import msgspec

from carina_tasks.demo.api_server import deletion, writes
from carina_tasks.demo.api_server.cluster import Cluster
from carina_tasks.demo.api_server.errors import StatusError, method_not_allowed, no_such_resource
from carina_tasks.demo.api_server.routes import resource_target
from carina_tasks.errors import ApiUnavailable
from carina_tasks.kube.api import Api, Raw
from carina_tasks.model import keys
from tests.killpoints.clock import Clock
from tests.killpoints.faults import Killed, Points


@dataclass
class Answer:
    """What `Api` reads of a response."""

    status: int
    body: bytes
    headers: dict[str, str]

    def read(self) -> bytes:
        """Return the body."""
        return self.body

    def release_conn(self) -> None:
        """There is no connection."""


class InProcessApi(Api):
    """The product's client. Each write is a point; `changed` runs after it, as controllers do that are quick."""

    def __init__(self, cluster: Cluster, clock: Clock, points: Points, changed: Callable[[], None]) -> None:
        self._cluster, self._clock, self._points, self._changed = cluster, clock, points, changed
        self._timeout, self._page_size, self._observe, self._host = 15.0, 500, None, "in-process"
        self.writes: list[tuple[str, str]] = []

    def _send(  # type: ignore[override]
        self,
        verb: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: Raw | None = None,
        content_type: str = "application/json",
        timeout: Any = None,
    ) -> Answer:
        if verb == "GET":
            return self._handle(verb, path, query or {}, body, content_type)
        variant = self._points.at("api", f"{verb} {path} {written(body)}".strip())
        if variant == "before":
            raise Killed(f"before {verb} {path}")
        answer = self._handle(verb, path, query or {}, body, content_type)
        if answer.status < 300:
            # A POST goes to the collection: name what it made.
            self.writes.append((verb, f"{path}/{_name_of(body)}" if verb == "POST" else path))
        self._changed()
        if variant == "after":
            raise Killed(f"after {verb} {path}")
        if variant == "lost":
            raise ApiUnavailable(f"{verb} {path}: the answer was lost")
        return answer

    def _handle(self, verb: str, path: str, query: Mapping[str, str], body: Raw | None, content_type: str) -> Answer:
        return answer_of(self._cluster, self._clock.now, verb, path, query, body, content_type)


def answer_of(
    cluster: Cluster, now: float, verb: str, path: str, query: Mapping[str, str], body: Raw | None, content_type: str
) -> Answer:
    """Return the API server's answer to one request, an error too."""
    headers = {"Date": formatdate(now, usegmt=True)}
    # Through bytes and back, so that nobody holds an object of the store.
    sent = msgspec.json.decode(msgspec.json.encode(body)) if body is not None else None
    try:
        status, value = handle(cluster, verb, path, query, sent, content_type)
    except StatusError as error:
        status, value = error.code, error.status()
    return Answer(status, msgspec.json.encode(value), headers)


def handle(
    cluster: Cluster, verb: str, path: str, query: Mapping[str, str], body: Any, content_type: str
) -> tuple[int, Raw]:
    """Return status and body of one request. Raises StatusError."""
    if path == "/version":
        return 200, {"major": "1", "minor": "34"}
    target = resource_target(cluster.registry, path)
    if target is None:
        raise no_such_resource()
    if verb == "GET" and target.name:
        return 200, cluster.get(target)
    if verb == "GET":
        selection = cluster.select(
            target.resource, query.get("labelSelector", ""), query.get("fieldSelector", ""), target.name
        )
        page = cluster.page(
            target.resource,
            target.namespace,
            selection,
            limit=int(query.get("limit", 0)),
            token=query.get("continue", ""),
        )
        return 200, {"kind": f"{target.resource.kind}List", "metadata": page.metadata(), "items": page.objects}
    if verb == "POST" and not target.name:
        return 201, writes.create(cluster, target, body, _OPTIONS)
    if verb == "PATCH" and target.name:
        return 200, writes.patch(cluster, target, content_type, body, _OPTIONS)[0]
    if verb == "DELETE" and target.name:
        return 200, deletion.delete(cluster, target, deletion.parse_options(body, {}))
    raise method_not_allowed()


_OPTIONS = writes.WriteOptions(manager="carina-tasks")


def _name_of(body: Raw | None) -> str:
    return str(((body or {}).get("metadata") or {}).get("name"))


def written(body: Raw | None) -> str:
    """Return what a write is about, in a few words, for the list of points."""
    if body is None:
        return ""
    if body.get("kind") == "Event":
        return str(body.get("reason"))
    meta = body.get("metadata") or {}
    annotations = meta.get("annotations") or {}
    # What people read rides on the journal's patch, which has its name.
    told = {keys.PROGRESS, keys.HISTORY} if keys.JOURNAL in annotations else set()
    words = [
        f"{key.rpartition('/')[2]}{'' if value else '=none'}" for key, value in annotations.items() if key not in told
    ]
    words += ["finalizers"] if "finalizers" in meta else []
    words += [f"status={status.get('status', '…')!r}" for status in [body.get("status")] if isinstance(status, dict)]
    words += ["Retain"] if (body.get("spec") or {}).get("persistentVolumeReclaimPolicy") and "kind" not in body else []
    return " ".join(words)
