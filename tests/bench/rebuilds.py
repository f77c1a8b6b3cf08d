"""A rebuild beside the bare API writes, with the pods that use the volumes, at growing sizes.

Ours runs in a process of its own, with its informer, on whatever API server is given: the demo's
emulator, or with ``LAB=1`` the real control plane. Its nodes answer at once, so that what is
measured is what the cluster's API is asked for.
"""

from __future__ import annotations

import json
import logging
import os
import resource
import subprocess
import sys
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import structlog
from kubernetes import config

from carina_tasks.demo import manifests
from carina_tasks.demo.stage import Stage
from carina_tasks.demo.world import CLAIMS, PODS
from carina_tasks.errors import AlreadyExists, ApiConflict, NotFound
from carina_tasks.flows.failover.lost_node import rebuild_node
from carina_tasks.kube import paths
from carina_tasks.kube.api import Api
from carina_tasks.kube.cluster import Cluster
from carina_tasks.kube.event_queue import EventQueue
from carina_tasks.kube.informer import Informer
from carina_tasks.kube.state import StateMap
from carina_tasks.kube.writes import ClusterWrites
from carina_tasks.observability.audit import Audit
from tests.bench.figures import Figure
from tests.builders.flow import FakeApi, FakeNodes, context
from tests.builders.kubernetes import inventory
from tests.lab.control_plane import ControlPlane, Options
from tests.lab.paths import REPOSITORY
from tests.lab.processes import wait_until

THREADS = 8
"""As many as a control worker has."""
LOST, TARGET, OTHER = "bench-lost", "bench-target", "bench-other"
CONTROLLERS = (
    "*,-node-lifecycle-controller,-taint-eviction-controller,-pod-garbage-collector-controller"
)
"""No kubelet reports for these nodes, and nobody but the measured code ends their pods."""

ROOM = {kind: {"pods": "20000"} for kind in ("capacity", "allocatable")}
"""A node of the largest size holds more pods than a kubelet allows."""

Json = dict[str, Any]


@dataclass(frozen=True)
class Run:
    """What one rebuild took."""

    seconds: float
    cpu: float
    peak: float
    requests: Mapping[str, int]


@dataclass(frozen=True)
class Server:
    """An API server with the controllers of volumes."""

    name: str
    kubeconfig: Path
    api: Api


def rows(quick: bool) -> Iterator[Figure]:
    """Measure growing numbers of volumes, and three volumes beside growing numbers of pods."""
    lab = os.environ.get("LAB") == "1"
    volumes, pods = ((10, 100, 500), (0, 2_000, 10_000)) if lab else ((10, 100), (0, 2_000))
    if quick:
        volumes, pods = (3,), (20,)
    turns = 1 if quick else 3
    with control_plane() if lab else emulator() as server:
        for size in volumes:
            yield _growing(server, size, turns)
        for number in pods:
            yield _beside(server, number, turns)


@contextmanager
def control_plane() -> Iterator[Server]:
    """Run etcd, kube-apiserver and kube-controller-manager."""
    with tempfile.TemporaryDirectory() as folder:
        manager = ("--kube-api-qps=1000", "--kube-api-burst=1000")
        options = Options(CONTROLLERS, scheduler=False, controller_manager_arguments=manager)
        plane = ControlPlane(Path(folder), options)
        try:
            plane.start()
            plane.kubectl("apply", "-f", str(REPOSITORY / "deploy" / "crds"))
            yield _prepared("the real control plane", plane.kubeconfig)
        finally:
            plane.stop()


@contextmanager
def emulator() -> Iterator[Server]:
    """Run the demo's API server and its controllers."""
    with Stage() as stage:
        for node in (TARGET, OTHER):
            stage.controllers.kubelets.live(node)
        yield _prepared("the emulator", stage.kubeconfig)


def _prepared(name: str, kubeconfig: Path) -> Server:
    api = Api(config.new_client_from_config(str(kubeconfig)), 60, 500)

    def ready() -> bool:
        with suppress(NotFound):
            api.list(paths.LOGIC_VOLUMES)
            return True
        return False

    wait_until("LogicVolumes are served", ready, 30)
    with suppress(AlreadyExists):
        api.create(paths.STORAGE_CLASSES, manifests.storage_class())
    return Server(name, kubeconfig, api)


def _growing(server: Server, size: int, turns: int) -> Figure:
    ours, bare = _turns(server, size, turns)
    each = {kind: round(number / size, 1) for kind, number in ours[-1].requests.items()}
    asked = ", ".join(f"{number:g} {kind}" for kind, number in sorted(each.items()) if number)
    what = f"rebuild of {size} volumes with their pods on {server.name}; requests a volume: {asked}"
    return _figure(what, "rebuild of volumes with pods", size, ours, bare)


