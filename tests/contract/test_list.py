"""Lists: selectors, versions, pages."""

import time

import pytest

from tests.contract.objects import config_map, event, logic_volume, node, pod
from tests.contract.server import LOGIC_VOLUMES, NODES, Response, Server

pytestmark = pytest.mark.contract


def names(answer: Response) -> list[str]:
    """Return the names in a list."""
    return [item["metadata"]["name"] for item in answer.ok()["items"]]


def test_list(cluster: Server, config_maps: str) -> None:
    """A list is ordered by name, has a version, and its items carry no kind of their own."""
    for name in ("b", "a", "a.b"):
        cluster.create(config_maps, config_map(name))
    found = cluster.get(config_maps).ok()
    assert (found["kind"], found["apiVersion"]) == ("ConfigMapList", "v1")
    assert [item["metadata"]["name"] for item in found["items"]] == ["a", "a.b", "b"]
    assert found["metadata"]["resourceVersion"].isdigit()
    assert "kind" not in found["items"][0]


def test_list_of_custom_resources(cluster: Server, prefix: str) -> None:
    """The items of a list of custom resources carry their kind."""
    cluster.create(LOGIC_VOLUMES, logic_volume(prefix))
    found = cluster.get(LOGIC_VOLUMES).ok()
    assert found["kind"] == "LogicVolumeList"
    assert {item["kind"] for item in found["items"]} == {"LogicVolume"}


def test_list_of_all_namespaces(cluster: Server, namespace: str, config_maps: str) -> None:
    """A list without a namespace has the objects of all, and can be narrowed by
    metadata.namespace.
    """
    cluster.create(config_maps, config_map("one"))
    found = cluster.get("/api/v1/configmaps", fieldSelector=f"metadata.namespace={namespace}")
    assert names(found) == ["one"]


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        ("app=db", "ab"),
        ("app==db", "ab"),
        ("app!=db", "cd"),
        ("app=db,tier=one", "a"),
        ("app in (db, web)", "abc"),
        ("app notin (db)", "cd"),
        ("tier", "ac"),
        ("!tier", "bd"),
        ("app in (db),!tier", "b"),
        ("app=", ""),
        ("", "abcd"),
    ],
)
def test_label_selectors(cluster: Server, config_maps: str, selector: str, expected: str) -> None:
    """Equality, sets and existence select as in Kubernetes: a missing label is unequal to
    everything.
    """
    cluster.create(config_maps, config_map("a", app="db", tier="one"))
    cluster.create(config_maps, config_map("b", app="db"))
    cluster.create(config_maps, config_map("c", app="web", tier="one"))
    cluster.create(config_maps, config_map("d"))
    assert names(cluster.get(config_maps, labelSelector=selector)) == list(expected)


@pytest.mark.parametrize("selector", ["a in", "a in (b", "=b", "a=b c"])
def test_bad_label_selector(cluster: Server, selector: str) -> None:
    """A selector that is none is a bad request."""
    cluster.get(NODES, labelSelector=selector).refused(400, "BadRequest")


def test_field_selectors_of_pods(cluster: Server, pods: str) -> None:
    """Pods are selected by name, node and phase, in any combination and negation."""
    cluster.create(pods, pod("a", "n1"))
    cluster.create(pods, pod("b", "n2"))
    cluster.create(pods, pod("c"))
    cluster.patch(f"{pods}/a/status", {"status": {"phase": "Running"}}).ok()
    assert names(cluster.get(pods, fieldSelector="spec.nodeName=n1")) == ["a"]
    assert names(cluster.get(pods, fieldSelector="spec.nodeName=")) == ["c"]
    assert names(cluster.get(pods, fieldSelector="spec.nodeName!=n1,metadata.name!=c")) == ["b"]
    assert names(cluster.get(pods, fieldSelector="status.phase==Running")) == ["a"]


@pytest.mark.since(31, "a definition's selectableFields select")
def test_field_selector_of_logic_volumes(cluster: Server, prefix: str) -> None:
    """LogicVolumes are selected by spec.nodeName, which the definition makes selectable."""
    cluster.create(LOGIC_VOLUMES, logic_volume(f"{prefix}-a", nodeName=prefix))
    cluster.create(LOGIC_VOLUMES, logic_volume(f"{prefix}-b"))
    assert names(cluster.get(LOGIC_VOLUMES, fieldSelector=f"spec.nodeName={prefix}")) == [
        f"{prefix}-a"
    ]


def test_field_selector_of_events(cluster: Server, namespace: str) -> None:
    """Events are selected by the object that they are about."""
    path = f"/api/v1/namespaces/{namespace}/events"
    cluster.create(path, event("a", namespace, "Pod", "one"))
    cluster.create(path, event("b", namespace, "PersistentVolumeClaim", "one"))
    assert names(
        cluster.get(path, fieldSelector="involvedObject.name=one,involvedObject.kind=Pod")
    ) == ["a"]
    assert names(cluster.get(path, fieldSelector="reason=Other")) == []


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("/api/v1/pods", "field label not supported: spec.size"),
        (LOGIC_VOLUMES, "field label not supported: spec.size"),
        (
            "/apis/storage.k8s.io/v1/storageclasses",
            '"spec.size" is not a known field selector: only "metadata.name", "metadata.namespace"',
        ),
    ],
)
def test_unknown_field(cluster: Server, path: str, message: str) -> None:
    """A field that cannot be selected by is a bad request, word for word."""
    assert (
        cluster.get(path, fieldSelector="spec.size=1").refused(400, "BadRequest")["message"]
        == message
    )


