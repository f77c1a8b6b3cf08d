"""One exchange with the API server: credentials, timeouts, and an error of ours for every failure.

Built on the official client's configuration and connection pool, but with raw JSON bodies: its
models (37 and newer) drop fields that they do not know, and what we delete must come back whole.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlencode

import msgspec
import urllib3
from kubernetes import client

from carina_tasks.errors import ApiUnavailable, DryRunUnsupported
from carina_tasks.kube.responses import NO_DRY_RUN, date_of, error_of, retry_after

IN_FLIGHT = 32
"""Requests of one process that the API server has at a time, six watches among them."""
CREDENTIALS_KEPT = 1.0
"""Seconds for which the client's configuration is not asked again for its token: with a kubeconfig
each question reads the whole environment, a quarter of the CPU of a request (measured).
"""
BUSY_TRIES = 5
"""Tries of a request that the API server answers with 429; client-go makes ten."""
BUSY_LONGEST = 10.0
"""Seconds that are waited at most between two of them, whatever Retry-After says."""

Raw = dict[str, Any]
Observe = Callable[[str, str, float, int], None]
"""Called after each request with verb, path, seconds and HTTP status (0: no answer)."""


class Http:
    """The API server. Safe to share between threads."""

    heard_at: float = 0.0
    """The API server's clock in its last answer (seconds since the epoch); 0 before the first."""

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
        self._credentials: tuple[float, dict[str, str]] = (0.0, {})
        """Until when they are used (monotonic seconds), and the headers."""

    @property
    def host(self) -> str:
        """The API server's URL."""
        return self._host

    def _call(
        self,
        verb: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: Raw | None = None,
        content_type: str = "application/json",
    ) -> tuple[Raw, float]:
        data, date = self._answer(verb, path, query, body, content_type)
        return self._decode(verb, path, data), date

    def _answer(
        self,
        verb: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: Raw | None = None,
        content_type: str = "application/json",
    ) -> tuple[bytes, float]:
        """Return the body of a good answer, and the API server's clock."""
        for tries in range(1, BUSY_TRIES + 1):
            status, data, headers = self._once(verb, path, query, body, content_type)
            pause = retry_after(status, headers.get("Retry-After"))
            if pause is None or tries == BUSY_TRIES:
                break
            # API priority and fairness has not let it in, so nothing was done, whatever the verb.
            time.sleep(min(pause, BUSY_LONGEST))
        if status == 401:
            self._credentials = (0.0, {})
        if not 200 <= status < 300:
            self._raise_for(verb, path, status, data)
        self.heard_at = date_of(headers.get("Date"))
        return data, self.heard_at

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
        headers |= self._authorization()
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

    def _authorization(self) -> dict[str, str]:
        """Return the headers with our credentials; the client's configuration renews a token."""
        until, found = self._credentials
        if (now := time.monotonic()) >= until:
            found = {}
            self._client.update_params_for_auth(found, [], ["BearerToken"], "", "", None)
            self._credentials = (now + CREDENTIALS_KEPT, found)
        return found

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
