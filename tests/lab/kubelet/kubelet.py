"""The loop: what is bound to a node is run there, and what is deleted is ended."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections import defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from urllib.parse import urlsplit

import urllib3

from tests.lab import kube as k
from tests.lab import paths
from tests.lab.errors import LabError
from tests.lab.kube import Json, KubeError
from tests.lab.kubelet.machine import Machine
from tests.lab.kubelet.manifest import Reader
from tests.lab.kubelet.network import Answer, PodNetwork
from tests.lab.kubelet.pod import Container, Place, RunningPod
from tests.lab.kubelet.sandbox import Sandbox
from tests.lab.kwok import RUN_FOR_REAL
from tests.lab.lab import Lab


class Kubelet:
    """Runs the pods of the namespace that KWOK leaves alone, on all nodes of a lab."""

    def __init__(self, lab: Lab) -> None:
        self.namespace, self._lab = RUN_FOR_REAL, lab
        self.folder = lab.folder / "pods"
        self.folder.mkdir(exist_ok=True)
        plane = lab.control_plane
        address = urlsplit(plane.url)
        server = (address.hostname or "", address.port or 443)
        self._network = PodNetwork(lab.network, self.folder / "hosts", server)
        self._reader = Reader(lab.kube, self.namespace, plane.ca.read_bytes())
        self.images: dict[str, Path] = {}
        """Sources by image; every other image is the lab's own copy."""
        self._pods: dict[str, RunningPod] = {}
        self._lost: set[str] = set()
        self._errors: list[str] = []
        self._lock = threading.Lock()
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True, name="kubelet")

    def __enter__(self) -> Kubelet:
        """Begin."""
        service = self._lab.kube.get("/api/v1/namespaces/default/services/kubernetes")
        self._network.up(service["spec"]["clusterIP"])
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End every pod."""
        self._end.set()
        self._thread.join(30)
        for one in self._pods.values():
            one.stop(3)
        for one in self._pods.values():
            one.join()
            if one.place.netns:
                self._network.remove(one.place.netns)
        self._network.down()

    def of(self, component: str, node: str | None = None) -> list[RunningPod]:
        """Return the pods of a component that run, on one node or on any."""
        with self._lock:
            return [
                one
                for one in self._pods.values()
                if one.component == component and node in (None, one.node) and not one.ended
            ]

    def lose(self, node: str) -> None:
        """Cut the power of a node, with everything that runs there."""
        with self._lock:
            self._lost.add(node)
            pods = [one for one in self._pods.values() if one.node == node]
        self._lab.kill_node(node)
        self._lab.nodes[node].forget_worker()
        for one in pods:
            one.lose()
            if one.place.netns:
                self._network.remove(one.place.netns)

    def find_again(self, node: str) -> None:
        """Give a lost node its power back; the caller makes its Node again."""
        self._lab.nodes[node].restore()
        self._lab.kubelets[node].resume()
        with self._lock:
            self._pods = {uid: one for uid, one in self._pods.items() if one.node != node}
            self._lost.discard(node)

    def kubectl(self, folder: Path) -> Path:
        """Make a `kubectl` in `folder` that runs `exec` here, and all else as it is."""
        folder.mkdir(exist_ok=True)
        made = folder / "kubectl"
        real = f"{paths.kubectl_binary()} --kubeconfig={self._lab.kubeconfig}"
        enter = f"{sys.executable} -m tests.lab.kubelet.enter {self.folder}"
        made.write_text(
            "#!/bin/sh\n"
            f"for word; do case $word in --) break;; exec) export PYTHONPATH={paths.REPOSITORY}; "
            f'exec {enter} "$@";; esac; done\nexec {real} "$@"\n'
        )
        made.chmod(0o755)
        return made

    def inside(self, action: Callable[[], Answer]) -> Answer:
        """Do something in the network of the pods."""
        return self._network.inside(action)

    def logs(self) -> dict[str, str]:
        """Return the ends of all pods' logs, by pod."""
        found = {
            one.meta["name"]: f"{one.error}\n{one.log()[-3000:]}" for one in self._pods.values()
        }
        return found | {"kubelet": "\n".join(self._errors[-5:])}

    def _run(self) -> None:
        while not self._end.wait(0.2):
            try:
                pods = self._lab.kube.list(k.pods(self.namespace))
                self._step(pods)
                self._name_services(pods)
            except (LabError, urllib3.exceptions.HTTPError, OSError) as error:
                self._errors.append(f"{type(error).__name__}: {error}")

    def _step(self, pods: list[Json]) -> None:
        there = set()
        for pod in pods:
            meta, node = pod["metadata"], pod["spec"].get("nodeName")
            there.add(meta["uid"])
            if not node or node in self._lost:
                continue
            running = self._pods.get(meta["uid"])
            if "deletionTimestamp" in meta:
                self._finish(meta, running)
            elif running is None:
                self._begin(pod, node)
        for uid, running in list(self._pods.items()):
            if uid not in there and running.node not in self._lost:
                running.stop(1)
                self._forget(uid, running)

    def _begin(self, pod: Json, node: str) -> None:
        meta = pod["metadata"]
        folder = self.folder / meta["name"]
        folder.mkdir(exist_ok=True)
        made = RunningPod(pod, self._place(pod, node, folder), folder, self._lab.kube, self._reader)
        with self._lock:
            self._pods[meta["uid"]] = made
        made.start(self._network)

    def _finish(self, meta: Json, running: RunningPod | None) -> None:
        if running and not running.ended:
            running.stop(meta.get("deletionGracePeriodSeconds", 30))
            return
        with contextlib.suppress(KubeError):
            self._lab.kube.delete(f"{k.pods(self.namespace)}/{meta['name']}", grace=0)
        if running:
            self._forget(meta["uid"], running)

    def _forget(self, uid: str, running: RunningPod) -> None:
        with self._lock:
            self._pods.pop(uid, None)
        running.join()
        if running.place.netns:
            self._network.remove(running.place.netns)

    def _place(self, pod: Json, node: str, folder: Path) -> Place:
        image = pod["spec"]["containers"][0]["image"]
        sources = self.images.get(image, self._lab.folder / "src")
        hosts = self._network.hosts
        if pod["spec"].get("hostPID"):
            machine = self._lab.nodes[node]

            def on_machine(
                name: str,
                security: Json,
                mounts: list[tuple[Path, str, bool]],
                env: Mapping[str, str],
            ) -> Container:
                del name, security
                return Machine(machine, sources, hosts, mounts, env)

            return Place(machine.address, "", machine.uid, on_machine)
        netns, address = self._network.add()

        def in_sandbox(
            name: str, security: Json, mounts: list[tuple[Path, str, bool]], env: Mapping[str, str]
        ) -> Container:
            del name
            return Sandbox(folder, sources, hosts, netns, security, mounts, env)

        return Place(address, netns, 0, in_sandbox)

    def _name_services(self, pods: list[Json]) -> None:
        """Give each Service's names the addresses of its ready pods."""
        found: dict[str, set[str]] = defaultdict(set)
        base = f"/api/v1/namespaces/{self.namespace}/services"
        for service in self._lab.kube.list(base):
            name, wanted = service["metadata"]["name"], service["spec"].get("selector", {}).items()
            for pod in pods:
                status = pod.get("status", {})
                ready = any(
                    one["type"] == "Ready" and one["status"] == "True"
                    for one in status.get("conditions", ())
                )
                if ready and wanted <= pod["metadata"].get("labels", {}).items():
                    for ending in ("", f".{self.namespace}", f".{self.namespace}.svc"):
                        found[name + ending].add(status["podIP"])
        self._network.name(found)
