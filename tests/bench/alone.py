"""Figures of one process each, so that its peak of memory is its own.

The parent serves canned objects over HTTP; the child, ``python -m tests.bench.alone WORK NODES
COUNT URL``, reads them with the product's own adapter and prints what it took. COUNT are volumes,
or pods where the work is about pods.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

from kubernetes import client

from carina_tasks.flows.report.readiness import readiness
from carina_tasks.kube import paths
from carina_tasks.kube.api import Api
from carina_tasks.kube.cluster import Cluster
from carina_tasks.kube.informer import Informer
from carina_tasks.model.snapshot import ClusterSnapshot
from tests.bench.figures import Figure
from tests.builders import kubernetes
from tests.builders.flow import FakeApi, FakeNodes, context
from tests.lab.paths import REPOSITORY

PAGE = 500
NODE, VOLUME = "node-NUMBER", "pvc-NUMBER"


def rows(quick: bool) -> Iterator[Figure]:
    """Measure each kind of work at growing sizes, so that what grows faster than it shows."""
    for volumes in (200,) if quick else (1_000, 10_000, 100_000):
        ours = child("read", 10, volumes)
        bare = child("decode", 10, volumes)
        yield Figure(
            f"CPU of reading {volumes} LogicVolumes and their PVs",
            (ours["cpu"],),
            (bare["cpu"],),
            "getting the same pages as dicts",
            series="reading LogicVolumes and PVs",
            size=volumes,
            peak=ours["peak"],
        )
    for pods in (200,) if quick else (1_000, 10_000):
        ours = child("pods", 10, pods)
        bare = child("decode-pods", 10, pods)
        yield Figure(
            f"CPU of {pods} pods in an informer, listed again for a failover",
            (ours["cpu"],),
            (bare["cpu"],),
            "getting the same pages as dicts, twice",
            series="pods in an informer",
            size=pods,
            peak=ours["peak"],
        )
    for nodes in (5,) if quick else (50, 200, 500):
        ours = child("readiness", nodes, nodes * 10)
        bare = child("read", nodes, nodes * 10)
        yield Figure(
            f"CPU of the readiness of {nodes} nodes of 10 volumes",
            (ours["cpu"],),
            (bare["cpu"],),
            "reading them alone",
            series="readiness of nodes of 10 volumes",
            size=nodes,
            peak=ours["peak"],
        )


def child(work: str, nodes: int, count: int) -> dict[str, float]:
    """Do one work in a process of its own; return its CPU (seconds) and peak RSS (MB)."""
    volumes, pods = (0, count) if work.endswith("pods") else (count, 0)
    with canned(nodes, volumes, pods=pods, pod=users_pod()) as url:
        done = subprocess.run(
            [sys.executable, "-m", "tests.bench.alone", work, str(nodes), str(count), url],
            cwd=REPOSITORY,
            capture_output=True,
            text=True,
            timeout=900,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


@contextmanager
def canned(
    nodes: int, volumes: int, *, pods: int = 0, pod: kubernetes.Json | None = None
) -> Iterator[str]:
    """Serve a cluster that never changes; yield its URL.

    All is spread over the nodes in turn, and each volume has its claim. A watch shows nothing.

    Args:
        nodes: How many nodes there are.
        volumes: How many volumes.
        pods: How many pods; each uses the volume of its number.
        pod: What a pod looks like; None: one that has nothing but its volume.
    """
    node = kubernetes.node(NODE)
    node["status"]["allocatable"]["pods"] = "250"
    items: dict[str, tuple[int, Callable[[int], bytes]]] = {
        paths.NODES: (nodes, _copies(node)),
        paths.LOGIC_VOLUMES: (volumes, _copies(kubernetes.logic_volume(VOLUME, NODE), nodes)),
        paths.PERSISTENT_VOLUMES: (volumes, _copies(kubernetes.pv(VOLUME, NODE), nodes)),
        paths.CLAIMS: (volumes, _copies(kubernetes.claim(VOLUME), nodes)),
        paths.PODS: (pods, _copies(pod or kubernetes.pod(f"pod-{VOLUME}", VOLUME, on=NODE), nodes)),
    }

    ended = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            url = urlsplit(self.path)
            query = parse_qs(url.query)
            if "watch" in query:
                self._watch(float(query["timeoutSeconds"][0]))
                return
            number, make = items.get(url.path, (0, lambda n: b""))
            first = int(query.get("continue", ["0"])[0])
            end = min(first + PAGE, number)
            more = str(end) if end < number else ""
            meta = json.dumps({"resourceVersion": "1", "continue": more}).encode()
            listed = b",".join(make(n) for n in range(first, end))
            body = b'{"kind":"List","metadata":%s,"items":[%s]}' % (meta, listed)
            found = "/configmaps/" not in url.path
            if not found:
                body = b'{"kind":"Status","apiVersion":"v1","code":404,"reason":"NotFound"}'
            self.send_response(200 if found else 404)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def _watch(self, seconds: float) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Connection", "close")
            self.end_headers()
            ended.wait(seconds)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            ended.set()
            server.shutdown()


_WRITERS = [
    {
        "manager": manager,
        "operation": "Update",
        "apiVersion": "v1",
        "time": kubernetes.at(kubernetes.NOW),
        "fieldsType": "FieldsV1",
        "fieldsV1": {
            part: {f"f:{name}": {".": {}, "f:value": {}} for name in ("first", "second", "third")}
            for part in ("f:metadata", "f:spec", "f:status")
        },
    }
    for manager in ("csi-provisioner", "kube-controller-manager")
]
"""Who wrote which field: in a real cluster a large part of every object."""


def users_pod() -> kubernetes.Json:
    """Make a pod as a user's cluster has them: this project does not read most of its fields."""
    raw = kubernetes.pod(f"pod-{VOLUME}", VOLUME, on=NODE, labels={"app": "web", "pod": VOLUME})
    now = kubernetes.at(kubernetes.NOW)
    raw["spec"]["containers"] = [
        {
            "name": name,
            "image": "example.com/team/web:1.2.3",
            "env": [{"name": f"NAME_{n}", "value": "v" * 40} for n in range(30)],
            "ports": [{"containerPort": 8080, "protocol": "TCP"}],
            "resources": {"requests": {"cpu": "100m", "memory": "256Mi"}},
            "volumeMounts": [{"name": f"v{n}", "mountPath": f"/mnt/{n}"} for n in range(5)],
        }
        for name in ("web", "sidecar")
    ]
    raw["spec"]["tolerations"] = [
        {"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}
        for key in ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")
    ]
    raw["status"]["conditions"] = [
        {"type": kind, "status": "True", "lastProbeTime": None, "lastTransitionTime": now}
        for kind in ("PodScheduled", "Initialized", "ContainersReady", "Ready")
    ]
    return raw


def _copies(raw: kubernetes.Json, nodes: int = 0) -> Callable[[int], bytes]:
    """Return what makes copy `n` of an object of `nodes` nodes; 0 when it is a node itself."""
    meta = raw["metadata"]
    meta |= {"uid": f"2c1b4a5e-{meta['name']}-8d3f-9e7a6b5c4d3e", "managedFields": _WRITERS}
    text = json.dumps(raw, separators=(",", ":")).encode()

    def make(n: int) -> bytes:
        made = text.replace(b"node-NUMBER", b"node-%d" % (n % nodes if nodes else n))
        return made.replace(b"pvc-NUMBER", b"pvc-%d" % n)

    return make


def main() -> int:
    """Do what the command line names; print CPU and peak as JSON."""
    work, nodes, count, url = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
    configuration = client.Configuration()
    configuration.host = url
    api = Api(client.ApiClient(configuration), 60, PAGE)
    cluster = Cluster(api)
    if work == "readiness":
        inventories = [kubernetes.inventory(f"node-{n}", free=200) for n in range(nodes)]
        ctx = replace(context(FakeApi(), FakeNodes(*inventories)), cluster=cluster)
    begun = time.process_time()
    if work == "readiness":
        result = readiness(ctx)
        assert len(result.nodes) == nodes, result.reason
        assert sum(one.places for one in result.nodes) == count, result.reason
    elif work == "read":
        assert len(cluster.observe().persistent_volumes) == count
    elif work == "pods":
        _inform(api, count)
    elif work == "decode-pods":
        for _ in range(2):
            _decode(api, count, paths.PODS)
    else:
        _decode(api, count, paths.LOGIC_VOLUMES, paths.PERSISTENT_VOLUMES)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"cpu": time.process_time() - begun, "peak": peak}))
    return 0


def _inform(api: Api, pods: int) -> None:
    """Fill an informer, and list the pods beside it as a failover does when it cannot trust it."""
    informer = Informer(api, 90.0)
    informer._process = os.getpid()
    for kind in informer.kinds.values():
        kind.listed(api.read_all(kind.kind))
    seen = informer.snapshot(kubernetes.NOW)
    assert isinstance(seen, ClusterSnapshot)
    assert len(seen.pods) == len(Cluster(api).pods()) == pods


def _decode(api: Api, count: int, *kinds: str) -> None:
    """Get the pages of these kinds, and keep nothing of them."""
    for path in kinds:
        got, more = 0, "0"
        while more:
            page = api.get(path, {"limit": str(PAGE), "continue": more})
            got, more = got + len(page["items"]), page["metadata"]["continue"]
        assert got == count


if __name__ == "__main__":
    raise SystemExit(main())
