"""The published status on both servers: written by our adapter, read by kubectl and the plugin."""

from __future__ import annotations

import os
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import kubernetes
import msgspec
import pytest
import yaml

from carina_tasks.errors import ApiDenied
from carina_tasks.kube.api import Api
from carina_tasks.kube.published import PublishedStatus
from carina_tasks.model.published import (
    Published,
    PublishedCopies,
    PublishedLoss,
    PublishedNode,
    PublishedProblem,
    PublishedRebuild,
    PublishedVolumes,
)
from tests.contract.server import Server
from tests.lab import paths

PLUGIN = paths.REPOSITORY / "deploy" / "plugin" / "kubectl-carina"
DEFINITION = "failoverstatuses.tasks.carina.storage.io"


def published(age: float = 5) -> Published:
    """Make a status that was written `age` seconds ago, with a line of each kind."""

    def ago(seconds: float) -> str:
        return f"{datetime.now(UTC) - timedelta(seconds=age + seconds):%Y-%m-%dT%H:%M:%SZ}"

    return Published(
        written=ago(0),
        level="DEGRADED",
        sentence="1 volume of node n9 is unscheduled: celery -A carina_tasks carina plan n9",
        nodes=(
            PublishedNode("n1", "True", "alive", 5, 0, "loses 2 volumes", "2 of 5 volumes", ""),
            PublishedNode("n2", "True", "silent", 0, 1, "survives", "no volume", "cordoned"),
        ),
        nodes_total=700,
        volumes=PublishedVolumes(total=6, success=5, lost=1),
        attention=(
            PublishedProblem(
                "shop/data-0",
                "db-0",
                "n9",
                "no-fit",
                ago(7300),
                "n1: it has 3Gi left; n2: cordoned",
                "kubectl uncordon n2",
                "pvc-1",
            ),
        ),
        attention_total=4,
        needs_operator=1,
        rebuilds=(
            PublishedRebuild(
                "shop/data-1", "", "n9", "n1", ago(30), "2/5 create the local volume", "deleted"
            ),
        ),
        rebuilds_total=1,
        readiness_asked=ago(60),
        unschedulable=(PublishedLoss("shop/data-2", "db-2", "n1", "n2: cordoned"),),
        unschedulable_total=2,
        old_copies=(PublishedCopies("n2", 3, ago(-86400)),),
        old_copies_total=3,
        trash=2,
    )


def adapter(server: Server, namespace: str) -> PublishedStatus:
    """Return our adapter in a namespace."""
    client = kubernetes.config.new_client_from_config(str(server.kubeconfig))
    return PublishedStatus(Api(client, timeout=10, page_size=3), namespace)


@pytest.fixture
def status(cluster: Server, namespace: str) -> PublishedStatus:
    """Return our adapter in the test's namespace."""
    return adapter(cluster, namespace)


def write(status: PublishedStatus, value: Published) -> None:
    """Write as the flow does."""
    status.write(msgspec.json.decode(msgspec.json.encode(value)))


