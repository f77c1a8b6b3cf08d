"""Every answer of an API server, or of what stands between us and it, as a value or an error of
ours.
"""

import json
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest
from kubernetes import client

from carina_tasks import errors
from carina_tasks.errors import (
    AlreadyExists,
    ApiConflict,
    ApiDenied,
    ApiGone,
    ApiInvalid,
    ApiUnauthorized,
    ApiUnavailable,
    BadSetting,
    CarinaTasksError,
    NotFound,
)
from carina_tasks.kube import http as adapter
from carina_tasks.kube import kinds, paths
from carina_tasks.kube.api import Api, connect
from carina_tasks.kube.cluster import Cluster
from carina_tasks.model.objects import PersistentVolume
from tests.builders.http import Answer, page, serving, status
from tests.builders.kubernetes import pv

PATH = paths.persistent_volume("pvc-1")


def test_an_object_comes_back_whole_with_the_servers_clock():
    """Raw JSON, fields of tomorrow included, and the time of the Date header."""
    with serving(Answer(body=pv(), headers={"Date": "Fri, 15 Jan 2027 08:00:00 GMT"})) as (
        api,
        script,
    ):
        assert api.read(PATH) == (pv(), 1_800_000_000.0)
        assert script.asked[0][3]["authorization"] == "Bearer secret"


def test_absence_is_the_api_servers_own_word_about_this_very_object():
    """404 NotFound that names the object."""
    with serving(status(404, "NotFound", "pvc-1")) as (api, _):
        with pytest.raises(NotFound):
            api.get(PATH)
        assert Cluster(api).persistent_volume("pvc-1") is None


@pytest.mark.parametrize(
    "answer",
    [
        Answer(404, b"404 page not found\n"),
        Answer(404, b"<html>nginx</html>"),
        Answer(404, b""),
        Answer(
            404,
            {
                "kind": "Status",
                "message": "the server could not find the requested resource",
                "reason": "NotFound",
                "details": {},
                "code": 404,
            },
        ),
        Answer(404, {"reason": "NotFound"}),
        Answer(404, {"reason": "NotFound", "details": "pvc-1"}),
        Answer(404, {"reason": "NotFound", "details": ["pvc-1"]}),
        Answer(404, ["pvc-1"]),
        status(404, "NotFound", "pvc-2"),
        status(404, "Gone", "pvc-1"),
    ],
)
def test_no_other_404_is_absence(answer):
    """A proxy's page, a CRD that is not installed, another object's name: the API server is
    unavailable.
    """
    with serving(answer) as (api, _):
        with pytest.raises(ApiUnavailable):
            Cluster(api).persistent_volume("pvc-1")
        with pytest.raises(ApiUnavailable):
            Cluster(api).node("pvc-1")


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (status(409, "AlreadyExists", "pvc-1"), AlreadyExists),
        (status(409, "Conflict", "pvc-1"), ApiConflict),
        (status(410, "Expired"), ApiGone),
        (status(401, "Unauthorized"), ApiUnauthorized),
        (status(403, "Forbidden", "pvc-1"), ApiDenied),
        (status(422, "Invalid", "pvc-1"), ApiInvalid),
        (status(400, "BadRequest"), ApiInvalid),
        (status(429, "TooManyRequests"), ApiUnavailable),
        (status(500, "InternalError"), ApiUnavailable),
        (status(503, "ServiceUnavailable"), ApiUnavailable),
        (Answer(504, b"gateway"), ApiUnavailable),
        (Answer(302, b"", {"Location": "/login"}), ApiUnavailable),
        (Answer(200, b"<html>"), ApiUnavailable),
        (Answer(200, b""), ApiUnavailable),
        (Answer(200, b"[]"), ApiUnavailable),
        (Answer(200, b"null"), ApiUnavailable),
        (Answer(200, b"\xff\xfe"), ApiUnavailable),
        (Answer(200, b"[" * 200_000), ApiUnavailable),
        (Answer(500, b"[" * 200_000), ApiUnavailable),
        (Answer(200, b'{"kind":"Pers', length=5000), ApiUnavailable),
        (Answer(cut=True), ApiUnavailable),
    ],
)
@pytest.mark.parametrize("verb", ["get", "list", "read_all", "create", "merge", "delete"])
def test_every_failure_is_one_error_of_ours(answer, error, verb):
    """Whatever the verb, a wrong answer is told by one error, and never by a stack trace of a
    library.
    """
    with serving(answer) as (api, script):
        call = {
            "get": lambda: api.get(PATH),
            "list": lambda: api.list(PATH),
            "read_all": lambda: api.read_all(kinds.PERSISTENT_VOLUMES, path=PATH),
            "create": lambda: api.create(PATH, {}),
            "merge": lambda: api.merge(PATH, {}),
            "delete": lambda: api.delete(PATH, uid="u"),
        }[verb]
        with pytest.raises(CarinaTasksError) as caught:
            call()
        assert type(caught.value) is error
        assert len(script.asked) == 1, "it was sent more than once"
        assert len(caught.value.message) < 400


