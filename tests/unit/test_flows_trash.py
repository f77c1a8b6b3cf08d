"""Listing the trash and bringing back what lies in it, on hand-made fakes."""

import pytest
import yaml

from carina_tasks.errors import BadInput, NodeFailed, NodeSilent
from carina_tasks.flows.sweeps.trash import list_trash, restore
from carina_tasks.model import objects, well_known
from carina_tasks.model.messages import LvResult, LvResults
from tests.builders.flow import FakeApi, FakeNodes, context
from tests.builders.kubernetes import NOW, VG, inventory, local_volume, logic_volume, node, pv
from tests.builders.trash import lying


def test_the_trash_of_all_nodes_is_listed_the_oldest_first():
    """With old name, age, what is left, and why; a node that does not answer is named."""
    api = FakeApi(node("n1"), node("n2"), node("n3"))
    fake = FakeNodes(
        inventory("n1", lying(1, age=100), local_volume()),
        inventory("n2", lying(2, "volume-pvc-2", age=4000)),
    )
    result = list_trash(context(api, fake))
    assert [(v.node, v.name, v.seconds, v.left, v.reason) for v in result.volumes] == [
        ("n2", "volume-pvc-2", 4000, 0, "a reason"),
        ("n1", "volume-pvc-1", 100, 3500, "a reason"),
    ]
    assert len(result.silent) == 1
    assert result.silent[0].startswith("n3: ")
    assert [v.node for v in list_trash(context(api, fake), ["n1"]).volumes] == ["n1"]
    assert api.log == []


@pytest.mark.parametrize(
    "wanted", ["trash-000001-bbbb-cccc-dddd-eeee-ffff-gggggg", "volume-pvc-1", "pvc-1"]
)
def test_a_volume_comes_back_by_any_of_its_names(wanted):
    """Restored on the node, recorded, and with the manifest of what the cluster lacks."""
    api, fake = FakeApi(node("n1")), FakeNodes(inventory("n1", lying(1), lying(2, "volume-other")))
    result = restore(context(api, fake), "n1", wanted)
    assert (result.group, result.name) == (VG, "volume-pvc-1")
    assert fake.now["n1"].find(VG, "volume-pvc-1").restored_at == int(NOW)
    assert [e["reason"] for e in api.events] == ["TrashRestored"]
    made, logic = yaml.safe_load_all(result.manifest)
    assert objects.parse_persistent_volume(
        {**made, "metadata": made["metadata"] | {"uid": "u"}}
    ).nodes == ("n1",)
    assert (logic["spec"]["nodeName"], logic["spec"]["size"]) == ("n1", "5Gi")
    assert made["spec"]["persistentVolumeReclaimPolicy"] == "Retain"


def test_restoring_works_while_everything_is_paused():
    """An operator stopped the sweeps because they removed too much."""
    state = {
        "kind": "ConfigMap",
        "metadata": {"name": well_known.STATE_CONFIG_MAP, "namespace": "kube-system"},
    }
    api = FakeApi(node("n1"), state | {"data": {"paused": "they removed too much"}})
    fake = FakeNodes(inventory("n1", lying(1)))
    assert restore(context(api, fake), "n1", "pvc-1").name == "volume-pvc-1"


def test_what_is_left_to_do_depends_on_the_cluster():
    """Both objects name the node: nothing. They name another: this is an older copy. One is
    lacking: which.
    """
    fake = lambda: FakeNodes(inventory("n1", lying(1)))  # noqa: E731
    here = restore(context(FakeApi(node("n1"), logic_volume(), pv()), fake()), "n1", "pvc-1")
    assert "nothing is left to do" in here.advice
    assert here.manifest == ""
    there = restore(
        context(FakeApi(node("n1"), logic_volume(on="n2"), pv(on="n2")), fake()), "n1", "pvc-1"
    )
    assert "lives on node n2" in there.advice
    half = restore(context(FakeApi(node("n1"), logic_volume()), fake()), "n1", "pvc-1")
    assert "the cluster has LogicVolume of it" in half.advice
    assert half.manifest


def test_what_is_not_clear_is_not_restored():
    """Not in the trash, twice in the trash, no name of a node, a node that is silent or refuses."""
    api, fake = FakeApi(node("n1")), FakeNodes(inventory("n1", lying(1), lying(2)))
    for name, message in (("pvc-9", "is not in the trash"), ("pvc-1", "2 volumes in the trash")):
        with pytest.raises(BadInput, match=message):
            restore(context(api, fake), "n1", name)
    with pytest.raises(BadInput):
        restore(context(api, fake), "Not A Node", "pvc-1")
    with pytest.raises(NodeSilent):
        restore(context(api, fake), "n2", "pvc-1")
    assert "carina.volume.restore" not in fake.tasks()
    said = LvResults(
        node="n1", volumes=(LvResult(VG, lying(1).name, "failed", "there is another"),)
    )
    fake.broken = {("n1", "carina.volume.restore"): said}
    with pytest.raises(NodeFailed, match="there is another"):
        restore(context(api, fake), "n1", lying(1).name)


@pytest.mark.parametrize(
    ("name", "uuid"),
    [("volume-pvc-2", ""), ("volume-pvc-1", "000009-bbbb-cccc-dddd-eeee-ffff-gggggg")],
)
def test_that_another_volume_came_back_is_no_answer(name, uuid):
    """A node that reports a volume that it was not asked for, or of another one under its name, has
    restored nothing.
    """
    api, fake = FakeApi(node("n1")), FakeNodes(inventory("n1", lying(1)))
    said = LvResults(
        node="n1", volumes=(LvResult(VG, name, "restored", uuid=uuid or lying(1).uuid),)
    )
    fake.broken = {("n1", "carina.volume.restore"): said}
    with pytest.raises(NodeFailed):
        restore(context(api, fake), "n1", "pvc-1")
    assert "TrashRestored" not in [event["reason"] for event in api.events]
