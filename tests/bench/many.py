"""Many nodes: several lost at once, and which of all may be lost.

The parent is the API server (the emulator, in a thread), with whatever binds claims. The child,
``python -m tests.bench.many WORK …``, is what a control worker is beside Celery and Redis: the
product's client, informer and flows, eight tasks at a time; nodes answer from lists. So wall, CPU
and peak RSS are the control worker's own.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

from kubernetes import client

from carina_tasks.emulator.api_server.cluster import Cluster as Emulator
from carina_tasks.emulator.api_server.server import ApiServer
from carina_tasks.emulator.api_server.store import Change, clone
from carina_tasks.flows.context import Context
from carina_tasks.flows.failover.lost_node import rebuild_node
from carina_tasks.flows.failover.resume import resume
from carina_tasks.flows.report.readiness import readiness
from carina_tasks.kube import paths
from carina_tasks.kube.api import Api
from carina_tasks.kube.cluster import Cluster
from carina_tasks.kube.event_queue import EventQueue
from carina_tasks.kube.informer import Informer
from carina_tasks.kube.state import StateMap
from carina_tasks.kube.writes import ClusterWrites
from carina_tasks.observability import logs
from carina_tasks.observability.audit import Audit
from carina_tasks.settings import load
from carina_tasks.store.lock import HeldLock
from tests.bench.alone import canned
from tests.bench.figures import Figure
from tests.builders import kubernetes
from tests.builders.flow import FakeApi, FakeNodes, context
from tests.lab.paths import REPOSITORY

THREADS = 8
"""As many tasks as a control worker runs at once."""
PATIENCE = 300
"""Seconds after which a failover that does not end fails the measurement."""


def rows(quick: bool) -> Iterator[Figure]:
    """Measure nodes lost at once beside as many lost alone, and the second look of readiness."""
    sizes = ((2, 3, 6, 100),) if quick else ((8, 3, 40, 10_000), (50, 10, 1_000, 10_000))
    for lost, volumes, nodes, pods in sizes:
        ours = lose(lost, volumes, nodes, pods)
        bare = lose(1, lost * volumes, nodes, pods)
        what = f"{lost} of {nodes} nodes of {volumes} volumes lost at once, {pods} other pods"
        yield Figure(
            what,
            (ours["wall"],),
            (bare["wall"],),
            f"one node of {lost * volumes} volumes",
            peak=ours["peak"],
        )
        yield Figure(
            f"CPU of that ({lost} of {nodes} nodes)", (ours["cpu"],), (bare["cpu"],), "the same"
        )
    for nodes in (5,) if quick else (50, 150, 500):
        with canned(nodes, nodes * 10) as url:
            found = child("readiness", str(nodes), url)
        yield Figure(
            f"CPU of the first readiness of {nodes} nodes of 10 volumes",
            (found["first"],),
            (found["second"],),
            "the second, of which nothing has changed",
            series="first readiness of nodes of 10 volumes",
            size=nodes,
            peak=found["peak"],
        )


def lose(lost: int, volumes: int, nodes: int, pods: int) -> dict[str, float]:
    """Delete `lost` of `nodes` nodes at once; return seconds, CPU and peak RSS of the worker.

    Args:
        lost: Nodes that are deleted.
        volumes: Volumes of each of them, each with its pod.
        nodes: Nodes of the cluster.
        pods: Pods of other nodes.
    """
    with ApiServer(history=200_000) as server:
        server.call(lambda cluster: _fill(cluster, lost, volumes, nodes, pods))
        return child("lose", str(lost), str(volumes), str(nodes), server.url)


def child(*words: str) -> dict[str, float]:
    """Run one work in a process of its own; return what it prints."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench.many", *words],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return dict(json.loads(done.stdout.splitlines()[-1]))


# --- the API server ---


def _fill(cluster: Emulator, lost: int, volumes: int, nodes: int, pods: int) -> None:
    def put(group: str, plural: str, raw: Any) -> None:
        meta = raw["metadata"]
        meta.setdefault("creationTimestamp", "2026-01-01T00:00:00Z")
        found = cluster.registry.find(group, "v1", plural)
        assert found is not None
        cluster.store.put(found.id, (meta.get("namespace", ""), meta["name"]), raw)

    for number in range(nodes):
        node = {"apiVersion": "v1"} | kubernetes.node(f"node-{number}")
        node["status"]["allocatable"]["pods"] = "1000"
        put("", "nodes", node)
    for number in range(lost * volumes):
        name, on = f"pvc-{number}", f"node-{number % lost}"
        version = {"apiVersion": "carina.storage.io/v1"}
        put("carina.storage.io", "logicvolumes", version | kubernetes.logic_volume(name, on))
        volume = {"apiVersion": "v1"} | kubernetes.pv(name, on)
        volume["spec"]["volumeMode"] = "Filesystem"
        put("", "persistentvolumes", volume)
        claim = {"apiVersion": "v1"} | kubernetes.claim(name)
        claim["spec"] |= {
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "5Gi"}},
            "volumeMode": "Filesystem",
        }
        put("", "persistentvolumeclaims", claim)
        put("", "pods", {"apiVersion": "v1"} | kubernetes.pod(f"pod-{number}", name, on=on))
    for number in range(pods):
        on = f"node-{lost + number % (nodes - lost)}"
        put("", "pods", {"apiVersion": "v1"} | kubernetes.pod(f"other-{number}", on=on))
    _bind_claims(cluster)