def test_a_server_that_does_not_answer_in_time_is_unavailable():
    """The time limit is the setting's, and counts for the whole answer."""
    with serving(Answer(wait=0.5), timeout=0.1) as (api, _), pytest.raises(ApiUnavailable):
        api.get(PATH)


def test_nobody_listening_is_unavailable():
    """Connection refused."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        configuration = client.Configuration()
        configuration.host = f"http://127.0.0.1:{sock.getsockname()[1]}"
        with pytest.raises(ApiUnavailable, match="does not answer"):
            Api(client.ApiClient(configuration), 1, 500).get(PATH)


def test_a_list_is_all_its_pages():
    """Pages are asked for by their continue token until there is none; the version is the first
    page's.
    """
    with serving(page("a", "b", more="tok en"), page("c")) as (api, script):
        listing = api.list(paths.PERSISTENT_VOLUMES, {"fieldSelector": "x=y"})
        assert [raw["metadata"]["name"] for raw in listing.items] == ["a", "b", "c"]
        assert listing.version == "5"
        assert [path.split("?")[1] for _, path, _, _ in script.asked] == [
            "fieldSelector=x%3Dy&limit=2",
            "fieldSelector=x%3Dy&limit=2&continue=tok+en",
        ]


BOTH = (
    lambda api: api.list(paths.PERSISTENT_VOLUMES),
    lambda api: api.read_all(kinds.PERSISTENT_VOLUMES),
)
"""A list as raw objects, and as values."""


@pytest.mark.parametrize(
    ("second", "error"),
    [
        (status(410, "Expired"), ApiGone),
        (status(500, "InternalError"), ApiUnavailable),
        (Answer(cut=True), ApiUnavailable),
        (
            Answer(200, b'{"kind":"PersistentVolumeList","metadata":{},"items":[', length=999),
            ApiUnavailable,
        ),
        (Answer(404, b"404 page not found"), ApiUnavailable),
    ],
)
def test_half_a_list_is_no_list(second, error):
    """The second page fails: an error, never the first page alone."""
    for read in BOTH:
        with serving(page("a", "b", more="t"), second) as (api, _), pytest.raises(error):
            read(api)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"kind": "PersistentVolume", "metadata": {}, "items": []},
        {"kind": "PersistentVolumeList", "items": []},
        {"kind": "PersistentVolumeList", "metadata": {}, "items": {}},
        {"kind": "PersistentVolumeList", "metadata": {}, "items": ["a"]},
        {"kind": "PersistentVolumeList", "metadata": "x", "items": []},
        {"kind": "Status", "status": "Failure"},
    ],
)
def test_what_is_not_a_list_is_not_an_empty_one(body):
    """Any 200 that is no list with metadata and items."""
    for read in BOTH:
        with serving(Answer(body=body)) as (api, _), pytest.raises(ApiUnavailable, match="list"):
            read(api)


@pytest.mark.parametrize(
    ("items", "meta", "number"),
    [
        (["a"], {"continue": "t", "remainingItemCount": 6}, 7),
        ([], {"remainingItemCount": 6}, 7),
        (["a"], {}, 1),
        (None, {}, 0),
        (["a"], {"continue": "t"}, None),
        (["a"], {"continue": "t", "remainingItemCount": "6"}, None),
    ],
)
def test_objects_are_counted_by_what_a_page_of_one_says_remains(items, meta, number):
    """Also when the page itself arrived without its object; None when the API server does not
    say.
    """
    named = None if items is None else [{"metadata": {"name": name}} for name in items]
    with serving(Answer(body={"kind": "PodList", "metadata": meta, "items": named})) as (
        api,
        script,
    ):
        assert api.count(paths.PODS) == number
    assert script.asked[0][1].endswith("?limit=1")


def test_an_empty_list_may_have_no_items():
    """Go writes an empty slice as null."""
    with serving(Answer(body={"kind": "NodeList", "metadata": {}, "items": None})) as (api, _):
        assert api.list(paths.NODES).items == ()
    with serving(Answer(body={"kind": "NodeList", "metadata": {}, "items": None})) as (api, _):
        assert api.read_all(kinds.NODES).all() == ()


def test_a_list_keeps_what_is_read_and_a_single_object_stays_whole():
    """What is written back is read by its name; a list of a large cluster must fit into memory."""
    listing = {"kind": "PersistentVolumeList", "metadata": {}, "items": [pv()]}
    with serving(Answer(body=listing), Answer(body=pv())) as (api, _):
        (listed,) = api.read_all(kinds.PERSISTENT_VOLUMES).all()
        assert type(listed) is PersistentVolume
        whole = Cluster(api).persistent_volume("pvc-1")
    assert whole.raw == pv()
    assert all(getattr(whole, name) == getattr(listed, name) for name in listed.__struct_fields__)


def test_a_partial_world_is_no_world():
    """One of the lists of an observation fails: the whole observation does."""
    with (
        serving(*[page(kind="XList")] * 3, status(500, "InternalError")) as (api, _),
        pytest.raises(ApiUnavailable),
    ):
        Cluster(api).observe()


def test_a_deletion_carries_its_preconditions():
    """UID always, resourceVersion and grace when given."""
    with serving(Answer()) as (api, script):
        api.delete(PATH, uid="u", version="7", grace=0)
        api.delete(PATH, uid="u")
    assert [body for _, _, body, _ in script.asked] == [
        {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "preconditions": {"uid": "u", "resourceVersion": "7"},
            "gracePeriodSeconds": 0,
        },
        {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": {"uid": "u"}},
    ]


def test_a_patch_is_a_merge_patch():
    """The content type reports how the body is meant."""
    with serving(Answer()) as (api, script):
        api.merge(PATH, {"metadata": {"labels": {"a": None}}})
    assert script.asked[0][3]["content-type"] == "application/merge-patch+json"


def lines(*events, tail=b""):
    """Make the body of a watch."""
    return Answer(body=b"".join(json.dumps(event).encode() + b"\n" for event in events) + tail)


def test_a_watch_yields_each_line():
    """Added, changed, deleted, bookmarks: each as it came, with its query."""
    events = [
        {"type": kind, "object": {"n": i}}
        for i, kind in enumerate(("ADDED", "MODIFIED", "BOOKMARK", "DELETED"))
    ]
    with serving(lines(*events)) as (api, script):
        assert [(e.type, e.object["n"]) for e in api.watch(paths.NODES, "5", 60)] == [
            ("ADDED", 0),
            ("MODIFIED", 1),
            ("BOOKMARK", 2),
            ("DELETED", 3),
        ]
        assert "resourceVersion=5" in script.asked[0][1]
        assert "allowWatchBookmarks=true" in script.asked[0][1]


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (status(410, "Expired"), ApiGone),
        (status(403, "Forbidden"), ApiDenied),
        (lines({"type": "ERROR", "object": {"code": 410}}), ApiGone),
        (lines({"type": "ERROR", "object": {"code": "x"}}), ApiUnavailable),
        (lines({"type": "ERROR"}), ApiUnavailable),
        (lines({"type": "ADDED", "object": "x"}), ApiUnavailable),
        (lines("x"), ApiUnavailable),
        (lines(tail=b"{half\n"), ApiUnavailable),
        (Answer(body=b'{"type":"ADDED"', length=99), ApiUnavailable),
    ],
)
def test_a_broken_watch_is_an_error_of_ours(answer, error):
    """Too old, denied, odd, or cut in the middle."""
    with serving(answer) as (api, _), pytest.raises(error):
        list(api.watch(paths.NODES, "5", 60))


def test_names_are_one_segment_of_a_path():
    """A name with a slash cannot leave its collection."""
    assert paths.persistent_volume("../nodes/n1") == "/api/v1/persistentvolumes/..%2Fnodes%2Fn1"
    assert paths.claim("a/b", "c?d") == "/api/v1/namespaces/a%2Fb/persistentvolumeclaims/c%3Fd"


def test_without_a_cluster_the_message_says_what_to_set(monkeypatch, tmp_path):
    """No kubeconfig, no pod: one line that names KUBECONFIG. An unreadable one too."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for value in ("", str(tmp_path / "none"), str(tmp_path)):
        monkeypatch.setenv("KUBECONFIG", value)
        with pytest.raises(BadSetting, match="KUBECONFIG"):
            connect(5, 500)
    broken = tmp_path / "broken"
    monkeypatch.setenv("KUBECONFIG", str(broken))
    for text in ("{: no yaml", "- a", "x", "", "clusters: 5", "\0"):
        broken.write_text(text)
        with pytest.raises(BadSetting, match="KUBECONFIG"):
            connect(5, 500)


