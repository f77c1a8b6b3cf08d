"""What users are told of a rebuild: on claim and node, once, in order, and without a flood."""

from collections import Counter

from carina_tasks.errors import NodeSilent
from carina_tasks.flows.failover.lost_node import rebuild_node
from carina_tasks.flows.failover.resume import resume
from carina_tasks.model import well_known
from tests.builders.flow import FakeApi, FakeNodes, context
from tests.builders.kubernetes import claim, inventory, journal, logic_volume, node, pod, pv


def deleted(number):
    """Make a cluster whose node n1 was deleted, with that many volumes, claims and pods."""
    parts = [node("n2"), node("n3")]
    for name in (f"pvc-{i}" for i in range(number)):
        parts += [logic_volume(name), pv(name), claim(name), pod(f"pod-{name}", name)]
    return FakeApi(*parts)


def told(api):
    """Return how often each reason was told, by the kind of object."""
    return Counter((e["involvedObject"]["kind"], e["reason"]) for e in api.events)


def test_each_step_is_told_where_people_look():
    """A volume has three Events on its claim, in causal order, and its node one; only the loss of
    data is a Warning. Each names the other object that it concerns.
    """
    api = deleted(1)
    rebuild_node(context(api, FakeNodes(inventory("n2"), inventory("n3"))), "n1")
    steps = ["RebuildPlanned", "PodEvicted", "VolumeRebuiltEmpty"]
    assert told(api) == {("PersistentVolumeClaim", reason): 1 for reason in steps} | {
        ("Node", "VolumesRebuiltElsewhere"): 1
    }
    in_time = sorted(api.events, key=lambda e: e["eventTime"])
    assert [e["reason"] for e in in_time] == [*steps, "VolumesRebuiltElsewhere"]
    warnings = [e["reason"] for e in api.events if e["type"] == "Warning"]
    assert warnings == ["VolumeRebuiltEmpty"]
    assert all(e["involvedObject"]["uid"] for e in api.events)
    assert {(e["reason"], e["related"]["kind"]) for e in api.events if "related" in e} == {
        ("RebuildPlanned", "LogicVolume"),
        ("PodEvicted", "Pod"),
        ("VolumeRebuiltEmpty", "LogicVolume"),
    }


def test_a_volume_without_a_claim_is_told_of_on_its_logic_volume():
    """There is nothing else that outlives the failover."""
    api = FakeApi(node("n2"), logic_volume("pvc-0"), pv("pvc-0"))
    rebuild_node(context(api, FakeNodes(inventory("n2"))), "n1")
    assert told(api)["LogicVolume", "VolumeRebuiltEmpty"] == 1


def test_a_node_of_many_volumes_gets_one_summary():
    """However many volumes it had, the node has one Event, and each volume no more than three."""
    api = deleted(50)
    rebuild_node(
        context(api, FakeNodes(inventory("n2", free=900), inventory("n3", free=900))), "n1"
    )
    said = {e["reason"]: e["message"] for e in api.events if e["involvedObject"]["kind"] == "Node"}
    assert said.keys() == {"VolumesRebuiltElsewhere"}
    assert said["VolumesRebuiltElsewhere"].startswith(
        "50 volumes of this node are back, new and empty: "
    )
    assert sum(e["involvedObject"]["kind"] == "Node" for e in api.events) == 1
    assert len(api.events) == 1 + 50 * 3


def test_volumes_without_a_place_are_one_warning_on_the_node():
    """And one on each claim, with its own reason."""
    api = deleted(3)
    rebuild_node(context(api, FakeNodes(inventory("n2", free=1), inventory("n3", free=1))), "n1")
    assert told(api) == {("PersistentVolumeClaim", "NoNodeFits"): 3, ("Node", "NoNodeFits"): 1}


def test_a_wait_is_written_once():
    """Why it waits stands on the LogicVolume and its claim, and further looks that find the same
    write nothing.
    """
    moved = logic_volume("pvc-1", "n2", journal=journal("pvc-1"), status="")
    api = FakeApi(node("n2"), moved, pv("pvc-1"), claim("pvc-1"))
    fake = FakeNodes(inventory("n2"))
    fake.broken["n2", "carina.volume.create"] = NodeSilent("n2 did not answer in 45 s")
    for _ in range(3):
        resume(context(api, fake))
    line = api.one("LogicVolume", "pvc-1")["metadata"]["annotations"][well_known.PROGRESS]
    assert line.startswith("2/5 create the local volume: n1 -> n2 since ")
    assert line.endswith("waits: n2 did not answer in 45 s")
    assert len(api.log) == 1
    assert told(api) == {("PersistentVolumeClaim", "RebuildWaits"): 1}


def test_a_progress_without_a_journal_goes():
    """An older release that ends a rebuild knows of no progress, and the operator may take the
    journal
    off.
    """
    api = FakeApi(
        node("n1"),
        logic_volume("pvc-1", annotations={well_known.PROGRESS: "3/5"}),
        pv("pvc-1"),
        claim("pvc-1"),
    )
    resume(context(api, FakeNodes(inventory("n1"))))
    assert well_known.PROGRESS not in api.one("LogicVolume", "pvc-1")["metadata"]["annotations"]
