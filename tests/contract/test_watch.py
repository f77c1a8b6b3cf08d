"""Watches: from where, what each sees, bookmarks, the end of history."""

from itertools import islice
from pathlib import Path

import pytest

from carina_tasks.emulator.api_server import ApiServer
from tests.contract.objects import config_map, logic_volume
from tests.contract.server import LOGIC_VOLUMES, TABLE, Server

pytestmark = pytest.mark.contract
WATCH_LIST = pytest.mark.since(34, "a watch may begin with sendInitialEvents")


def version(cluster: Server, path: str) -> str:
    """Return the version of a list."""
    return cluster.get(path).ok()["metadata"]["resourceVersion"]


def seen(events: list[dict]) -> list[tuple[str, str]]:
    """Return type and name of events."""
    return [(event["type"], event["object"]["metadata"]["name"]) for event in events]


def test_events_in_order(cluster: Server, config_maps: str) -> None:
    """A watch from a list's version sees what was written since, before it was opened and after."""
    start = version(cluster, config_maps)
    cluster.create(config_maps, config_map("a"))
    with cluster.watch(config_maps, resourceVersion=start) as events:
        assert seen(list(islice(events, 1))) == [("ADDED", "a")]
        cluster.patch(f"{config_maps}/a", {"data": {"k": "v"}}).ok()
        cluster.delete(f"{config_maps}/a").ok()
        changed, deleted = islice(events, 2)
    assert seen([changed, deleted]) == [("MODIFIED", "a"), ("DELETED", "a")]
    assert changed["object"]["data"] == deleted["object"]["data"] == {"k": "v"}
    assert int(deleted["object"]["metadata"]["resourceVersion"]) > int(
        changed["object"]["metadata"]["resourceVersion"]
    )
    assert changed["object"]["kind"] == "ConfigMap"


@pytest.mark.parametrize("start", [None, "0"])
def test_from_now(cluster: Server, config_maps: str, start: str | None) -> None:
    """A watch without a version, or from 0, begins with what is there."""
    cluster.create(config_maps, config_map("a"))
    query = {} if start is None else {"resourceVersion": start}
    with cluster.watch(config_maps, **query) as events:
        assert seen([next(events)]) == [("ADDED", "a")]
        cluster.create(config_maps, config_map("b"))
        assert seen([next(events)]) == [("ADDED", "b")]


def test_selector_transitions(cluster: Server, config_maps: str) -> None:
    """For a watch with a selector, an object that begins to match is added, and one that ends to
    match is deleted.
    """
    start = version(cluster, config_maps)
    cluster.create(config_maps, config_map("a", l="no"))
    for label in ("yes", "yes", "no"):
        cluster.patch(
            f"{config_maps}/a", {"metadata": {"labels": {"l": label}, "annotations": {"n": label}}}
        ).ok()
        cluster.patch(f"{config_maps}/a", {"data": {"n": label}}).ok()
    with cluster.watch(config_maps, resourceVersion=start, labelSelector="l=yes") as events:
        assert seen(list(islice(events, 3))) == [
            ("ADDED", "a"),
            ("MODIFIED", "a"),
            ("DELETED", "a"),
        ]


@pytest.mark.since(31, "a definition's selectableFields select")
def test_field_selector(cluster: Server, prefix: str) -> None:
    """A watch on a node's LogicVolumes sees one move away as deleted."""
    start = version(cluster, LOGIC_VOLUMES)
    cluster.create(LOGIC_VOLUMES, logic_volume(prefix, nodeName=prefix))
    cluster.patch(f"{LOGIC_VOLUMES}/{prefix}", {"spec": {"nodeName": "elsewhere"}}).ok()
    with cluster.watch(
        LOGIC_VOLUMES, resourceVersion=start, fieldSelector=f"spec.nodeName={prefix}"
    ) as events:
        assert seen(list(islice(events, 2))) == [("ADDED", prefix), ("DELETED", prefix)]


def test_watch_of_one(cluster: Server, config_maps: str) -> None:
    """A watch of one name sees nothing of others."""
    start = version(cluster, config_maps)
    for name in ("a", "b"):
        cluster.create(config_maps, config_map(name))
    with cluster.watch(
        config_maps, resourceVersion=start, fieldSelector="metadata.name=b"
    ) as events:
        assert seen([next(events)]) == [("ADDED", "b")]


