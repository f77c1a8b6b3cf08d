"""Enrolment: who may, with which password, how often, and when a node floods."""

from __future__ import annotations

import http.client
import json
import ssl
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import fakeredis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from carina_tasks import settings
from carina_tasks.enrolment import bounds, client, passwords, verdict
from carina_tasks.enrolment.server import THREADS, Certificate, Server
from carina_tasks.enrolment.service import Enrolled, Enrolment
from carina_tasks.enrolment.waiting import answer_probes
from carina_tasks.errors import (
    ApiDenied,
    ApiUnavailable,
    BadSetting,
    BrokerUnavailable,
    EnrolmentRefused,
    EnrolmentUnavailable,
    NodeFailed,
)
from carina_tasks.model.local import Inventory
from carina_tasks.store.acl_rules import ANSWER_SLOTS, digest
from carina_tasks.store.acl_users import AclUsers
from carina_tasks.store.answers import answer_key, read_answer
from tests.builders.app import app
from tests.lab import ports
from tests.lab.tls import Certificates, certificates

KEY = bytes(range(32))
RULES = verdict.Rules("carina-tasks", "kube-system", "carina-tasks-node")
USER = "system:serviceaccount:kube-system:carina-tasks-node"
HEADER = "Bearer head.claims.signature"


def review(**change: Any) -> verdict.Review:
    """Return what the API server says of a good token, with changes."""
    extra = {"node-name": "n1", "node-uid": "u1", "pod-name": "p1", "pod-uid": "pu1"}
    extra |= change.pop("extra", {})
    found = {verdict.EXTRA + key: (value,) for key, value in extra.items() if value}
    good = {"authenticated": True, "user": USER, "audiences": ("carina-tasks",), "extra": found}
    return verdict.Review(**{**good, **change})


def test_a_node_workers_token_is_admitted() -> None:
    """Audience, account, pod and node are what they must be."""
    who = verdict.identify(review(), RULES)
    assert isinstance(who, verdict.Identified)
    node = verdict.Node("n1", "u1")
    assert verdict.admit(who, "n1", node) == verdict.Admitted(node, "token of pod p1")


@pytest.mark.parametrize(
    ("change", "status", "reason"),
    [
        ({"authenticated": False}, 401, "does not accept"),
        ({"audiences": ()}, 401, "not made for the audience"),
        ({"audiences": ("https://kubernetes.default.svc",)}, 401, "not made for the audience"),
        ({"user": "system:serviceaccount:default:carina-tasks-node"}, 403, "not of"),
        ({"user": "system:serviceaccount:kube-system:default"}, 403, "not of"),
        ({"user": "system:admin"}, 403, "not of"),
        ({"extra": {"pod-name": "", "pod-uid": ""}}, 403, "bound to no pod"),
        ({"extra": {"pod-uid": ""}}, 403, "bound to no pod"),
    ],
)
def test_a_token_that_is_not_a_node_workers(
    change: dict[str, Any], status: int, reason: str
) -> None:
    """Each is refused, with the reason."""
    refused = verdict.identify(review(**change), RULES)
    assert isinstance(refused, verdict.Refused)
    assert refused.status == status
    assert reason in refused.reason


def test_an_extra_field_with_two_values_is_none() -> None:
    """Nothing is guessed."""
    extra = {verdict.EXTRA + "pod-name": ("a", "b"), verdict.EXTRA + "pod-uid": ("u",)}
    assert isinstance(verdict.identify(review(extra={}), RULES), verdict.Identified)
    twice = verdict.Review(True, USER, ("carina-tasks",), extra)
    assert isinstance(verdict.identify(twice, RULES), verdict.Refused)


