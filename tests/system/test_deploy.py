"""deploy/: the API server takes the manifests, their pods go where they must, and the Redis users
can do what they must.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
import yaml

from carina_tasks import settings
from tests.lab import kube as k
from tests.lab import paths, ports
from tests.lab.errors import LabError
from tests.lab.lab import Lab
from tests.lab.processes import Process, start, wait_until
from tests.lab.redis import node_rules
from tests.system.apiserver import with_flags
from tests.system.manifests import manifests

DEPLOY = paths.REPOSITORY / "deploy"
ACL = DEPLOY / "redis" / "acl.py"
NAMESPACE = "kube-system"
ONE, TWO = "10.20.9.151", "10.20.9.152"


def workloads() -> list[dict]:
    """Return the objects of deploy/ that make pods."""
    return [one for one in manifests() if one["kind"] in {"Deployment", "DaemonSet", "StatefulSet"}]


def overlay(folder: Path) -> Path:
    """Write a kustomization like an operator's own: deploy/ with the profile `open`, and TLS."""
    # kustomize takes no absolute paths.
    base = os.path.relpath(DEPLOY, folder.resolve())
    (folder / "kustomization.yaml").write_text(
        f"resources: [{base}]\ncomponents: [{base}/open, {base}/flower/controls, "
        f"{base}/flower/claim, {base}/tls, {base}/tls/client]\n"
    )
    return folder


@pytest.fixture(scope="module")
def privileged(whole_lab: Lab) -> Iterator[None]:
    """Let the API server take privileged pods, as every cluster with a CSI driver does."""
    with with_flags(whole_lab, "--allow-privileged=true"):
        yield


@pytest.mark.usefixtures("privileged")
@pytest.mark.parametrize("what", ["deploy", "deploy/redis", "open"])
def test_the_api_server_takes_it(lab: Lab, tmp_path: Path, what: str) -> None:
    """A server-side dry run with strict validation accepts every manifest: fields, values, quotas,
    admission.
    """
    folder = overlay(tmp_path) if what == "open" else paths.REPOSITORY / what
    said = lab.kubectl("apply", "--dry-run=server", "--validate=strict", "-k", str(folder))
    assert all(line.endswith("(server dry run)") for line in said.splitlines())
    assert "deployment.apps/" in said


@pytest.mark.usefixtures("privileged")
def test_pods_go_where_they_must(lab: Lab) -> None:
    """Node workers run on every node, cordoned and tainted ones too; two control workers and two
    watches never share one.
    """
    lab.kubectl("cordon", ONE)
    lab.kubectl("taint", "node", ONE, "mine=only:NoExecute")
    pods = f"{k.pods(NAMESPACE)}?labelSelector=app.kubernetes.io/name=carina-tasks"

    def placed() -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for pod in lab.kube.list(pods):
            found.setdefault(pod["metadata"]["labels"]["app.kubernetes.io/component"], []).append(
                pod["spec"].get("nodeName", "")
            )
        return {component: sorted(nodes) for component, nodes in found.items()}

    others = sorted(set(lab.names) - {ONE})
    try:
        lab.kubectl("apply", "-k", str(DEPLOY))
        with contextlib.suppress(LabError):  # the comparison below says more
            lab.world.wait(
                "every pod has its node",
                lambda: sum(map(len, placed().values())) == 9 and all(map(all, placed().values())),
                30,
            )
        found = placed()
        assert {c: found.get(c) for c in ("node", "control", "node-watch")} == {
            "node": sorted(lab.names),
            "control": others,
            "node-watch": others,
        }
        assert len(found["beat"]) == len(found["flower"]) == 1
    finally:
        lab.kubectl("delete", "-k", str(DEPLOY), "--ignore-not-found", "--wait=false")
        lab.world.wait("no pod is left", lambda: not drop(lab, pods), 30)
        # It took a definition of the lab's along.
        lab.kubectl("wait", "--for=delete", "crd/failoverstatuses.tasks.carina.storage.io")
        lab.kubectl("apply", "-f", str(DEPLOY / "crds"))