def test_finalized_object_ends_with_deleted(cluster: Server, prefix: str) -> None:
    """An object with a finalizer is modified by its deletion, and deleted when the finalizer
    goes.
    """
    sent = logic_volume(prefix)
    sent["metadata"]["finalizers"] = ["carina.storage.io/logicvolume"]
    start = cluster.create(LOGIC_VOLUMES, sent)["metadata"]["resourceVersion"]
    cluster.delete(f"{LOGIC_VOLUMES}/{prefix}").ok()
    cluster.patch(f"{LOGIC_VOLUMES}/{prefix}", {"metadata": {"finalizers": None}}).ok()
    with cluster.watch(
        LOGIC_VOLUMES, resourceVersion=start, fieldSelector=f"metadata.name={prefix}"
    ) as events:
        marked, gone = islice(events, 2)
    assert seen([marked, gone]) == [("MODIFIED", prefix), ("DELETED", prefix)]
    assert marked["object"]["metadata"]["deletionTimestamp"]


def test_too_old(cluster: Server) -> None:
    """A watch from a version that is forgotten is one ERROR event with a Status of 410."""
    with cluster.watch(LOGIC_VOLUMES, resourceVersion="1") as events:
        (error,) = events
    assert error["type"] == "ERROR"
    assert (error["object"]["code"], error["object"]["reason"]) == (410, "Expired")
    assert error["object"]["message"].startswith("too old resource version: 1 (")