def test_event_in_other_namespace(cluster: Server, namespace: str) -> None:
    """An event must lie in the namespace of its object."""
    path = f"/api/v1/namespaces/{namespace}/events"
    cluster.http("POST", path, event("a", "default", "Pod", "one")).refused(422, "Invalid")


@pytest.mark.since(34, "a version that is no number is a bad request and no internal error")
def test_resource_version_of_lists(cluster: Server) -> None:
    """A version that is no number is a bad request, one to come is a Timeout that reports it."""
    cluster.get(NODES, resourceVersion="abc").refused(400, "BadRequest")
    status = cluster.get(NODES, resourceVersion="99999999").refused(504, "Timeout")
    assert status["details"]["causes"][0]["reason"] == "ResourceVersionTooLarge"
    assert cluster.get(NODES, resourceVersion="0").code == 200


def test_pages(cluster: Server, config_maps: str) -> None:
    """A limited list continues where it stopped, as of the same version, though objects come and go
    in between.
    """
    for name in "abcde":
        cluster.create(config_maps, config_map(name))
    first = cluster.get(config_maps, limit=2).ok()
    assert [item["metadata"]["name"] for item in first["items"]] == ["a", "b"]
    assert first["metadata"]["remainingItemCount"] == 3
    cluster.delete(f"{config_maps}/d").ok()
    cluster.create(config_maps, config_map("cc"))
    second = cluster.get(config_maps, limit=2, **{"continue": first["metadata"]["continue"]}).ok()
    assert [item["metadata"]["name"] for item in second["items"]] == ["c", "d"]
    assert second["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]
    third = cluster.get(config_maps, limit=2, **{"continue": second["metadata"]["continue"]}).ok()
    assert [item["metadata"]["name"] for item in third["items"]] == ["e"]
    assert not third["metadata"].get("continue")


def test_what_is_selected_is_not_counted(cluster: Server, config_maps: str) -> None:
    """A page of a list with a selector reports that there is more, and not how much."""
    for name in "abc":
        cluster.create(config_maps, config_map(name))
    for selector in ({"labelSelector": "!none"}, {"fieldSelector": "metadata.name!=z"}):
        metadata = cluster.get(config_maps, limit=1, **selector).ok()["metadata"]
        assert metadata["continue"], selector
        assert "remainingItemCount" not in metadata, selector


def test_exact_version(cluster: Server, config_maps: str) -> None:
    """A list of an exact version shows the past."""
    cluster.create(config_maps, config_map("a", {"k": "1"}))
    version = cluster.get(config_maps).ok()["metadata"]["resourceVersion"]
    cluster.patch(f"{config_maps}/a", {"data": {"k": "2"}}).ok()
    cluster.create(config_maps, config_map("b"))
    then = cluster.get(config_maps, resourceVersion=version, resourceVersionMatch="Exact").ok()
    assert [item["data"] for item in then["items"]] == [{"k": "1"}]
    assert then["metadata"]["resourceVersion"] == version


def test_bad_token(cluster: Server) -> None:
    """A continue token that is none is a bad request."""
    cluster.get(NODES, limit=1, **{"continue": "xx"}).refused(400, "BadRequest")


def test_expired_token(cluster: Server, config_maps: str) -> None:
    """A continue token whose version has been forgotten is Gone (the real server forgets within
    seconds).
    """
    for name in "abc":
        cluster.create(config_maps, config_map(name))
    token = cluster.get(config_maps, limit=1).ok()["metadata"]["continue"]
    cluster.create(config_maps, config_map("d"))
    cluster.forget_history()
    deadline = time.monotonic() + 30
    answer = cluster.get(config_maps, limit=1, **{"continue": token})
    while answer.code == 200 and time.monotonic() < deadline:
        time.sleep(0.5)
        answer = cluster.get(config_maps, limit=1, **{"continue": token})
    answer.refused(410, "Expired")


def test_thousand_logic_volumes(emulator: Server) -> None:
    """The emulator lists a thousand LogicVolumes in well under a second."""
    for number in range(1000):
        emulator.create(LOGIC_VOLUMES, logic_volume(f"many-{number}", nodeName="many"))
    started = time.monotonic()
    found = emulator.get(LOGIC_VOLUMES, fieldSelector="spec.nodeName=many").ok()
    assert len(found["items"]) == 1000
    assert time.monotonic() - started < 0.5
    emulator.delete(LOGIC_VOLUMES, fieldSelector="spec.nodeName=many").ok()


def test_node_selected_by_schedulability(cluster: Server, prefix: str) -> None:
    """Nodes are selected by spec.unschedulable."""
    cluster.create(NODES, {**node(prefix), "spec": {"unschedulable": True}})
    assert prefix in names(cluster.get(NODES, fieldSelector="spec.unschedulable=true"))
    assert prefix not in names(cluster.get(NODES, fieldSelector="spec.unschedulable=false"))