def plugin(kubeconfig: Path, *words: str) -> tuple[int, str, str]:
    """Run the plugin as its users do; return its code, output and errors."""
    done = subprocess.run(
        ["sh", PLUGIN, f"--kubeconfig={kubeconfig}", *words],
        env={**os.environ, "HOME": str(kubeconfig.parent)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def test_it_is_created_replaced_and_read(status: PublishedStatus) -> None:
    """The first write creates it, the next leaves nothing of the one before."""
    assert status.read() == {}
    write(status, published())
    assert [one["node"] for one in status.read()["nodes"]] == ["n1", "n2"]
    write(status, Published("2026-01-01T00:00:00Z", "HEALTHY", "well"))
    assert (status.read()["nodes"], status.read()["level"]) == ([], "HEALTHY")


def test_kubectl_prints_it_in_columns(
    cluster: Server, namespace: str, status: PublishedStatus
) -> None:
    """Who has no plugin sees the verdict, its age and the reason."""
    write(status, published())
    head, line = cluster.kubectl("-n", namespace, "get", "failoverstatus").splitlines()
    assert head.split() == [
        "NAME",
        "VERDICT",
        "NODES",
        "VOLUMES",
        "REBUILDS",
        "NEEDS",
        "YOU",
        "WRITTEN",
        "REASON",
    ]
    assert line.split()[:6] == ["carina-tasks", "DEGRADED", "700", "6", "1", "1"]
    assert line.endswith(published().sentence)


def test_the_plugin_reads_it(cluster: Server, namespace: str, status: PublishedStatus) -> None:
    """Verdict first, claims first in each table, what is left out is counted, exit codes follow;
    no pod is asked, and there is none.
    """
    write(status, published())
    code, text, errors = plugin(cluster.kubeconfig, "-n", namespace, "status")
    assert (code, errors) == (1, "")
    lines = text.splitlines()
    assert lines[0] == "DEGRADED: 1 volume of node n9 is unscheduled: kubectl carina plan n9"
    assert [line.split()[:7] for line in lines if line.startswith("n1 ")] == [
        ["n1", "True", "alive", "5", "0", "loses", "2"]
    ]
    assert "and 698 more nodes" in text
    assert "shop/data-0   db-0   n9     no-fit   2h01m   n1: it has 3Gi left" in text
    assert "shop/data-1   -     n9     n1   3" in text
    assert "until" in text
    assert "in the trash: 2 local volumes" in text
    code, text, _ = plugin(cluster.kubeconfig, "-n", namespace, "failed")
    assert code == 1
    assert text.startswith("DEGRADED: 1 thing needs the operator\n")
    assert "  kubectl uncordon n2" in text
    code, text, _ = plugin(cluster.kubeconfig, "-n", namespace, "plan", "n1")
    assert (code, "loses 2 volumes" in text, "shop/data-2" in text) == (1, True, True)
    code, text, _ = plugin(cluster.kubeconfig, "-n", namespace, "plan", "n2")
    assert (code, "survives" in text, "shop/data-2" in text) == (0, True, False)


def test_a_status_that_nobody_writes_is_said_to_be_stale(
    cluster: Server, namespace: str, status: PublishedStatus
) -> None:
    """carina-tasks is down: the plugin still shows what was, how old it is, and ends with 2."""
    write(status, published(age=3 * 86400))
    code, text, _ = plugin(cluster.kubeconfig, "-n", namespace, "status")
    assert code == 2
    first = text.splitlines()[0]
    assert first.startswith("STALE: nobody has written the status since 3d (20")
    assert f"in namespace {namespace} are down" in first
    assert text.splitlines()[1].startswith("DEGRADED: ")


def test_what_is_not_published_is_asked_in_a_pod(
    cluster: Server, namespace: str, status: PublishedStatus
) -> None:
    """A node that is not in it, options, other commands and --live; nothing published is said."""
    write(status, published())
    for words in (("plan", "n7"), ("status", "-w"), ("doctor",), ("--live", "status")):
        code, _, errors = plugin(cluster.kubeconfig, "-n", namespace, *words)
        assert (code, "no control pod of carina-tasks runs" in errors) == (2, True), words
    _, _, errors = plugin(cluster.kubeconfig, "-n", f"{namespace}-other", "status")
    assert "no published status can be read; a control pod is asked" in errors


def test_a_viewer_reads_and_cannot_write(real: Server, prefix: str, tmp_path: Path) -> None:
    """What deploy/rbac.yaml adds to the ClusterRole `view` is enough for the plugin, and for
    nothing else.
    """
    real.create("/api/v1/namespaces", {"metadata": {"name": prefix}})
    rules = yaml.safe_load_all((paths.REPOSITORY / "deploy" / "rbac.yaml").read_text())
    (role,) = [one for one in rules if one["metadata"]["name"] == "carina-tasks-view"]
    assert role["metadata"]["labels"] == {"rbac.authorization.k8s.io/aggregate-to-view": "true"}
    # Here no controller gathers the roles of `view`: this one is bound itself.
    role["metadata"] = {"name": prefix}
    real.kubectl("create", "-f", "-", stdin=yaml.safe_dump(role))
    real.kubectl(
        "create", "rolebinding", "view", f"-n={prefix}", f"--clusterrole={prefix}", "--user=viewer"
    )
    config = yaml.safe_load(real.kubeconfig.read_text())
    config["users"][0]["user"]["as"] = "viewer"
    viewer = tmp_path / "viewer"
    viewer.write_text(yaml.safe_dump(config))
    write(adapter(real, prefix), published())
    code, text, _ = plugin(viewer, "-n", prefix, "status")
    assert (code, text.startswith("DEGRADED: ")) == (1, True)
    code, _, errors = plugin(viewer, "-n", prefix, "doctor")
    assert (code, "pods is forbidden" in errors) == (2, True)
    patch = ("patch", "failoverstatus", "carina-tasks", "--type=merge", "-p", '{"status": {}}')
    said = real.kubectl("--as=viewer", "-n", prefix, *patch, check=False)
    assert "cannot patch resource" in said


def test_without_its_definition_it_says_what_to_apply(emulator: Server, prefix: str) -> None:
    """An update by kubectl may have left it out; a path that is not served is no absence."""
    emulator.create("/api/v1/namespaces", {"metadata": {"name": prefix}})
    path = f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{DEFINITION}"
    before = emulator.get(path).ok()
    emulator.delete(path).ok()
    try:
        with pytest.raises(ApiDenied, match=r"kubectl apply -f deploy/crds/failoverstatuses\.yaml"):
            adapter(emulator, prefix).read()
    finally:
        again = {key: before[key] for key in ("apiVersion", "kind", "spec")}
        emulator.create(path.rsplit("/", 1)[0], {**again, "metadata": {"name": DEFINITION}})
