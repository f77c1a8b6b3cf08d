"""CustomResourceDefinitions, discovery, and the files that describe Carina's two."""

import time
from importlib.resources import files

import pytest
import yaml

from tests.contract.conftest import CRDS
from tests.contract.server import JSON, Server

pytestmark = pytest.mark.contract

DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


# Columns that a newer release has in place of those that the emulator shows: name, type, format,
# priority. The emulator stays as 1.34 is.
NEWER_COLUMNS = {
    "/api/v1/serviceaccounts": (37, [("Name", "string", "name", 0), ("Age", "string", "", 0)]),
    DEFINITIONS: (
        37,
        [
            ("Name", "string", "name", 0),
            ("Scope", "string", "", 0),
            ("Versions", "string", "", 0),
            ("Created At", "date", "", 0),
            ("Group", "string", "", 1),
            ("Kind", "string", "", 1),
            ("ShortNames", "string", "", 1),
            ("Established", "boolean", "", 1),
        ],
    ),
}


def definition(name: str) -> JSON:
    """Return a namespaced definition with a default, an enum, a bound and no columns."""
    properties = {
        "color": {"type": "string", "enum": ["red", "blue"], "default": "red"},
        "count": {"type": "integer", "minimum": 1},
        "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
    }
    schema = {
        "type": "object",
        "properties": {"spec": {"type": "object", "properties": properties}},
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{name}s.example.com"},
        "spec": {
            "group": "example.com",
            "scope": "Namespaced",
            "names": {"kind": name.capitalize(), "plural": f"{name}s"},
            "versions": [
                {
                    "name": "v1",
                    "served": True,
                    "storage": True,
                    "schema": {"openAPIV3Schema": schema},
                }
            ],
        },
    }


def test_new_definition(cluster: Server, namespace: str, prefix: str) -> None:
    """A new definition serves its resource: defaulted, pruned, validated; with it go its
    objects.
    """
    cluster.create(DEFINITIONS, definition(prefix))
    path = f"/apis/example.com/v1/namespaces/{namespace}/{prefix}s"
    deadline = time.monotonic() + 20
    while cluster.get(path).code != 200 and time.monotonic() < deadline:
        time.sleep(0.1)
    base = {
        "apiVersion": "example.com/v1",
        "kind": prefix.capitalize(),
        "metadata": {"name": "one"},
    }
    made = cluster.create(path, {**base, "spec": {"free": {"any": [1]}, "gone": 1}})
    assert made["spec"] == {"color": "red", "free": {"any": [1]}}
    status = cluster.http("POST", path, {**base, "spec": {"color": "green", "count": 0}}).refused(
        422, "Invalid"
    )
    assert {cause["reason"] for cause in status["details"]["causes"]} == {
        "FieldValueNotSupported",
        "FieldValueInvalid",
    }
    columns = cluster.http("GET", path, accept="application/json;as=Table;v=v1;g=meta.k8s.io").ok()[
        "columnDefinitions"
    ]
    assert [column["name"] for column in columns] == ["Name", "Age"]
    cluster.delete(f"{DEFINITIONS}/{prefix}s.example.com").ok()
    deadline = time.monotonic() + 20
    while cluster.get(path).code != 404 and time.monotonic() < deadline:
        time.sleep(0.1)
    assert cluster.get(path).code == 404


def test_established(cluster: Server) -> None:
    """Carina's definitions are established under the names that they ask for."""
    status = cluster.get(f"{DEFINITIONS}/logicvolumes.carina.storage.io").ok()["status"]
    assert status["acceptedNames"]["shortNames"] == ["lv"]
    assert status["storedVersions"] == ["v1"]
    assert {c["type"]: c["status"] for c in status["conditions"]} == {
        "NamesAccepted": "True",
        "Established": "True",
    }


