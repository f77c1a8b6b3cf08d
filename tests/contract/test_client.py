"""The official Python client."""

import threading

import kubernetes
import pytest
from kubernetes.client.exceptions import ApiException

from tests.contract.objects import claim, event, logic_volume, node, pod, volume
from tests.contract.server import LOGIC_VOLUMES, Server

pytestmark = pytest.mark.contract


def test_core_objects(cluster: Server, namespace: str, prefix: str) -> None:
    """Nodes, volumes, claims, pods and Events go to the server and come back as models."""
    core = kubernetes.client.CoreV1Api(cluster.client())
    core.create_node(node(prefix, conditions=[{"type": "Ready", "status": "True"}]))
    core.create_persistent_volume(volume(prefix))
    core.create_namespaced_persistent_volume_claim(namespace, claim("data"))
    core.create_namespaced_pod(namespace, pod("one", prefix))
    core.create_namespaced_event(namespace, event("a", namespace, "Pod", "one"))
    assert core.read_node(prefix).status.conditions[0].type == "Ready"
    assert core.read_persistent_volume(prefix).spec.csi.volume_handle == f"volume-{prefix}"
    selected = core.list_pod_for_all_namespaces(field_selector=f"spec.nodeName={prefix}").items
    assert [item.metadata.name for item in selected] == ["one"]
    core.patch_persistent_volume(prefix, {"spec": {"persistentVolumeReclaimPolicy": "Retain"}})
    assert core.read_persistent_volume(prefix).spec.persistent_volume_reclaim_policy == "Retain"


@pytest.mark.since(31, "a definition's selectableFields select")
def test_custom_objects(cluster: Server, prefix: str) -> None:
    """LogicVolumes are made, listed, patched and deleted as plain dictionaries."""
    api = kubernetes.client.CustomObjectsApi(cluster.client())
    where = ("carina.storage.io", "v1", "logicvolumes")
    api.create_cluster_custom_object(*where, logic_volume(prefix, nodeName=prefix))
    listed = api.list_cluster_custom_object(*where, field_selector=f"spec.nodeName={prefix}")
    assert [item["metadata"]["name"] for item in listed["items"]] == [prefix]
    api.patch_cluster_custom_object_status(*where, prefix, {"status": {"status": "Success"}})
    assert api.get_cluster_custom_object(*where, prefix)["status"] == {"status": "Success"}
    api.delete_cluster_custom_object(*where, prefix)
    with pytest.raises(ApiException) as error:
        api.get_cluster_custom_object(*where, prefix)
    assert error.value.status == 404


def test_delete_preconditions(cluster: Server, prefix: str) -> None:
    """V1DeleteOptions carry preconditions: another UID is a Conflict."""
    core = kubernetes.client.CoreV1Api(cluster.client())
    core.create_node(node(prefix))
    options = kubernetes.client.V1DeleteOptions(
        preconditions=kubernetes.client.V1Preconditions(uid="other")
    )
    with pytest.raises(ApiException) as error:
        core.delete_node(prefix, body=options)
    assert error.value.status == 409
    core.delete_node(prefix)


def test_watch(cluster: Server, prefix: str) -> None:
    """The client's watch continues from a list and ends with its timeout."""
    core = kubernetes.client.CoreV1Api(cluster.client())
    start = core.list_node().metadata.resource_version
    later = threading.Timer(0.3, lambda: core.delete_node(prefix))
    core.create_node(node(prefix))
    later.start()
    seen = [
        (found["type"], found["object"].metadata.name)
        for found in kubernetes.watch.Watch().stream(
            core.list_node, resource_version=start, timeout_seconds=2
        )
    ]
    later.join()
    assert [one for one in seen if one[1] == prefix] == [("ADDED", prefix), ("DELETED", prefix)]


def test_expired_watch(cluster: Server) -> None:
    """The client's watch from a forgotten version raises 410."""
    api = kubernetes.client.CustomObjectsApi(cluster.client())
    where = ("carina.storage.io", "v1", "logicvolumes")
    stream = kubernetes.watch.Watch().stream(
        api.list_cluster_custom_object, *where, resource_version="1", timeout_seconds=5
    )
    with pytest.raises(ApiException) as error:
        list(stream)
    assert error.value.status == 410


def test_leases(cluster: Server, namespace: str) -> None:
    """A lease is made and renewed by replacing it with its own resourceVersion."""
    api = kubernetes.client.CoordinationV1Api(cluster.client())
    body = {
        "metadata": {"name": "one"},
        "spec": {"holderIdentity": "a", "leaseDurationSeconds": 40},
    }
    lease = api.create_namespaced_lease(namespace, body)
    lease.spec.holder_identity = "b"
    assert api.replace_namespaced_lease("one", namespace, lease).spec.holder_identity == "b"
    with pytest.raises(ApiException) as error:
        api.replace_namespaced_lease("one", namespace, lease)
    assert error.value.status == 409


def test_raw_json_survives(cluster: Server, prefix: str) -> None:
    """A volume read as raw JSON and created again under another name keeps every field."""
    sent = logic_volume(prefix)
    sent["metadata"]["annotations"] = {"carina.io/volume-manage-type": "lvm"}
    made = cluster.create(LOGIC_VOLUMES, sent)
    copy = {
        **made,
        "metadata": {"name": f"{prefix}-b", "annotations": made["metadata"]["annotations"]},
    }
    assert cluster.create(LOGIC_VOLUMES, copy)["spec"] == made["spec"]
