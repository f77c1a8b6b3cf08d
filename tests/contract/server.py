"""One face for both servers: raw HTTP, kubectl and the official client."""

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import kubernetes
import urllib3

JSON = dict[str, Any]

MERGE = "application/merge-patch+json"
JSON_PATCH = "application/json-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
APPLY = "application/apply-patch+yaml"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"

LOGIC_VOLUMES = "/apis/carina.storage.io/v1/logicvolumes"
NODE_STORAGE = "/apis/carina.storage.io/v1beta1/nodestorageresources"
FAILOVER_STATUSES = "/apis/tasks.carina.storage.io/v1/failoverstatuses"
NODES = "/api/v1/nodes"
VOLUMES = "/api/v1/persistentvolumes"


@dataclass(frozen=True)
class Response:
    """A status code, a decoded body, and the headers."""

    code: int
    body: Any
    headers: Any

    def ok(self) -> Any:
        """Return the body of a success; fail the test with the Status otherwise."""
        assert self.code < 300, self.body
        return self.body

    def refused(self, code: int, reason: str) -> JSON:
        """Return the Status of the refusal that is expected."""
        assert (self.code, self.body.get("reason")) == (code, reason), self.body
        assert (self.body["kind"], self.body["status"], self.body["code"]) == (
            "Status",
            "Failure",
            code,
        )
        return self.body


@dataclass
class Server:
    """A running API server."""

    name: str
    url: str
    kubeconfig: Path
    forget_history: Callable[[], None]
    token: str = ""
    ca: Path | None = None
    pool: urllib3.PoolManager = field(init=False)

    def __post_init__(self) -> None:
        """Open the connection pool."""
        self.pool = urllib3.PoolManager(ca_certs=str(self.ca)) if self.ca else urllib3.PoolManager()

    def _headers(self, **more: str) -> dict[str, str]:
        headers = {"User-Agent": "contract/1", **more}
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        return headers

    def http(
        self,
        method: str,
        path: str,
        body: Any = None,
        kind: str = "application/json",
        accept: str = "application/json",
        **query: Any,
    ) -> Response:
        """Send one request; `query` are URL parameters, without those that are None."""
        fields = {key: str(value) for key, value in query.items() if value is not None}
        text = urlencode(fields)
        answer = self.pool.request(
            method,
            f"{self.url}{path}" + (f"?{text}" if text else ""),
            body=None
            if body is None
            else body
            if isinstance(body, str | bytes)
            else json.dumps(body),
            headers=self._headers(**{"Content-Type": kind, "Accept": accept}),
            timeout=30,
            retries=False,
        )
        try:
            data = json.loads(answer.data)
        except ValueError:
            data = answer.data.decode()
        return Response(answer.status, data, answer.headers)

    @property
    def minor(self) -> int:
        """Return the minor version of Kubernetes that the server reports: 34 of 1.34."""
        return int(self.get("/version").ok()["minor"].rstrip("+"))

    def get(self, path: str, **query: Any) -> Response:
        """GET."""
        return self.http("GET", path, **query)

    def create(self, path: str, body: Any, **query: Any) -> JSON:
        """POST, and return what was created."""
        return self.http("POST", path, body, **query).ok()

    def patch(self, path: str, body: Any, kind: str = MERGE, **query: Any) -> Response:
        """PATCH."""
        return self.http("PATCH", path, body, kind, **query)

    def delete(self, path: str, body: Any = None, **query: Any) -> Response:
        """DELETE."""
        return self.http("DELETE", path, body, **query)

    @contextmanager
    def watch(
        self, path: str, accept: str = "application/json", **query: Any
    ) -> Iterator[Iterator[JSON]]:
        """Open a watch and yield its events as they come; it times out after 10 s unless
        `timeoutSeconds` is given.
        """
        fields = {"watch": "1", "timeoutSeconds": "10", **query}
        answer = self.pool.request(
            "GET",
            f"{self.url}{path}?{urlencode(fields)}",
            headers=self._headers(Accept=accept),
            preload_content=False,
            timeout=30,
            retries=False,
        )
        assert answer.status == 200, answer.data

        def events() -> Iterator[JSON]:
            rest = b""
            for chunk in answer.stream(amt=None):
                *lines, rest = (rest + chunk).split(b"\n")
                yield from (json.loads(line) for line in lines if line)

        try:
            yield events()
        finally:
            answer.close()

    def kubectl(self, *arguments: str, stdin: str | None = None, check: bool = True) -> str:
        """Run kubectl and return what it prints; with `check`, a failure fails the test."""
        cache = self.kubeconfig.parent / f"{self.name}-cache"
        done = subprocess.run(
            ["kubectl", f"--kubeconfig={self.kubeconfig}", f"--cache-dir={cache}", *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            env={**os.environ, "HOME": str(self.kubeconfig.parent)},
        )
        assert not check or done.returncode == 0, done.stderr + done.stdout
        return done.stdout if check else done.stdout + done.stderr

    def client(self) -> kubernetes.client.ApiClient:
        """Return the official client."""
        return kubernetes.config.new_client_from_config(str(self.kubeconfig))