def test_each_request_is_observed():
    """Verb, path, time and status; 0 when there was no answer."""
    seen = []
    with serving(Answer(), status(500, "x"), Answer(cut=True)) as (api, _):
        api._observe = lambda verb, path, seconds, code: seen.append((verb, path, code))
        for _ in range(3):
            with pytest.raises(CarinaTasksError) if seen else nothing():
                api.get(PATH)
    assert seen == [("GET", PATH, 200), ("GET", PATH, 500), ("GET", PATH, 0)]


class nothing:  # noqa: N801
    """Expect no error."""

    def __enter__(self):
        """Begin."""

    def __exit__(self, *_):
        """End."""


def test_every_error_has_words_of_its_own():
    """An error without a message says its docstring, and each is transient, permanent or
    refused.
    """
    kinds = [
        e for e in vars(errors).values() if isinstance(e, type) and issubclass(e, CarinaTasksError)
    ]
    for kind in kinds:
        assert kind().message
        assert "\n" not in kind().message
        if kind is not CarinaTasksError:
            assert issubclass(kind, errors.TransientError | errors.PermanentError | errors.Refused)


BUSY = Answer(429, {"kind": "Status", "code": 429, "reason": "TooManyRequests"})


def sleeping(monkeypatch):
    """Let the adapter's pauses take no time; return them."""
    slept = []
    fake = SimpleNamespace(sleep=slept.append, monotonic=time.monotonic)
    monkeypatch.setattr(adapter, "time", fake)
    return slept