@pytest.mark.parametrize(
    ("name", "node", "reason"),
    [
        ("n1", None, "does not exist"),
        ("n1", verdict.Node("n2", "u1"), "does not exist"),
        ("n1", verdict.Node("n1", ""), "no UID"),
        ("n1", verdict.Node("n1", "u2"), "an earlier node n1"),
        ("carina-tasks", verdict.Node("carina-tasks", "u1"), "no node's"),
        ("default", verdict.Node("default", "u1"), "no node's"),
        ("n1 +@all", verdict.Node("n1 +@all", "u1"), "not a node name"),
        ("*", verdict.Node("*", "u1"), "not a node name"),
        ("n1\nuser", None, "not a node name"),
        ("", None, "not a node name"),
    ],
)
def test_a_node_that_may_not_enrol(name: str, node: verdict.Node | None, reason: str) -> None:
    """One that is gone, was created again, or whose name is another user's or a pattern."""
    who = verdict.identify(review(), RULES)
    assert isinstance(who, verdict.Identified)
    refused = verdict.admit(who, name, node)
    assert isinstance(refused, verdict.Refused)
    assert refused.status == 403
    assert reason in refused.reason


def test_an_older_api_server_does_not_name_the_node() -> None:
    """Then the pod does, if it is the pod of the token."""
    who = verdict.identify(review(extra={"node-name": "", "node-uid": ""}), RULES)
    assert isinstance(who, verdict.Identified)
    assert verdict.node_of_pod(who, verdict.Pod("p1", "pu1", "n1")) == "n1"
    for pod in (None, verdict.Pod("p1", "other", "n1"), verdict.Pod("p1", "pu1", "")):
        assert isinstance(verdict.node_of_pod(who, pod), verdict.Refused)


@pytest.mark.parametrize(
    "header", ["", "Bearer", "Basic a.b.c", "Bearer a.b", "Bearer a.ö.c", "Bearer a." + "b" * 9000]
)
def test_what_is_no_token_is_never_reviewed(header: str) -> None:
    """Nobody is asked about it."""
    found = verdict.token_of(header)
    assert isinstance(found, verdict.Refused)
    assert found.status == 401


def test_a_password_is_of_one_node_one_uid_and_one_epoch() -> None:
    """Any other one gives another password; the same ones give the same on every replica."""
    mine = passwords.password(KEY, "n1", "u1", "1")
    assert mine == passwords.password(KEY, "n1", "u1", "1")
    others = {
        passwords.password(KEY, "n2", "u1", "1"),
        passwords.password(KEY, "n1", "u2", "1"),
        passwords.password(KEY, "n1", "u1", "2"),
        passwords.password(KEY[::-1], "n1", "u1", "1"),
        passwords.password(KEY, "n1u", "1", "1"),
    }
    assert len(others) == 5
    assert mine not in others
    assert len(mine) == 43
    assert passwords.passwords(KEY, "n1", "u1", ("2", "1"))[1] == mine


@given(st.binary(max_size=31))
def test_a_short_master_key_is_refused(data: bytes) -> None:
    """Below 32 bytes, whatever they are; the message holds none of them."""
    with pytest.raises(BadSetting, match=f"holds {len(data)} bytes"):
        passwords.master_key(data)


def test_a_master_key_of_one_byte_is_refused() -> None:
    """A file of zeroes is no secret; 32 different bytes are one."""
    with pytest.raises(BadSetting):
        passwords.master_key(bytes(64))
    assert passwords.master_key(KEY) == KEY


def test_each_part_of_a_url_gets_the_user() -> None:
    """Several Sentinels, too."""
    assert passwords.url_of("redis://r:6379/0", "n1", "x") == "redis://n1:x@r:6379/0"
    many = passwords.url_of("sentinel://a:1/0;sentinel://b:2/0", "n1", "x")
    assert many == "sentinel://n1:x@a:1/0;sentinel://n1:x@b:2/0"


def test_a_node_floods_above_its_limits_only() -> None:
    """At the limit it does not; one more connection or byte, and it does."""
    limits = bounds.Limits(20, 40 << 20)
    assert isinstance(bounds.judge(20, 40 << 20, limits), bounds.Within)
    assert isinstance(bounds.judge(21, 0, limits), bounds.Floods)
    assert isinstance(bounds.judge(0, (40 << 20) + 1, limits), bounds.Floods)


