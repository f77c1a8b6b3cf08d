"""The sweep of local volumes as a stream: what came is judged, acted on and forgotten."""

import gc
import threading
import time
from unittest import mock

import pytest

from carina_tasks.errors import NodeSilent, Paused
from carina_tasks.flows import threads
from carina_tasks.flows.sweeps import local_volumes
from carina_tasks.flows.sweeps.local_volumes import sweep_local_volumes
from carina_tasks.flows.sweeps.results import MissingVolume, Swept
from carina_tasks.kube.cluster import Cluster
from carina_tasks.model import well_known
from carina_tasks.model.local import Inventory
from tests.builders.flow import FakeApi, FakeNodes, context
from tests.builders.kubernetes import inventory, local_volume, logic_volume, node, pv

MARK = "carina.volume.mark"


@pytest.fixture(autouse=True)
def watched():
    """Let looks at the cluster cost no list."""
    with mock.patch.object(Cluster, "is_watched", True):
        yield


def orphaned(name):
    """Make the inventory of a node with one orphan."""
    return inventory(name, local_volume("volume-gone"))


def coming(fake, *parts):
    """Let nodes answer in these parts; each item is called when the sweep asks for the next."""

    def stream(requests, task, answer, most=64):
        for part in parts:
            some = part()
            if some:
                yield some

    fake.stream = stream


def test_a_node_is_acted_on_before_another_has_answered():
    """n1 is marked while n2 is still silent; n2 is told as failed."""
    fake = FakeNodes(orphaned("n1"), orphaned("n2"))
    marked = []

    def silent():
        marked.extend(name for name, task, _ in fake.asked if task == MARK)
        return {"n2": NodeSilent("n2 did not answer in time")}

    coming(fake, lambda: {"n1": fake.now["n1"]}, silent)
    ctx = context(FakeApi(node("n1"), node("n2")), fake)
    with mock.patch.object(threads, "ThreadPoolExecutor", AtOnce):
        result = sweep_local_volumes(ctx)
    assert marked == ["n1"]
    assert {one.node: one.outcome for one in result.nodes} == {"n1": "swept", "n2": "failed"}


class AtOnce:
    """A pool that does its work when it gets it."""

    def __init__(self, workers):
        """Take any number of workers."""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return None

    def submit(self, work, *arguments):
        """Do it."""
        future = threads.Future()
        future.set_result(work(*arguments))
        return future


def test_each_part_is_judged_by_a_look_that_follows_it():
    """n2's LV and its LogicVolume were made after the first look: nobody calls it an orphan."""
    api, fake = FakeApi(node("n1"), node("n2")), FakeNodes(inventory("n1"), inventory("n2"))

    def later():
        for raw in (logic_volume(on="n2"), pv(on="n2")):
            api.create(f"{KINDS[raw['kind']]}", raw)
        return {"n2": inventory("n2", local_volume())}

    coming(fake, lambda: {"n1": fake.now["n1"]}, later)
    ctx = context(api, fake)
    reads = len(api.reads)
    result = sweep_local_volumes(ctx)
    assert [(one.node, one.kept) for one in result.nodes] == [("n1", 0), ("n2", 1)]
    # It was found in the look: it was not even asked for by name.
    assert not [path for path in api.reads[reads:] if path.endswith("/pvc-1")]


KINDS = {
    "LogicVolume": "/apis/carina.storage.io/v1/logicvolumes",
    "PersistentVolume": "/api/v1/persistentvolumes",
}


def test_what_parts_found_is_kept_together():
    """One missing volume on each node, in two parts: both are in the result and for the metrics."""
    raws = [
        one
        for name, on in (("pvc-1", "n1"), ("pvc-2", "n2"))
        for one in (logic_volume(name, on), pv(name, on))
    ]
    fake = FakeNodes(inventory("n1"), inventory("n2"))
    coming(fake, lambda: {"n2": fake.now["n2"]}, lambda: {"n1": fake.now["n1"]})
    ctx = context(FakeApi(node("n1"), node("n2"), *raws), fake)
    result = sweep_local_volumes(ctx)
    assert [(one.node, one.missing) for one in result.nodes] == [
        ("n1", ("pvc-1",)),
        ("n2", ("pvc-2",)),
    ]
    assert "2 missing (default/claim-pvc-1, default/claim-pvc-2)" in result.summary
    found = ctx.latest_results.last("sweep.local_volumes", Swept)
    assert found.missing == (
        MissingVolume("pvc-1", "n1", "default/claim-pvc-1"),
        MissingVolume("pvc-2", "n2", "default/claim-pvc-2"),
    )
    assert [one.node for one in found.nodes] == ["n1", "n2"]


def test_a_pause_ends_a_sweep_that_is_under_way():
    """What was marked before stays marked; the next part is not judged, and nothing is asked."""
    api, fake = FakeApi(node("n1"), node("n2")), FakeNodes(orphaned("n1"), orphaned("n2"))

    def paused():
        meta = {"name": well_known.STATE_CONFIG_MAP, "namespace": "kube-system"}
        state = {"kind": "ConfigMap", "metadata": meta, "data": {"paused": "by hand"}}
        api.objects |= FakeApi(state).objects
        return {"n2": fake.now["n2"]}

    coming(fake, lambda: {"n1": fake.now["n1"]}, paused)
    ctx = context(api, fake)
    with pytest.raises(Paused, match="by hand"):
        sweep_local_volumes(ctx)
    assert [name for name, task, _ in fake.asked if task == MARK] == ["n1"]
    assert ctx.latest_results.kept == {}


def test_inventories_are_forgotten():
    """Of 12 parts, no more than the few in hand are alive at any time."""
    names = [f"n{number}" for number in range(12)]
    fake = FakeNodes(*(inventory(name) for name in names))
    before, alive = _alive(), []

    def part(name):
        alive.append(_alive() - before)
        return {name: inventory(name, *(local_volume(f"volume-{i}") for i in range(3)))}

    coming(fake, *(lambda name=name: part(name) for name in names))
    with mock.patch.object(local_volumes, "BATCH", 2):
        sweep_local_volumes(context(FakeApi(*map(node, names)), fake))
    assert max(alive) <= 6


def _alive():
    return sum(isinstance(one, Inventory) for one in gc.get_objects())


def test_listed_clusters_are_looked_at_seldom():
    """While nothing is watched, a look costs complete lists: one serves all that came."""
    fake = FakeNodes(inventory("n1"), inventory("n2"))
    coming(fake, lambda: {"n1": fake.now["n1"]}, lambda: {"n2": fake.now["n2"]})
    api = FakeApi(node("n1"), node("n2"))
    with mock.patch.object(Cluster, "is_watched", False):
        sweep_local_volumes(context(api, fake))
    assert api.reads.count(KINDS["LogicVolume"]) == 1


def test_a_crew_has_no_more_in_hand_than_it_may():
    """A place is free when any work has ended, not the oldest; each result comes once."""
    first, running, most = threading.Event(), [], []

    def work(number):
        running.append(number)
        most.append(len(running))
        if number == 0:
            first.wait(20)
        time.sleep(0.005)
        running.remove(number)
        return number

    with threads.crew(4, 2) as crew:
        for number in range(20):
            crew.add(work, number)
        assert not first.is_set()
        first.set()
        assert sorted(crew.results()) == list(range(20))
    assert max(most) <= 2


def test_what_fails_in_a_crew_is_raised():
    """By the work that is added later, or at the end."""

    def work(number):
        raise ValueError(number)

    with threads.crew(2, 2) as crew:
        crew.add(work, 1)
        with pytest.raises(ValueError, match="1"):
            crew.results()
