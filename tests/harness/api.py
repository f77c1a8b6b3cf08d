"""The API emulator without a socket: the product's own `Api`, whose requests go to the emulator's
functions.

Only the way there is other: paths, preconditions, versions, patches, Status answers and their
translation into errors are the emulator's and the product's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.utils import formatdate
from typing import Any

import msgspec

from carina_tasks.emulator.api_server import deletion, writes
from carina_tasks.emulator.api_server.cluster import Cluster
from carina_tasks.emulator.api_server.errors import (
    StatusError,
    method_not_allowed,
    no_such_resource,
)
from carina_tasks.emulator.api_server.routes import resource_target
from carina_tasks.errors import ApiUnavailable
from carina_tasks.kube.api import Api, Raw
from carina_tasks.model import well_known
from tests.harness.clock import Clock
from tests.harness.faults import Killed, Points


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


@dataclass(frozen=True)
class Denial:
    """Requests about one object that are refused, with that status."""

    verbs: frozenset[str]
    name: str
    """Name of the object, or ``pods/NAME`` and the like for one kind alone."""
    code: int


DENIALS = (403, 413, 422, 429, 500)
"""How an API server answers about one object: RBAC, size, a policy, a disruption budget, a webhook
that fails.
"""
_REASONS = {
    403: "Forbidden",
    409: "Conflict",
    413: "RequestEntityTooLarge",
    422: "Invalid",
    429: "TooManyRequests",
    500: "InternalError",
}


def denial(denied: tuple[Denial, ...], verb: str, path: str, body: Raw | None) -> Answer | None:
    """Return the answer to a request that is refused, None to one that is not. A dry run is refused
    as the write is.
    """
    about = _object_of(path, body)
    for one in denied:
        if verb in one.verbs and (about == one.name or about.rpartition("/")[2] == one.name):
            status = {
                "kind": "Status",
                "code": one.code,
                "reason": _REASONS[one.code],
                "message": "denied by a policy",
            }
            return Answer(one.code, msgspec.json.encode(status), {})
    return None


def is_dry_run(query: Mapping[str, str], body: Raw | None) -> bool:
    """Return whether a request asks for a dry run: as a parameter, or in the options of a
    deletion.
    """
    return bool(query.get("dryRun") or (body or {}).get("dryRun"))


def _object_of(path: str, body: Raw | None) -> str:
    """Return ``kind/name`` of the object that a request is about; the kind alone of a list."""
    words = path.removesuffix("/status").rstrip("/").split("/")
    if words[-1] in (
        "logicvolumes",
        "persistentvolumes",
        "persistentvolumeclaims",
        "pods",
        "events",
        "nodes",
    ):
        return f"{words[-1]}/{_name_of(body)}" if body and body.get("metadata") else words[-1]
    return "/".join(words[-2:])


class InProcessApi(Api):
    """The product's client. Each write is a point; `changed` runs after it, as controllers do that
    are quick.
    """

    def __init__(
        self, cluster: Cluster, clock: Clock, points: Points, changed: Callable[[], None]
    ) -> None:
        self._cluster, self._clock, self._points, self._changed = cluster, clock, points, changed
        self._timeout, self._page_size, self._observe, self._host = 15.0, 500, None, "in-process"
        self.writes: list[tuple[str, str]] = []
        self.denied: tuple[Denial, ...] = ()
        """What is refused now, and will be until it is allowed."""

    def _send(  # type: ignore[override]
        self,
        verb: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: Raw | None = None,
        content_type: str = "application/json",
        timeout: Any = None,
    ) -> Answer:
        if self.denied and (answer := denial(self.denied, verb, path, body)) is not None:
            return answer
        if verb == "GET" or is_dry_run(query or {}, body):
            return self._handle(verb, path, query or {}, body, content_type)
        variant = self._points.at("api", f"{verb} {path} {written(body)}".strip())
        if variant == "denied":
            # From now on this verb on this object is refused, as by a policy that was just
            # applied.
            self.denied = (
                *self.denied,
                Denial(
                    frozenset({verb}), _object_of(path, body), DENIALS[len(path) % len(DENIALS)]
                ),
            )
            refused = denial(self.denied, verb, path, body)
            assert refused is not None
            return refused
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

    def _handle(
        self, verb: str, path: str, query: Mapping[str, str], body: Raw | None, content_type: str
    ) -> Answer:
        return answer_of(self._cluster, self._clock.now, verb, path, query, body, content_type)


def answer_of(
    cluster: Cluster,
    now: float,
    verb: str,
    path: str,
    query: Mapping[str, str],
    body: Raw | None,
    content_type: str,
) -> Answer:
    """Return the API server's answer to one request, an error too."""
    headers = {"Date": formatdate(now, usegmt=True)}
    # Through bytes and back, so that no caller holds an object of the store.
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
            target.resource,
            query.get("labelSelector", ""),
            query.get("fieldSelector", ""),
            target.name,
        )
        page = cluster.page(
            target.resource,
            target.namespace,
            selection,
            limit=int(query.get("limit", 0)),
            token=query.get("continue", ""),
        )
        return 200, {
            "kind": f"{target.resource.kind}List",
            "metadata": page.metadata(),
            "items": page.objects,
        }
    options = writes.WriteOptions(manager="carina-tasks", dry_run=bool(query.get("dryRun")))
    if verb == "POST" and not target.name:
        return 201, writes.create(cluster, target, body, options)
    if verb == "PATCH" and target.name:
        return 200, writes.patch(cluster, target, content_type, body, options)[0]
    if verb == "DELETE" and target.name:
        return 200, deletion.delete(cluster, target, deletion.parse_options(body, {}))
    raise method_not_allowed()


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
    told = {well_known.PROGRESS, well_known.HISTORY} if well_known.JOURNAL in annotations else set()
    words = [
        f"{key.rpartition('/')[2]}{'' if value else '=none'}"
        for key, value in annotations.items()
        if key not in told
    ]
    words += ["finalizers"] if "finalizers" in meta else []
    words += [
        f"status={status.get('status', '…')!r}"
        for status in [body.get("status")]
        if isinstance(status, dict)
    ]
    words += (
        ["Retain"]
        if (body.get("spec") or {}).get("persistentVolumeReclaimPolicy") and "kind" not in body
        else []
    )
    return " ".join(words)
