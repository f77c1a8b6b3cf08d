"""How long is an application down? A node deleted until its StatefulSet of three runs elsewhere.

``python -m tests.bench.recovery --times 30 --pods 0 10000``: every part is real (etcd, API server,
scheduler, controllers, Redis, lvm2 in three machines), and the product's processes are those of a
cluster. Needs root and the laboratory (`make lab`).
"""

from __future__ import annotations

import argparse
import math
import os
import statistics
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime

from tests.lab import kube as k
from tests.lab import parts
from tests.lab.lab import Lab
from tests.system.product import Product

CONFIRM = 10
"""Seconds of CARINA_TASKS_CONFIRM_ABSENCE, its default."""
OTHER = "bench-other"
LEASES = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
SLACK = 5
"""Seconds that may come on top of the confirmation, in 99 of 100 cases."""


def main() -> int:
    """Measure, and print a row for each number of other pods; 1 when one misses the target."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.recovery", description=__doc__)
    parser.add_argument("--times", type=int, default=30, help="nodes deleted (default: 30)")
    parser.add_argument("--pods", type=int, nargs="+", default=[0, 10_000], help="other pods")
    chosen = parser.parse_args()
    if lacking := parts.missing(*parts.TIERS["system"]):
        print("\n".join(lacking))
        return 2
    good = True
    with Lab() as lab:
        print("| other pods | times | median | p99 | longest | beyond the confirmation | load |")
        print("|---|---|---|---|---|---|---|")
        for number in chosen.pods:
            found = sorted(_measure(lab, chosen.times, number))
            p99 = found[math.ceil(0.99 * len(found)) - 1]
            good = good and p99 <= CONFIRM + SLACK
            print(
                f"| {number} | {len(found)} | {statistics.median(found):.1f} s | {p99:.1f} s | "
                f"{found[-1]:.1f} s | {p99 - CONFIRM:.1f} s | {os.getloadavg()[0]:.1f} |",
                flush=True,
            )
    return 0 if good else 1


def _measure(lab: Lab, times: int, number: int) -> Iterator[float]:
    """Yield the seconds of each node that was deleted."""
    lab.clean()
    # One of four nodes goes each time, and the next before the last is forgotten.
    product = Product(lab, confirm_absence=str(CONFIRM), mass_failure_share="0.9")
    product.start("control", "beat", "node_watch")
    with _other_pods(lab, number):
        lab.world.add_mysql()
        for _ in range(times):
            (first, *_) = lab.kube.list(f"{k.pods()}?labelSelector=app=mysql")
            node = first["spec"]["nodeName"]
            lab.kubectl("delete", "node", node)
            yield lab.world.wait(
                "three run elsewhere",
                lambda gone=node: product.running_elsewhere("app=mysql", 3, gone),
                120,
            )
            lab.world.wait("no journal is left", lambda: not product.journals(), 30)
            _bring_back(lab, node)


def _bring_back(lab: Lab, node: str) -> None:
    """Add the node again, as a new machine: what it held is gone."""
    lab.nodes[node].wipe()
    lab.world.add_node(node)
    lab.report_storage(node)


@contextmanager
def _other_pods(lab: Lab, number: int) -> Iterator[None]:
    """Keep that many pods on a node of their own, whose lease is renewed."""
    if not number:
        yield
        return
    stop = threading.Event()
    body = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": OTHER}}
    lab.kube.create(k.NODES, body)
    ready = {"type": "Ready", "status": "True", "reason": "Bench", "message": ""}
    room = {"pods": str(number + 10), "cpu": "1000", "memory": "1000Gi"}
    status = {"conditions": [ready], "capacity": room, "allocatable": room}
    lab.kube.patch(f"{k.NODES}/{OTHER}/status", {"status": status})
    lease = {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": OTHER, "namespace": "kube-node-lease"},
        "spec": {"holderIdentity": OTHER, "leaseDurationSeconds": 40, "renewTime": _now()},
    }
    lab.kube.create(LEASES, lease)

    def renew() -> None:
        while not stop.wait(5):
            lab.kube.patch(f"{LEASES}/{OTHER}", {"spec": {"renewTime": _now()}})

    thread = threading.Thread(target=renew, daemon=True)
    thread.start()
    try:
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda at: _add_pod(lab, at), range(number)))
        yield
    finally:
        stop.set()
        thread.join()


def _add_pod(lab: Lab, at: int) -> None:
    container = {"name": "main", "image": "none", "env": [{"name": "A", "value": "x" * 500}]}
    spec = {"nodeName": OTHER, "containers": [container], "terminationGracePeriodSeconds": 0}
    meta = {"name": f"other-{at}"}
    lab.kube.create(k.pods(), {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec})


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


if __name__ == "__main__":
    sys.exit(main())