def _open(
    number: int, user: str, age: float, said: bool = False, source: str = ""
) -> bounds.Connection:
    return bounds.Connection(number, user, age, 0, said, source or f"10.0.0.{number}")


def test_strangers_are_closed_after_ten_seconds() -> None:
    """At once when there are many, of however many addresses; never somebody who has logged in."""
    few = [_open(1, "default", 11), _open(2, "default", 9), _open(3, "n1", 99)]
    assert bounds.strangers(few, default_is_off=True) == bounds.Strangers((1,), {})
    many = [_open(n, "default", 0, said=True) for n in range(101)] + [_open(200, "n1", 99)]
    assert bounds.strangers(many, default_is_off=True).ids == tuple(range(101))
    assert bounds.strangers(many, default_is_off=False).ids == ()


def test_one_address_that_holds_many_connections_loses_them() -> None:
    """It is named, whoever connects from another address at that moment is let be, and neither
    does it hide a flood from many others.
    """
    flood = [_open(n, "default", 0, source="10.0.9.9") for n in range(21)]
    others = [_open(n, "default", 0) for n in range(100, 200)] + [_open(300, "n1", 0)]
    found = bounds.strangers([*flood, *others], default_is_off=True)
    assert found == bounds.Strangers(tuple(range(21)), {"10.0.9.9": 21})
    assert bounds.strangers(flood[1:], default_is_off=True).ids == ()
    more = [*flood, *others, _open(400, "default", 0)]
    assert len(bounds.strangers(more, default_is_off=True).ids) == 21 + 101


def test_a_rate_refills() -> None:
    """Six at once, then one every ten seconds; another node is not concerned."""
    rates = bounds.Rates(6)
    assert [rates.wait("n1", 0.0) for _ in range(6)] == [0.0] * 6
    assert rates.wait("n1", 0.0) == pytest.approx(10.0)
    assert rates.wait("n2", 0.0) == 0.0
    assert rates.wait("n1", 10.0) == 0.0
    assert rates.wait("n1", 10.0) > 0


class _Users:
    """The Redis users, in memory."""

    def __init__(self) -> None:
        self.known: dict[str, tuple[str, ...]] = {}
        self.cut: dict[str, float] = {}
        self.events: list[tuple[str, str]] = []
        self.connections: list[dict[str, str]] = []
        self.sizes: dict[str, int] = {}
        self.closed: list[int] = []
        self.used = 0

    def names(self) -> dict[str, frozenset[str]]:
        return {name: self.digests(secrets) for name, secrets in self.known.items()}

    @staticmethod
    def digests(secrets: Any) -> frozenset[str]:
        return frozenset(digest(one) for one in secrets)

    def put(self, wanted: Any) -> None:
        self.known |= wanted

    def remove(self, node: str) -> None:
        self.known.pop(node)

    def disconnect(self, node: str) -> None:
        self.events.append(("disconnect", node))

    def cut_off(self, node: str, seconds: float, reason: str) -> None:
        self.remove(node)
        self.cut[node] = seconds
        self.events.append(("cut-off", reason))

    def cut_off_for(self, node: str) -> float:
        return self.cut.get(node, 0.0)

    def cut_off_nodes(self, nodes: Any) -> frozenset[str]:
        return frozenset(self.cut) & frozenset(nodes)

    def clients(self) -> list[dict[str, str]]:
        return self.connections

    def close(self, ids: Any) -> None:
        self.closed += ids

    def default_is_off(self) -> bool:
        return True

    def used_memory(self) -> int:
        return self.used

    def memory(self, nodes: Any) -> dict[str, int]:
        return {node: self.sizes.get(node, 0) for node in nodes}


