"""Events of events.k8s.io/v1: the same objects as core v1, under stricter rules."""

from typing import Any

import pytest

from tests.contract.server import Server

pytestmark = pytest.mark.contract

BEGUN, AGAIN = "2026-11-28T01:00:00.000001Z", "2026-11-28T01:05:00.250000Z"
NEW = "/apis/events.k8s.io/v1/namespaces"
OLD = "/api/v1/namespaces"


def event(namespace: str, **changes: Any) -> dict[str, Any]:
    """Return an Event as carina-tasks writes it."""
    return {
        "metadata": {"name": "a", "namespace": namespace},
        "eventTime": BEGUN,
        "reportingController": "carina-tasks",
        "reportingInstance": "control-1",
        "action": "Rebuild",
        "reason": "VolumeRebuiltEmpty",
        "regarding": {"kind": "Pod", "name": "one", "namespace": namespace, "uid": "u"},
        "note": "new and empty",
        "type": "Warning",
    } | changes


def test_both_groups_show_one_object(cluster: Server, namespace: str) -> None:
    """What one group calls note, regarding and reportingController, the other calls otherwise."""
    cluster.create(f"{NEW}/{namespace}/events", event(namespace))
    new = cluster.get(f"{NEW}/{namespace}/events/a").ok()
    old = cluster.get(f"{OLD}/{namespace}/events/a").ok()
    assert (new["apiVersion"], old["apiVersion"]) == ("events.k8s.io/v1", "v1")
    assert new["metadata"]["uid"] == old["metadata"]["uid"]
    for here, there in (
        ("note", "message"),
        ("regarding", "involvedObject"),
        ("reportingController", "reportingComponent"),
        ("eventTime", "eventTime"),
        ("deprecatedSource", "source"),
        ("deprecatedFirstTimestamp", "firstTimestamp"),
        ("deprecatedLastTimestamp", "lastTimestamp"),
    ):
        assert new[here] == old[there], here
        assert here == there or (here not in old and there not in new), here
    assert new["eventTime"] == BEGUN
    assert [e["note"] for e in cluster.get(f"{NEW}/{namespace}/events").ok()["items"]] == [
        "new and empty"
    ]


def test_either_group_selects_by_its_own_words(cluster: Server, namespace: str) -> None:
    """`source` of core v1 finds the controller of an Event that has no source."""
    cluster.create(f"{NEW}/{namespace}/events", event(namespace))
    for base, selector, found in (
        (NEW, "regarding.name=one,reportingController=carina-tasks", 1),
        (NEW, "regarding.name=two", 0),
        (OLD, "source=carina-tasks", 1),
        (OLD, "reportingComponent=carina-tasks,involvedObject.kind=Pod", 1),
        (OLD, "source=kubelet", 0),
    ):
        listed = cluster.get(f"{base}/{namespace}/events", fieldSelector=selector).ok()
        assert len(listed["items"]) == found, selector
    refused = cluster.get(f"{NEW}/{namespace}/events", fieldSelector="involvedObject.name=one")
    assert refused.code == 400
    assert "field label not supported: involvedObject.name" in refused.body["message"]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"eventTime": None}, "eventTime"),
        ({"type": "Odd"}, "type"),
        ({"action": ""}, "action"),
        ({"reason": ""}, "reason"),
        ({"reportingController": ""}, "reportingController"),
        ({"reportingInstance": ""}, "reportingInstance"),
        ({"note": "x" * 1025}, "message"),
        ({"series": {"count": 1, "lastObservedTime": AGAIN}}, "series.count"),
        ({"deprecatedCount": 3}, "count"),
    ],
)
def test_what_is_refused(
    cluster: Server, namespace: str, changes: dict[str, Any], field: str
) -> None:
    """A client of events.k8s.io/v1 must say all that the API asks for."""
    answer = cluster.http("POST", f"{NEW}/{namespace}/events", event(namespace, **changes))
    assert answer.code == 422, answer.body
    assert field in {cause["field"] for cause in answer.body["details"]["causes"]}


def test_a_series_is_counted_and_the_text_stays(cluster: Server, namespace: str) -> None:
    """events.k8s.io/v1 counts an Event up and keeps its note; core v1 may change the text too."""
    cluster.create(f"{NEW}/{namespace}/events", event(namespace))
    series = {"series": {"count": 2, "lastObservedTime": AGAIN}}
    cluster.patch(f"{NEW}/{namespace}/events/a", series).ok()
    refused = cluster.patch(f"{NEW}/{namespace}/events/a", {"note": "other"})
    assert refused.code == 422, refused.body
    more = {"series": {"count": 3, "lastObservedTime": AGAIN}, "message": "still so"}
    cluster.patch(f"{OLD}/{namespace}/events/a", more).ok()
    shown = cluster.get(f"{NEW}/{namespace}/events/a").ok()
    assert (shown["note"], shown["series"]) == ("still so", more["series"])


def test_kubectl_shows_it(cluster: Server, namespace: str, pods: str) -> None:
    """`kubectl get events`, of either group, and `kubectl describe` of its object."""
    from tests.contract.objects import pod

    made = cluster.create(pods, pod("one", "n1"))
    regarding = event(namespace)["regarding"] | {"uid": made["metadata"]["uid"]}
    series = {"count": 4, "lastObservedTime": AGAIN}
    cluster.create(
        f"{NEW}/{namespace}/events", event(namespace, regarding=regarding, series=series)
    )
    for words in (("get", "events"), ("get", "events.events.k8s.io"), ("events",)):
        shown = cluster.kubectl("-n", namespace, *words)
        assert "VolumeRebuiltEmpty" in shown
        assert "pod/one" in shown.lower()
        assert "new and empty" in shown
    described = cluster.kubectl("-n", namespace, "describe", "pod", "one")
    assert "carina-tasks" in described
    assert "(x4 over" in described
    wide = cluster.kubectl("-n", namespace, "get", "events", "-o", "wide", "--no-headers")
    assert " 4 " in wide


def test_who_am_i(cluster: Server) -> None:
    """The API server says which user a client is."""
    body = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
    answer = cluster.http("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", body)
    assert answer.code == 201, answer.body
    assert answer.body["status"]["userInfo"]["username"]
