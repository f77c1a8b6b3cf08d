"""The whole laboratory: control plane, kubelets, broker, nodes, provisioner, and the product's
processes on the host.
"""

import contextlib
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType

from tests.lab import paths, slot
from tests.lab.control_plane import ControlPlane, Options
from tests.lab.errors import LabError
from tests.lab.kube import Kube
from tests.lab.kwok import KwokNode
from tests.lab.processes import Process, adopt_orphans, start, wait_until
from tests.lab.provisioner import Provisioner
from tests.lab.redis import RedisServer
from tests.lab.uml import software
from tests.lab.uml.node import NodeConfig, UmlNode
from tests.lab.world import MANIFESTS, World

NAMES = ("10.20.9.151", "10.20.9.152", "10.20.9.153")
WORKER = ("-m", "workers.node")


class Lab:
    """A cluster of real parts. Use it as a context manager; `clean` brings it back to empty between
    tests.

    `kubelets` and `nodes` have the same keys: a node's kubelet (KWOK, on the host) and its machine
    (user-mode-linux) fail each by itself; `kill_node` takes both.
    """

    def __init__(self, names: Sequence[str] = NAMES, options: Options | None = None) -> None:
        self.names = tuple(names)
        self.times: dict[str, float] = {}
        self._slot = slot.take()
        self.folder = self._slot.folder
        self.network = self._slot.network
        self.control_plane = ControlPlane(self.folder / "control-plane", options)
        self.kubeconfig = self.control_plane.kubeconfig
        self.kubelets = {
            name: KwokNode(name, self.kubeconfig, self.folder / "kwok") for name in names
        }
        self.redis = RedisServer(self.folder / "redis", self.network)
        self.nodes: dict[str, UmlNode] = {}
        self.processes: list[Process] = []
        self.kube: Kube
        self.provisioner: Provisioner
        self.world: World
        self._stack = contextlib.ExitStack()
        self._number = 0

    def __enter__(self) -> "Lab":
        """Bring everything up; what was started is ended again when something fails."""
        with self._stack:
            self._bring_up()
            self._stack = self._stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End everything. The folder keeps the logs until the next lab of the same number."""
        self._stack.close()

    def kubectl(self, *arguments: str, stdin: str | None = None, check: bool = True) -> str:
        """Run `kubectl` as administrator and return what it prints; raises LabError with its error
        text.
        """
        return self.control_plane.kubectl(*arguments, stdin=stdin, check=check)

    def process(
        self, argv: Sequence[str], env: Mapping[str, str] | None = None, name: str | None = None
    ) -> Process:
        """Start a process of the product on the host, in the repository, with its log in the lab's
        folder.

        `argv[0]` may be `python`, or a command of this virtual environment (`celery`). The
        environment is PATH, HOME, PYTHONPATH, KUBECONFIG (administrator's) and
        CARINA_TASKS_BROKER_URL, and over them `env`. Ended by `clean` and with the lab; a failing
        test shows the end of its log.
        """
        self._number += 1
        program = sys.executable if argv[0] == "python" else _beside_python(argv[0])
        process = start(
            name or f"{self._number:02}-{Path(argv[0]).name}",
            [program, *argv[1:]],
            folder=self.folder / "processes",
            env={**self.host_environment(), **(env or {})},
            cwd=paths.REPOSITORY,
        )
        self.processes.append(process)
        return process

    def host_environment(self) -> dict[str, str]:
        """Return the environment of the product's processes on the host."""
        return {
            "PATH": f"{Path(sys.executable).parent}:{os.environ.get('PATH', '/usr/bin:/bin')}",
            "HOME": str(self.folder),
            "PYTHONPATH": str(paths.REPOSITORY),
            "PYTHONUNBUFFERED": "1",
            "KUBECONFIG": str(self.kubeconfig),
            "CARINA_TASKS_BROKER_URL": self.redis.url,
        }

    def start_workers(
        self,
        env: Mapping[str, str] | None = None,
        *,
        sealed: bool = False,
        argv: Sequence[str] = WORKER,
        only: Sequence[str] | None = None,
    ) -> None:
        """Start the node worker in each node (or `only` some); one that runs with the same
        environment is left alone.

        `argv` are the arguments of the nodes' Python. The environment is PATH, HOME, PYTHONPATH,
        NODE_NAME, LC_ALL and CARINA_TASKS_BROKER_URL, and over them `env`. With `sealed` the URL is
        of the node's own Redis user, whose rights are the design's ACL line; otherwise of the
        default user.
        """
        for name in only or self.names:
            url = self.redis.node_url(name) if sealed else self.redis.guest_url
            environment = {
                "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
                "HOME": "/root",
                "LC_ALL": "C.UTF-8",
                "PYTHONPATH": str(self.folder / "src"),
                "PYTHONUNBUFFERED": "1",
                "PYTHONDONTWRITEBYTECODE": "1",
                "NODE_NAME": name,
                "CARINA_TASKS_BROKER_URL": url,
                **(env or {}),
            }
            python = str(software.environment() / "bin" / "python")
            self.nodes[name].start_worker([python, *argv], environment, str(self.folder / "src"))

    def stop_workers(self) -> None:
        """End the node workers."""
        for node in self.nodes.values():
            node.stop_worker()

    def kill_node(self, name: str) -> None:
        """Cut the power of a node: the machine crashes and its kubelet falls silent."""
        self.kubelets[name].silence()
        self.nodes[name].crash()

    def report_storage(self, *names: str) -> None:
        """Write the NodeStorageResource of nodes (all by default) from what lvm2 says there now."""
        for name in names or self.names:
            self.world.report_storage(name, self.nodes[name].vgs())

    def lvs(self, vg: str = "carina-vg-hdd") -> dict[str, dict[str, int]]:
        """Return, for each node that is up, name and size in bytes of each LV of a VG."""
        return {name: node.lv_sizes(vg) for name, node in self.nodes.items() if node.up}

    def clean(self) -> float:
        """Bring everything back to empty and healthy; return the seconds it took.

        Ends the product's processes on the host; node workers stay. Restores machines and kubelets,
        empties the cluster, the VGs and Redis, then adds the nodes, StorageClass, CSIDriver and
        storage reports again.
        """
        begun = time.monotonic()
        self.end_processes()
        self.control_plane.restore()
        # First of all, so that the node workers find nothing more to do.
        self.redis.restore()
        self.redis.flushall()
        with ThreadPoolExecutor(len(self.nodes) + 1) as pool:
            cleared = pool.submit(self.world.clear)
            list(pool.map(_empty, self.nodes.values()))
            cleared.result()
        # A node task that was under way may have made or answered something meanwhile.
        for name, volumes in self.lvs().items():
            if volumes:
                self.nodes[name].wipe()
        self.redis.flushall()
        # What a test paused or latched must not stop the next one.
        self.kube.delete("/api/v1/namespaces/kube-system/configmaps/carina-tasks-state")
        self._furnish()
        return time.monotonic() - begun

    def end_processes(self) -> None:
        """End the product's processes on the host, all at once."""
        for process in self.processes:
            if process.alive:
                process.popen.terminate()
        for process in self.processes:
            process.stop(timeout=5)
        self.processes.clear()

    def logs(self, lines: int = 30) -> dict[str, str]:
        """Return the ends of the logs that explain a failure, by title."""
        found = {process.name: process.tail(lines) for process in self.processes}
        for name, node in self.nodes.items():
            found[f"worker of {name}"] = _tail(node.worker_log, lines)
            found[f"console of {name}"] = node.console_tail(5)
        found["provisioner"] = "\n".join(self.provisioner.errors[-2:])
        return {title: text for title, text in found.items() if text.strip()}

    def _bring_up(self) -> None:
        adopt_orphans()
        self._stack.callback(self._slot.release)
        guest = software.copy_guest(self.folder / "guest")
        software.copy_sources(self.folder / "src")
        software.environment()
        self._stack.callback(self.network.down)
        self.network.up()
        self._stack.callback(self.redis.stop)
        self.redis.start()
        for index, name in enumerate(self.names):
            self.redis.add_node_user(name)
            node = UmlNode(
                NodeConfig(name, index),
                self.folder / "nodes" / name,
                paths.shared(),
                self.network,
                self._slot.uid,
                guest,
            )
            self.nodes[name] = node
            self._stack.callback(node.crash)
        # The control plane first: side by side on two cores both would be slower, and time out of
        # step.
        self._stack.callback(self.control_plane.stop)
        self._timed("control plane", self.control_plane.start)
        self.kube = self.control_plane.kube
        for name, node in self.nodes.items():
            node.power_on()
            self.times[f"boot of {name}"] = time.monotonic()
        for kubelet in self.kubelets.values():
            self._stack.callback(kubelet.stop)
        self.kubectl("apply", "-f", str(paths.REPOSITORY / "deploy" / "crds"))
        self.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=20s")
        for name, node in self.nodes.items():
            node.wait_until_up()
            self.times[f"boot of {name}"] = time.monotonic() - self.times[f"boot of {name}"]
        self.provisioner = Provisioner(
            self.kube, lambda name, vg, lv, size: self.nodes[name].create_lv(lv, size, vg)
        )
        self.world = World(self.kube, self.provisioner)
        self._stack.callback(self.provisioner.stop)
        self._timed("nodes Ready", self._furnish)
        self.provisioner.start()
        self._stack.callback(self.end_processes)

    def _furnish(self) -> None:
        """Add what every test finds: nodes, driver and class, storage reports."""
        self.kubectl("apply", "-f", str(MANIFESTS / "storage.yaml"))
        # In this thread: a process that is to die with its parent dies with the thread it is of.
        for kubelet in self.kubelets.values():
            kubelet.start_anew()
        with ThreadPoolExecutor(len(self.names)) as pool:
            list(pool.map(self.world.add_node, self.names))
            list(pool.map(self.report_storage, self.names))

    def _timed(self, what: str, action: Callable[[], object]) -> None:
        begun = time.monotonic()
        action()
        self.times[what] = time.monotonic() - begun


def _empty(node: UmlNode) -> None:
    node.restore()
    try:
        node.wipe()
    except LabError:
        node.reset()


def wait_for(what: str, check: Callable[[], object], timeout: float = 30) -> float:
    """Wait until `check()` is true; return the seconds it took; raises LabError after `timeout`."""
    return wait_until(what, check, timeout, every=0.1)


def _beside_python(command: str) -> str:
    """Return the path of a command of this virtual environment if it has it, else the word
    itself.
    """
    path = Path(sys.executable).parent / command
    return str(path) if path.exists() else command


def _tail(path: Path, lines: int) -> str:
    return (
        "\n".join(path.read_text(errors="replace").splitlines()[-lines:]) if path.exists() else ""
    )
