"""What of a node's answer counts."""

import tracemalloc

import msgspec.structs
import pytest

from carina_tasks.decisions.answers import CREATE, MARK, PURGE, REMOVE, accept
from carina_tasks.errors import BadAnswer, NodeFailed
from carina_tasks.flows.failover.lost_node import rebuild_node
from carina_tasks.flows.sweeps.local_volumes import sweep_local_volumes
from carina_tasks.model.local import Inventory
from carina_tasks.model.messages import LvResults, LvTarget
from carina_tasks.observability import metrics
from carina_tasks.store.answers import read_answer
from tests.builders.flow import FakeApi, FakeNodes, context
from tests.builders.kubernetes import (
    UUID_LV,
    VG,
    claim,
    done,
    inventory,
    local_volume,
    logic_volume,
    node,
    pv,
)

ASKED = [LvTarget(VG, "volume-pvc-1", UUID_LV), LvTarget(VG, "volume-pvc-2", UUID_LV)]


@pytest.mark.parametrize(
    ("said", "left", "why"),
    [
        ([done("pvc-1"), done("pvc-2")], ["volume-pvc-1", "volume-pvc-2"], ""),
        ([done("pvc-1"), done("other")], ["volume-pvc-1"], "not asked about"),
        ([done("pvc-1"), done("pvc-1")], ["volume-pvc-1"], "twice"),
        ([done("pvc-1"), done("pvc-1", "failed")], [], "twice"),
        ([done("pvc-1", "removed"), done("pvc-2")], ["volume-pvc-2"], "this task cannot return"),
        ([], [], ""),
    ],
)
def test_only_what_was_asked_counts_once_and_in_its_own_words(said, left, why):
    """Other volumes, contradictions, and words of another task are left out and told."""
    found = accept(ASKED, LvResults("n1", tuple(said)), CREATE)
    assert [v.name for v in found.volumes] == left
    assert why in "; ".join(found.odd)
    assert bool(why) == bool(found.odd)


def test_no_task_takes_the_words_of_another():
    """Only an answer to a removal says removed, only one to a creation says created; few lines tell
    of many.
    """
    told = [one.asked - {"absent", "failed"} for one in (CREATE, MARK, REMOVE, PURGE)]
    assert sum(map(len, told)) == len(frozenset().union(*told))
    many = LvResults("n1", tuple(done(f"x{i}") for i in range(1000)))
    assert len(accept(ASKED, many, CREATE).odd) == 10


def test_a_creation_may_tell_what_it_purged_from_the_trash_and_of_nothing_else():
    """Beside what was asked: `purged`, of a name of the trash. Not of a volume, and not in answer
    to a mark.
    """
    trash = msgspec.structs.replace(done(outcome="purged"), name="trash-" + UUID_LV)
    assert accept(ASKED, LvResults("n1", (trash,)), CREATE).volumes == (trash,)
    assert accept(ASKED, LvResults("n1", (done("other", "purged"),)), CREATE).volumes == ()
    assert accept(ASKED, LvResults("n1", (trash,)), MARK).volumes == ()


def bad_answers():
    """Return how often the guard fired."""
    return metrics.GUARDS.labels("BadAnswer")._value.get()


@pytest.mark.parametrize("outcome", ["removed", "absent", "marked"])
def test_a_node_that_answers_a_creation_with_another_word_has_created_nothing(outcome):
    """The PV is not touched, and the guard reports it in log, Event and metric."""
    api, fake = FakeApi(node("n2"), logic_volume(), pv(), claim()), FakeNodes(inventory("n2"))
    fake.broken = {("n2", "carina.volume.create"): LvResults("n2", (done(outcome=outcome),))}
    before = bad_answers()
    assert rebuild_node(context(api, fake), "n1").volumes[0].outcome == "unfinished"
    assert not any(write.startswith("delete") for write in api.writes())
    assert bad_answers() == before + 1
    assert any(e["reason"] == "CarinaTasksRefused" and outcome in e["message"] for e in api.events)


def test_a_removal_that_nobody_asked_for_is_not_recorded_as_one():
    """The node reports that it removed another volume too: no audit record of that, and the guard
    fires.
    """
    api, fake = FakeApi(node("n1")), FakeNodes(inventory("n1", local_volume(marked=400)))
    said = LvResults("n1", (done("pvc-1", "trashed"), done("precious", "trashed")))
    fake.broken = {("n1", "carina.volume.remove"): said}
    before = bad_answers()
    (swept,) = sweep_local_volumes(context(api, fake)).nodes
    assert swept.trashed == ("carina-vg-hdd/volume-pvc-1",)
    assert [e["reason"] for e in api.events].count("OrphanTrashed") == 1
    assert bad_answers() == before + 1


def test_an_inventory_that_is_none_is_told():
    """The sweep continues without that node, and the guard fires."""
    api, fake = FakeApi(node("n1"), node("n2")), FakeNodes(inventory("n1"), inventory("n2"))
    fake.broken = {("n1", "carina.node.inventory"): BadAnswer("node n1 answered for node 'n2'")}
    before = bad_answers()
    outcomes = {
        swept.node: swept.outcome for swept in sweep_local_volumes(context(api, fake)).nodes
    }
    assert outcomes == {"n1": "failed", "n2": "swept"}
    assert bad_answers() == before + 1


def test_a_long_exception_is_not_built():
    """16 MiB of empty lists as a message are text, and cost no more than a few copies of it."""
    body = (
        b'{"status":"FAILURE","result":{"exc_type":"X","exc_message":['
        + b"[]," * (5 << 20)
        + b"[]]}}"
    )
    tracemalloc.start()
    with pytest.raises(NodeFailed) as caught:
        read_answer(body, "n1", Inventory, 16 << 20)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(caught.value.message) < 600
    assert peak < 64 << 20
