"""Both servers, started once; a namespace and a prefix for names for each test."""

import contextlib
import subprocess
import uuid
from collections.abc import Iterator

import pytest
import urllib3

from carina_tasks.emulator.api_server import ApiServer
from tests.contract.server import FAILOVER_STATUSES, LOGIC_VOLUMES, NODE_STORAGE, Server
from tests.lab import parts, paths
from tests.lab.control_plane import ControlPlane, Options
from tests.lab.processes import wait_until

CRDS = paths.REPOSITORY / "deploy" / "crds"
SNAPSHOTS = 33
"""Minor version of the first API server that knows the gate ListFromCacheSnapshot; an older one
does not start with it.
"""


@pytest.fixture(scope="session")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Run the emulator in a thread."""
    with ApiServer() as server:
        config = server.kubeconfig(tmp_path_factory.mktemp("emulator") / "kubeconfig")
        yield Server("emulator", server.url, config, server.forget_history)


def _minor() -> int:
    """Return the minor version of the API server, as its program reports it."""
    program = str(paths.control_plane_binary("kube-apiserver"))
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=True)
    return int(said.stdout.split(".")[1])


@pytest.fixture(scope="session")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Run a real etcd and kube-apiserver, without controllers: nothing moves objects but the
    test.
    """
    parts.require("apiserver", "kubectl")
    # Without snapshots a continue token is read from etcd, which a test can make forget; with them
    # it takes minutes.
    # Privileged pods: as in every cluster with a CSI driver.
    gates = ("--feature-gates=ListFromCacheSnapshot=false",) if _minor() >= SNAPSHOTS else ()
    arguments = (*gates, "--allow-privileged=true")
    options = Options(controllers="", scheduler=False, apiserver_arguments=arguments)
    plane = ControlPlane(tmp_path_factory.mktemp("real"), options)
    with contextlib.ExitStack() as stack:
        stack.callback(plane.stop)
        plane.start()

        def forget_history() -> None:
            newest = server.get("/api/v1/namespaces").ok()["metadata"]["resourceVersion"]
            url = f"http://127.0.0.1:{plane._etcd_port}/v3/kv/compaction"
            answer = urllib3.request("POST", url, json={"revision": newest, "physical": True})
            assert answer.status == 200, answer.data

        server = Server("real", plane.url, plane.kubeconfig, forget_history, plane.token, plane.ca)
        server.kubectl("apply", "-f", str(CRDS))
        for path in (LOGIC_VOLUMES, NODE_STORAGE, FAILOVER_STATUSES):
            wait_until(
                f"{path} is served", lambda path=path: server.get(path).code == 200, 30, every=0.1
            )
        wait_until(
            "namespaces are there",
            lambda: server.get("/api/v1/namespaces/default").code == 200,
            30,
            every=0.1,
        )
        yield server


@pytest.fixture(params=["emulator", "real"])
def cluster(request: pytest.FixtureRequest) -> Server:
    """One of the two servers: what a test shows of one must hold for the other.

    An API server that is older than what a test shows (`since`) skips it; `make matrix` has some.
    """
    server: Server = request.getfixturevalue(request.param)
    if server.name == "real":
        for mark in request.node.iter_markers("since"):
            minor, what = mark.args
            if server.minor < minor:
                pytest.skip(
                    f"Kubernetes 1.{server.minor} is older than 1.{minor}, since which {what}"
                )
    return server


@pytest.fixture
def prefix() -> str:
    """Return a prefix for names that no other test uses."""
    return f"t{uuid.uuid4().hex[:8]}"


@pytest.fixture
def namespace(cluster: Server, prefix: str) -> str:
    """Make a namespace of the test's own."""
    cluster.create("/api/v1/namespaces", {"metadata": {"name": prefix}})
    return prefix


@pytest.fixture
def pods(namespace: str) -> str:
    """Return the path of the test's pods."""
    return f"/api/v1/namespaces/{namespace}/pods"


@pytest.fixture
def config_maps(namespace: str) -> str:
    """Return the path of the test's ConfigMaps."""
    return f"/api/v1/namespaces/{namespace}/configmaps"


@pytest.fixture
def claims(namespace: str) -> str:
    """Return the path of the test's claims."""
    return f"/api/v1/namespaces/{namespace}/persistentvolumeclaims"
