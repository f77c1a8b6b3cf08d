"""Delete: preconditions, finalizers, grace, eviction, collections."""

import pytest

from tests.contract.objects import claim, config_map, logic_volume, node, pod, stateful_set, volume
from tests.contract.server import LOGIC_VOLUMES, NODES, VOLUMES, Server

pytestmark = pytest.mark.contract

FINALIZER = "carina.storage.io/logicvolume"


def test_delete_node(cluster: Server, prefix: str) -> None:
    """A node is gone at once, and the answer is a Status with its UID."""
    made = cluster.create(NODES, node(prefix))
    status = cluster.delete(f"{NODES}/{prefix}").ok()
    assert (status["kind"], status["status"]) == ("Status", "Success")
    assert status["details"] == {"name": prefix, "kind": "nodes", "uid": made["metadata"]["uid"]}
    cluster.get(f"{NODES}/{prefix}").refused(404, "NotFound")
    cluster.delete(f"{NODES}/{prefix}").refused(404, "NotFound")


@pytest.mark.parametrize(
    ("precondition", "word"),
    [
        ({"uid": "00000000-0000-0000-0000-000000000000"}, "UID"),
        ({"resourceVersion": "1"}, "ResourceVersion"),
    ],
)
def test_preconditions(cluster: Server, prefix: str, precondition: dict, word: str) -> None:
    """A deletion with another UID or resourceVersion is a Conflict and deletes nothing."""
    cluster.create(LOGIC_VOLUMES, logic_volume(prefix))
    status = cluster.delete(f"{LOGIC_VOLUMES}/{prefix}", {"preconditions": precondition}).refused(
        409, "Conflict"
    )
    assert f"the {word} in the precondition" in status["message"]
    assert cluster.get(f"{LOGIC_VOLUMES}/{prefix}").code == 200


def test_matching_preconditions(cluster: Server, prefix: str) -> None:
    """A deletion with the object's own UID and resourceVersion goes through."""
    metadata = cluster.create(LOGIC_VOLUMES, logic_volume(prefix))["metadata"]
    own = {"uid": metadata["uid"], "resourceVersion": metadata["resourceVersion"]}
    assert cluster.delete(f"{LOGIC_VOLUMES}/{prefix}", {"preconditions": own}).code == 200
    assert cluster.get(f"{LOGIC_VOLUMES}/{prefix}").code == 404


def test_finalizer_holds(cluster: Server, prefix: str) -> None:
    """A deleted object stays with a deletionTimestamp until its last finalizer is removed."""
    sent = logic_volume(prefix)
    sent["metadata"]["finalizers"] = [FINALIZER, "example.com/two"]
    path = f"{LOGIC_VOLUMES}/{prefix}"
    cluster.create(LOGIC_VOLUMES, sent)
    answer = cluster.delete(path).ok()
    assert answer["kind"] == "LogicVolume"
    assert answer["metadata"]["deletionTimestamp"]
    assert answer["metadata"]["deletionGracePeriodSeconds"] == 0
    assert answer["metadata"]["generation"] == 2
    one_left = cluster.patch(path, {"metadata": {"finalizers": [FINALIZER]}}).ok()
    assert one_left["metadata"]["deletionTimestamp"] == answer["metadata"]["deletionTimestamp"]
    assert cluster.patch(path, {"metadata": {"finalizers": None}}).code == 200
    cluster.get(path).refused(404, "NotFound")


