"""A small raw-JSON Kubernetes client for the lab's own use.

The product has its own client; the lab does not look through it, so that a fault there cannot hide
itself.
"""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import urllib3

from tests.lab.errors import LabError

Json = dict[str, Any]

NODES = "/api/v1/nodes"
PVS = "/api/v1/persistentvolumes"
PODS = "/api/v1/pods"
CLAIMS = "/api/v1/persistentvolumeclaims"
LOGIC_VOLUMES = "/apis/carina.storage.io/v1/logicvolumes"
NODE_STORAGE_RESOURCES = "/apis/carina.storage.io/v1beta1/nodestorageresources"
STORAGE_CLASSES = "/apis/storage.k8s.io/v1/storageclasses"
CSI_DRIVERS = "/apis/storage.k8s.io/v1/csidrivers"
LEASES = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"


def pods(namespace: str = "default") -> str:
    """Return the path of a namespace's pods."""
    return f"/api/v1/namespaces/{namespace}/pods"


def claims(namespace: str = "default") -> str:
    """Return the path of a namespace's PersistentVolumeClaims."""
    return f"/api/v1/namespaces/{namespace}/persistentvolumeclaims"


def stateful_sets(namespace: str = "default") -> str:
    """Return the path of a namespace's StatefulSets."""
    return f"/apis/apps/v1/namespaces/{namespace}/statefulsets"


def events(namespace: str = "default") -> str:
    """Return the path of a namespace's Events."""
    return f"/api/v1/namespaces/{namespace}/events"


class KubeError(LabError):
    """The API server answered with an error; `status` is its HTTP code."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{status}: {message}")
        self.status = status


class Kube:
    """Requests to one API server as one user. Threads may share it."""

    def __init__(self, url: str, token: str, ca: Path) -> None:
        self._url = url
        self._http = urllib3.PoolManager(
            maxsize=8,
            ca_certs=str(ca),
            headers={"Authorization": f"Bearer {token}", "Accept": "application/json"},
            timeout=urllib3.Timeout(connect=2, read=30),
            retries=False,
        )

    def request(
        self, method: str, path: str, body: Any = None, kind: str = "application/json"
    ) -> Json:
        """Send a request and return the decoded answer; raises KubeError for a code of 300 or more.

        429 means "not now" (a CRD's storage is being made): tried again for 10 s, as every client
        does.
        """
        for _ in range(50):
            answer = self._http.request(
                method,
                self._url + path,
                body=None if body is None else json.dumps(body).encode(),
                headers={**self._http.headers, "Content-Type": kind},
            )
            if answer.status != 429:
                break
            time.sleep(0.2)
        if answer.status >= 300:
            raise KubeError(
                answer.status, f"{method} {path}: {answer.data.decode(errors='replace')[:1000]}"
            )
        decoded = (
            json.loads(answer.data)
            if answer.headers.get("Content-Type", "").endswith("json")
            else {}
        )
        return decoded if isinstance(decoded, dict) else {}

    def get(self, path: str) -> Json:
        """Return one object."""
        return self.request("GET", path)

    def find(self, path: str) -> Json | None:
        """Return one object, None when the API server answers 404."""
        try:
            return self.get(path)
        except KubeError as error:
            if error.status == 404:
                return None
            raise

    def list(self, path: str) -> list[Json]:
        """Return the objects of a collection."""
        return list(self.get(path)["items"])

    def names(self, path: str) -> Iterator[str]:
        """Return the names of a collection's objects."""
        return (one["metadata"]["name"] for one in self.list(path))

    def create(self, path: str, body: Json) -> Json:
        """POST an object to a collection and return what was stored."""
        return self.request("POST", path, body)

    def ensure(self, path: str, body: Json) -> Json:
        """Create an object, or return the one of that name that is there already."""
        try:
            return self.create(path, body)
        except KubeError as error:
            if error.status == 409:
                return self.get(f"{path}/{body['metadata']['name']}")
            raise

    def patch(self, path: str, body: Json) -> Json:
        """Apply a JSON merge patch and return the result."""
        return self.request("PATCH", path, body, "application/merge-patch+json")

    def delete(self, path: str, *, grace: int | None = None) -> None:
        """Delete an object or a collection; one that is gone already is no error."""
        body = {} if grace is None else {"gracePeriodSeconds": grace}
        try:
            self.request("DELETE", path, body)
        except KubeError as error:
            if error.status != 404:
                raise
