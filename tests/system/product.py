"""The product on the lab's real parts: its processes, and its tasks called as an operator calls
them.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from tests.lab import kube as k
from tests.lab.errors import LabError
from tests.lab.lab import Lab
from tests.lab.processes import Process
from tests.lab.sender import Sender
from tests.lab.world import pod

JOURNAL = "tasks.carina.storage.io/journal"
READY = {"beat": "beat: Starting", "node_watch": "watching"}
FAST = {
    "CARINA_TASKS_CONFIRM_ABSENCE": "1",
    "CARINA_TASKS_NOT_READY_AFTER": "3",
    "CARINA_TASKS_NOT_READY_WITNESSED": "3",
    "CARINA_TASKS_ORPHAN_GRACE": "0",
    "CARINA_TASKS_ORPHAN_MARK_AGE": "2",
    "CARINA_TASKS_LOGIC_VOLUME_GRACE": "0",
    "CARINA_TASKS_NODE_DEADLINE": "15",
}
"""Settings by which a test need not wait ten minutes; a test that shows a waiting time sets it
itself.
"""


class Product:
    """Starts the product's processes in a lab, and calls its tasks."""

    def __init__(self, lab: Lab, **settings: str) -> None:
        self.lab = lab
        self.env = {
            **FAST,
            **{f"CARINA_TASKS_{name.upper()}": value for name, value in settings.items()},
        }
        self.node_env: dict[str, str] = {}
        self.redis = lab.redis
        self._sender = Sender(lab.redis.url)

    def start_open(self, *processes: str) -> list[Process]:
        """As `start`, with the nodes in the open profile: a trusted Redis, events and remote
        control.
        """
        return self.start(*processes, sealed=False)

    def start(self, *processes: str, nodes: bool = True, sealed: bool = True) -> list[Process]:
        """Start node workers (sealed: each with its own ACL user), and `processes`: control, beat,
        node_watch.
        """
        if nodes:
            profile = "sealed" if sealed else "open"
            self.lab.start_workers(
                {"CARINA_TASKS_NODE_PROFILE": profile, **self.node_env}, sealed=sealed
            )
            try:
                self._wait_for_heartbeats()
            except LabError:
                held = [self.lab.nodes[name].boot_if_worker_is_held() for name in self._silent()]
                if not any(held):
                    raise
                self._wait_for_heartbeats()
        started = []
        for name in processes:
            if name == "beat":
                schedule = self.lab.folder / "beat-schedule"
                argv = ["celery", "-A", "carina_tasks", "beat", "-s", str(schedule)]
            elif name == "control-cli":
                argv = ["celery", "-A", "carina_tasks", "worker", "-Q", "control"]
            else:
                argv = ["python", "-m", f"workers.{name}"]
            started.append(self.lab.process(argv, self.env, f"{name}-{time.monotonic_ns()}"))
        for name, process in zip(processes, started, strict=True):
            sign = READY.get(name, "ready.")
            self.lab.world.wait(f"{name} is ready", lambda p=process, s=sign: s in p.tail(500), 30)
        return started

    def _wait_for_heartbeats(self) -> None:
        self.lab.world.wait("all node workers send a heartbeat", lambda: not self._silent(), 30)

    def _silent(self) -> list[str]:
        client = self.redis.client
        return [name for name in self.lab.names if not client.exists(f"alive.{name}")]

    def typed(self, *arguments: str) -> tuple[int, str]:
        """Run a ``celery -A carina_tasks`` command; return its exit code and what it prints on
        standard output.
        """
        done = subprocess.run(
            [sys.executable, "-m", "celery", "-A", "carina_tasks", *arguments],
            capture_output=True,
            text=True,
            timeout=90,
            env={**self.lab.host_environment(), **self.env},
        )
        assert "Traceback" not in done.stderr, done.stderr
        return done.returncode, done.stdout

    def celery(self, *arguments: str, timeout: float = 90) -> str:
        """Run a ``celery -A carina_tasks`` command and return what it prints."""
        process = self.lab.process(
            ["celery", "-A", "carina_tasks", *arguments], self.env, f"cli-{time.monotonic_ns()}"
        )
        process.popen.wait(timeout)
        text = process.tail(500)
        self.lab.processes.remove(process)
        assert process.popen.returncode == 0, text
        return text

    def call(self, task: str, *args: Any, timeout: float = 90, **kwargs: Any) -> Any:
        """Call a task, and return its result; a failure is raised as AssertionError with its
        text.
        """
        return self.result(self.send(task, *args, **kwargs), timeout)

    def send(self, task: str, *args: Any, **kwargs: Any) -> str:
        """Send a task and return its id."""
        return self._sender.send(task, *args, **kwargs)

    def result(self, task_id: str, timeout: float = 90) -> Any:
        """Wait for the result of a task."""
        client, end = self.redis.client, time.monotonic() + timeout
        while time.monotonic() < end:
            data = client.get(f"celery-task-meta-{task_id}")
            meta = json.loads(data) if data else {}
            if meta.get("status") == "SUCCESS":
                return meta["result"]
            assert meta.get("status") != "FAILURE", meta["result"]
            time.sleep(0.1)
        raise AssertionError(f"no result of {task_id} after {timeout} s")

    def lvs(self, node: str) -> dict[str, int]:
        """Return the LVs of a node's Carina VG with their bytes, what lies in the trash left
        out.
        """
        return {
            name: size
            for name, size in self.lab.lvs()[node].items()
            if not name.startswith("trash-")
        }

    def logic_volumes(self) -> dict[str, Mapping[str, Any]]:
        """Return the LogicVolumes by name."""
        return {one["metadata"]["name"]: one for one in self.lab.kube.list(k.LOGIC_VOLUMES)}

    def table(self) -> dict[str, tuple[str, ...]]:
        """Return the rows of ``kubectl get lv``: name to SIZE, GROUP, NODE, STATUS."""
        lines = self.lab.kubectl("get", "lv", "--no-headers").splitlines()
        return {line.split()[0]: tuple(line.split()[1:]) for line in lines}

    def journals(self) -> list[str]:
        """Return the names of the LogicVolumes that carry a journal."""
        return [
            n
            for n, v in self.logic_volumes().items()
            if JOURNAL in (v["metadata"].get("annotations") or {})
        ]

    def wait_rebuilt(self, *names: str, away_from: str, timeout: float = 60) -> float:
        """Wait until these LogicVolumes are Success on another node and carry no journal; return
        the seconds.
        """

        def rebuilt() -> bool:
            table, journals = self.table(), self.journals()
            return all(
                table[n][2] != away_from and table[n][3:] == ("Success",) and n not in journals
                for n in names
            )

        return self.lab.world.wait(
            f"{len(names)} volumes are rebuilt away from {away_from}", rebuilt, timeout
        )

    def running_elsewhere(self, selector: str, count: int, away_from: str) -> bool:
        """Return whether `count` pods of a label selector are Running, none of them on
        `away_from`.
        """
        pods = self.lab.kube.list(f"{k.pods()}?labelSelector={selector}")
        good = [
            one
            for one in pods
            if one["status"].get("phase") == "Running"
            and "deletionTimestamp" not in one["metadata"]
            and one["spec"].get("nodeName") != away_from
        ]
        return len(good) == count == len(pods)

    def lv_uuid(self, node: str, name: str, vg: str = "carina-vg-hdd") -> str:
        """Return the UUID that lvm2 on `node` gives for an LV."""
        return (
            self.lab.nodes[node]
            .run("lvs", "--noheadings", "-o", "lv_uuid", f"{vg}/{name}")
            .stdout.strip()
        )

    @contextmanager
    def freeze_after_inventory(self, node: str) -> Iterator[None]:
        """Let the node's worker answer one inventory and stop it before its next task; it continues
        afterwards.
        """
        lab, stop = self.lab, threading.Event()
        # The answer itself is removed as soon as it was read.
        answers = lab.redis.client.pubsub(ignore_subscribe_messages=True)
        answers.psubscribe(f"celery-task-meta-{node}:*")

        def watch() -> None:
            while not stop.is_set():
                if answers.get_message(timeout=0.1):
                    lab.nodes[node].freeze()
                    return

        thread = threading.Thread(target=watch, daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()
            answers.close()
            lab.nodes[node].thaw()

    def versions(self, *claims: str) -> dict[str, str]:
        """Return UID and resourceVersion of all objects of these claims' volumes, to see that
        nothing touched them.

        A pod's status is the kubelet's and the node controller's to write (Ready turns False on a
        NotReady node), so of a pod on a node only UID and spec count.
        """
        kube, found = self.lab.kube, {}
        for claim in claims:
            volume = kube.get(f"{k.claims()}/{claim}")["spec"]["volumeName"]
            for path in (
                f"{k.claims()}/{claim}",
                f"{k.PVS}/{volume}",
                f"{k.LOGIC_VOLUMES}/{volume}",
            ):
                meta = kube.get(path)["metadata"]
                found[path] = f"{meta['uid']} {meta['resourceVersion']}"
            pod = kube.get(f"{k.pods()}/pod-{claim}")
            found[f"pod-{claim}"] = f"{pod['metadata']['uid']} {pod['spec']['nodeName']}"
        return found

    def pod(self, name: str, claims: list[str], **options: Any) -> Any:
        """Return a pod as JSON."""
        return pod(name, claims, **options)

    def of(self, sweep: Any, node: str) -> Any:
        """Return what a sweep of local volumes says of one node."""
        return next(one for one in sweep["nodes"] if one["node"] == node)

    def add_logic_volume(
        self, name: str, node: str, manage_type: str = "lvm", owners: Any = None
    ) -> None:
        """Make a LogicVolume that is Success and has no PV."""
        meta: dict[str, Any] = {
            "name": name,
            "annotations": {"carina.io/volume-manage-type": manage_type},
            "finalizers": ["carina.storage.io/logicvolume"],
            **({"ownerReferences": owners} if owners else {}),
        }
        spec = {
            "nodeName": node,
            "size": "1Gi",
            "deviceGroup": "carina-vg-hdd",
            "pvc": f"none-{name}",
            "nameSpace": "default",
        }
        body = {
            "apiVersion": "carina.storage.io/v1",
            "kind": "LogicVolume",
            "metadata": meta,
            "spec": spec,
        }
        self.lab.kube.create(k.LOGIC_VOLUMES, body)
        status = {
            "status": {"volumeID": f"volume-{name}", "status": "Success", "currentSize": "1Gi"}
        }
        self.lab.kube.patch(f"{k.LOGIC_VOLUMES}/{name}/status", status)
