"""The verbs of the API server: every answer as a value or an error of ours."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import urllib3
import yaml
from kubernetes import client, config
from kubernetes.config.config_exception import ConfigException

from carina_tasks.errors import (
    ApiUnavailable,
    BadSetting,
)
from carina_tasks.kube.http import Http, Observe
from carina_tasks.kube.kinds import Kind
from carina_tasks.kube.parsing import Change, Named, Objects, read_change, read_page
from carina_tasks.kube.responses import (
    DRY_RUN,
    MERGE,
    list_of,
)

Raw = dict[str, Any]
T = TypeVar("T", bound=Named)


@dataclass(frozen=True, slots=True)
class Listing:
    """A complete list: every page of it."""

    items: tuple[Raw, ...]
    version: str
    now: float
    """The API server's clock when it answered (seconds since the epoch)."""


@dataclass(frozen=True, slots=True)
class WatchEvent:
    """One line of a watch."""

    type: str
    object: Raw


class _Event(msgspec.Struct):
    type: str
    object: msgspec.Raw


_EVENT = msgspec.json.Decoder(_Event)


def connect(timeout: float, page_size: int, observe: Observe | None = None) -> Api:
    """Return the API server of ``KUBECONFIG``, of ~/.kube/config or of the pod.

    Args:
        timeout: Seconds that a request may take.
        page_size: Objects of one page of a list.
        observe: Called after each request.

    Raises:
        BadSetting: There is neither.
    """
    default = Path.home() / ".kube" / "config"
    try:
        if os.environ.get("KUBECONFIG") or default.exists():
            api_client = config.new_client_from_config(os.environ.get("KUBECONFIG") or str(default))
        else:
            configuration = client.Configuration()
            config.load_incluster_config(client_configuration=configuration)
            api_client = client.ApiClient(configuration)
    except (
        ConfigException,
        yaml.YAMLError,
        OSError,
        ValueError,
        TypeError,
        LookupError,
        AttributeError,
    ) as exc:
        raise BadSetting(
            f"no cluster to work on: set KUBECONFIG to a readable file, or run in a pod ({exc})"
        ) from exc
    return Api(api_client, timeout, page_size, observe)


