"""Replace, the patches, and what may not change."""

import pytest

from tests.contract.objects import claim, config_map, logic_volume, node, pod, stateful_set, volume
from tests.contract.server import (
    JSON_PATCH,
    LOGIC_VOLUMES,
    MERGE,
    NODES,
    STRATEGIC,
    VOLUMES,
    Server,
)

pytestmark = pytest.mark.contract


def test_replace(cluster: Server, config_maps: str) -> None:
    """A replaced object has its new content, the same UID and a newer resourceVersion."""
    old = cluster.create(config_maps, config_map("one", {"a": "1"}))
    new = cluster.http("PUT", f"{config_maps}/one", {**old, "data": {"b": "2"}}).ok()
    assert new["data"] == {"b": "2"}
    assert new["metadata"]["uid"] == old["metadata"]["uid"]
    assert int(new["metadata"]["resourceVersion"]) > int(old["metadata"]["resourceVersion"])


def test_replace_conflict(cluster: Server, config_maps: str) -> None:
    """A replacement with an old resourceVersion is a Conflict, word for word."""
    old = cluster.create(config_maps, config_map("one"))
    cluster.http("PUT", f"{config_maps}/one", {**old, "data": {"b": "2"}}).ok()
    status = cluster.http("PUT", f"{config_maps}/one", {**old, "data": {"c": "3"}}).refused(
        409, "Conflict"
    )
    assert status["message"] == (
        'Operation cannot be fulfilled on configmaps "one": the object has been modified; please '
        "apply your changes to "
        "the latest version and try again"
    )


def test_replace_missing(cluster: Server, prefix: str, namespace: str) -> None:
    """A replacement of what is not there is 404, but makes a Lease."""
    cluster.http("PUT", f"{NODES}/{prefix}", node(prefix)).refused(404, "NotFound")
    leases = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"
    lease = {"metadata": {"name": "one"}, "spec": {"holderIdentity": "me"}}
    assert cluster.http("PUT", f"{leases}/one", lease).code == 201


def test_replace_other_uid(cluster: Server, prefix: str) -> None:
    """A replacement that names another UID is a Conflict."""
    old = cluster.create(LOGIC_VOLUMES, logic_volume(prefix))
    old["metadata"]["uid"] = "00000000-0000-0000-0000-000000000000"
    cluster.http("PUT", f"{LOGIC_VOLUMES}/{prefix}", old).refused(409, "Conflict")


def test_replace_custom_needs_version(cluster: Server, prefix: str) -> None:
    """A custom resource cannot be replaced without its resourceVersion."""
    cluster.create(LOGIC_VOLUMES, logic_volume(prefix))
    status = cluster.http("PUT", f"{LOGIC_VOLUMES}/{prefix}", logic_volume(prefix)).refused(
        422, "Invalid"
    )
    assert [cause["field"] for cause in status["details"]["causes"]] == ["metadata.resourceVersion"]


def test_replace_other_name(cluster: Server, config_maps: str) -> None:
    """The name in the body must be the path's."""
    cluster.create(config_maps, config_map("one"))
    status = cluster.http("PUT", f"{config_maps}/one", config_map("two")).refused(400, "BadRequest")
    assert (
        status["message"] == "the name of the object (two) does not match the name on the URL (one)"
    )


def test_unchanged_write_keeps_version(cluster: Server, prefix: str) -> None:
    """A write that changes nothing is no event: the resourceVersion stays."""
    made = cluster.create(LOGIC_VOLUMES, logic_volume(prefix))
    same = cluster.patch(f"{LOGIC_VOLUMES}/{prefix}", {"spec": {"size": "5Gi"}}).ok()
    assert same["metadata"]["resourceVersion"] == made["metadata"]["resourceVersion"]


def test_merge_patch(cluster: Server, config_maps: str) -> None:
    """A merge patch adds, changes and removes keys, and leaves the rest."""
    cluster.create(config_maps, config_map("one", {"a": "1", "b": "2"}))
    patched = cluster.patch(
        f"{config_maps}/one", {"data": {"a": None, "c": "3"}, "metadata": {"labels": {"l": "1"}}}
    )
    assert patched.ok()["data"] == {"b": "2", "c": "3"}
    assert patched.body["metadata"]["labels"] == {"l": "1"}