def drop(lab: Lab, pods: str) -> int:
    """Delete the pods at once, and say how many there were."""
    found = lab.kube.list(pods)
    for pod in found:
        lab.kube.delete(f"{k.pods(NAMESPACE)}/{pod['metadata']['name']}", grace=0)
    return len(found)


def test_every_workload_gets_the_certificates(tmp_path: Path) -> None:
    """With the components of deploy/tls each has the Secret's folder, and the settings that name
    its files; without them none has.
    """
    done = subprocess.run(
        [paths.kubectl_binary(), "kustomize", overlay(tmp_path)],
        check=True,
        capture_output=True,
        text=True,
    )
    made = [
        one for one in yaml.safe_load_all(done.stdout) if one["kind"] in {"Deployment", "DaemonSet"}
    ]
    assert len(made) == 5
    for one in made:
        pod = one["spec"]["template"]["spec"]
        [container] = pod["containers"]
        [mount] = [m for m in container["volumeMounts"] if m["name"] == "redis-tls"]
        files = {
            e["name"]: str(e.get("value")).removeprefix(mount["mountPath"] + "/")
            for e in container["env"]
        }
        assert {
            name: files.get(f"CARINA_TASKS_BROKER_{name}") for name in ("CA", "CERTIFICATE", "KEY")
        } == {
            "CA": "ca.crt",
            "CERTIFICATE": "tls.crt",
            "KEY": "tls.key",
        }
        assert {"name": "redis-tls", "secret": {"secretName": "carina-tasks-redis-tls"}} in pod[
            "volumes"
        ]
    assert "BROKER_CA" not in json.dumps(workloads())


def test_only_two_get_a_token() -> None:
    """Only control workers and the node watch can speak to the API server; node workers, beat and
    Flower hold no token.
    """
    tokens = {
        one["metadata"]["name"]: one["spec"]["template"]["spec"]["automountServiceAccountToken"]
        for one in workloads()
    }
    assert {name for name, mounted in tokens.items() if mounted} == {
        "carina-tasks-control",
        "carina-tasks-node-watch",
    }


def test_the_settings_exist() -> None:
    """Every CARINA_TASKS_ variable is a setting with a value that it takes, and no Service can add
    one by its name.
    """
    for one in workloads():
        spec = one["spec"]["template"]["spec"]
        assert spec["enableServiceLinks"] is False
        (container,) = spec["containers"]
        env = {entry["name"]: entry.get("value", "") for entry in container["env"]}
        values = {
            "CARINA_TASKS_BROKER_URL": "redis://r:6379/0",
            "NODE_NAME": "n1",
            "CARINA_TASKS_NAMESPACE": NAMESPACE,
        }
        settings.load({name: value or values.get(name, "") for name, value in env.items()})


def test_every_process_is_scraped() -> None:
    """Each of our processes serves metrics at the port that its annotations, and its port
    `metrics`, name; Flower is closed.
    """
    for one in workloads():
        template = one["spec"]["template"]
        (container,) = template["spec"]["containers"]
        env = {entry["name"]: entry.get("value", "") for entry in container["env"]}
        notes = template["metadata"].get("annotations", {})
        if one["metadata"]["name"] == "carina-tasks-flower":
            assert "prometheus.io/scrape" not in notes
            continue
        assert notes["prometheus.io/scrape"] == "true"
        (port,) = [p["containerPort"] for p in container["ports"] if p["name"] == "metrics"]
        assert notes["prometheus.io/port"] == env["CARINA_TASKS_METRICS_PORT"] == str(port)


def test_the_acl_line_is_the_one_of_the_lab(tmp_path: Path) -> None:
    """acl.py gives a node the very rights with which the system tests' node workers run, sealed, on
    real Redis.
    """
    acl(tmp_path, "127.0.0.1:1", ONE)
    (line,) = [
        one
        for one in (tmp_path / "users.acl").read_text().splitlines()
        if one.startswith(f"user {ONE} ")
    ]
    assert line.split()[5:] == node_rules(ONE)