class _Api:
    """The API server, in memory."""

    def __init__(self) -> None:
        self.found: verdict.Review | Exception = review()
        self.known = {"n1": "u1"}
        self.asked: list[str] = []

    def review(self, token: str) -> verdict.Review:
        self.asked.append(token)
        if isinstance(self.found, Exception):
            raise self.found
        return self.found

    def node(self, name: str) -> verdict.Node | None:
        return verdict.Node(name, self.known[name]) if name in self.known else None

    def nodes(self) -> dict[str, str]:
        return self.known

    def pod(self, name: str) -> verdict.Pod | None:
        return None


def service(**values: str) -> tuple[Enrolment, _Api, _Users, list[Any]]:
    """Make the service with everything in memory."""
    conf = settings.load(
        {
            "CARINA_TASKS_ENROLMENT_BROKER_URL": "redis://r:6379/0",
            **{f"CARINA_TASKS_{key.upper()}": value for key, value in values.items()},
        }
    )
    api, users, said = _Api(), _Users(), []
    audit = SimpleNamespace(
        noted=lambda *a, **f: said.append((*a, f)), warn=lambda *a, **f: said.append((*a, f))
    )
    now = iter(range(10_000))
    made = Enrolment(conf, KEY, api, users, audit, clock=lambda: float(next(now)))  # type: ignore[arg-type]
    return made, api, users, said


def test_enrolling_makes_the_user_and_says_so() -> None:
    """The answer holds the URL; the audit record holds no password."""
    made, _, users, said = service(enrolment_epochs="2,1")
    found = made.enrol(HEADER)
    assert isinstance(found, Enrolled)
    secrets = passwords.passwords(KEY, "n1", "u1", ("2", "1"))
    assert users.known == {"n1": secrets}
    assert found.url == f"redis://n1:{secrets[0]}@r:6379/0"
    assert "enrol-node" in str(said)
    assert secrets[0] not in str(said)
    assert secrets[0] not in repr(said)


def test_a_refused_token_makes_no_user() -> None:
    """And what is no token is not even reviewed."""
    made, api, users, _ = service()
    api.found = review(audiences=())
    assert made.enrol(HEADER).status == 401  # type: ignore[union-attr]
    assert made.enrol("Bearer x").status == 401  # type: ignore[union-attr]
    assert (users.known, len(api.asked)) == ({}, 1)


@pytest.mark.parametrize("error", [ApiUnavailable("away"), ApiDenied("no"), BrokerUnavailable("x")])
def test_what_cannot_be_asked_is_no_refusal(error: Exception) -> None:
    """503: the worker asks again. The reason tells a stranger nothing of the inside."""
    made, api, _, _ = service()
    api.found = error
    found = made.enrol(HEADER)
    assert isinstance(found, verdict.Refused)
    assert (found.status, found.outcome) == (503, "unavailable")
    assert found.retry_after
    assert str(error) not in found.reason


def test_a_node_that_asks_too_often_waits() -> None:
    """429 with the seconds; a node that was cut off, too."""
    made, _, users, _ = service(enrolment_rate="1")
    assert isinstance(made.enrol(HEADER), Enrolled)
    again = made.enrol(HEADER)
    assert isinstance(again, verdict.Refused)
    assert (again.status, again.outcome) == (429, "limited")
    users.cut["n1"] = 300.0
    cut = made.enrol(HEADER)
    assert isinstance(cut, verdict.Refused)
    assert (cut.outcome, cut.retry_after) == ("cut-off", 300)


def test_an_emptied_redis_is_refilled() -> None:
    """Every node has its user again, one that is cut off has not; the user of a node that is gone
    is removed.
    """
    made, api, users, _ = service()
    api.known = {"n1": "u1", "n2": "u2", "bad name": "u3", "carina-tasks": "u4", "cut": "u5"}
    users.known = {"gone": ("x",)}
    users.cut["cut"] = 9.0
    made.reconcile()
    assert users.known == {
        "n1": passwords.passwords(KEY, "n1", "u1", ("1",)),
        "n2": passwords.passwords(KEY, "n2", "u2", ("1",)),
    }
    assert users.events == []