def _beside(server: Server, number: int, turns: int) -> Figure:
    names = [f"other-{at}" for at in range(number)]
    _each(names, lambda name: _make_pod(server.api, name, OTHER))
    ours, bare = _turns(server, 3, turns)
    _each(names, lambda name: _remove(server.api, f"{PODS}/{name}"))
    what = f"rebuild of 3 volumes beside {number} other pods on {server.name}"
    return _figure(what, "rebuild of 3 volumes beside pods", number, ours, bare)


def _figure(what: str, series: str, size: int, ours: list[Run], bare: list[float]) -> Figure:
    """Return what was measured at one size, as a row.

    Args:
        what: What was done, with its size.
        series: The same without its size.
        size: The size.
        ours: Our runs.
        bare: Seconds of the API writes alone.
    """
    return Figure(
        what,
        tuple(run.seconds for run in ours),
        tuple(bare),
        f"the API writes alone, {THREADS} at a time",
        series=series,
        size=size,
        peak=max(run.peak for run in ours),
    )


def _turns(server: Server, size: int, turns: int) -> tuple[list[Run], list[float]]:
    """Measure both, by turns."""
    ours: list[Run] = []
    bare: list[float] = []
    for turn in range(turns):
        for which in ("ours", "bare") if turn % 2 == 0 else ("bare", "ours"):
            names = _prepare(server.api, size)
            if which == "ours":
                ours.append(_ours(server, size))
            else:
                bare.append(_bare(server.api, names))
            _each(names, lambda name: _clear(server.api, name))
    return ours, bare


# --- the objects ---


def _prepare(api: Api, size: int) -> list[str]:
    """Make a node's volumes, each with a claim that is Bound and a pod that uses it."""
    for node in (LOST, TARGET, OTHER):
        with suppress(AlreadyExists):
            made = manifests.node(node)
            ready = {"type": "Ready", "status": "True", "reason": "Bench", "message": ""}
            api.create(paths.NODES, made)
            # The API server taints new nodes as not ready, and no controller of theirs runs here.
            api.merge(paths.node(node), {"spec": {"taints": None}})
            api.merge(paths.node(node) + "/status", {"status": {"conditions": [ready], **ROOM}})
    names = [f"pvc-{uuid.uuid4()}" for _ in range(size)]
    _each(names, lambda name: _make(api, name))

    def bound() -> bool:
        found = {raw["metadata"]["name"]: raw for raw in api.list(CLAIMS).items}
        return all(
            (found.get(_claim(name), {}).get("status") or {}).get("phase") == "Bound"
            for name in names
        )

    wait_until(f"{size} claims are Bound", bound, 120)
    return names


def _make(api: Api, name: str) -> None:
    api.create(paths.LOGIC_VOLUMES, manifests.logic_volume(name, LOST, "1Gi", _claim(name)))
    api.merge(
        paths.logic_volume(name) + "/status", manifests.logic_volume_status(name, "1Gi", 252, 1)
    )
    claim = manifests.claim(_claim(name), "1Gi", {}, {})
    claim["spec"]["volumeName"] = name
    made = api.create(CLAIMS, claim)
    pv = manifests.persistent_volume(name, LOST, "1Gi", made, major=252, minor=1)
    api.create(paths.PERSISTENT_VOLUMES, pv)
    _make_pod(api, _pod(name), LOST, _claim(name))


def _make_pod(api: Api, name: str, node: str, claim: str = "") -> None:
    volume = {"name": "data", "persistentVolumeClaim": {"claimName": claim}}
    container = {"name": "main", "image": "none", "env": [{"name": "A", "value": "x" * 500}]}
    spec = {
        "nodeName": node,
        "containers": [container],
        "volumes": [volume] if claim else [],
        "terminationGracePeriodSeconds": 0,
    }
    body = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}
    api.create(PODS, body)


def _claim(name: str) -> str:
    return f"claim-{name}"


def _pod(name: str) -> str:
    return f"pod-{name}"


def _clear(api: Api, name: str) -> None:
    for path in (
        f"{PODS}/{_pod(name)}",
        f"{CLAIMS}/{_claim(name)}",
        paths.persistent_volume(name),
        paths.logic_volume(name),
    ):
        _remove(api, path)


def _remove(api: Api, path: str) -> None:
    for _ in range(5):
        try:
            uid = api.get(path)["metadata"]["uid"]
            api.delete(path, uid=uid, grace=0)
            api.merge(path, {"metadata": {"uid": uid, "finalizers": None}})
        except ApiConflict:
            continue
        except NotFound:
            return


def _each(names: Iterable[str], action: Callable[[str], object]) -> None:
    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(action, names))


def _delete_node(api: Api) -> None:
    api.delete(paths.node(LOST), uid=api.get(paths.node(LOST))["metadata"]["uid"])