def test_patch_generation(cluster: Server, prefix: str) -> None:
    """The generation counts changes of spec, not those of metadata."""
    path = f"{LOGIC_VOLUMES}/{prefix}"
    cluster.create(LOGIC_VOLUMES, logic_volume(prefix))
    assert (
        cluster.patch(path, {"metadata": {"annotations": {"a": "b"}}}).ok()["metadata"][
            "generation"
        ]
        == 1
    )
    assert cluster.patch(path, {"spec": {"size": "6Gi"}}).ok()["metadata"]["generation"] == 2


@pytest.mark.parametrize("kind", [MERGE, STRATEGIC])
def test_patch_preconditions(cluster: Server, config_maps: str, kind: str) -> None:
    """A resourceVersion in a patch is a precondition: the current one passes, an old one is a
    Conflict.
    """
    made = cluster.create(config_maps, config_map("one"))
    guard = {
        "metadata": {"resourceVersion": made["metadata"]["resourceVersion"]},
        "data": {"a": "1"},
    }
    cluster.patch(f"{config_maps}/one", guard, kind).ok()
    guard["data"] = {"a": "2"}
    cluster.patch(f"{config_maps}/one", guard, kind).refused(409, "Conflict")


def test_patch_uid(cluster: Server, prefix: str) -> None:
    """A UID in a merge patch is a precondition: the object's own passes, another is refused and
    nothing changes.
    """
    path = f"{VOLUMES}/{prefix}"
    made = cluster.create(VOLUMES, volume(prefix))
    cluster.patch(path, {"metadata": {"uid": made["metadata"]["uid"], "labels": {"a": "1"}}}).ok()
    other = {"metadata": {"uid": "00000000-0000-0000-0000-000000000000", "labels": {"a": "2"}}}
    status = cluster.patch(path, other).refused(422, "Invalid")
    assert status["details"]["causes"][0]["field"] == "metadata.uid"
    assert cluster.get(path).ok()["metadata"]["labels"] == {"a": "1"}


def test_patch_rename(cluster: Server, config_maps: str) -> None:
    """A patch cannot rename."""
    cluster.create(config_maps, config_map("one"))
    cluster.patch(f"{config_maps}/one", {"metadata": {"name": "two"}}).refused(400, "BadRequest")


def test_patch_unknown_type(cluster: Server, config_maps: str) -> None:
    """A patch of an unknown type is 415."""
    cluster.create(config_maps, config_map("one"))
    cluster.patch(f"{config_maps}/one", {}, "application/nonsense").refused(
        415, "UnsupportedMediaType"
    )


def test_patch_breaks_schema(cluster: Server, prefix: str) -> None:
    """A patch that takes a required field away is Invalid."""
    cluster.create(LOGIC_VOLUMES, logic_volume(prefix))
    status = cluster.patch(f"{LOGIC_VOLUMES}/{prefix}", {"spec": {"nodeName": None}}).refused(
        422, "Invalid"
    )
    assert status["message"] == (
        f'LogicVolume.carina.storage.io "{prefix}" is invalid: spec.nodeName: Required value'
    )


def test_json_patch(cluster: Server, config_maps: str) -> None:
    """A JSON patch applies its operations in order when its test holds."""
    cluster.create(config_maps, config_map("one", {"a": "1"}))
    operations = [
        {"op": "test", "path": "/data/a", "value": "1"},
        {"op": "replace", "path": "/data/a", "value": "2"},
        {"op": "add", "path": "/data/b~1c", "value": "3"},
    ]
    operations[2]["path"] = "/data/b"
    assert cluster.patch(f"{config_maps}/one", operations, JSON_PATCH).ok()["data"] == {
        "a": "2",
        "b": "3",
    }


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "test", "path": "/data/a", "value": "2"},
        {"op": "replace", "path": "/nothing/here", "value": "2"},
        {"op": "remove", "path": "/data/b"},
    ],
)
def test_json_patch_refused(cluster: Server, config_maps: str, operation: dict) -> None:
    """A JSON patch whose test fails or whose path is not there is 422 and changes nothing."""
    cluster.create(config_maps, config_map("one", {"a": "1"}))
    cluster.patch(f"{config_maps}/one", [operation], JSON_PATCH).refused(422, "Invalid")
    assert cluster.get(f"{config_maps}/one").ok()["data"] == {"a": "1"}