def test_a_node_created_again_shuts_the_old_one_out() -> None:
    """Its old password is not valid any more, and who is connected with it is thrown out. A newer
    epoch that is added throws nobody out.
    """
    made, _, users, _ = service()
    users.known = {"n1": passwords.passwords(KEY, "n1", "before", ("1",))}
    made.reconcile()
    assert users.events == [("disconnect", "n1")]
    newer, _, _, _ = service(enrolment_epochs="2,1")
    newer._users, users.events = users, []  # type: ignore[assignment]
    newer.reconcile()
    assert users.events == []
    assert len(users.known["n1"]) == 2


def test_no_user_is_removed_when_no_node_is_listed() -> None:
    """A cluster without nodes runs no service: the list is wrong."""
    made, api, users, _ = service()
    api.known, users.known = {}, {"n1": ("x",)}
    made.reconcile()
    assert users.known == {"n1": ("x",)}


def test_a_flooding_node_is_cut_off() -> None:
    """By its connections, or by the memory of its keys and connections together; another is not."""
    made, _, users, said = service(node_memory="10Mi", node_connections="4")
    users.known = {"n1": ("x",), "n2": ("y",), "n3": ("z",)}
    users.sizes = {"n1": 6 << 20, "n2": 6 << 20}
    users.connections = [
        {"id": "1", "user": "n1", "age": "1", "tot-mem": str(5 << 20), "cmd": "setex"},
        {"id": "2", "user": "n2", "age": "1", "tot-mem": "20000", "cmd": "setex"},
        {"id": "3", "user": "default", "age": "60", "tot-mem": "20000", "cmd": "ping"},
        *({"id": str(n), "user": "n3", "age": "1"} for n in range(10, 15)),
    ]
    made.supervise()
    assert set(users.known) == {"n2"}
    assert users.closed == [3]
    assert [reason for what, reason in users.events if what == "cut-off"] == [
        "11 MiB of Redis' memory, and 10 MiB are allowed",
        "5 connections, and 4 are allowed",
    ]
    assert [one[1] for one in said] == ["NodeCutOff"] * 2


def test_who_waits_for_a_node_that_is_cut_off_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """In every slot: a failover would wait for its whole deadline otherwise."""
    client = fakeredis.FakeRedis()
    users = AclUsers(app(client))
    # Its commands of the ACL are shown on a real Redis by tests/system.
    monkeypatch.setattr(users, "remove", lambda node: None)
    users.cut_off("n1", 600, "21 connections")
    assert users.cut_off_for("n1") > 590
    for slot in range(ANSWER_SLOTS):
        question = f"n1:{slot}:0123"
        data = client.get(answer_key(question))
        with pytest.raises(NodeFailed, match="NodeCutOff: 21 connections"):
            read_answer(data, "n1", Inventory, 1 << 20, question)
        assert 0 < client.ttl(answer_key(question)) <= 60


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """Make a certificate."""
    return certificates(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def serving(files: Certificates) -> Iterator[tuple[Server, list[Any]]]:
    """Serve what a list holds."""
    answers: list[Any] = []
    server = Server(0, Certificate(files.certificate, files.key), lambda _: answers[0])
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}).start()
    yield server, answers
    server.shutdown()
    server.server_close()


def node_settings(server: Server, files: Certificates, token: str) -> settings.Settings:
    """Return the settings of a node worker that enrols there."""
    return settings.load(
        {
            "NODE_NAME": "n1",
            "CARINA_TASKS_ENROLMENT_URL": f"https://localhost:{server.server_address[1]}/v1/enrol",
            "CARINA_TASKS_ENROLMENT_CA": str(files.ca),
            "CARINA_TASKS_ENROLMENT_TOKEN_FILE": token,
        }
    )


