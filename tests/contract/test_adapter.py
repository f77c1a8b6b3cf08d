"""Our own adapter on both servers: absence, conflicts and preconditions come out as the same
errors.
"""

import kubernetes
import pytest

from carina_tasks.errors import AlreadyExists, ApiConflict, ApiInvalid, ApiUnavailable, NotFound
from carina_tasks.kube.api import Api
from carina_tasks.kube.cluster import Cluster
from carina_tasks.kube.writes import ClusterWrites
from tests.contract import objects
from tests.contract.server import LOGIC_VOLUMES, VOLUMES, Server


@pytest.fixture
def api(cluster: Server) -> Api:
    """Return our adapter on one of the two servers, with pages of three."""
    return Api(
        kubernetes.config.new_client_from_config(str(cluster.kubeconfig)), timeout=10, page_size=3
    )


def test_absence_is_said_of_the_very_object(api: Api) -> None:
    """A 404 that names the object is absence; one for a kind that is not served, or a path that is
    none, is not.
    """
    with pytest.raises(NotFound):
        api.get(f"{VOLUMES}/no-such-volume")
    with pytest.raises(ApiUnavailable):
        api.get("/apis/not.installed.io/v1/things/no-such-volume")
    with pytest.raises(ApiUnavailable):
        api.get("/no/such/path")


def test_another_object_of_the_name_is_a_conflict(api: Api, prefix: str) -> None:
    """A patch, a status patch and a delete with the UID or version of another object are conflicts,
    and change nothing.
    """
    made = api.create(LOGIC_VOLUMES, objects.logic_volume(prefix))
    path, uid, version = (
        f"{LOGIC_VOLUMES}/{prefix}",
        made["metadata"]["uid"],
        made["metadata"]["resourceVersion"],
    )
    other = "00000000-0000-4000-8000-000000000000"
    for bad in (
        {"uid": other},
        {"uid": other, "resourceVersion": version},
        {"resourceVersion": "1"},
    ):
        with pytest.raises(ApiConflict):
            api.merge(path, {"metadata": bad, "spec": {"nodeName": "n9"}})
    # On /status of a custom resource only the version counts; it is the object's own, so it is
    # enough.
    with pytest.raises(ApiConflict):
        api.merge(
            path + "/status", {"metadata": {"resourceVersion": "1"}, "status": {"status": "x"}}
        )
    with pytest.raises(ApiConflict):
        api.delete(path, uid=other)
    with pytest.raises(ApiConflict):
        api.delete(path, uid=uid, version="1")
    assert api.get(path)["metadata"]["resourceVersion"] == version
    with pytest.raises(AlreadyExists):
        api.create(LOGIC_VOLUMES, objects.logic_volume(prefix))
    with pytest.raises(ApiInvalid):
        api.merge(path, {"spec": {"nodeName": 7}})
    api.delete(path, uid=uid)


def test_stripping_ends_when_another_has_the_name(api: Api, prefix: str) -> None:
    """Finalizers are stripped from the PV that was meant; one made since under its name keeps its
    own.
    """
    body = objects.volume(prefix)
    body["metadata"]["finalizers"] = ["example.com/held"]
    api.create(VOLUMES, body)
    old = Cluster(api).persistent_volume(prefix)
    assert old is not None
    writes = ClusterWrites(api)
    writes.delete_persistent_volume(old)
    assert Cluster(api).persistent_volume(prefix) is not None
    writes.strip_finalizers(old)
    assert Cluster(api).persistent_volume(prefix) is None
    api.create(VOLUMES, body)
    writes.strip_finalizers(old)
    fresh = Cluster(api).persistent_volume(prefix)
    assert fresh is not None
    assert "example.com/held" in fresh.meta.finalizers


def test_a_list_is_all_its_pages(api: Api, prefix: str) -> None:
    """Seven objects in pages of three come as one list, with the API server's own time."""
    for i in range(7):
        api.create(LOGIC_VOLUMES, objects.logic_volume(f"{prefix}-{i}"))
    listing = api.list(LOGIC_VOLUMES)
    names = [item["metadata"]["name"] for item in listing.items]
    assert len([name for name in names if name.startswith(prefix)]) == 7
    assert len(names) == len(set(names))
    assert listing.now > 1_700_000_000


def test_objects_are_counted(api: Api, prefix: str) -> None:
    """As many as a whole list has, right after a write too."""
    before = api.count(LOGIC_VOLUMES)
    assert before is not None
    for number in range(4):
        api.create(LOGIC_VOLUMES, objects.logic_volume(f"{prefix}-{number}"))
        assert api.count(LOGIC_VOLUMES) == before + number + 1
    assert len(api.list(LOGIC_VOLUMES).items) == before + 4