def test_strategic_patch_lists(cluster: Server, prefix: str) -> None:
    """A strategic patch merges conditions by type, and replaces taints as a whole."""
    path = f"{NODES}/{prefix}"
    cluster.create(NODES, node(prefix, conditions=[{"type": "Ready", "status": "True"}]))
    more = {
        "status": {
            "conditions": [
                {"type": "DiskPressure", "status": "False"},
                {"type": "Ready", "status": "Unknown"},
            ]
        }
    }
    conditions = cluster.patch(f"{path}/status", more, STRATEGIC).ok()["status"]["conditions"]
    assert {c["type"]: c["status"] for c in conditions} == {
        "Ready": "Unknown",
        "DiskPressure": "False",
    }
    for key in ("a", "b"):
        taints = [{"key": key, "effect": "NoSchedule"}]
        assert (
            cluster.patch(path, {"spec": {"taints": taints}}, STRATEGIC).ok()["spec"]["taints"]
            == taints
        )


def test_strategic_patch_directives(cluster: Server, namespace: str) -> None:
    """A strategic patch deletes one item by its merge key, and finalizers by value."""
    sets = f"/apis/apps/v1/namespaces/{namespace}/statefulsets"
    sent = stateful_set("db")
    sent["metadata"]["finalizers"] = ["a.example/x", "a.example/y"]
    sent["spec"]["template"]["spec"]["containers"].append({"name": "side", "image": "side:1"})
    cluster.create(sets, sent)
    template = {
        "spec": {
            "containers": [{"name": "side", "$patch": "delete"}, {"name": "app", "image": "app:2"}]
        }
    }
    patch = {
        "spec": {"template": template},
        "metadata": {"$deleteFromPrimitiveList/finalizers": ["a.example/x"]},
    }
    patched = cluster.patch(f"{sets}/db", patch, STRATEGIC).ok()
    assert [c["image"] for c in patched["spec"]["template"]["spec"]["containers"]] == ["app:2"]
    assert patched["metadata"]["finalizers"] == ["a.example/y"]


def test_strategic_patch_of_custom_resource(cluster: Server, prefix: str) -> None:
    """A strategic patch of a custom resource is 415, with the types that it takes."""
    cluster.create(LOGIC_VOLUMES, logic_volume(prefix))
    answer = cluster.patch(f"{LOGIC_VOLUMES}/{prefix}", {"spec": {"pvc": "x"}}, STRATEGIC)
    assert answer.refused(415, "UnsupportedMediaType")["message"] == (
        "the body of the request was in an unknown format - accepted media types include: "
        "application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml"
    )


def test_volume_source_is_immutable(cluster: Server, prefix: str) -> None:
    """The source of a PersistentVolume never changes."""
    cluster.create(VOLUMES, volume(prefix))
    change = {"spec": {"csi": {"volumeAttributes": {"carina.storage.io/node": "n2"}}}}
    status = cluster.patch(f"{VOLUMES}/{prefix}", change).refused(422, "Invalid")
    cause = status["details"]["causes"][0]
    assert (cause["reason"], cause["field"]) == (
        "FieldValueForbidden",
        "spec.persistentvolumesource",
    )
    assert "spec.persistentvolumesource is immutable after creation" in status["message"]


def test_volume_affinity_is_immutable(cluster: Server, prefix: str) -> None:
    """The node affinity of a PersistentVolume never changes, its policy may."""
    path = f"{VOLUMES}/{prefix}"
    cluster.create(VOLUMES, volume(prefix))
    change = {"spec": {"nodeAffinity": volume(prefix, "n2")["spec"]["nodeAffinity"]}}
    status = cluster.patch(path, change).refused(422, "Invalid")
    assert [cause["field"] for cause in status["details"]["causes"]] == ["nodeAffinity"]
    assert "field is immutable" in status["message"]
    retained = cluster.patch(path, {"spec": {"persistentVolumeReclaimPolicy": "Retain"}}).ok()
    assert retained["spec"]["persistentVolumeReclaimPolicy"] == "Retain"


def test_claim_spec_is_immutable(cluster: Server, claims: str) -> None:
    """A claim may be given its volume once, and then neither volume nor class may change."""
    cluster.create(claims, claim("one"))
    cluster.patch(f"{claims}/one", {"spec": {"volumeName": "v1"}}).ok()
    for change in (
        {"volumeName": "v2"},
        {"storageClassName": "other"},
        {"accessModes": ["ReadWriteMany"]},
    ):
        status = cluster.patch(f"{claims}/one", {"spec": change}).refused(422, "Invalid")
        assert {cause["field"] for cause in status["details"]["causes"]} == {"spec"}