def test_the_client_gets_what_the_server_answers(
    serving: tuple[Server, list[Any]], files: Certificates, tmp_path: Any
) -> None:
    """A URL, a refusal with its reason, and "not now", over TLS."""
    server, answers = serving
    (tmp_path / "token").write_text("a.b.c\n")
    conf = node_settings(server, files, str(tmp_path / "token"))
    answers[:] = [Enrolled("n1", "redis://n1:x@r/0", "1")]
    assert client.ask(conf) == "redis://n1:x@r/0"
    answers[:] = [verdict.forbidden("the node does not exist")]
    with pytest.raises(EnrolmentRefused, match="the node does not exist"):
        client.ask(conf)
    answers[:] = [verdict.Refused(503, "unavailable", "try again", 5)]
    with pytest.raises(EnrolmentUnavailable, match="try again"):
        client.ask(conf)


def test_the_client_trusts_its_authority_only(
    serving: tuple[Server, list[Any]], files: Certificates, tmp_path: Any
) -> None:
    """Without it no token is sent; and a token that is not there is said."""
    server, _ = serving
    (tmp_path / "token").write_text("a.b.c")
    other = certificates(tmp_path / "other")
    with pytest.raises(EnrolmentUnavailable, match="CERTIFICATE_VERIFY_FAILED"):
        client.ask(node_settings(server, other, str(tmp_path / "token")))
    with pytest.raises(EnrolmentUnavailable, match="No such file"):
        client.ask(node_settings(server, files, str(tmp_path / "none")))


def test_a_worker_that_waits_lives_and_is_not_ready(
    serving: tuple[Server, list[Any]], files: Certificates, tmp_path: Any
) -> None:
    """Its liveness probe passes however long enrolment takes, readiness says why it waits, and the
    port is free for the worker afterwards.
    """
    server, answers = serving
    answers[:] = [verdict.forbidden("the node does not exist")]
    (tmp_path / "token").write_text("a.b.c")
    (port,) = ports.free(1)
    conf = replace(node_settings(server, files, str(tmp_path / "token")), metrics_port=port)
    seen = []

    def probe(_: float) -> None:
        for path in ("/livez", "/readyz", "/metrics"):
            link = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
            link.request("GET", path)
            response = link.getresponse()
            seen.append((path, response.status, response.read().decode()))
            link.close()
        answers[:] = [Enrolled("n1", "redis://n1:x@r/0", "1")]

    assert client.wait_for_url(conf, probe)
    assert [one[:2] for one in seen] == [("/livez", 200), ("/readyz", 503), ("/metrics", 503)]
    assert "the node does not exist" in seen[1][2]
    with answer_probes(port), pytest.raises(BadSetting, match=f"port {port} cannot be had"):
        client.wait_for_url(conf, probe)


def test_idle_connections_do_not_stop_the_server(
    serving: tuple[Server, list[Any]], files: Certificates, monkeypatch: Any, tmp_path: Any
) -> None:
    """More sockets than threads, which say nothing: they are closed at their deadline."""
    import socket

    monkeypatch.setattr("carina_tasks.enrolment.server.DEADLINE", 0.5)
    server, answers = serving
    answers[:] = [Enrolled("n1", "redis://n1:x@r/0", "1")]
    address = ("127.0.0.1", server.server_address[1])
    held = [socket.create_connection(address) for _ in range(2 * THREADS)]
    (tmp_path / "token").write_text("a.b.c")
    begun = time.monotonic()
    assert client.wait_for_url(
        node_settings(server, files, str(tmp_path / "token")), lambda _: time.sleep(0.1)
    )
    assert time.monotonic() - begun < 5
    for one in held:
        one.close()


