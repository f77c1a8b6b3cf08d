"""Watch: events from a version on, as each watcher may see them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field

from .cluster import Cluster, as_version, parse_version
from .errors import JSON, StatusError, bad_request, expired
from .kinds import Resource
from .selectors import Selection
from .store import Change
from .tables import View

BOOKMARK_SECONDS = 60.0
"""A bookmark at least this often, as from the real server."""
LAST_BOOKMARK_SECONDS = 2.0
"""And one this long before the watch times out."""
BACKLOG = 50_000
"""A watcher that is further behind is cut off, and lists again."""


@dataclass(frozen=True, slots=True)
class WatchOptions:
    """What a watch asks for."""

    namespace: str = ""
    selection: Selection = field(default_factory=Selection)
    version: str = ""
    bookmarks: bool = False
    initial: bool = False
    """sendInitialEvents: begin with all objects and mark their end by a bookmark."""
    timeout: float = 3600.0


def parse_initial(text: str, match: str, *, bookmarks: bool) -> bool:
    """Check sendInitialEvents against what must come with it; StatusError 422 or 400."""
    if text not in ("", "true", "1", "false", "0"):
        raise bad_request(f"sendInitialEvents is not a boolean: {text}")
    if text in ("true", "1") and (match != "NotOlderThan" or not bookmarks):
        raise bad_request(
            "sendInitialEvents requires resourceVersionMatch=NotOlderThan and "
            "allowWatchBookmarks=true"
        )
    return text in ("true", "1")


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

    first: list[tuple[str, JSON]] = []
    start = parse_version(options.version) if options.version else 0
    from_now = start == 0 or options.initial
    try:
        if from_now:
            for (namespace, _), obj in store.items(resource.id, options.namespace):
                if options.selection.matches(obj) and (
                    not options.namespace or namespace == options.namespace
                ):
                    first.append(("ADDED", obj))
        else:
            first = [
                seen
                for change in store.since(resource.id, start)
                if (seen := visible(change, options))
            ]
    except StatusError as error:
        yield {"type": "ERROR", "object": expired(error.message).status()}
        return
    seen_version = store.version
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
        if options.initial:
            yield _bookmark(resource, seen_version, view, end=True)
        deadline = time.monotonic() + options.timeout
        last_bookmark = max(deadline - LAST_BOOKMARK_SECONDS, time.monotonic())
        next_bookmark = min(time.monotonic() + BOOKMARK_SECONDS, last_bookmark)
        while (now := time.monotonic()) < deadline:
            if options.bookmarks and now >= next_bookmark:
                # Everything queued has been sent, so the whole store's version is safe to resume
                # from. One that the watcher knows already says nothing, and is not sent.
                if store.version > seen_version:
                    seen_version = store.version
                    yield _bookmark(resource, seen_version, view)
                next_bookmark = (
                    deadline if now >= last_bookmark else min(now + BOOKMARK_SECONDS, last_bookmark)
                )
            until = min(deadline, next_bookmark) if options.bookmarks else deadline
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