def _bind_claims(cluster: Emulator) -> None:
    """Bind what is created, as kube-controller-manager does, a moment later."""
    volumes = cluster.registry.find("", "v1", "persistentvolumes")
    assert volumes is not None

    def bind(key: tuple[str, str]) -> None:
        found = cluster.store.get(volumes.id, key)
        if found is not None:
            bound = clone(found)
            bound["status"] = {"phase": "Bound"}
            cluster.store.put(volumes.id, key, bound)

    def seen(change: Change) -> None:
        if change.type == "ADDED":
            asyncio.get_running_loop().call_soon(bind, change.key)

    cluster.store.listen(volumes.id, seen)


# --- the control worker ---


def main() -> int:
    """Do what the command line names; print the figures as JSON."""
    logs.begin(load({}))
    work, *words = sys.argv[1:]
    found = _lose(*map(int, words[:3]), words[3]) if work == "lose" else _readiness(*words)
    found["peak"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps(found))
    return 0


def _api(url: str) -> Api:
    configuration = client.Configuration()
    configuration.host = url
    configuration.connection_pool_maxsize = 4 * THREADS
    return Api(client.ApiClient(configuration), 60, 500)


def _lose(lost: int, volumes: int, nodes: int, url: str) -> dict[str, float]:
    api = _api(url)
    informer = Informer(api, 120)
    informer.start()
    while informer.behind() is not None:
        time.sleep(0.05)
    ctx = _worker(api, informer, nodes)
    names = [f"node-{number}" for number in range(lost)]
    wall, cpu = time.monotonic(), time.process_time()
    for name in names:
        api.delete(paths.node(name), uid=f"uid-{name}")
    with ThreadPoolExecutor(THREADS) as pool:
        # A message each, as the node watch sends them.
        list(pool.map(lambda name: rebuild_node(ctx, name), names))
        while _left(ctx, names):
            assert time.monotonic() - wall < PATIENCE
            found = resume(ctx)
            list(pool.map(lambda name: rebuild_node(ctx, name), found.deleted_nodes))
    taken = {"wall": time.monotonic() - wall, "cpu": time.process_time() - cpu}
    taken["asked"] = len(ctx.nodes.asked)  # type: ignore[attr-defined]
    placed = {v.node for v in ctx.cluster.logic_volumes().values.values()}
    assert not placed & set(names)
    return taken


def _left(ctx: Context, names: list[str]) -> bool:
    """Return whether a volume is not rebuilt; what the watch has not shown yet counts as left."""
    time.sleep(0.05)
    found = ctx.cluster.logic_volumes().values.values()
    return any(v.journal is not None or v.node in names for v in found)


def _worker(api: Api, informer: Informer, nodes: int) -> Context:
    held, turn = set[str](), threading.Lock()

    @contextlib.contextmanager
    def lock(name: str) -> Iterator[HeldLock | None]:
        with turn:
            mine = name not in held
            held.add(name)
        try:
            yield HeldLock(None) if mine else None
        finally:
            if mine:
                held.discard(name)

    inventories = [kubernetes.inventory(f"node-{n}", free=500) for n in range(nodes)]
    fakes = context(
        FakeApi(), FakeNodes(*inventories), confirm_absence="0", concurrency=str(THREADS)
    )
    return replace(
        fakes,
        cluster=Cluster(api, informer),
        writes=ClusterWrites(api),
        state=StateMap(api, fakes.settings.namespace),
        audit=Audit(EventQueue(api)),
        lock=lock,
        sleep=time.sleep,
        monotonic=time.monotonic,
    )


def _readiness(nodes: str, url: str) -> dict[str, float]:
    inventories = [kubernetes.inventory(f"node-{n}", free=200) for n in range(int(nodes))]
    cluster = Cluster(_api(url))
    snapshot = cluster.observe()
    cluster.observe = lambda: snapshot  # type: ignore[method-assign]
    ctx = replace(context(FakeApi(), FakeNodes(*inventories)), cluster=cluster)
    taken = []
    for _ in range(2):
        begun = time.process_time()
        result = readiness(ctx)
        taken.append(time.process_time() - begun)
        assert sum(one.places for one in result.nodes) == int(nodes) * 10, result.reason
    return {"first": taken[0], "second": taken[1]}


if __name__ == "__main__":
    raise SystemExit(main())
