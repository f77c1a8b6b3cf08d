"""One request to the API server.

Credentials, timeouts, and every answer as a value or an error of ours.

Built on the official client's configuration and connection pool, but with raw JSON bodies: its
models (37 and newer) drop fields that they do not know, and what we delete must come back whole.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import msgspec
import urllib3
import yaml
from kubernetes import client, config
from kubernetes.config.config_exception import ConfigException

from carina_tasks.errors import (
    ApiUnavailable,
    BadSetting,
    DryRunUnsupported,
)
from carina_tasks.kube.responses import (
    DRY_RUN,
    MERGE,
    NO_DRY_RUN,
    date_of,
    error_of,
    list_of,
    retry_after,
)
from carina_tasks.kube.slim import slim

IN_FLIGHT = 32
"""Requests of one process that the API server has at a time, six watches among them."""
BUSY_TRIES = 5
"""Tries of a request that the API server answers with 429; client-go makes ten."""
BUSY_LONGEST = 10.0
"""Seconds that are waited at most between two of them, whatever Retry-After says."""

Raw = dict[str, Any]
Observe = Callable[[str, str, float, int], None]
"""Called after each request with verb, path, seconds and HTTP status (0: no answer)."""


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


class Api:
    """The API server. Safe to share between threads."""

    def __init__(
        self,
        api_client: client.ApiClient,
        timeout: float,
        page_size: int,
        observe: Observe | None = None,
    ) -> None:
        self._client = api_client
        configuration = api_client.configuration
        # Retries are ours to decide: the pool's own would hide a fault and repeat a DELETE.
        configuration.retries = False
        configuration.connection_pool_maxsize = IN_FLIGHT
        self._client.rest_client = client.rest.RESTClientObject(configuration)
        # A thread that finds no free connection waits for one.
        self._client.rest_client.pool_manager.connection_pool_kw["block"] = True
        self._host: str = configuration.host.rstrip("/")
        self._timeout = timeout
        self._page_size = page_size
        self._observe = observe

    @property
    def host(self) -> str:
        """The API server's URL."""
        return self._host

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
        """Return every object at `path`, all pages of it, each cut down to what is read (`slim`).

        Raises:
            ApiUnavailable: For anything that is not a whole list.
        """
        items: list[Raw] = []
        version, now, more = "", 0.0, ""
        while True:
            page_query = {
                **(query or {}),
                "limit": str(self._page_size),
                **({"continue": more} if more else {}),
            }
            page, date = self._call("GET", path, query=page_query)
            meta, got = list_of(path, page)
            items += map(slim, got)
            version, now, more = (
                version or meta.get("resourceVersion", ""),
                now or date,
                meta.get("continue") or "",
            )
            if not more:
                return Listing(tuple(items), version, now)

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
        """Yield what changes at `path` after `version`, for `seconds`.

        Args:
            path: Path of the object in the API.
            version: resourceVersion after which the watch begins.
            seconds: Seconds after which the server ends it.

        Raises:
            ApiGone: `version` is too old.
        """
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
                    event = self._decode("GET", path, line)
                    found = event.get("object")
                    if not isinstance(found, dict):
                        raise ApiUnavailable(f"the watch on {path} sent something that is no event")
                    if event.get("type") == "ERROR":
                        code = found.get("code")
                        self._raise_for(
                            "GET",
                            path,
                            code if isinstance(code, int) else 500,
                            json.dumps(found).encode(),
                        )
                    yield WatchEvent(str(event.get("type")), found)
        except (urllib3.exceptions.HTTPError, OSError) as exc:
            raise ApiUnavailable(f"the watch on {path} broke: {exc}") from exc
        finally:
            response.release_conn()
            response.close()

    def _call(
        self,
        verb: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: Raw | None = None,
        content_type: str = "application/json",
    ) -> tuple[Raw, float]:
        for tries in range(1, BUSY_TRIES + 1):
            status, data, headers = self._once(verb, path, query, body, content_type)
            pause = retry_after(status, headers.get("Retry-After"))
            if pause is None or tries == BUSY_TRIES:
                break
            # API priority and fairness has not let it in, so nothing was done, whatever the verb.
            time.sleep(min(pause, BUSY_LONGEST))
        if not 200 <= status < 300:
            self._raise_for(verb, path, status, data)
        return self._decode(verb, path, data), date_of(headers.get("Date"))

    def _once(
        self,
        verb: str,
        path: str,
        query: Mapping[str, str] | None,
        body: Raw | None,
        content_type: str,
    ) -> tuple[int, bytes, Mapping[str, str]]:
        """Send a request once; return status, body and headers of the answer."""
        begun, status = time.monotonic(), 0
        try:
            response = self._send(
                verb, path, query, body, content_type, urllib3.Timeout(total=self._timeout)
            )
            try:
                data, status = response.read(), response.status
            except (urllib3.exceptions.HTTPError, OSError) as exc:
                raise ApiUnavailable(f"{verb} {path}: the answer broke off: {exc}") from exc
            finally:
                response.release_conn()
        finally:
            if self._observe:
                self._observe(verb, path, time.monotonic() - begun, status)
        return status, data, response.headers

    def _send(
        self,
        verb: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: Raw | None = None,
        content_type: str = "application/json",
        timeout: urllib3.Timeout | None = None,
    ) -> urllib3.BaseHTTPResponse:
        headers: dict[str, str] = {"Accept": "application/json", "User-Agent": "carina-tasks"}
        if body is not None:
            headers["Content-Type"] = content_type
        self._client.update_params_for_auth(headers, [], ["BearerToken"], path, verb, body)
        url = self._host + path + ("?" + urlencode(query) if query else "")
        data = None if body is None else json.dumps(body).encode()
        try:
            response: urllib3.BaseHTTPResponse = self._client.rest_client.pool_manager.request(
                verb,
                url,
                body=data,
                headers=headers,
                timeout=timeout,
                preload_content=False,
                retries=False,
            )
        except (urllib3.exceptions.HTTPError, OSError) as exc:
            raise ApiUnavailable(f"the API server at {self._host} does not answer: {exc}") from exc
        return response

    @staticmethod
    def _decode(verb: str, path: str, data: bytes) -> Raw:
        try:
            value = msgspec.json.decode(data)
        except (msgspec.DecodeError, ValueError, RecursionError) as exc:
            raise ApiUnavailable(f"{verb} {path}: the answer is not JSON") from exc
        if not isinstance(value, dict):
            raise ApiUnavailable(f"{verb} {path}: the answer is not an object")
        return value

    @staticmethod
    def _raise_for(verb: str, path: str, status: int, data: bytes) -> None:
        try:
            answer = json.loads(data)
            answer = answer if isinstance(answer, dict) else {}
        except (ValueError, RecursionError):
            answer = {}
        reason, details = answer.get("reason", ""), answer.get("details")
        details = details if isinstance(details, dict) else {}
        text = (
            f"{verb} {path}: {status} "
            f"{answer.get('message') or data[:200].decode(errors='replace')}"
        )
        if status == 400 and NO_DRY_RUN in text:
            raise DryRunUnsupported(text, status=status)
        raise error_of(path, status, reason, details)(text, status=status)
