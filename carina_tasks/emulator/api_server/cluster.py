"""The cluster: its objects, its registry, and the reads.

`writes` and `deletion` hold the other verbs; all of them are plain calls that finish before the
next one starts.
"""

from __future__ import annotations

import base64
import binascii
import json
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime

from . import durations
from .errors import JSON, StatusError, bad_request, expired, not_found, too_large_version
from .kinds import Resource
from .registry import Registry
from .selectors import Selection, parse_fields, parse_labels
from .store import Key, Store

BOOKMARK_SECONDS = 60.0
"""Seconds between two bookmarks of a watch, as from the real server."""


@dataclass(frozen=True, slots=True)
class Target:
    """What a request is about."""

    resource: Resource
    namespace: str = ""
    name: str = ""
    subresource: str = ""

    @property
    def key(self) -> Key:
        """The store's key."""
        return (self.namespace, self.name)

    def not_found(self) -> StatusError:
        """Return the 404 for this target."""
        return not_found(self.resource.plural, self.resource.group, self.name)


@dataclass(frozen=True, slots=True)
class Page:
    """Part of a list, and how to read on."""

    version: int
    objects: list[JSON]
    next_token: str = ""
    remaining: int | None = None
    """How many objects come after it; None with selectors, where the real server does not count."""

    def metadata(self) -> JSON:
        """Return the list's metadata."""
        metadata: JSON = {"resourceVersion": str(self.version)}
        if self.next_token:
            metadata["continue"] = self.next_token
            if self.remaining is not None:
                metadata["remainingItemCount"] = self.remaining
        return metadata


class Cluster:
    """State in memory; every call is atomic as all run in one thread."""

    def __init__(self, history: int = 10_000, bookmark_seconds: float = BOOKMARK_SECONDS) -> None:
        """Make an empty cluster.

        `history` is how many writes a watch can go back, `bookmark_seconds` the time between two
        bookmarks of a watch.
        """
        self.store = Store(history)
        self.bookmark_seconds = bookmark_seconds
        self.registry = Registry()

    def get(self, target: Target) -> JSON:
        """Return an object; StatusError 404 without it."""
        obj = self.store.get(target.resource.id, target.key)
        if obj is None:
            raise target.not_found()
        return as_version(obj, target.resource)

    def select(self, resource: Resource, labels: str, fields: str, name: str = "") -> Selection:
        """Parse a request's selectors."""
        terms = parse_fields(fields, resource.fields, generic=resource.generic_fields)
        if name:
            terms = (*terms, (("metadata", "name"), name, True))
        return Selection(parse_labels(labels), terms)

    def page(
        self,
        resource: Resource,
        namespace: str,
        selection: Selection,
        *,
        limit: int = 0,
        token: str = "",
        version: str = "",
        match: str = "",
    ) -> Page:
        """List objects, at most `limit` of them (0: all) from where `token` points.

        Raises StatusError: 400 for a bad token or version, 410 for one that is forgotten, 504 for
        one to come.
        """
        at, after = self.store.version, None
        exact = False
        if token:
            at, after = _read_token(token)
            exact = True
        elif version:
            wanted = parse_version(version, "invalid resource version: ")
            if wanted > at:
                raise too_large_version(wanted, at)
            # A limit with a version and no rule means exactly that version, as in the real server.
            if wanted and (match == "Exact" or (not match and limit)):
                at, exact = wanted, True
        try:
            items = self.store.items(resource.id, namespace, at if exact else None)
        except StatusError as error:
            raise expired(_TOO_OLD_TO_CONTINUE if token else error.message) from error
        found = [
            (key, as_version(obj, resource))
            for key, obj in items
            if (after is None or key > after) and selection.matches(obj)
        ]
        rest = len(found) - limit if limit else 0
        if rest <= 0:
            return Page(at, [obj for _, obj in found])
        counted = None if selection.labels or selection.fields else rest
        return Page(at, [obj for _, obj in found[:limit]], _token(at, found[limit - 1][0]), counted)


_TOO_OLD_TO_CONTINUE = (
    "The provided continue parameter is too old to display a consistent list result. You can start "
    "a new list without the continue parameter."
)


def as_version(obj: JSON, resource: Resource) -> JSON:
    """Return a stored object in the form and version it was asked by."""
    return (
        obj
        if obj["apiVersion"] == resource.api_version
        else {**resource.to_shown(obj), "apiVersion": resource.api_version}
    )


def parse_version(text: str, prefix: str = "") -> int:
    """Return a resourceVersion as a number; StatusError 400 when it is none."""
    if not text.isdigit():
        why = f"strconv.ParseUint: parsing {json.dumps(text)}: invalid syntax"
        raise bad_request(f"{prefix}resourceVersion: Invalid value: {json.dumps(text)}: {why}")
    return int(text)


def _token(version: int, key: Key) -> str:
    return (
        base64.urlsafe_b64encode(json.dumps({"rv": version, "start": key}).encode())
        .decode()
        .rstrip("=")
    )


def _read_token(token: str) -> tuple[int, Key]:
    try:
        data = json.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
        namespace, name = data["start"]
        return int(data["rv"]), (str(namespace), str(name))
    except (binascii.Error, ValueError, KeyError, TypeError) as error:
        raise bad_request(f"invalid continue token: continue key is not valid: {error}") from error


def now() -> str:
    """Return the time of a write."""
    return durations.timestamp(datetime.now(UTC))


def new_uid() -> str:
    """Return a UID."""
    return str(uuid.uuid4())