def acl(folder: Path, address: str, *arguments: str) -> None:
    """Run deploy/redis/acl.py."""
    argv = [sys.executable, str(ACL), "--folder", str(folder), "--address", address, *arguments]
    subprocess.run(argv, check=True, capture_output=True)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[Path, str, Process]]:
    """Run redis-server with deploy/redis/redis.conf and the users of acl.py."""
    (port,) = ports.free(1)
    users, address = tmp_path / "users", f"127.0.0.1:{port}"
    acl(users, address, ONE, TWO)
    conf = (
        (DEPLOY / "redis" / "redis.conf")
        .read_text()
        .replace("/etc/redis/users/users.acl", str(users / "users.acl"))
    )
    (tmp_path / "redis.conf").write_text(conf.replace("dir /tmp", f"dir {tmp_path}"))
    process = start(
        "redis",
        ["redis-server", tmp_path / "redis.conf", "--port", str(port), "--bind", "127.0.0.1"],
        folder=tmp_path,
    )
    try:
        wait_until(
            "redis listens", lambda: "Ready to accept" in process.tail(), 10, watch=[process]
        )
        yield users, address, process
    finally:
        process.stop()


def client(users: Path, name: str) -> redis.Redis:
    """Return a client of one of the users."""
    return redis.Redis.from_url((users / f"{name}.url").read_text().strip(), socket_timeout=5)


