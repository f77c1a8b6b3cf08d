"""The cluster as frozen values: complete, in a safe order, and with what cannot be read told by
name.
"""

import pytest

from carina_tasks.errors import ApiUnavailable, BadObject
from carina_tasks.kube import paths
from carina_tasks.kube.cluster import Cluster
from tests.builders.flow import FakeApi
from tests.builders.kubernetes import claim, logic_volume, node, pod, pv


def test_logic_volumes_are_listed_before_persistent_volumes():
    """One that has just got its PV is never seen without."""
    api = FakeApi(node("n1"), logic_volume(), pv(), claim(), pod("a", "pvc-1"))
    snapshot = Cluster(api).observe()
    assert api.reads.index(paths.LOGIC_VOLUMES) < api.reads.index(paths.PERSISTENT_VOLUMES)
    assert (set(snapshot.nodes), set(snapshot.persistent_volumes), set(snapshot.logic_volumes)) == (
        {"n1"},
        {"pvc-1"},
        {"pvc-1"},
    )
    assert [p.meta.name for p in snapshot.pods_of("default/claim-pvc-1")] == ["a"]


@pytest.mark.parametrize(
    "path",
    [
        paths.NODES,
        paths.PODS,
        paths.CLAIMS,
        paths.PERSISTENT_VOLUMES,
        paths.LOGIC_VOLUMES,
        paths.STORAGE_CLASSES,
    ],
)
def test_one_list_that_fails_fails_the_whole(path):
    """Nothing is ever decided on a part."""
    api = FakeApi(node("n1"))
    real = api.list

    def fail(asked, query=None):
        if asked == path:
            raise ApiUnavailable("half")
        return real(asked, query)

    api.list = fail
    with pytest.raises(ApiUnavailable):
        Cluster(api).observe()


def test_what_cannot_be_read_is_told_and_the_others_are_there():
    """A LogicVolume without a size and a PV with a word for one."""
    broken, odd = logic_volume("broken"), pv("odd")
    del broken["spec"]["size"]
    odd["spec"]["capacity"] = {"storage": "much"}
    snapshot = Cluster(FakeApi(broken, odd, logic_volume(), pv())).observe()
    assert {(u.kind, u.name) for u in snapshot.unreadable} == {
        ("LogicVolume", "broken"),
        ("PersistentVolume", "odd"),
    }
    assert set(snapshot.logic_volumes) == {"pvc-1"}


def test_pods_on_a_node_are_those_that_use_the_claim():
    """Read again, by node, in the claim's own namespace."""
    other = pod("b", "pvc-1", namespace="other")
    api = FakeApi(pod("a", "pvc-1"), other, pod("c", "pvc-2"), pod("d", "pvc-1", on="n2"))
    assert [p.meta.name for p in Cluster(api).pods_on("n1", "default").using("claim-pvc-1")] == [
        "a"
    ]


def test_a_pod_on_the_node_whose_claims_cannot_be_read_is_no_pod_to_overlook():
    """It may use the claim: the volume waits, and the error names the pod."""
    odd = pod("odd", "pvc-2")
    odd["spec"]["volumes"] = 7
    with pytest.raises(BadObject, match="odd"):
        Cluster(FakeApi(pod("a", "pvc-1"), odd)).pods_on("n1", "default").using("claim-pvc-1")


def test_a_node_comes_with_the_servers_clock_even_when_it_is_absent():
    """None and a time."""
    found, now = Cluster(FakeApi()).node("n1")
    assert (found, now > 0) == (None, True)