def test_second_delete_changes_nothing(cluster: Server, prefix: str) -> None:
    """A second deletion of an object that waits for its finalizer changes nothing."""
    cluster.create(VOLUMES, volume(prefix))
    first = cluster.delete(f"{VOLUMES}/{prefix}").ok()
    again = cluster.delete(f"{VOLUMES}/{prefix}").ok()
    assert again["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]
    cluster.patch(f"{VOLUMES}/{prefix}", {"metadata": {"finalizers": None}}).ok()


def test_no_new_finalizer_while_deleting(cluster: Server, prefix: str) -> None:
    """No finalizer can be added to an object that is being deleted."""
    path = f"{VOLUMES}/{prefix}"
    cluster.create(VOLUMES, volume(prefix))
    cluster.delete(path)
    more = {"metadata": {"finalizers": ["kubernetes.io/pv-protection", "example.com/new"]}}
    status = cluster.patch(path, more).refused(422, "Invalid")
    assert status["details"]["causes"][0]["field"] == "metadata.finalizers"
    cluster.patch(path, {"metadata": {"finalizers": None}}).ok()


def test_name_is_free_again(cluster: Server, prefix: str) -> None:
    """After a PersistentVolume is gone, one of the same name is another object: the failover's
    replacement.
    """
    old = cluster.create(VOLUMES, volume(prefix))
    cluster.delete(f"{VOLUMES}/{prefix}", {"preconditions": {"uid": old["metadata"]["uid"]}}).ok()
    cluster.http("POST", VOLUMES, volume(prefix, "n2")).refused(409, "AlreadyExists")
    cluster.patch(f"{VOLUMES}/{prefix}", {"metadata": {"finalizers": None}}).ok()
    new = cluster.create(VOLUMES, volume(prefix, "n2"))
    assert new["metadata"]["uid"] != old["metadata"]["uid"]


def test_bound_pod_has_grace(cluster: Server, pods: str) -> None:
    """A bound pod stays for its grace period, and a deletion with grace 0 removes it."""
    cluster.create(pods, pod("one", "n1"))
    marked = cluster.delete(f"{pods}/one").ok()
    assert marked["metadata"]["deletionGracePeriodSeconds"] == 30
    assert marked["metadata"]["deletionTimestamp"] > marked["metadata"]["creationTimestamp"]
    assert cluster.get(f"{pods}/one").code == 200
    assert cluster.delete(f"{pods}/one", {"gracePeriodSeconds": 0}).ok()["kind"] == "Pod"
    cluster.get(f"{pods}/one").refused(404, "NotFound")


def test_grace_of_the_request(cluster: Server, pods: str) -> None:
    """The request's grace period comes before the pod's own, and may be shortened but not
    lengthened.
    """
    cluster.create(pods, pod("one", "n1"))
    graces = [
        cluster.delete(f"{pods}/one", {"gracePeriodSeconds": seconds}).ok()["metadata"][
            "deletionGracePeriodSeconds"
        ]
        for seconds in (100, 50, 70)
    ]
    assert graces == [100, 50, 50]


def test_unbound_pod_goes_at_once(cluster: Server, pods: str) -> None:
    """A pod that no kubelet holds is gone at once."""
    cluster.create(pods, pod("one"))
    cluster.delete(f"{pods}/one").ok()
    cluster.get(f"{pods}/one").refused(404, "NotFound")


def test_eviction(cluster: Server, pods: str) -> None:
    """An eviction deletes the pod with its options."""
    cluster.create(pods, pod("one"))
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "one"}}
    assert cluster.http("POST", f"{pods}/one/eviction", eviction).code == 201
    cluster.get(f"{pods}/one").refused(404, "NotFound")


def test_delete_collection(cluster: Server, config_maps: str) -> None:
    """A deletion of a collection takes the selected objects and leaves the others."""
    for name, label in (("a", "x"), ("b", "x"), ("c", "y")):
        cluster.create(config_maps, config_map(name, l=label))
    assert cluster.delete(config_maps, labelSelector="l=x").code == 200
    assert [item["metadata"]["name"] for item in cluster.get(config_maps).ok()["items"]] == ["c"]


def test_propagation_policy(cluster: Server, namespace: str) -> None:
    """A propagation policy of Background is accepted."""
    sets = f"/apis/apps/v1/namespaces/{namespace}/statefulsets"
    cluster.create(sets, stateful_set("db"))
    assert cluster.delete(f"{sets}/db", {"propagationPolicy": "Background"}).code == 200
    cluster.get(f"{sets}/db").refused(404, "NotFound")


def test_no_garbage_collection(cluster: Server, config_maps: str, claims: str) -> None:
    """What an object owns stays when it goes: that is a controller's work."""
    owner = cluster.create(config_maps, config_map("owner"))["metadata"]
    sent = claim("owned")
    reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": owner["uid"]}
    sent["metadata"]["ownerReferences"] = [reference]
    cluster.create(claims, sent)
    cluster.delete(f"{config_maps}/owner").ok()
    assert cluster.get(f"{claims}/owned").ok()["metadata"]["ownerReferences"] == [reference]


def test_namespace_terminates(cluster: Server, namespace: str, config_maps: str) -> None:
    """A deleted namespace is Terminating, takes nothing new, and is gone when it is finalized."""
    deleted = cluster.delete(f"/api/v1/namespaces/{namespace}").ok()
    assert deleted["status"]["phase"] == "Terminating"
    status = cluster.http("POST", config_maps, config_map("late")).refused(403, "Forbidden")
    assert status["message"] == (
        f'configmaps "late" is forbidden: unable to create new content in namespace {namespace} '
        "because it is being "
        "terminated"
    )
    final = {**cluster.get(f"/api/v1/namespaces/{namespace}").ok(), "spec": {"finalizers": []}}
    cluster.http("PUT", f"/api/v1/namespaces/{namespace}/finalize", final).ok()
    cluster.get(f"/api/v1/namespaces/{namespace}").refused(404, "NotFound")


def test_default_namespace_stays(cluster: Server) -> None:
    """The namespace `default` may not be deleted."""
    cluster.delete("/api/v1/namespaces/default").refused(403, "Forbidden")