def test_a_renewed_certificate_is_shown(tmp_path: Any) -> None:
    """Read again when the files change; kept while the new ones do not belong together."""
    files = certificates(tmp_path / "a")
    shown = Certificate(files.certificate, files.key)
    first = shown.context()
    assert shown.context() is first
    newer = certificates(tmp_path / "b")
    files.certificate.write_bytes(newer.certificate.read_bytes())
    assert shown.context() is first
    files.key.write_bytes(newer.key.read_bytes())
    second = shown.context()
    assert second is not first
    with pytest.raises(BadSetting, match="cannot be used"):
        Certificate(tmp_path / "none", files.key)


def test_other_requests_have_other_answers(
    serving: tuple[Server, list[Any]], files: Certificates
) -> None:
    """A GET, another path, a body."""
    server, _ = serving
    context = ssl.create_default_context(cafile=str(files.ca))

    def send(method: str, path: str, body: bytes | None = None) -> tuple[int, str]:
        link = http.client.HTTPSConnection("localhost", server.server_address[1], context=context)
        link.request(method, path, body)
        response = link.getresponse()
        return response.status, json.loads(response.read())["reason"]

    assert send("GET", "/v1/enrol")[0] == 405
    assert send("POST", "/")[0] == 404
    assert send("POST", "/v1/enrol", b"{}")[0] == 413


class _Clock:
    """A clock that a test moves."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_rejected_worker_enrols_again_with_pauses(monkeypatch: Any) -> None:
    """Not at each heartbeat; and with another password it begins again, once."""
    asked: list[float] = []
    answers: list[Any] = [EnrolmentUnavailable("away"), "redis://r/0", "redis://n1:new@r/0"]
    clock, ended = _Clock(), []

    def ask(conf: Any) -> str:
        asked.append(clock.now)
        found = answers.pop(0)
        if isinstance(found, Exception):
            raise found
        return str(found)

    monkeypatch.setattr(client, "ask", ask)
    conf = settings.load({"CARINA_TASKS_BROKER_URL": "redis://r/0"})
    renewal = client.Renewal(conf, clock, lambda: ended.append(clock.now))
    for second in range(10):
        clock.now = float(second)
        renewal.rejected()
    assert asked == [0.0, 1.0, 3.0]
    assert ended == [3.0]


def test_a_wrong_url_is_not_shown() -> None:
    """The message names the variable, and not the password in it."""
    with pytest.raises(BadSetting, match="CARINA_TASKS_ENROLMENT_BROKER_URL") as caught:
        settings.load({"CARINA_TASKS_ENROLMENT_BROKER_URL": "redis://user:hidden@r/0"})
    assert "hidden" not in caught.value.message


def test_keys_are_measured_when_redis_has_grown() -> None:
    """Since it was smallest: a flood that fills what others gave back is seen at once. Else they
    are measured every 30 s.
    """
    made, _, users, _ = service()
    asked: list[int] = []
    users.memory = lambda nodes: asked.append(users.used) or {}  # type: ignore[method-assign, func-returns-value]
    for used in (100, 100, 10, 90, 91, 99):
        users.used = used << 20
        made.supervise()
    assert asked == [100 << 20, 90 << 20, 99 << 20]


def test_settings_that_go_with_the_url_wait_for_it() -> None:
    """A worker that enrols for a Redis with TLS has its authority, and no URL yet."""
    enrols = {
        "NODE_NAME": "n1",
        "CARINA_TASKS_ENROLMENT_URL": "https://e/v1/enrol",
        "CARINA_TASKS_BROKER_CA": "/ca.pem",
    }
    conf = client.settings_to_enrol(enrols)
    assert conf is not None
    assert (conf.node_name, conf.enrolment_url) == ("n1", "https://e/v1/enrol")
    given = enrols | {"CARINA_TASKS_BROKER_URL": "rediss://n1:x@r/0"}
    assert client.settings_to_enrol(given) is None
    assert client.settings_to_enrol({"NODE_NAME": "n1"}) is None
    assert settings.load(given).broker_ca == "/ca.pem"
