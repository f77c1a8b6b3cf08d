"""``python -m carina_tasks.demo.compose_world``.

The cluster of ``docker-compose.yml``, around the product's containers.

Plays what `make demo` plays in its own process: the nodes' kubelets, Kubernetes' controllers and
Carina's provisioner, over the same simulated LVM that the node workers use (a shared folder). Seeds
the two nodes and four volumes of Carina's manual.
"""

from __future__ import annotations

import argparse
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

from carina_tasks.demo import manifests
from carina_tasks.demo.nodes import SimulatedNode
from carina_tasks.emulator.controllers import Controllers
from carina_tasks.errors import AlreadyExists, ApiUnavailable, BadSetting
from carina_tasks.kube import paths
from carina_tasks.kube.api import Api, connect
from carina_tasks.model.local import LocalVolume

NODES = ("10.20.9.153", "10.20.9.154")
VOLUMES = (
    ("mysql", 0, "pvc-177854eb-f811-4612-92c5-b8bb98126b94", "5Gi", "10.20.9.154"),
    ("mysql", 1, "pvc-1fed3234-ff89-4c58-8c65-e21ca338b099", "5Gi", "10.20.9.153"),
    ("archive", 0, "pvc-527b5989-3ac3-4d7a-a64d-24e0f665788b", "10Gi", "10.20.9.154"),
    ("cache", 0, "pvc-b987d27b-39f3-4e74-9465-91b3e6b13837", "3Gi", "10.20.9.154"),
)
"""StatefulSet, number, volume, size and node: the table of the manual."""


class Machines:
    """The simulated machines, as Carina's agents on them see them."""

    def __init__(self, folder: Path) -> None:
        self._nodes = {name: SimulatedNode(name, folder) for name in NODES}
        self._lock = threading.Lock()

    def create(self, node: str, name: str, size: int) -> LocalVolume:
        """Make an LV, or return the one that is there."""
        with self._lock:
            return self._nodes[node].find(name) or self._nodes[node].create(name, size)

    def remove(self, node: str, name: str) -> None:
        """Remove an LV that is there."""
        with self._lock:
            if self._nodes[node].find(name):
                self._nodes[node].remove(name)


def seed(api: Api) -> None:
    """Make the objects of the demo; those that are there stay as they are.

    Raises ApiUnavailable.
    """
    _ensure(api, paths.STORAGE_CLASSES, manifests.storage_class())
    for name in NODES:
        _ensure(api, paths.NODES, manifests.node(name))
    claims = f"/api/v1/namespaces/{manifests.NAMESPACE}/persistentvolumeclaims"
    sets = f"/apis/apps/v1/namespaces/{manifests.NAMESPACE}/statefulsets"
    replicas: dict[str, tuple[str, int]] = {}
    for owner, number, volume, size, node in VOLUMES:
        annotations = {manifests.SELECTED_NODE: node, manifests.VOLUME_NAME: volume}
        _ensure(
            api,
            claims,
            manifests.claim(f"data-{owner}-{number}", size, {"app": owner}, annotations),
        )
        replicas[owner] = (size, number + 1)
    for owner, (size, count) in replicas.items():
        _ensure(api, sets, manifests.stateful_set(owner, size, count))


def _ensure(api: Api, path: str, body: dict[str, Any]) -> None:
    try:
        api.create(path, body)
    except AlreadyExists:
        return


def main() -> int:
    """Seed, then play the controllers until SIGTERM; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m carina_tasks.demo.compose_world", description=__doc__
    )
    parser.add_argument(
        "--folder", type=Path, required=True, help="where the simulated nodes keep their LVM"
    )
    parser.add_argument(
        "--wait", type=float, default=60, help="seconds to wait for the API server (default: 60)"
    )
    options = parser.parse_args()
    done = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: done.set())
    try:
        api = connect(timeout=15, page_size=500)
    except BadSetting as exc:
        sys.exit(f"compose world: {exc.message}")
    machines = Machines(options.folder)
    end = time.monotonic() + options.wait
    while not done.is_set():
        try:
            seed(api)
            break
        except ApiUnavailable as exc:
            if time.monotonic() > end:
                sys.exit(f"compose world: {exc.message}")
            done.wait(0.5)
    controllers = Controllers(api, machines.create, machines.remove)
    controllers.start()
    for name in NODES:
        controllers.kubelets.live(name)
    print(f"the world turns: {len(NODES)} nodes, {len(VOLUMES)} volumes", flush=True)
    done.wait()
    controllers.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
