"""Enrolment on a real API server and a real Redis: who gets in, who does not, and a node that
floods.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import ssl
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import redis
import yaml

from carina_tasks import settings
from carina_tasks.broker.calls import NodeCalls
from carina_tasks.celery import make_app
from carina_tasks.errors import BrokerUnavailable
from carina_tasks.model.local import Inventory
from carina_tasks.store.acl_rules import ANSWER_SLOTS
from tests.lab import kube as k
from tests.lab import parts, paths, ports
from tests.lab.control_plane import ControlPlane, Options
from tests.lab.processes import Process, start, wait_until
from tests.lab.tls import Certificates, certificates

ONE, TWO, GONE = "10.20.9.151", "10.20.9.152", "10.20.9.153"
NAMESPACE = "kube-system"
ACCOUNT, SERVICE = "carina-tasks-node", "carina-tasks-enrolment"
DEPLOY = paths.REPOSITORY / "deploy"
ACL = DEPLOY / "redis" / "acl.py"


@dataclass
class World:
    """An API server, a Redis with deploy/redis/redis.conf, and one enrolment service."""

    plane: ControlPlane
    folder: Path
    port: int
    metrics_port: int
    redis_port: int
    tls: Certificates
    redis: Process
    service: Process
    environment: dict[str, str]
    processes: list[Process] = field(default_factory=list)

    def pod(self, name: str, node: str = ONE, account: str = ACCOUNT) -> None:
        """Make a pod on a node, as the DaemonSet's controller and the scheduler do."""
        container = {"name": "node", "image": "carina-tasks"}
        spec = {"nodeName": node, "serviceAccountName": account, "containers": [container]}
        self.plane.kube.create(k.pods(NAMESPACE), {"metadata": {"name": name}, "spec": spec})

    def token(self, pod: str = "", account: str = ACCOUNT, audience: str = "carina-tasks") -> str:
        """Return a token as the kubelet gets it, bound to `pod` unless that is empty."""
        bound = ["--bound-object-kind", "Pod", "--bound-object-name", pod] if pod else []
        words = ["create", "token", account, "-n", NAMESPACE, "--audience", audience, *bound]
        return self.plane.kubectl(*words).strip()

    def post(
        self, token: str, path: str = "/v1/enrol", body: bytes = b"", **headers: str
    ) -> tuple[int, dict[str, Any]]:
        """Ask the service; return status and answer."""
        context = ssl.create_default_context(cafile=str(self.tls.ca))
        link = http.client.HTTPSConnection("localhost", self.port, timeout=10, context=context)
        link.request("POST", path, body, {"Authorization": f"Bearer {token}", **headers})
        response = link.getresponse()
        return response.status, json.loads(response.read() or b"{}")

    def log(self) -> str:
        """Return what the service has written."""
        return self.service.log.read_text()

    def admin(self) -> redis.Redis:
        """Return Redis as its administrator sees it: who may run ACL commands."""
        url = (self.folder / "users" / "_enrolment.url").read_text().strip()
        return redis.Redis.from_url(url, socket_timeout=5)

    def control(self) -> redis.Redis:
        """Return Redis as control workers see it."""
        url = (self.folder / "users" / "_control.url").read_text().strip()
        return redis.Redis.from_url(url, socket_timeout=5)

    def wait(self, what: str, check: Callable[[], object], seconds: float = 20) -> float:
        """Wait for it; show the service's log when it does not come."""
        begun = time.monotonic()
        wait_until(what, check, seconds, every=0.05, watch=[self.service])
        return time.monotonic() - begun

    def start_worker(self, name: str, token_file: Path, node: str) -> Process:
        """Start a node worker that enrols."""
        lvm = self.folder / "lvm"
        lvm.write_text("#!/bin/sh\necho '{\"report\": []}'\n")
        lvm.chmod(0o755)
        env = self.environment | {
            "NODE_NAME": node,
            "CARINA_TASKS_NODE_PROFILE": "sealed",
            "CARINA_TASKS_LVM_COMMAND": str(lvm),
            "CARINA_TASKS_HEARTBEAT_INTERVAL": "0.5",
            "CARINA_TASKS_ENROLMENT_URL": f"https://localhost:{self.port}/v1/enrol",
            "CARINA_TASKS_ENROLMENT_CA": str(self.tls.ca),
            "CARINA_TASKS_ENROLMENT_TOKEN_FILE": str(token_file),
        }
        argv = [sys.executable, "-m", "workers.node"]
        process = start(name, argv, folder=self.folder, env=env)
        self.processes.append(process)
        return process

    def ask(self, node: str) -> str:
        """Have a control process ask a node; return what it prints."""
        code = (
            "from carina_tasks.celery import app; from carina_tasks.tasks.node import inventory; "
            f"print('of', inventory.ask('{node}').node)"
        )
        control = (self.folder / "users" / "_control.url").read_text().strip()
        env = self.environment | {
            "CARINA_TASKS_BROKER_URL": control,
            "CARINA_TASKS_NODE_DEADLINE": "15",
        }
        argv = [sys.executable, "-c", code]
        done = subprocess.run(argv, env=env, capture_output=True, text=True, timeout=60)
        return done.stdout + done.stderr


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Bring everything up; about 8 s."""
    parts.require("apiserver", "kubectl", "redis-server")
    folder = tmp_path_factory.mktemp("enrolment")
    arguments = ("--allow-privileged=true",)
    plane = ControlPlane(
        folder / "plane", Options(controllers="", scheduler=False, apiserver_arguments=arguments)
    )
    started: list[Process] = []
    try:
        plane.start()
        made = _furnish(plane, folder, started)
        try:
            yield made
        finally:
            started += made.processes
    finally:
        for process in reversed(started):
            process.kill()
        plane.stop()


def _furnish(plane: ControlPlane, folder: Path, started: list[Process]) -> World:
    wait_until(
        "kube-system is there", lambda: plane.kube.find("/api/v1/namespaces/kube-system"), 30
    )
    for node in (ONE, TWO):
        plane.kube.create(k.NODES, {"metadata": {"name": node}})
    kubeconfig = plane.service_account(NAMESPACE, SERVICE)
    for account in (ACCOUNT, "another"):
        plane.service_account(NAMESPACE, account)
    roles = list(yaml.safe_load_all((DEPLOY / "enrolment" / "rbac.yaml").read_text()))
    for subject in (subject for one in roles for subject in one.get("subjects", ())):
        subject["namespace"] = NAMESPACE
    (folder / "rbac.yaml").write_text(yaml.safe_dump_all(roles))
    plane.kubectl("apply", "-f", str(folder / "rbac.yaml"), "-n", NAMESPACE)
    redis_port, port, metrics_port = ports.free(3)
    users = folder / "users"
    argv = [sys.executable, ACL, "--folder", users, "--address", f"127.0.0.1:{redis_port}"]
    subprocess.run(argv, check=True, capture_output=True)
    conf = (DEPLOY / "redis" / "redis.conf").read_text()
    conf = conf.replace("/etc/redis/users/users.acl", str(users / "users.acl"))
    (folder / "redis.conf").write_text(conf.replace("dir /tmp", f"dir {folder}"))
    words = ["redis-server", folder / "redis.conf", "--port", str(redis_port), "--bind"]
    server = start("redis", [*words, "127.0.0.1"], folder=folder)
    started.append(server)
    wait_until("redis listens", lambda: "Ready to accept" in server.tail(), 10, watch=[server])
    (folder / "master-key").write_bytes(os.urandom(32))
    tls = certificates(folder / "tls")
    base = {"PATH": os.environ["PATH"], "HOME": str(folder), "PYTHONPATH": str(paths.REPOSITORY)}
    env = base | {
        "KUBECONFIG": str(kubeconfig),
        "CARINA_TASKS_BROKER_URL": (users / "_enrolment.url").read_text().strip(),
        "CARINA_TASKS_ENROLMENT_BROKER_URL": f"redis://127.0.0.1:{redis_port}/0",
        "CARINA_TASKS_ENROLMENT_PORT": str(port),
        "CARINA_TASKS_ENROLMENT_CERTIFICATE": str(tls.certificate),
        "CARINA_TASKS_ENROLMENT_PRIVATE_KEY": str(tls.key),
        "CARINA_TASKS_ENROLMENT_MASTER_KEY": str(folder / "master-key"),
        "CARINA_TASKS_METRICS_PORT": str(metrics_port),
        "CARINA_TASKS_ENROLMENT_RATE": "60",
        "CARINA_TASKS_LOG_FORMAT": "json",
    }
    service = start(
        "enrolment", [sys.executable, "-m", "workers.enrolment"], folder=folder, env=env
    )
    started.append(service)
    wait_until("the service serves", lambda: "serving" in service.tail(), 20, watch=[service])
    return World(plane, folder, port, metrics_port, redis_port, tls, server, service, base)


def test_a_node_worker_enrols_and_answers(world: World, tmp_path: Path) -> None:
    """Token, enrolment, own user, question, answer. Then its password is exchanged under it: it
    enrols again and begins again. Then Redis is emptied of users: they are put back.
    """
    world.pod("worker-one")
    token = tmp_path / "token"
    token.write_text(world.token("worker-one"))
    worker = world.start_worker("node-one", token, ONE)
    world.wait("the worker is ready", lambda: "ready." in worker.tail(100), 30)
    assert f"of {ONE}" in world.ask(ONE)
    log = world.log() + worker.log.read_text()
    with world.admin() as admin:
        line = next(x for x in admin.acl_list() if x.split()[1] == ONE)
        assert token.read_text() not in log
        # What no epoch gives: as after a rotation whose overlap is over.
        admin.execute_command("ACL", "DELUSER", ONE)
        world.wait(
            "the worker enrolled again",
            lambda: "the password is the same" in worker.log.read_text(),
        )
        world.wait("it sends heartbeats", lambda: world.control().exists(f"alive.{ONE}"))
        again = next(x for x in admin.acl_list() if x.split()[1] == ONE)
    assert again == line
    assert f"of {ONE}" in world.ask(ONE)
    passwords = [word for word in world.log().split('"') if len(word) == 43]
    assert not passwords, "the log shows what looks like a password"


def test_a_worker_begins_again_with_another_password(world: World, tmp_path: Path) -> None:
    """The node was created again: another UID, another password. The old one is shut out with its
    connections, and the worker comes back by itself.
    """
    world.pod("worker-two", TWO)
    token = tmp_path / "token"
    token.write_text(world.token("worker-two"))
    worker = world.start_worker("node-two", token, TWO)
    world.wait("the worker is ready", lambda: "ready." in worker.tail(100), 30)
    status, before = world.post(token.read_text())
    assert status == 200
    world.plane.kube.delete(f"{k.NODES}/{TWO}")
    world.plane.kube.create(k.NODES, {"metadata": {"name": TWO}})
    # A pod of the new node.
    world.plane.kube.delete(f"{k.pods(NAMESPACE)}/worker-two", grace=0)
    world.pod("worker-two", TWO)
    token.write_text(world.token("worker-two"))
    status, after = world.post(token.read_text())
    assert status == 200
    assert after["url"] != before["url"]
    with pytest.raises(redis.exceptions.AuthenticationError):
        redis.Redis.from_url(before["url"]).ping()
    with world.admin() as admin:
        admin.client_kill_filter(user=TWO)
    world.wait("the worker has begun again", lambda: worker.log.read_text().count("ready.") == 2)
    assert worker.alive
    assert f"of {TWO}" in world.ask(TWO)


def test_who_does_not_get_in(world: World) -> None:
    """Each token that is not a node worker's own, with the reason; nobody gets a user."""
    world.pod("alive")
    good = world.token("alive")
    world.pod("foreign", account="another")
    world.pod("short")
    gone = world.token("short")
    world.plane.kube.delete(f"{k.pods(NAMESPACE)}/short", grace=0)
    world.plane.kube.create(k.NODES, {"metadata": {"name": GONE}})
    world.pod("of-gone", GONE)
    of_gone = world.token("of-gone")
    world.plane.kube.delete(f"{k.NODES}/{GONE}")
    head, claims, signature = good.split(".")
    cases = {
        "another audience": (world.token("alive", audience="vault"), 401, "audience"),
        "for the API server": (
            world.token("alive", audience="https://kubernetes.default.svc"),
            401,
            "",
        ),
        "another account": (world.token("foreign", account="another"), 403, "another"),
        "no pod": (world.token(), 403, "bound to no pod"),
        "a deleted pod": (gone, 401, "deleted pod"),
        "a deleted node": (of_gone, 403, f"node {GONE} does not exist"),
        "changed": (f"{head}.{claims}.{signature[::-1]}", 401, "does not accept"),
        "garbage": ("garbage", 401, "no service-account token"),
        "nothing": ("", 401, "Authorization"),
        "too long": (f"{head}.{'a' * 9000}.{signature}", 401, "no service-account token"),
    }
    for what, (token, status, reason) in cases.items():
        got, answer = world.post(token)
        assert (got, reason in answer["reason"]) == (status, True), (what, got, answer)
    assert world.post(good, body=b"x" * (1 << 20))[0] == 413
    assert world.post(good, path="/")[0] == 404
    with world.admin() as admin:
        assert not any(line.split()[1] in (GONE, "alive") for line in admin.acl_list())
    assert world.post(good)[0] == 200
    log = world.log()
    assert not any(token in log for token, _, _ in cases.values() if len(token) > 100)


