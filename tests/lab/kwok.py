"""KWOK kubelets: one process for each node, so that one node can fall silent by itself.

A node is kwok's by the annotation `kwok.x-k8s.io/node: <name>`; the process for another name leaves
it alone. kwok sends its status and Lease, and makes pods that are bound to it Running. It never
makes a Node: one that was deleted stays deleted until a test creates it again.
"""

import signal
from pathlib import Path

import yaml

from tests.lab import paths
from tests.lab.errors import LabError
from tests.lab.processes import Process, start

ANNOTATION = "kwok.x-k8s.io/node"
LEASE_SECONDS = 8
RUN_FOR_REAL = "carina-tasks"
"""Namespace whose pods KWOK leaves alone: `tests.lab.kubelet` runs them."""


class KwokNode:
    """The kubelet of one node."""

    def __init__(self, name: str, kubeconfig: Path, folder: Path) -> None:
        self.name = name
        self._kubeconfig = kubeconfig
        self._folder = folder
        self._process: Process | None = None

    @property
    def pid(self) -> int:
        """Return the process of the kubelet that runs."""
        return self._running().pid

    def start(self) -> None:
        """Start the kubelet; nothing happens when it runs already."""
        if self._process and self._process.alive:
            return
        binary = paths.kwok_binary()
        if binary is None:
            raise LabError("no kwok: run tests/lab/install.sh")
        self._folder.mkdir(parents=True, exist_ok=True)
        config = self._folder / f"stages-{self.name}.yaml"
        config.write_text(_stages(binary.parent / "stages.yaml"))
        self._process = start(
            f"kwok-{self.name}",
            [
                binary,
                f"--kubeconfig={self._kubeconfig}",
                f"--config={config}",
                "--manage-all-nodes=false",
                f"--manage-nodes-with-annotation-selector={ANNOTATION}={self.name}",
                f"--node-lease-duration-seconds={LEASE_SECONDS}",
            ],
            folder=self._folder,
        )

    def start_anew(self) -> None:
        """End the kubelet and start it.

        Each time its node is deleted and registered, kwok 0.8.0 may keep one more loop that renews
        the Lease. After some they conflict with each other, and renew it hundreds of times a
        second: the API server takes a processor for that.
        """
        self.stop()
        self.start()

    def silence(self) -> None:
        """Stop the process where it stands: no status, no Lease; the node is `Unknown` after the
        grace period.
        """
        self._running().signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let a silenced kubelet continue."""
        self._running().signal(signal.SIGCONT)

    def stop(self) -> None:
        """End the process."""
        if self._process:
            self._process.stop(timeout=3)
            self._process = None

    def _running(self) -> Process:
        if self._process is None or not self._process.alive:
            raise LabError(f"kwok of {self.name} does not run")
        return self._process


def _stages(file: Path) -> str:
    """Return KWOK's stages, those of pods without the namespace that is left alone."""
    stages = list(yaml.safe_load_all(file.read_text()))
    for stage in stages:
        if stage["spec"]["resourceRef"]["kind"] == "Pod":
            selector = stage["spec"].setdefault("selector", {})
            elsewhere = {"key": ".metadata.namespace", "operator": "NotIn"}
            expressions = selector.setdefault("matchExpressions", [])
            expressions.append(elsewhere | {"values": [RUN_FOR_REAL]})
    return yaml.safe_dump_all(stages)
