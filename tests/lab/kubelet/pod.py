"""One pod, from its first container to its end."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from tests.lab import kube as k
from tests.lab.kube import Json, Kube, KubeError
from tests.lab.kubelet.manifest import Reader, with_api_access
from tests.lab.kubelet.network import PodNetwork
from tests.lab.kubelet.probes import Probe
from tests.lab.kubelet.sandbox import write_volume

EVERY: Final = 0.2
"""Seconds between two looks at a pod's process."""
RENEW_AT: Final = 0.8
"""Share of a token's life after which a kubelet renews it."""


class Container(Protocol):
    """A container that can be started and ended: `sandbox.Sandbox` or `machine.Machine`."""

    def start(self, command: list[str]) -> None:
        """Start its command."""

    def exit_code(self) -> int | None:
        """Return the code with which it ended, None while it runs."""

    def stop(self, grace: float) -> None:
        """End it with SIGTERM, and with SIGKILL after `grace` seconds."""

    def kill(self) -> None:
        """End it with SIGKILL."""

    def run(self, command: list[str], timeout: float) -> int:
        """Run a command beside it and return its exit code."""

    def log(self) -> str:
        """Return what it has written."""


@dataclass(frozen=True)
class Place:
    """Where a pod runs, and what makes its containers there."""

    address: str
    netns: str
    owner: int
    """User id that owns the files of its volumes."""
    make: Callable[[str, Json, list[tuple[Path, str, bool]], Mapping[str, str]], Container]


