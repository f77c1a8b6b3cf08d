"""Watch: events from a version on, as each watcher may see them."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field

from .cluster import Cluster, as_version, parse_version
from .errors import JSON, StatusError, expired, too_large_version
from .kinds import Resource
from .selectors import Selection
from .store import Change
from .tables import View

LAST_BOOKMARK_SECONDS = 2.0
"""The last bookmark comes this long before the watch times out, as from the real server. A watch
that is shorter gets none there.
"""
BACKLOG = 50_000
"""A watcher that is further behind is cut off, and lists again."""


@dataclass(frozen=True, slots=True)
class WatchOptions:
    """What a watch asks for."""

    namespace: str = ""
    selection: Selection = field(default_factory=Selection)
    version: str = ""
    bookmarks: bool = False
    initial: bool = True
    """Begin with all objects instead of the changes since `version`."""
    timeout: float = 3600.0


def visible(change: Change, options: WatchOptions) -> tuple[str, JSON] | None:
    """Return the event that a watcher with these selectors sees of a change, if any.

    An object that begins to match is ADDED for it, one that matches no more is DELETED.
    """
    if options.namespace and change.key[0] != options.namespace:
        return None
    was = change.previous is not None and options.selection.matches(change.previous)
    if change.type == "DELETED":
        return ("DELETED", change.obj) if was else None
    if options.selection.matches(change.obj):
        return ("MODIFIED" if was else "ADDED", change.obj)
    if not was or change.previous is None:
        return None
    metadata = {
        **change.previous["metadata"],
        "resourceVersion": change.obj["metadata"]["resourceVersion"],
    }
    return ("DELETED", {**change.previous, "metadata": metadata})


async def events(
    cluster: Cluster, resource: Resource, options: WatchOptions, view: View
) -> AsyncGenerator[JSON, None]:
    """Yield watch events until the timeout; a version that is forgotten is one ERROR event."""
    store = cluster.store
    queue: asyncio.Queue[Change | None] = asyncio.Queue()

    def take(change: Change) -> None:
        if queue.qsize() < BACKLOG:
            queue.put_nowait(change)
        else:
            queue.put_nowait(None)

    try:
        first, known = _first(cluster, resource, options)
    except StatusError as error:
        yield {"type": "ERROR", "object": error.status()}
        return
    stop = store.listen(resource.id, take)
    header = True

    def shown(kind: str, obj: JSON) -> JSON:
        nonlocal header
        event = {
            "type": kind,
            "object": view.one(as_version(obj, resource), resource, header=header),
        }
        header = False
        return event

    try:
        for kind, obj in first:
            yield shown(kind, obj)
        if options.initial and options.bookmarks:
            yield _bookmark(resource, known, view, end=True)
        deadline = time.monotonic() + options.timeout
        bookmark_at = _next_bookmark(cluster, options, deadline)
        while (now := time.monotonic()) < deadline:
            if now >= bookmark_at:
                # Everything queued has been sent, so the whole store's version is safe to resume
                # from. The real server does not say what the watcher said when it began.
                if store.version > known:
                    yield _bookmark(resource, store.version, view)
                bookmark_at = _next_bookmark(cluster, options, deadline)
            until = min(deadline, bookmark_at)
            try:
                async with asyncio.timeout(max(until - time.monotonic(), 0.001)):
                    change = await queue.get()
            except TimeoutError:
                continue
            if change is None:
                return
            seen = visible(change, options)
            if seen is not None:
                yield shown(*seen)
    finally:
        stop()


def _first(
    cluster: Cluster, resource: Resource, options: WatchOptions
) -> tuple[list[tuple[str, JSON]], int]:
    """Return what a watch begins with, and the version that its watcher then knows.

    Raises StatusError: 400 for a bad version, 410 for one that is forgotten, 504 for one to come.
    """
    store = cluster.store
    start = parse_version(options.version) if options.version else 0
    if options.initial:
        if start > store.version:
            raise too_large_version(start, store.version)
        there = store.items(resource.id, options.namespace)
        return [("ADDED", o) for _, o in there if options.selection.matches(o)], store.version
    if start == 0:
        return [], store.version
    try:
        changes = store.since(resource.id, start)
    except StatusError as error:
        raise expired(error.message) from error
    first = [seen for change in changes if (seen := visible(change, options))]
    sent = (int(obj["metadata"]["resourceVersion"]) for _, obj in first)
    return first, max(start, *sent, start)


def _next_bookmark(cluster: Cluster, options: WatchOptions, deadline: float) -> float:
    """Return when the next bookmark is due (monotonic seconds); never is infinity."""
    now = time.monotonic()
    due = min(now + cluster.bookmark_seconds, deadline - LAST_BOOKMARK_SECONDS)
    return due if options.bookmarks and due > now else math.inf


def _bookmark(resource: Resource, version: int, view: View, *, end: bool = False) -> JSON:
    metadata: JSON = {"resourceVersion": str(version)}
    if end:
        metadata["annotations"] = {"k8s.io/initial-events-end": "true"}
    obj: JSON = {"kind": resource.kind, "apiVersion": resource.api_version, "metadata": metadata}
    if view.shape == "table":
        obj = {
            "kind": "Table",
            "apiVersion": "meta.k8s.io/v1",
            "metadata": {"resourceVersion": str(version)},
            "columnDefinitions": [],
            "rows": [
                {
                    "cells": [],
                    "object": {
                        **obj,
                        "kind": "PartialObjectMetadata",
                        "apiVersion": "meta.k8s.io/v1",
                    },
                }
            ],
        }
    elif view.shape == "metadata":
        obj = {
            "kind": "PartialObjectMetadata",
            "apiVersion": "meta.k8s.io/v1",
            "metadata": metadata,
        }
    return {"type": "BOOKMARK", "object": obj}
