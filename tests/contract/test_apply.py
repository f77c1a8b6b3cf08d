"""Server-side apply."""

import pytest

from tests.contract.objects import config_map, logic_volume, pod
from tests.contract.server import APPLY, JSON, LOGIC_VOLUMES, Response, Server

pytestmark = pytest.mark.contract


def apply(cluster: Server, path: str, body: JSON, manager: str = "one", **query: str) -> Response:
    """Apply as a manager."""
    return cluster.patch(path, body, APPLY, fieldManager=manager, **query)


def test_apply_creates(cluster: Server, prefix: str) -> None:
    """An apply of what is not there creates it (201), the same again changes nothing (200)."""
    path = f"{LOGIC_VOLUMES}/{prefix}"
    made = apply(cluster, path, logic_volume(prefix))
    assert made.code == 201
    again = apply(cluster, path, logic_volume(prefix))
    assert again.code == 200
    assert again.body["metadata"]["resourceVersion"] == made.body["metadata"]["resourceVersion"]


def test_managed_fields(cluster: Server, prefix: str) -> None:
    """The fields that a manager applied are recorded as its own."""
    made = apply(cluster, f"{LOGIC_VOLUMES}/{prefix}", logic_volume(prefix)).ok()
    (entry,) = made["metadata"]["managedFields"]
    assert (entry["manager"], entry["operation"], entry["fieldsType"]) == (
        "one",
        "Apply",
        "FieldsV1",
    )
    fields = ("deviceGroup", "nameSpace", "nodeName", "pvc", "size")
    assert entry["fieldsV1"] == {"f:spec": {f"f:{field}": {} for field in fields}}


def test_apply_removes_what_it_leaves_out(cluster: Server, config_maps: str) -> None:
    """A field that a manager applied and leaves out is removed; one that another wrote stays."""
    path = f"{config_maps}/one"
    apply(cluster, path, config_map("one", {"a": "1", "b": "2"})).ok()
    cluster.patch(path, {"data": {"c": "3"}}).ok()
    assert apply(cluster, path, config_map("one", {"a": "1"})).ok()["data"] == {"a": "1", "c": "3"}


def test_conflict(cluster: Server, config_maps: str) -> None:
    """Another manager's value is a conflict that names manager and field, until it is forced."""
    path = f"{config_maps}/one"
    apply(cluster, path, config_map("one", {"a": "1"})).ok()
    status = apply(cluster, path, config_map("one", {"a": "2"}), "two").refused(409, "Conflict")
    assert status["message"] == 'Apply failed with 1 conflict: conflict with "one": .data.a'
    assert status["details"]["causes"] == [
        {"reason": "FieldManagerConflict", "message": 'conflict with "one"', "field": ".data.a"}
    ]
    assert apply(cluster, path, config_map("one", {"a": "2"}), "two", force="true").ok()[
        "data"
    ] == {"a": "2"}


def test_conflict_with_update(cluster: Server, prefix: str) -> None:
    """A field that was written by an ordinary update conflicts as well."""
    cluster.create(LOGIC_VOLUMES, logic_volume(prefix), fieldManager="writer")
    answer = apply(cluster, f"{LOGIC_VOLUMES}/{prefix}", logic_volume(prefix, size="9Gi"))
    status = answer.refused(409, "Conflict")
    assert 'conflict with "writer" using carina.storage.io/v1' in status["message"]
    assert status["details"]["causes"][0]["field"] == ".spec.size"


def test_same_value_is_shared(cluster: Server, config_maps: str) -> None:
    """Two managers that apply the same value own it together; it goes when both leave it out."""
    path = f"{config_maps}/one"
    for manager in ("one", "two"):
        apply(cluster, path, config_map("one", {"a": "1", "b": "2"}), manager).ok()
    assert apply(cluster, path, config_map("one", {"a": "1"}), "one").ok()["data"] == {
        "a": "1",
        "b": "2",
    }
    assert apply(cluster, path, config_map("one", {"a": "1"}), "two").ok()["data"] == {"a": "1"}


def test_apply_status(cluster: Server, prefix: str) -> None:
    """The status is applied through /status."""
    cluster.create(LOGIC_VOLUMES, logic_volume(prefix))
    config = {
        "apiVersion": "carina.storage.io/v1",
        "kind": "LogicVolume",
        "metadata": {"name": prefix},
    }
    done = apply(
        cluster, f"{LOGIC_VOLUMES}/{prefix}/status", {**config, "status": {"status": "Success"}}
    ).ok()
    assert (done["status"], done["spec"]["size"]) == ({"status": "Success"}, "5Gi")


def test_apply_merges_lists_by_key(cluster: Server, pods: str) -> None:
    """Containers of a pod are merged by name: another manager's image change leaves the rest."""
    apply(cluster, f"{pods}/one", pod("one")).ok()
    change = {**pod("one"), "spec": {"containers": [{"name": "app", "image": "app:2"}]}}
    done = apply(cluster, f"{pods}/one", change, "two", force="true").ok()
    (container,) = done["spec"]["containers"]
    assert (container["image"], container["terminationMessagePolicy"]) == ("app:2", "File")


def test_apply_needs_manager(cluster: Server, config_maps: str) -> None:
    """An apply without a field manager is refused."""
    cluster.patch(f"{config_maps}/one", config_map("one"), APPLY).refused(422, "Invalid")