@pytest.mark.since(34, "a bookmark has no empty creationTimestamp")
def test_bookmark_before_the_end(cluster: Server, config_maps: str) -> None:
    """A watch that saw nothing of what was written gets a bookmark before it times out, and the
    next continues there.
    """
    start = version(cluster, config_maps)
    query = {
        "resourceVersion": start,
        "allowWatchBookmarks": "true",
        "timeoutSeconds": "4",
        "labelSelector": "l=yes",
    }
    with cluster.watch(config_maps, **query) as events:
        cluster.create(config_maps, config_map("a"))
        bookmarks = list(events)
    assert {event["type"] for event in bookmarks} == {"BOOKMARK"}
    last = bookmarks[-1]["object"]
    newest = last["metadata"]["resourceVersion"]
    shape = {"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"resourceVersion": newest}}
    assert last == shape
    assert int(newest) > int(start)
    cluster.create(config_maps, config_map("b"))
    with cluster.watch(config_maps, resourceVersion=newest) as events:
        assert seen([next(events)]) == [("ADDED", "b")]


def test_timeout(cluster: Server, config_maps: str) -> None:
    """A watch ends after timeoutSeconds, without bookmarks when none were asked for."""
    with cluster.watch(
        config_maps, resourceVersion=version(cluster, config_maps), timeoutSeconds="1"
    ) as events:
        assert list(events) == []


@WATCH_LIST
def test_initial_events(cluster: Server, config_maps: str) -> None:
    """SendInitialEvents begins with what is there and marks its end by a bookmark."""
    cluster.create(config_maps, config_map("a"))
    query = {
        "sendInitialEvents": "true",
        "resourceVersionMatch": "NotOlderThan",
        "allowWatchBookmarks": "true",
    }
    with cluster.watch(config_maps, **query) as events:
        added, end = islice(events, 2)
    assert seen([added]) == [("ADDED", "a")]
    assert end["type"] == "BOOKMARK"
    assert end["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}


@WATCH_LIST
def test_initial_events_by_default(cluster: Server, config_maps: str) -> None:
    """A watch from no version is one with sendInitialEvents: a bookmark tells where these end."""
    with cluster.watch(config_maps, allowWatchBookmarks="true") as events:
        assert next(events)["object"]["metadata"]["annotations"] == {
            "k8s.io/initial-events-end": "true"
        }


NO_OLDER = {"resourceVersionMatch": "NotOlderThan"}


@WATCH_LIST
@pytest.mark.parametrize("query", [{}, {"resourceVersion": "0"}])
def test_no_initial_events(cluster: Server, config_maps: str, query: dict[str, str]) -> None:
    """With sendInitialEvents=false a watch sees only what comes."""
    cluster.create(config_maps, config_map("a"))
    with cluster.watch(config_maps, sendInitialEvents="false", **NO_OLDER, **query) as events:
        cluster.create(config_maps, config_map("b"))
        assert seen([next(events)]) == [("ADDED", "b")]


@WATCH_LIST
def test_initial_events_of_a_version_to_come(cluster: Server, config_maps: str) -> None:
    """SendInitialEvents from a version that is not there yet is one ERROR event with a 504."""
    query = {"resourceVersion": "99999999", "sendInitialEvents": "true", **NO_OLDER}
    with cluster.watch(config_maps, **query) as events:
        (error,) = events
    assert (error["type"], error["object"]["code"]) == ("ERROR", 504)
    assert error["object"]["details"]["causes"][0]["reason"] == "ResourceVersionTooLarge"


LIST_ONLY = "sendInitialEvents is forbidden for list"
NEEDS_MATCH = "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"
NEEDS_INITIAL = "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided"
NO_TOKEN = "resourceVersionMatch is forbidden when continue is provided"
ONLY = 'Unsupported value: "Exact": supported values: "NotOlderThan"'


@pytest.mark.parametrize(
    ("query", "messages"),
    [
        pytest.param({"watch": "1", "sendInitialEvents": "true"}, [NEEDS_MATCH], marks=WATCH_LIST),
        pytest.param({"watch": "1", "sendInitialEvents": "false"}, [NEEDS_MATCH], marks=WATCH_LIST),
        ({"watch": "1", **NO_OLDER}, [NEEDS_INITIAL]),
        ({"watch": "1", "resourceVersionMatch": "Exact"}, [NEEDS_INITIAL, ONLY]),
        pytest.param(
            {"watch": "1", "sendInitialEvents": "1", "continue": "x", **NO_OLDER},
            [NO_TOKEN],
            marks=WATCH_LIST,
        ),
        ({"sendInitialEvents": "false"}, [LIST_ONLY]),
        (NO_OLDER, ["resourceVersionMatch is forbidden unless resourceVersion is provided"]),
        ({"resourceVersion": "1", "continue": "x", **NO_OLDER}, [NO_TOKEN]),
        (
            {"resourceVersion": "0", "resourceVersionMatch": "Exact"},
            ['resourceVersionMatch "exact" is forbidden for resourceVersion "0"'],
        ),
        (
            {"resourceVersion": "1", "resourceVersionMatch": "Newest"},
            ['Unsupported value: "Newest": supported values: "Exact", "NotOlderThan", ""'],
        ),
    ],
)
def test_refused(
    cluster: Server, config_maps: str, query: dict[str, str], messages: list[str]
) -> None:
    """Parameters that do not go together are refused with every cause."""
    status = cluster.get(config_maps, **query).refused(422, "Invalid")
    assert status["details"]["kind"] == "ListOptions"
    shown = [cause["message"].removeprefix("Forbidden: ") for cause in status["details"]["causes"]]
    assert shown == messages


@pytest.mark.parametrize(("watch", "kind"), [("yes", "ADDED"), ("FALSE", None), ("0", None)])
def test_flags(cluster: Server, config_maps: str, watch: str, kind: str | None) -> None:
    """A flag is set by anything but false and 0."""
    cluster.create(config_maps, config_map("a"))
    answer = cluster.get(config_maps, watch=watch, timeoutSeconds=1).ok()
    assert (answer.get("type"), "items" in answer) == (kind, kind is None)


def test_an_idle_emulator_sends_bookmarks(tmp_path: Path) -> None:
    """The emulator sends bookmarks of a quiet kind too, as often as its owner asks.

    The real server does so when its etcd reports progress (kubeadm: every 5 s); the one here has an
    etcd that does not.
    """
    with ApiServer(bookmark_seconds=0.05) as server:
        emulator = Server("emulator", server.url, tmp_path, server.forget_history)
        start = version(emulator, LOGIC_VOLUMES)
        query = {"resourceVersion": start, "allowWatchBookmarks": "true"}
        with emulator.watch(LOGIC_VOLUMES, **query) as events:
            first, second = islice(events, 2)
    assert {first["type"], second["type"]} == {"BOOKMARK"}
    assert int(start) < int(first["object"]["metadata"]["resourceVersion"])


def test_table_columns_once(cluster: Server, prefix: str) -> None:
    """A watch as Table defines its columns in the first event only."""
    start = version(cluster, LOGIC_VOLUMES)
    for name in (f"{prefix}-a", f"{prefix}-b"):
        cluster.create(LOGIC_VOLUMES, logic_volume(name))
    with cluster.watch(LOGIC_VOLUMES, TABLE, resourceVersion=start) as events:
        first, second = (event["object"] for event in islice(events, 2))
    assert [column["name"] for column in first["columnDefinitions"]][:3] == [
        "Name",
        "SIZE",
        "GROUP",
    ]
    assert not second["columnDefinitions"]
    assert second["rows"][0]["cells"][0] == f"{prefix}-b"