def test_an_expired_token_is_refused(world: World) -> None:
    """The shortest that the API server gives is ten minutes: it is made with its own key, and is
    over.
    """
    expired = _signed(world, {"exp": int(time.time()) - 60})
    status, answer = world.post(expired)
    assert status == 401
    assert "expired" in answer["reason"]


def _signed(world: World, change: dict[str, Any]) -> str:
    """Return a token with the API server's own key and changed claims."""
    import base64

    def encode(data: bytes) -> str:
        return base64.urlsafe_b64encode(data).rstrip(b"=").decode()

    world.pod("expires")
    head, claims, _ = world.token("expires").split(".")
    decoded = json.loads(base64.urlsafe_b64decode(claims + "=="))
    text = f"{head}.{encode(json.dumps({**decoded, **change}).encode())}"
    key = world.plane.folder / "service-account.key"
    argv = ["openssl", "dgst", "-sha256", "-sign", str(key)]
    done = subprocess.run(argv, input=text.encode(), capture_output=True, check=True)
    return f"{text}.{encode(done.stdout)}"


def test_the_rights_are_exactly_these(world: World) -> None:
    """deploy/enrolment/rbac.yaml: tokens are reviewed, nodes read, Events written; nothing else."""
    documents = yaml.safe_load_all((DEPLOY / "enrolment" / "rbac.yaml").read_text())
    roles = {d["kind"]: d["rules"] for d in documents if d["kind"].endswith("Role")}
    granted = {
        (resource, verb)
        for rules in roles.values()
        for rule in rules
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
    assert granted == {
        ("tokenreviews", "create"),
        ("nodes", "get"),
        ("nodes", "list"),
        ("pods", "get"),
        ("events", "create"),
        ("events", "get"),
        ("events", "patch"),
    }


def test_the_api_server_takes_the_manifests(world: World, tmp_path: Path) -> None:
    """deploy/ with the component deploy/enrolment: strictly valid, each setting exists, the node
    worker has the token of its own audience and no other, and no Secret.
    """
    base = os.path.relpath(DEPLOY, tmp_path.resolve())
    text = f"resources: [{base}]\ncomponents: [{base}/enrolment]\n"
    (tmp_path / "kustomization.yaml").write_text(text)
    words = ["apply", "--dry-run=server", "--validate=strict", "-k", str(tmp_path)]
    said = world.plane.kubectl(*words).splitlines()
    assert all(line.endswith("(server dry run)") for line in said)
    objects = list(yaml.safe_load_all(world.plane.kubectl("kustomize", str(tmp_path))))
    pods = {
        one["metadata"]["name"]: one["spec"]["template"]["spec"]
        for one in objects
        if one["kind"] in ("DaemonSet", "Deployment")
    }
    values = {"CARINA_TASKS_NAMESPACE": NAMESPACE, "NODE_NAME": "n1"}
    for name in ("carina-tasks-enrolment", "carina-tasks-node"):
        (container,) = pods[name]["containers"]
        env = {entry["name"]: entry.get("value", "") for entry in container["env"]}
        conf = {key: value or values.get(key, "redis://r:6379/0") for key, value in env.items()}
        settings.load(conf)
    node = pods["carina-tasks-node"]
    assert "CARINA_TASKS_BROKER_URL" not in {e["name"] for e in node["containers"][0]["env"]}
    assert node["serviceAccountName"] == ACCOUNT
    assert node["automountServiceAccountToken"] is False
    (projected,) = (one["projected"] for one in node["volumes"] if "projected" in one)
    assert projected["sources"][0] == {
        "serviceAccountToken": {
            "audience": "carina-tasks",
            "expirationSeconds": 600,
            "path": "token",
        }
    }
    # A kubelet may read every Secret that a pod of its node names.
    assert "secret" not in json.dumps(node).lower().replace("secrets/carina-tasks", "")


FLOODS = ("values", "transactions", "unread", "connections", "keys", "strangers")


@pytest.fixture(scope="module")
def answering(world: World, tmp_path_factory: pytest.TempPathFactory) -> NodeCalls:
    """Run the worker of node ONE, and return what asks it."""
    world.pod("bystander")
    token = tmp_path_factory.mktemp("bystander") / "token"
    token.write_text(world.token("bystander"))
    world.start_worker("bystander", token, ONE)
    url = (world.folder / "users" / "_control.url").read_text().strip()
    conf = settings.load({"CARINA_TASKS_BROKER_URL": url})
    calls = NodeCalls(make_app(conf, "control"), 20, 1 << 20)
    assert calls.ask(ONE, "carina.node.inventory", None, Inventory).node == ONE
    return calls


@pytest.mark.parametrize("kind", FLOODS)
def test_a_flooding_node_stops_nobody(
    world: World, answering: NodeCalls, tmp_path: Path, kind: str
) -> None:
    """While one stolen access floods, another node answers in time; the flooding node has lost its
    user, connections and keys within seconds, may not enrol for a while, and an Event says why.
    """
    node = f"flood-{kind}"
    world.plane.kube.create(k.NODES, {"metadata": {"name": node}})
    world.pod(node, node)
    token = world.token(node)
    url = world.post(token)[1]["url"]
    argv = [sys.executable, "-m", "tests.system.flood", kind, url]
    flood = start(node, argv, folder=tmp_path, env=world.environment)
    begun, slowest, asked, cut_off = time.monotonic(), 0.0, 0, 0.0
    try:
        while time.monotonic() - begun < 3:
            sent = time.monotonic()
            # A broker that is full for a moment: a task is then tried again.
            with contextlib.suppress(BrokerUnavailable):
                answering.ask(ONE, "carina.node.inventory", None, Inventory)
                asked += 1
                slowest = max(slowest, time.monotonic() - sent)
            if not cut_off and f'"NodeCutOff", "object": "{node}"' in world.log():
                cut_off = time.monotonic() - begun
        status, answer = world.post(token)
        events = world.plane.kube.list(k.events())
    finally:
        flood.kill()
    with world.control() as client:
        used, left = client.info("memory")["used_memory"] >> 20, client.keys(f"*{node}*")
    print(
        f"\n{kind}: {asked} answers of another node, slowest {slowest:.2f} s; cut off after "
        f"{cut_off:.1f} s, then {used} MiB in use; {status} {answer.get('reason')}"
    )
    assert asked
    assert slowest < 10
    mine = [one for one in events if one["involvedObject"]["name"] == node]
    if kind in ("keys", "strangers"):
        # Denied, one by one; and nobody knows whose sockets they are.
        assert (status, mine) == (200, []) or (kind, status) == ("strangers", 503)
        world.wait("it may enrol", lambda: world.post(token)[0] == 200)
        assert kind != "keys" or len(left) <= ANSWER_SLOTS
        return
    assert status == 429
    assert [one["reason"] for one in mine] == ["NodeCutOff"]
    # What is left is the service's own: that it is cut off, and answers that say so.
    with world.control() as client:
        answers = {client.get(key)[:19] for key in left if b"task-meta" in key}
    assert answers == {b'{"status": "FAILURE'}
    assert {key for key in left if b"task-meta" not in key} == {
        f"carina-tasks.cut-off.{node}".encode()
    }
    assert used < 64
    with urllib.request.urlopen(f"http://127.0.0.1:{world.metrics_port}/metrics") as answered:
        metrics = answered.read().decode()
    assert f'carina_tasks_node_cut_off_timestamp_seconds{{node="{node}"}}' in metrics
    assert re.search(r'^carina_tasks_enrolments_total{outcome="cut-off"} [1-9]', metrics, re.M)
    with world.admin() as admin:
        assert not any(line.split()[1] == node for line in admin.acl_list())


MAY = {"setex", "set", "brpop", "llen", "publish", "multi", "exec", "ping", "auth", "hello"}


def test_every_other_command_and_key_is_denied(world: World) -> None:
    """All commands that this server has, with keys of the node's own and of others: its user may
    run ten, and `client setname`, and only on its own keys.
    """
    world.plane.kube.create(k.NODES, {"metadata": {"name": "dry"}})
    world.pod("dry", "dry")
    assert world.post(world.token("dry"))[0] == 200
    with world.admin() as admin:
        # What docs/enrolment.md says of this user: it can give itself every right.
        admin.execute_command("ACL", "SETUSER", "everything", "on", "nopass", "~*", "&*", "+@all")
    root = redis.Redis(port=world.redis_port, username="everything", password="x")
    try:
        names = {one.decode() for one in root.execute_command("COMMAND LIST")}
        assert len(names) > 200
        arity = {name: info["arity"] for name, info in root.command().items()}

        def allowed(*words: str) -> bool:
            answer = root.execute_command("ACL DRYRUN", "dry", *words)
            return answer in (b"OK", "OK", True)

        runs = set()
        for name in sorted(names):
            words = [name] + ["node.dry"] * max(0, abs(arity.get(name, 1)) - 1)
            with contextlib.suppress(redis.ResponseError):
                if allowed(*words):
                    runs.add(name)
        # Those whose first argument is no key of the queue, or that take no argument.
        assert runs - {"reset", "quit"} == MAY - {"publish"}
        for subcommand in ("list", "kill", "pause", "no-evict", "reply", "tracking", "unblock"):
            with contextlib.suppress(redis.ResponseError):
                assert not allowed("client", subcommand, "x", "y"[: subcommand != "list"])
        own = ["celery-task-meta-dry:0", "celery-task-meta-dry:7", "alive.dry", "node.dry"]
        others = [
            *("celery-task-meta-dry:8", "celery-task-meta-dry:00", "celery-task-meta-dry:"),
            *("celery-task-meta-dry:0:x", f"celery-task-meta-{ONE}:0", f"alive.{ONE}"),
            *("alive.dry.x", f"node.{ONE}", "control", "carina-tasks.cut-off.dry", "unacked"),
        ]
        assert all(allowed("setex", key, "9", "x") for key in own)
        for key in others:
            for words in (("setex", key, "9", "x"), ("set", key, "x"), ("brpop", key, "1")):
                assert not allowed(*words), words
        assert allowed("publish", "celery-task-meta-dry:0", "x")
        for channel in ("celery-task-meta-dry:0:x", f"celery-task-meta-{ONE}:0", "*", "celeryev"):
            assert not allowed("publish", channel, "x")
    finally:
        root.execute_command("ACL", "DELUSER", "everything")
        root.close()