class RunningPod:
    """Runs one pod in a thread of its own, and writes its status."""

    def __init__(self, pod: Json, place: Place, folder: Path, kube: Kube, reader: Reader) -> None:
        self.pod, self.place, self.folder = with_api_access(pod), place, folder
        self.meta = pod["metadata"]
        self.node = pod["spec"]["nodeName"]
        self.started: list[tuple[str, Container]] = []
        self.restarts = 0
        self.error = ""
        self._kube, self._reader = kube, reader
        self._path = f"{k.pods(self.meta['namespace'])}/{self.meta['name']}"
        self._end, self._grace = threading.Event(), 0.0
        self._powerless = False
        self._renew: dict[str, float] = {}
        self._written: Json = {}
        self._thread = threading.Thread(target=self._run, daemon=True, name=self.meta["name"])

    @property
    def component(self) -> str:
        """Return the label by which the chart tells its pods apart."""
        labels = self.meta["labels"]
        return str(labels.get("app.kubernetes.io/component") or labels["app.kubernetes.io/name"])

    @property
    def ending(self) -> bool:
        """Return whether it was told to end."""
        return self._end.is_set()

    @property
    def ended(self) -> bool:
        """Return whether its thread has ended."""
        return not self._thread.is_alive()

    def start(self, network: PodNetwork) -> None:
        """Begin."""
        self._network = network
        self._thread.start()

    def stop(self, grace: float) -> None:
        """End it in good order, without waiting for that."""
        self._grace = grace
        self._end.set()

    def lose(self) -> None:
        """Take its node's power away: nothing ends in good order and nothing is written."""
        self._powerless = True
        self._end.set()
        self.join()

    def join(self) -> None:
        """Wait for its end."""
        self._thread.join(30)

    def log(self) -> str:
        """Return what its containers have written."""
        return "\n".join(container.log() for _, container in self.started)

    def _run(self) -> None:
        try:
            self._run_containers()
        except Exception as error:
            self.error = f"{type(error).__name__}: {error}"
            raise
        finally:
            for _, container in self.started:
                if self._powerless:
                    container.kill()
                else:
                    container.stop(self._grace)

    def _run_containers(self) -> None:
        spec = self.pod["spec"]
        for container in spec.get("initContainers", ()):
            while (code := self._run_to_its_end(container)) != 0:
                if code is None or self._end.wait(1):
                    return
        if len(spec["containers"]) != 1:
            raise KeyError("this kubelet runs one container a pod")
        (container,) = spec["containers"]
        if spec.get("restartPolicy", "Always") == "Always":
            self._keep_running(container)
        elif (code := self._run_to_its_end(container)) is not None:
            self._write(container, ready=False, code=code)

    def _run_to_its_end(self, container: Json) -> int | None:
        """Run a container until it ends; return its exit code, None when the pod ends before."""
        running = self._start(container)
        self._write(container, ready=False)
        while (code := running.exit_code()) is None:
            if self._end.wait(EVERY):
                return None
        return code

    def _keep_running(self, container: Json) -> None:
        """Run a container until the pod ends; start it again when it ends or its probe fails."""
        while not self._end.is_set():
            running = self._start(container)
            probes = {
                kind: Probe(container[kind], container, self.place.address, eager=eager)
                for kind, eager in (("livenessProbe", False), ("readinessProbe", True))
                if kind in container
            }
            while not self._end.wait(EVERY) and running.exit_code() is None:
                self._renew_tokens()
                failed = {
                    kind
                    for kind, probe in probes.items()
                    if probe.look(running, self._network.inside)
                }
                ready = probes.get("readinessProbe")
                self._write(container, ready=ready is None or bool(ready.passed))
                if "livenessProbe" in failed:
                    running.kill()
                    self.restarts += 1
                    break
            else:
                if not self._end.is_set():
                    self.restarts += 1
                    self._write(container, ready=False)
                    self._end.wait(1)

    def _start(self, container: Json) -> Container:
        names = {one["name"]: one for one in self.pod["spec"].get("volumes", ())}
        mounts = []
        for mount in container.get("volumeMounts", ()):
            folder = self._volume(names[mount["name"]])
            source = folder / mount["subPath"] if "subPath" in mount else folder
            writable = "emptyDir" in names[mount["name"]]
            mounts.append((source, mount["mountPath"], writable))
        spec = self.pod["spec"]
        security = {**spec.get("securityContext", {}), **container.get("securityContext", {})}
        # The status has the pod's address by now, which an environment may ask for.
        pod = self.pod | {"status": {"podIP": self.place.address}}
        env = self._reader.environment(pod, container) | self._api_server()
        made = self.place.make(container["name"], security, mounts, env)
        self.started = [one for one in self.started if one[0] != container["name"]]
        self.started.append((container["name"], made))
        made.start([*container.get("command", ()), *container.get("args", ())])
        return made

    def _api_server(self) -> dict[str, str]:
        spec = self._kube.get("/api/v1/namespaces/default/services/kubernetes")["spec"]
        port = str(spec["ports"][0]["port"])
        return {"KUBERNETES_SERVICE_HOST": spec["clusterIP"], "KUBERNETES_SERVICE_PORT": port}

    def _volume(self, volume: Json) -> Path:
        folder = self.folder / "volumes" / volume["name"]
        found = self._reader.volume(self.pod, volume)
        if found.empty_dir:
            folder.mkdir(parents=True, exist_ok=True)
            folder.chmod(0o777)
            return folder
        group = self.pod["spec"].get("securityContext", {}).get("fsGroup")
        more = 0o440 if group else 0
        files = {name: (one.content, one.mode | more) for name, one in found.files.items()}
        owner = self.place.owner
        write_volume(folder, files, owner, group or owner)
        if found.token_seconds:
            self._renew[volume["name"]] = time.monotonic() + RENEW_AT * found.token_seconds
        return folder

    def _renew_tokens(self) -> None:
        for volume in self.pod["spec"].get("volumes", ()):
            if self._renew.get(volume["name"], float("inf")) < time.monotonic():
                self._volume(volume)

    def _write(self, container: Json, *, ready: bool, code: int | None = None) -> None:
        """Write the pod's status when it has changed."""
        phase = "Running" if code is None else "Failed" if code else "Succeeded"
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        state: Json = {"running": {}}
        if code is not None:
            state = {"terminated": {"exitCode": code}}
        one = {
            "name": container["name"],
            "image": container["image"],
            "imageID": container["image"],
            "ready": ready,
            "restartCount": self.restarts,
            "state": state,
        }
        if self._written == {"phase": phase, "container": one} or self._powerless:
            return
        truth = "True" if ready else "False"
        conditions = {"PodScheduled": "True", "Initialized": "True"}
        conditions |= {"ContainersReady": truth, "Ready": truth}
        status = {
            "phase": phase,
            "podIP": self.place.address,
            "podIPs": [{"ip": self.place.address}],
            "startTime": self.meta["creationTimestamp"],
            "containerStatuses": [one],
            "conditions": [
                {"type": kind, "status": value, "lastTransitionTime": now}
                for kind, value in conditions.items()
            ],
        }
        with contextlib.suppress(KubeError):  # gone: the loop will see
            self._kube.patch(f"{self._path}/status", {"status": status})
            self._written = {"phase": phase, "container": one}