class Api(Http):
    """The API server. Safe to share between threads."""

    def get(self, path: str, query: Mapping[str, str] | None = None) -> Raw:
        """Return the object at `path`.

        Raises:
            NotFound: Only when the API server reports that this object is absent.
        """
        return self._call("GET", path, query=query)[0]

    def read(self, path: str) -> tuple[Raw, float]:
        """Return the object at `path` and the API server's clock."""
        return self._call("GET", path)

    def list(self, path: str, query: Mapping[str, str] | None = None) -> Listing:
        """Return every object at `path`, all pages of it, whole: for kinds of which few exist.

        Raises:
            ApiUnavailable: For anything that is not a whole list.
        """
        items: list[Raw] = []

        def take(data: bytes) -> tuple[str, str]:
            meta, got = list_of(path, self._decode("GET", path, data))
            items.extend(got)
            return meta.get("resourceVersion", ""), meta.get("continue") or ""

        version, now = self._pages(path, query, take)
        return Listing(tuple(items), version, now)

    def read_all(
        self, kind: Kind[T], query: Mapping[str, str] | None = None, path: str = ""
    ) -> Objects[T]:
        """Return every object of a kind as a value; a page is dropped as soon as it is read.

        Args:
            kind: The kind.
            query: Selectors.
            path: Path of the list in the API; empty: that of the whole cluster.

        Raises:
            ApiUnavailable: For anything that is not a whole list.
        """
        path = path or kind.path
        found: Objects[T] = Objects()
        version, now = self._pages(path, query, lambda data: read_page(path, kind, data, found))
        return Objects(found.values, found.unreadable, version, now)

    def _pages(
        self,
        path: str,
        query: Mapping[str, str] | None,
        take: Callable[[bytes], tuple[str, str]],
    ) -> tuple[str, float]:
        """Get every page of a list; return its version and the API server's clock.

        Args:
            path: Path of the list in the API.
            query: Selectors.
            take: Takes one page; returns its version and its continue token.
        """
        version, now, more = "", 0.0, ""
        while True:
            page_query = {
                **(query or {}),
                "limit": str(self._page_size),
                **({"continue": more} if more else {}),
            }
            data, date = self._answer("GET", path, query=page_query)
            found, more = take(data)
            version, now = version or found, now or date
            if not more:
                return version, now

    def count(self, path: str, version: str = "") -> int | None:
        """Return how many objects are at `path`; None when the API server does not say.

        A page of one, and how many remain by its answer (`remainingItemCount` of ListMeta,
        Kubernetes API reference).

        Args:
            path: Path of the kind in the API.
            version: resourceVersion at which they are counted; empty: now.

        Raises:
            ApiUnavailable: The Kubernetes API server did not answer.
            ApiGone: `version` is too old.
        """
        at = {"resourceVersion": version, "resourceVersionMatch": "Exact"} if version else {}
        meta, items = list_of(path, self._call("GET", path, query={"limit": "1", **at})[0])
        remaining = meta.get("remainingItemCount")
        if isinstance(remaining, int) and remaining > 0:
            # Then the page was full, whatever arrived of it.
            return remaining + 1
        return None if meta.get("continue") else len(items)

    def create(self, path: str, body: Raw, *, dry_run: bool = False) -> Raw:
        """Create an object.

        Args:
            path: Path of the object in the API.
            body: The object or patch, as JSON.
            dry_run: Whether the API server only checks the request.

        Raises:
            AlreadyExists: One of that name is there.
        """
        return self._call("POST", path, query=DRY_RUN if dry_run else None, body=body)[0]

    def merge(self, path: str, body: Raw, *, dry_run: bool = False) -> Raw:
        """Apply a JSON merge patch.

        `metadata.uid` and `metadata.resourceVersion` in it are preconditions (409).

        Args:
            path: Path of the object in the API.
            body: The object or patch, as JSON.
            dry_run: Whether the API server only checks the request.
        """
        return self._call(
            "PATCH", path, query=DRY_RUN if dry_run else None, body=body, content_type=MERGE
        )[0]

    def delete(
        self,
        path: str,
        *,
        uid: str,
        version: str = "",
        grace: int | None = None,
        dry_run: bool = False,
    ) -> Raw:
        """Delete the object of that UID (and resourceVersion).

        Return it as it is while finalizers keep it, else a Status.

        Args:
            path: Path of the object in the API.
            uid: UID that the object must have, so that no other one of its name is changed.
            version: resourceVersion that the object must have; empty: any.
            grace: Grace period in seconds; None: the object's own.
            dry_run: Whether the API server only checks the request.

        Raises:
            NotFound: There is no object of that name.
            ApiConflict: The object has another UID or resourceVersion.
        """
        preconditions = {"uid": uid} | ({"resourceVersion": version} if version else {})
        body: Raw = {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": preconditions}
        if dry_run:
            body["dryRun"] = ["All"]
        if grace is not None:
            body["gracePeriodSeconds"] = grace
        return self._call("DELETE", path, body=body)[0]

    def watch(self, path: str, version: str, seconds: int) -> Iterator[WatchEvent]:
        """Yield what changes at `path` after `version`, for `seconds`, whole.

        Args:
            path: Path of the object in the API.
            version: resourceVersion after which the watch begins.
            seconds: Seconds after which the server ends it.

        Raises:
            ApiGone: `version` is too old.
        """
        for type_, data in self._events(path, version, seconds):
            yield WatchEvent(type_, self._decode("GET", path, data))

    def follow(self, kind: Kind[T], version: str, seconds: int) -> Iterator[Change[T]]:
        """Yield what changes of a kind after `version`, for `seconds`, as values.

        Args:
            kind: The kind.
            version: resourceVersion after which the watch begins.
            seconds: Seconds after which the server ends it.

        Raises:
            ApiGone: `version` is too old.
        """
        for type_, data in self._events(kind.path, version, seconds):
            yield read_change(kind, type_, data)

    def _events(self, path: str, version: str, seconds: int) -> Iterator[tuple[str, bytes]]:
        """Yield type and object of each event of a watch."""
        query = {
            "watch": "1",
            "resourceVersion": version,
            "timeoutSeconds": str(seconds),
            "allowWatchBookmarks": "true",
        }
        response = self._send(
            "GET",
            path,
            query=query,
            timeout=urllib3.Timeout(connect=self._timeout, read=seconds + 10),
        )
        try:
            if response.status != 200:
                self._raise_for("GET", path, response.status, response.read())
            rest = b""
            for chunk in response.stream(65536, decode_content=True):
                *lines, rest = (rest + chunk).split(b"\n")
                for line in filter(None, lines):
                    yield self._event(path, line)
        except (urllib3.exceptions.HTTPError, OSError) as exc:
            raise ApiUnavailable(f"the watch on {path} broke: {exc}") from exc
        finally:
            response.release_conn()
            response.close()

    def _event(self, path: str, line: bytes) -> tuple[str, bytes]:
        """Return type and object of one line of a watch.

        Raises:
            ApiUnavailable: The line is no event.
            ApiGone: It reports that the version is too old.
        """
        try:
            event = _EVENT.decode(line)
        except (msgspec.DecodeError, ValueError, RecursionError) as exc:
            raise ApiUnavailable(f"the watch on {path} sent something that is no event") from exc
        data = bytes(event.object)
        if not data.startswith(b"{"):
            raise ApiUnavailable(f"the watch on {path} sent something that is no event")
        if event.type == "ERROR":
            code = self._decode("GET", path, data).get("code")
            self._raise_for("GET", path, code if isinstance(code, int) else 500, data)
        return event.type, data