def test_redis_users_do_what_they_must(server: tuple[Path, str, Process], tmp_path: Path) -> None:
    """With acl.py's users a control process asks a sealed node worker and is answered, and Flower's
    broker page works.
    """
    users, _, _ = server
    lvm = tmp_path / "lvm"
    lvm.write_text("#!/bin/sh\necho '{\"report\": []}'\n")
    lvm.chmod(0o755)
    base = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PYTHONPATH": str(paths.REPOSITORY)}
    node = base | {
        "NODE_NAME": ONE,
        "CARINA_TASKS_BROKER_URL": (users / f"{ONE}.url").read_text().strip(),
        "CARINA_TASKS_NODE_PROFILE": "sealed",
        "CARINA_TASKS_LVM_COMMAND": str(lvm),
    }
    worker = start("node", [sys.executable, "-m", "workers.node"], folder=tmp_path, env=node)
    try:
        wait_until(
            "the node worker is ready", lambda: "ready." in worker.tail(), 30, watch=[worker]
        )
        control = base | {"CARINA_TASKS_BROKER_URL": (users / "_control.url").read_text().strip()}
        ask = (
            "from carina_tasks.celery import app; from carina_tasks.tasks.node import inventory; "
            f"print('of', inventory.ask('{ONE}').node)"
        )
        done = subprocess.run(
            [sys.executable, "-c", ask],
            env=control,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert f"of {ONE}" in done.stdout, done.stdout + done.stderr + worker.tail()
    finally:
        worker.stop()
    with client(users, "_control") as one:
        assert one.info()["redis_version"]
        assert one.llen("control") == 0


def test_flower_reads_and_starts_nothing(server: tuple[Path, str, Process], tmp_path: Path) -> None:
    """With its own user Flower sees workers and tasks, and its API puts no task on a queue."""
    users, _, _ = server
    (port,) = ports.free(1)
    base = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PYTHONPATH": str(paths.REPOSITORY)}
    url = {name: (users / f"_{name}.url").read_text().strip() for name in ("control", "flower")}
    celery = [sys.executable, "-m", "celery", "-A", "carina_tasks"]
    node = base | {
        "NODE_NAME": ONE,
        "CARINA_TASKS_BROKER_URL": url["control"],
        "CARINA_TASKS_LVM_COMMAND": "false",
    }
    flower = base | {"CARINA_TASKS_BROKER_URL": url["flower"], "FLOWER_UNAUTHENTICATED_API": "true"}

    def api(path: str, data: bytes | None = None) -> dict:
        with urllib.request.urlopen(
            f"http://127.0.0.1:{port}/api/{path}", data, timeout=10
        ) as answer:
            return json.load(answer)

    with contextlib.ExitStack() as stack:
        worker = start("node", [sys.executable, "-m", "workers.node"], folder=tmp_path, env=node)
        stack.callback(worker.stop)
        process = start(
            "flower",
            [*celery, "flower", "--address=127.0.0.1", f"--port={port}"],
            folder=tmp_path,
            env=flower,
        )
        stack.callback(process.stop)
        wait_until(
            "both are up",
            lambda: "ready." in worker.tail() and "Connected" in process.tail(),
            30,
            watch=[worker, process],
        )
        wait_until(
            "Flower sees the worker",
            lambda: f"{ONE}@{ONE}" in api("workers?refresh=1"),
            30,
            every=1,
            watch=[process],
        )
        # Its lvm is `false`, so it fails: what counts is that Flower hears of it.
        task = [
            "call",
            "carina.node.inventory",
            f"--queue=node.{ONE}",
            "--routing-key",
            f"node.{ONE}",
        ]
        subprocess.run(
            [*celery, *task],
            env=base | {"CARINA_TASKS_BROKER_URL": url["control"]},
            check=True,
            cwd=tmp_path,
            capture_output=True,
        )
        wait_until(
            "Flower lists the task",
            lambda: any(t["name"] == "carina.node.inventory" for t in api("tasks").values()),
            15,
        )
        with pytest.raises(urllib.error.HTTPError):
            api("task/send-task/carina.sweep.local_volumes", b'{"args": []}')
    with client(users, "_control") as one:
        assert one.llen("control") == 0


@pytest.mark.parametrize(
    "command",
    [
        ("LPUSH", "control", "x"),
        ("LPUSH", f"node.{TWO}", "x"),
        ("BRPOP", f"node.{TWO}", "1"),
        ("GET", f"celery-task-meta-{TWO}:1"),
        ("SETEX", f"alive.{TWO}", "9", "1"),
        ("PUBLISH", f"celery-task-meta-{TWO}:1", "x"),
        ("EVAL", "return 1", "0"),
        ("KEYS", "*"),
        ("FLUSHALL",),
        ("ACL", "SETUSER", ONE, "allcommands"),
    ],
    ids=lambda command: " ".join(command[:2]),
)
def test_a_node_may_do_nothing_else(
    server: tuple[Path, str, Process], command: tuple[str, ...]
) -> None:
    """A node's user can write no queue, touch no other node's keys, run no script."""
    with client(server[0], ONE) as one, pytest.raises(redis.exceptions.NoPermissionError):
        one.execute_command(*command)


def test_nobody_enters_without_a_user(server: tuple[Path, str, Process]) -> None:
    """The default user of Redis, who needs no password, is off."""
    with (
        redis.Redis.from_url(f"redis://{server[1]}") as one,
        pytest.raises(redis.exceptions.AuthenticationError),
    ):
        one.ping()


def test_a_node_joins_and_one_leaves(server: tuple[Path, str, Process]) -> None:
    """acl.py called again adds a node and takes one out without touching the passwords of the
    others.
    """
    users, address, _ = server
    before = (users / f"{TWO}.url").read_text()
    acl(users, address, "10.20.9.153")
    acl(users, address, "--remove", ONE)
    assert (users / f"{TWO}.url").read_text() == before
    with client(users, TWO) as old, client(users, "10.20.9.153") as new:
        assert old.llen(f"node.{TWO}") == 0
        with pytest.raises(redis.exceptions.AuthenticationError):
            new.ping()
        names = [line.split()[1] for line in (users / "users.acl").read_text().splitlines()]
    assert names == [
        "default",
        "10.20.9.152",
        "10.20.9.153",
        "carina-tasks",
        "carina-tasks-enrolment",
        "carina-tasks-flower",
    ]
    assert not (users / f"{ONE}.url").exists()


def test_kustomize_leaves_the_lease_role() -> None:
    """The Role for node Leases stays in kube-node-lease, and everything else is in Carina's
    namespace.
    """
    namespaces = {
        (one["kind"], one["metadata"]["name"]): one["metadata"]["namespace"]
        for one in manifests()
        if "namespace" in one["metadata"]
    }
    leases = {("Role", "carina-tasks-leases"), ("RoleBinding", "carina-tasks-leases")}
    assert {
        key for key, namespace in namespaces.items() if namespace == "kube-node-lease"
    } == leases
    assert set(namespaces.values()) == {NAMESPACE, "kube-node-lease"}
    assert yaml.safe_load((DEPLOY / "namespace.yaml").read_text())["unsetOnly"] is True
