"""The embedded default as a test uses it: three nodes, empty at the beginning of each test, and the
product at work.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

from carina_tasks.demo import manifests, show
from carina_tasks.demo.stage import PROCESSES, Stage
from carina_tasks.demo.world import CLAIMS, PODS, SETS, World
from carina_tasks.errors import ApiConflict, NotFound
from carina_tasks.kube import paths
from carina_tasks.model import well_known
from tests.patience import LOAD

ONE, TWO, THREE = "10.20.9.152", "10.20.9.153", "10.20.9.154"
NODES = (ONE, TWO, THREE)
CELERY = (sys.executable, "-m", "celery", "-A", "carina_tasks")
GIB = 1 << 30
SETTINGS = {
    "confirm_absence": "1",
    "not_ready_after": "2",
    "orphan_grace": "0",
    "orphan_mark_age": "1",
    "logic_volume_grace": "3",
    "lock_ttl": "5",
}
"""Shorter still than the demo's, where a guard's length is not what the test is about."""

Json = dict[str, Any]


class Embedded:
    """Stage and world, with what tests need beside."""

    def __init__(self, changed: Mapping[str, str] | None = None) -> None:
        self.stage = Stage({**SETTINGS, **(changed or {})})
        self.stage.__enter__()
        for node in NODES:
            self.stage.add_node(node)
        self.processes = {child.name: child for child in self.stage.start_processes()}
        self.world = World(self.stage)
        self.world.prepare()
        self.world.register(*NODES)
        self.stage.wait_ready(*self.processes.values())
        self.nodes, self.api = self.stage.nodes, self.stage.api

    # --- between tests ---

    def reset(self) -> None:
        """Make it empty and healthy: three Ready nodes, no volumes, every process at work."""
        self.reset_objects()
        missing = [name for name in PROCESSES if not self.processes[name].alive]
        self.processes |= (
            {child.name: child for child in self.stage.start_processes(*missing)} if missing else {}
        )
        self.stage.wait_ready(*(self.processes[name] for name in missing))
        self.wait(
            "no node is tainted", lambda: not any(self.world.node(n).taints for n in NODES), 10
        )

    def reset_objects(self) -> None:
        """Make cluster and nodes empty and healthy; processes that were ended stay so."""
        self.wait("the cluster is empty", self._clear, 60)
        for node in self.nodes.values():
            node.clear()
            self.stage.power_on(node.name)
        self.world.register(*NODES)
        for name in NODES:
            self.api.merge(paths.node(name), {"spec": {"unschedulable": None}})

    def stop(self) -> None:
        """End everything."""
        self.stage.stop()

    def end(self, process: str) -> None:
        """Kill one of the product's processes; `reset` starts it again."""
        self.stage.children.kill(self.processes[process])

    def _clear(self) -> bool:
        left = 0
        for path in (SETS, PODS, CLAIMS, paths.PERSISTENT_VOLUMES, paths.LOGIC_VOLUMES):
            left += self._remove(path)
        self._remove(paths.events(manifests.NAMESPACE))
        self._remove(paths.config_maps("kube-system"))
        return left == 0

    def _remove(self, collection: str) -> int:
        found = self.api.list(collection).items
        for one in found:
            meta = one["metadata"]
            with contextlib.suppress(NotFound, ApiConflict):
                path = f"{collection}/{meta['name']}"
                self.api.delete(path, uid=meta["uid"], grace=0)
                self.api.merge(path, {"metadata": {"uid": meta["uid"], "finalizers": None}})
        return len(found)

    # --- the command line ---

    def celery(self, *arguments: str, stdin: str = "") -> str:
        """Run a ``celery -A carina_tasks`` command as an operator does, and return what it
        prints.
        """
        done = subprocess.run(
            [*CELERY, *arguments],
            env={**self.stage.children.env, **self.stage.env},
            cwd=self.stage.folder,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def send(self, task: str, *args: Any, queue: str = "control", **kwargs: Any) -> str:
        """Put a task on a queue, and return its id."""
        return str(
            self.stage.app.send_task(
                task, args=list(args), kwargs=kwargs, queue=queue, expires=60
            ).id
        )

    def call(self, task: str, *args: Any, **kwargs: Any) -> Any:
        """Call a control task and return its result. Raises what the task raised."""
        return self.stage.app.AsyncResult(self.send(task, *args, **kwargs)).get(timeout=40)

    def sweep(self) -> Json:
        """Call the sweep of local volumes, and return its result by node."""
        return {node["node"]: node for node in self.call("carina.sweep.local_volumes")["nodes"]}

    # --- the cluster ---

    def volume(
        self, claim: str, node: str, size: str = "5Gi", name: str = "", **labels: str
    ) -> str:
        """Make a claim and its volume on `node`; return the volume's name."""
        self.world.claim(claim, size, node, name, **labels)
        path = f"{CLAIMS}/{claim}"
        self.wait(f"{claim} is Bound", lambda: self.api.get(path)["status"]["phase"] == "Bound", 15)
        return str(self.api.get(path)["spec"]["volumeName"])

    def app(
        self, name: str, *nodes: str, size: str = "5Gi", migrate: str | None = None
    ) -> list[str]:
        """Make a StatefulSet with a replica and its volume on each of `nodes`, running; return the
        volumes' names.
        """
        made = [
            self.volume(f"data-{name}-{i}", node, size, app=name) for i, node in enumerate(nodes)
        ]
        self.world.stateful_set(name, size, len(nodes), migrate)
        for i, node in enumerate(nodes):
            self.wait(
                f"{name}-{i} runs",
                lambda i=i, node=node: self.world.running(f"{name}-{i}", on=node),
                15,
            )
        return made

    def logic_volume(self, name: str, node: str, size: str = "1Gi", **metadata: Any) -> None:
        """Make a LogicVolume that is Success, with its LV and without a PV; `metadata` replaces
        fields of its own.
        """
        body = manifests.logic_volume(name, node, size, f"claim-of-{name}")
        body["metadata"] |= metadata
        self.api.create(paths.LOGIC_VOLUMES, body)
        lv = self.nodes[node].create(f"volume-{name}", int(size.removesuffix("Gi")) * GIB)
        self.api.merge(
            paths.logic_volume(name) + "/status",
            manifests.logic_volume_status(name, size, lv.major, lv.minor),
        )

    def table(self) -> dict[str, list[str]]:
        """Return the rows of ``kubectl get lv``: name to SIZE, GROUP, NODE, STATUS."""
        _, *rows = show.server_table(self.api.host + paths.LOGIC_VOLUMES)
        return {row[0]: row[1:] for row in rows}

    def sizes(self) -> dict[str, dict[str, int]]:
        """Return each node's LVs of Carina's group and their bytes."""
        return {name: node.sizes() for name, node in self.nodes.items()}

    def journals(self) -> list[str]:
        """Return the names of the LogicVolumes that carry a journal."""
        return [
            raw["metadata"]["name"]
            for raw in self.api.list(paths.LOGIC_VOLUMES).items
            if well_known.JOURNAL in (raw["metadata"].get("annotations") or {})
        ]

    def wait_rebuilt(self, *volumes: str, away_from: str, timeout: float = 40) -> float:
        """Wait until these volumes are Success elsewhere with no journal left; return the
        seconds.
        """
        return self.wait(
            f"{len(volumes)} volumes are rebuilt",
            lambda: self.world.rebuilt(*volumes, away_from=away_from),
            timeout,
        )

    def flower(self, path: str) -> Any:
        """Return what Flower's HTTP API answers."""
        import urllib.request

        with urllib.request.urlopen(self.stage.flower_url + path, timeout=10) as answer:
            return json.load(answer)

    def another_flower(self, port: int, **environment: str) -> subprocess.Popen[bytes]:
        """Start a Flower beside the stage's own, with other settings; the test ends it."""
        return subprocess.Popen(
            [*CELERY, "flower", f"--port={port}", "--address=127.0.0.1"],
            env={**self.stage.env, "FLOWER_UNAUTHENTICATED_API": "true", **environment},
        )

    def log(self, process: str) -> str:
        """Return the log of a process."""
        return self.processes[process].text()

    def wait(self, what: str, check: Callable[[], object], timeout: float = 15) -> float:
        """Call `check` until it is true; return the seconds.

        Raises NotInTime after `timeout` seconds (on a quiet machine: see `LOAD`).
        """
        return self.world.wait(what, check, timeout * LOAD)

    def stays(self, check: Callable[[], object], seconds: float) -> bool:
        """Return whether `check` is true the whole time."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if not check():
                return False
            time.sleep(0.1)
        return True