# --- the two ways ---


def _bare(api: Api, names: list[str]) -> float:
    """Do the writes of each rebuild, in their order, and wait until the claims are Bound again."""
    pvs = {name: api.get(paths.persistent_volume(name)) for name in names}
    _delete_node(api)
    begun = time.monotonic()
    _each(names, lambda name: _bare_rebuild(api, pvs[name]))
    return time.monotonic() - begun


def _bare_rebuild(api: Api, pv: Json) -> None:
    name = pv["metadata"]["name"]
    logic_volume, path = paths.logic_volume(name), paths.persistent_volume(name)
    claim, pod = f"{CLAIMS}/{_claim(name)}", f"{PODS}/{_pod(name)}"
    journal = {"bare": json.dumps(pv["spec"])}
    api.merge(logic_volume, {"metadata": {"annotations": journal}, "spec": {"nodeName": TARGET}})
    api.merge(logic_volume + "/status", {"status": {"status": "", "code": 0}})
    api.merge(path, {"spec": {"persistentVolumeReclaimPolicy": "Retain"}})
    api.delete(path, uid=pv["metadata"]["uid"])
    with suppress(NotFound):
        api.merge(path, {"metadata": {"finalizers": None}})
    spec = json.loads(json.dumps(pv["spec"]).replace(LOST, TARGET))
    spec["claimRef"].pop("resourceVersion", None)
    spec["persistentVolumeReclaimPolicy"] = "Retain"
    meta = {"name": name, "annotations": pv["metadata"]["annotations"]}
    made = {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": meta, "spec": spec}
    api.create(paths.PERSISTENT_VOLUMES, made)
    while True:
        api.merge(claim, {"metadata": {"annotations": {"bare": str(time.monotonic())}}})
        time.sleep(0.1)
        if api.get(claim)["status"]["phase"] == "Bound":
            break
    api.merge(claim, {"metadata": {"annotations": {"bare": None}}})
    api.merge(path, {"spec": {"persistentVolumeReclaimPolicy": "Delete"}})
    with suppress(NotFound):
        api.delete(pod, uid=api.get(pod)["metadata"]["uid"], grace=0)
    api.merge(logic_volume + "/status", {"status": {"status": "Success"}})
    api.merge(logic_volume, {"metadata": {"annotations": {"bare": None}}})


def _ours(server: Server, size: int) -> Run:
    """Let a process of its own do it; it deletes the node when its informer shows everything."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench.rebuilds", str(size)],
        env=os.environ | {"KUBECONFIG": str(server.kubeconfig)},
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=1800,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return Run(**json.loads(done.stdout.splitlines()[-1]))


def main() -> int:
    """Rebuild the volumes of the lost node as a control worker does; print a `Run` as JSON."""
    size = int(sys.argv[1])
    # As the product is configured by default: without debug lines.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.INFO))
    api = CountingApi(config.new_client_from_config(os.environ["KUBECONFIG"]), 60, 500)
    informer = Informer(api, 90)
    informer.start()
    wait_until("the informer shows the cluster", lambda: informer.behind() is None, 120)
    events = EventQueue(api)
    nodes = FakeNodes(inventory(TARGET, free=100_000))
    ctx = replace(
        context(FakeApi(), nodes, confirm_absence="0", concurrency=str(THREADS)),
        cluster=Cluster(api, informer),
        writes=ClusterWrites(api),
        state=StateMap(api, "kube-system"),
        audit=Audit(events),
        sleep=time.sleep,
        monotonic=time.monotonic,
    )
    _delete_node(api)
    api.asked.clear()
    begun, cpu = time.monotonic(), time.process_time()
    result = rebuild_node(ctx, LOST)
    events.flush(60)
    run = Run(
        time.monotonic() - begun,
        time.process_time() - cpu,
        resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        api.asked,
    )
    assert [one.outcome for one in result.volumes] == ["rebuilt"] * size, result.summary
    print(json.dumps(run.__dict__))
    informer.stop()
    return 0


class CountingApi(Api):
    """The product's client; counts what it asks for."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.asked: Counter[str] = Counter()

    def _once(
        self, verb: str, path: str, query: Mapping[str, str] | None, *more: Any
    ) -> tuple[int, bytes, Mapping[str, str]]:
        """Count a request: lists, reads, Events, dry runs and writes."""
        if path.endswith("/events"):
            what = "Events"
        elif verb == "GET":
            what = "lists" if "limit" in (query or {}) else "reads"
        else:
            # A deletion has its options in the body.
            tried = any("dryRun" in part for part in (query, more[0]) if part)
            what = "dry runs" if tried else "writes"
        self.asked[what] += 1
        return super()._once(verb, path, query, *more)


if __name__ == "__main__":
    raise SystemExit(main())
