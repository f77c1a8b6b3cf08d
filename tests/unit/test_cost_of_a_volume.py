"""What each volume of a deleted node costs the API server: as docs/scale.md has it, at any size."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

from carina_tasks.flows.failover.lost_node import rebuild_node
from carina_tasks.kube import paths
from carina_tasks.kube.cluster import Cluster
from carina_tasks.kube.informer import Behind
from carina_tasks.model import objects
from tests.builders.flow import FakeApi, FakeNodes, context
from tests.builders.kubernetes import claim, inventory, logic_volume, node, pod, pv


class CountingApi(FakeApi):
    """Counts what it is asked for."""

    def __init__(self, *raws: Any) -> None:
        super().__init__(*raws)
        self.asked: Counter[str] = Counter()
        self.on_write = lambda verb, path: self.asked.update(["writes"])
        self.on_try = lambda verb, path: self.asked.update(["dry runs"])

    def get(self, path: str, *query: Any) -> Any:
        """Count a read by the kind of the object."""
        self.asked[path.split("/")[-2]] += 1
        return super().get(path, *query)

    def read(self, path: str) -> Any:
        """Count a look at the clock."""
        self.asked["clock"] += path == "/version"
        return super().read(path)

    def list(self, path: str, *query: Any) -> Any:
        """Count a list."""
        self.asked["lists"] += 1
        return super().list(path, *query)


def watching(api: FakeApi) -> Any:
    """Stand for an informer whose watches show claims and PVs as they are, and nothing else."""

    def get(path: str, parse: Any) -> Any:
        return parse(api.objects[path]) if path in api.objects else None

    return SimpleNamespace(
        behind=lambda *kinds: Behind("it is listed") if None in kinds else None,
        snapshot=lambda now: Behind("it is listed"),
        nodes=None,
        logic_volumes=None,
        claims=SimpleNamespace(
            get=lambda key: get(paths.claim(*key.split("/")), objects.parse_claim)
        ),
        persistent_volumes=SimpleNamespace(
            get=lambda key: get(paths.persistent_volume(key), objects.parse_persistent_volume)
        ),
    )


def cost(number: int) -> Counter[str]:
    """Return what the rebuild of so many volumes, each with its pod, asked for."""
    parts = [node("n2")]
    for name in (f"data-db-{at}" for at in range(number)):
        parts += [logic_volume(name), pv(name), claim(name), pod(f"pod-{name}", name)]
    api = CountingApi(*parts)
    ctx = context(api, FakeNodes(inventory("n2", free=1000)))
    ctx = replace(ctx, cluster=Cluster(ctx.cluster.api, watching(api)))
    result = rebuild_node(ctx, "n1")
    assert [one.outcome for one in result.volumes] == ["rebuilt"] * number
    api.asked["Events"] = len(api.events)
    return api.asked


def test_a_volume_costs_the_same_however_many_there_are() -> None:
    """Twelve writes, a dry run, four reads, three Events and no list, between 10 and 40 volumes."""
    more = cost(40)
    more.subtract(cost(10))
    assert {what: asked / 30 for what, asked in more.items() if asked} == {
        "writes": 12,
        "dry runs": 1,
        "logicvolumes": 2,
        "persistentvolumes": 1,
        "nodes": 1,
        "Events": 3,
    }