def test_main_write_leaves_status(cluster: Server, prefix: str, pods: str) -> None:
    """An ordinary write does not touch the status, of built-in kinds and custom ones."""
    cluster.create(LOGIC_VOLUMES, logic_volume(prefix))
    cluster.create(pods, pod("one"))
    assert (
        "status"
        not in cluster.patch(f"{LOGIC_VOLUMES}/{prefix}", {"status": {"status": "Success"}}).ok()
    )
    assert (
        cluster.patch(f"{pods}/one", {"status": {"phase": "Running"}}).ok()["status"]["phase"]
        == "Pending"
    )


def test_status_write_leaves_spec(cluster: Server, prefix: str) -> None:
    """A write to /status changes the status and nothing else of a custom resource, metadata
    neither.
    """
    cluster.create(LOGIC_VOLUMES, logic_volume(prefix))
    change = {
        "metadata": {"labels": {"a": "b"}},
        "spec": {"size": "9Gi"},
        "status": {"status": "Success", "code": 0},
    }
    changed = cluster.patch(f"{LOGIC_VOLUMES}/{prefix}/status", change).ok()
    assert changed["status"] == {"status": "Success", "code": 0}
    assert changed["spec"]["size"] == "5Gi"
    assert "labels" not in changed["metadata"]
    assert changed["metadata"]["generation"] == 1


def test_status_of_built_in_kinds(cluster: Server, prefix: str, claims: str, pods: str) -> None:
    """The status of PersistentVolumes, claims and pods is written by /status, their spec is not."""
    cluster.create(VOLUMES, volume(prefix))
    cluster.create(claims, claim("one"))
    cluster.create(pods, pod("one"))
    for path, phase in (
        (f"{VOLUMES}/{prefix}", "Bound"),
        (f"{claims}/one", "Bound"),
        (f"{pods}/one", "Running"),
    ):
        before = cluster.get(path).ok()
        after = cluster.patch(
            f"{path}/status", {"spec": {"storageClassName": "x"}, "status": {"phase": phase}}
        ).ok()
        assert (after["status"]["phase"], after["spec"]) == (phase, before["spec"])


def test_status_by_replace(cluster: Server, prefix: str) -> None:
    """PUT to /status needs the current resourceVersion of a custom resource and leaves the spec."""
    made = cluster.create(LOGIC_VOLUMES, logic_volume(prefix))
    made["status"] = {"volumeID": f"volume-{prefix}", "deviceMajor": 253}
    made["spec"]["size"] = "9Gi"
    done = cluster.http("PUT", f"{LOGIC_VOLUMES}/{prefix}/status", made).ok()
    assert (done["status"], done["spec"]["size"]) == (
        {"volumeID": f"volume-{prefix}", "deviceMajor": 253},
        "5Gi",
    )
    cluster.http("PUT", f"{LOGIC_VOLUMES}/{prefix}/status", made).refused(409, "Conflict")


def test_binding(cluster: Server, pods: str) -> None:
    """A binding puts a pod on a node, once."""
    cluster.create(pods, pod("one"))
    binding = {
        "apiVersion": "v1",
        "kind": "Binding",
        "metadata": {"name": "one"},
        "target": {"kind": "Node", "name": "n1"},
    }
    assert cluster.http("POST", f"{pods}/one/binding", binding).code == 201
    bound = cluster.get(f"{pods}/one").ok()
    assert bound["spec"]["nodeName"] == "n1"
    assert [(c["type"], c["status"]) for c in bound["status"]["conditions"]] == [
        ("PodScheduled", "True")
    ]
    cluster.http("POST", f"{pods}/one/binding", binding).refused(409, "Conflict")


def test_scale(cluster: Server, namespace: str) -> None:
    """The scale of a StatefulSet reads and writes its replicas."""
    sets = f"/apis/apps/v1/namespaces/{namespace}/statefulsets"
    cluster.create(sets, stateful_set("db"))
    scale = cluster.get(f"{sets}/db/scale").ok()
    assert (scale["kind"], scale["apiVersion"], scale["spec"]) == (
        "Scale",
        "autoscaling/v1",
        {"replicas": 1},
    )
    assert scale["status"] == {"replicas": 0, "selector": "app=db"}
    assert cluster.patch(f"{sets}/db/scale", {"spec": {"replicas": 3}}).ok()["spec"] == {
        "replicas": 3
    }
    changed = cluster.get(f"{sets}/db").ok()
    assert (changed["spec"]["replicas"], changed["metadata"]["generation"]) == (3, 2)