@pytest.mark.parametrize(
    "group_version",
    ["v1", "apps/v1", "carina.storage.io/v1", "carina.storage.io/v1beta1", "storage.k8s.io/v1"],
)
def test_discovery_agrees(emulator: Server, real: Server, group_version: str) -> None:
    """What the emulator says of a resource in discovery is what the real server says of it."""
    path = f"/apis/{group_version}" if "/" in group_version else f"/api/{group_version}"
    ours, theirs = (
        {
            entry["name"]: {
                k: sorted(v) if k == "verbs" else v
                for k, v in entry.items()
                if k != "storageVersionHash"
            }
            for entry in server.get(path).ok()["resources"]
        }
        for server in (emulator, real)
    )
    assert ours
    assert ours == {name: theirs[name] for name in ours}


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/nodes",
        "/api/v1/namespaces",
        "/api/v1/pods",
        "/api/v1/persistentvolumes",
        "/api/v1/persistentvolumeclaims",
        "/api/v1/events",
        "/api/v1/configmaps",
        "/api/v1/secrets",
        "/api/v1/services",
        "/api/v1/serviceaccounts",
        "/apis/apps/v1/statefulsets",
        "/apis/apps/v1/deployments",
        "/apis/coordination.k8s.io/v1/leases",
        "/apis/storage.k8s.io/v1/storageclasses",
        "/apis/storage.k8s.io/v1/csidrivers",
        "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
        "/apis/carina.storage.io/v1/logicvolumes",
        "/apis/carina.storage.io/v1beta1/nodestorageresources",
        "/apis/tasks.carina.storage.io/v1/failoverstatuses",
    ],
)
def test_columns_agree(emulator: Server, real: Server, path: str) -> None:
    """The emulator's Table has the real server's columns: names, types, formats and priorities.
    Where a newer release is known to differ, the real server has exactly those that are known.
    """
    ours, theirs = (
        [
            {key: value for key, value in column.items() if key != "description"}
            for column in server.http(
                "GET", path, accept="application/json;as=Table;v=v1;g=meta.k8s.io"
            ).ok()["columnDefinitions"]
        ]
        for server in (emulator, real)
    )
    since, newer = NEWER_COLUMNS.get(path, (0, []))
    if since and real.minor >= since:
        ours = [
            dict(zip(("name", "type", "format", "priority"), one, strict=True)) for one in newer
        ]
    assert ours == theirs


@pytest.mark.parametrize("path", ["/healthz", "/livez", "/readyz"])
def test_health(cluster: Server, path: str) -> None:
    """The health endpoints say ok."""
    answer = cluster.get(path)
    assert (answer.code, answer.body) == (200, "ok")


def test_field_validation_in_openapi(cluster: Server) -> None:
    """OpenAPI says of every PATCH that it takes fieldValidation, which is what kubectl apply
    asks.
    """
    where = cluster.get("/openapi/v3").ok()["paths"]["apis/carina.storage.io/v1"][
        "serverRelativeURL"
    ]
    paths = cluster.http("GET", where).ok()["paths"]
    patch = paths["/apis/carina.storage.io/v1/logicvolumes/{name}"]["patch"]
    assert "fieldValidation" in [parameter["name"] for parameter in patch["parameters"]]
    assert patch["x-kubernetes-group-version-kind"]["kind"] == "LogicVolume"


def test_packaged_definitions_are_the_deployed_ones() -> None:
    """The emulator's copies of the manifests are those of deploy/crds, file by file and byte by
    byte.
    """
    packaged = files("carina_tasks.emulator.api_server") / "crds"
    deployed = {path.name: path.read_text() for path in CRDS.glob("*.yaml")}
    assert {
        path.name: path.read_text() for path in packaged.iterdir() if path.name.endswith(".yaml")
    } == deployed
    names = {yaml.safe_load(text)["metadata"]["name"] for text in deployed.values()}
    assert names == {
        "failoverstatuses.tasks.carina.storage.io",
        "logicvolumes.carina.storage.io",
        "nodestorageresources.carina.storage.io",
    }