def busy(after):
    """Make the answer of an API server that lets nothing in for so many seconds."""
    return Answer(429, BUSY.body, {"Retry-After": after})


@pytest.mark.parametrize("verb", ["get", "create", "delete"])
def test_a_request_that_was_not_let_in_is_sent_again(verb, monkeypatch):
    """After as long as the API server asks for, whatever the verb: nothing was done."""
    slept = sleeping(monkeypatch)
    calls = {
        "get": lambda one: one.get("/api/v1/nodes/n1"),
        "create": lambda one: one.create("/api/v1/nodes", {}),
        "delete": lambda one: one.delete("/api/v1/nodes/n1", uid="1"),
    }
    with serving(busy("1"), busy("3600"), Answer(200, {"kind": "Node"})) as (one, script):
        assert calls[verb](one)["kind"] == "Node"
    assert slept == [1.0, adapter.BUSY_LONGEST]
    assert len(script.asked) == 3


@pytest.mark.parametrize("answer", [BUSY, busy("soon"), busy("-1")])
def test_a_busy_server_that_does_not_say_how_long_is_not_asked_again(answer, monkeypatch):
    """The task is tried again, with its own pauses."""
    slept = sleeping(monkeypatch)
    with serving(answer) as (one, script), pytest.raises(ApiUnavailable) as caught:
        one.get("/api/v1/nodes/n1")
    assert (caught.value.facts["status"], len(script.asked), slept) == (429, 1, [])


def test_a_server_that_stays_busy_is_given_up(monkeypatch):
    """A request is tried five times, and the error keeps its status."""
    sleeping(monkeypatch)
    with serving(busy("1")) as (one, script), pytest.raises(ApiUnavailable) as caught:
        one.get("/api/v1/nodes/n1")
    assert caught.value.facts["status"] == 429
    assert len(script.asked) == adapter.BUSY_TRIES


def test_so_many_requests_are_under_way_and_no_more(monkeypatch):
    """A thread that finds no free connection waits for one: a failover of many volumes does not
    become a storm.
    """
    monkeypatch.setattr(adapter, "IN_FLIGHT", 2)
    with serving(Answer(200, {"kind": "Node"}, wait=0.05)) as (one, script):
        with ThreadPoolExecutor(8) as pool:
            done = list(pool.map(lambda _: one.get("/api/v1/nodes/n1"), range(8)))
        pools = one._client.rest_client.pool_manager.pools
        (made,) = [pools[key] for key in pools.keys()]  # noqa: SIM118
        assert made.num_connections <= 2
    assert len(done) == len(script.asked) == 8
