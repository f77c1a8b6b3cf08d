"""Is everything there that failover needs? Each check in its good and its bad state, and what a
process says of itself.
"""

from pathlib import Path

import fakeredis
import msgspec
import pytest
import yaml
from msgspec import structs

from carina_tasks.decisions import doctor
from carina_tasks.decisions.carina_failover import FailoverUnknown
from carina_tasks.errors import BrokerUnavailable
from carina_tasks.flows.report.doctor import examine
from carina_tasks.flows.sweeps.results import Swept
from carina_tasks.kube import rights
from carina_tasks.kube.rights import REVIEWS, Right
from carina_tasks.model.process import Process
from carina_tasks.settings import load
from carina_tasks.store import heartbeat
from carina_tasks.store.heartbeat import KEY, LARGEST, OTHERS, processes
from carina_tasks.store.server_info import BrokerInfo
from tests.builders import kubernetes as b
from tests.builders.app import app
from tests.builders.flow import FakeApi, FakeNodes, context
from tests.builders.redis import away

HERE = Process("control", "here", "0.1.0", "5.7", "7")
ALL = [
    Process("control", "c", "0.1.0"),
    Process("beat", "b", "0.1.0"),
    Process("node-watch", "w", "0.1.0"),
    Process("node", "n1", "0.1.0", at=b.NOW, profile="sealed"),
]
GOOD = BrokerInfo(
    "Redis 7",
    0.001,
    b.NOW,
    "noeviction",
    1 << 20,
    256 << 20,
    "none",
    "carina-tasks",
    stranger="refused",
)


def started(seconds):
    """Return a good broker that started so long ago."""
    return msgspec.structs.replace(GOOD, runs=seconds)


class Api(FakeApi):
    """A cluster with Carina installed, that answers access reviews: no for what stands in
    `denied`.
    """

    def __init__(self, *raws, denied=()):
        super().__init__(*raws)
        self.denied = denied
        self.host = "https://api"

    def read(self, path):
        """Answer /version too."""
        return ({"gitVersion": "v1.34"}, b.NOW) if path == "/version" else super().read(path)

    def get(self, path, query=None):
        """Answer discovery too."""
        kinds = {
            "/apis/carina.storage.io/v1": "logicvolumes",
            "/apis/carina.storage.io/v1beta1": "nodestorageresources",
        }
        if path in kinds:
            return {"resources": [{"name": kinds[path]}, {"name": f"{kinds[path]}/status"}]}
        return super().get(path, query)

    def create(self, path, body):
        """Answer access reviews too."""
        if not path.startswith(REVIEWS):
            return super().create(path, body)
        asked = body["spec"]["resourceAttributes"]
        return {
            "status": {
                "allowed": (asked["resource"], asked["verb"], body["spec"].get("user", ""))
                not in self.denied
            }
        }


@pytest.fixture(autouse=True)
def this_machine(monkeypatch):
    """Let this machine's clock be the API server's."""
    monkeypatch.setattr("carina_tasks.flows.report.doctor.time.time", lambda: b.NOW)


def run(api=None, broker=GOOD, found=ALL, swept=b.NOW - 60):
    """Return area, verdict and finding of every check that is not OK."""
    ctx = context(api or Api(b.node("n1")), FakeNodes())
    for name in ("local", "logic"):
        ctx.latest_results.keep(f"sweep.{name}_volumes", Swept(int(swept)), 1)
    ctx.published.write({"written": b.at(b.NOW - 9)})
    return [c for c in examine(ctx, HERE, broker, found) if c.verdict != "OK"]


def test_all_is_well():
    """Nothing to do on a cluster that has everything; no false alarm wakes anybody."""
    assert run() == []


def controller(name="carina-csi-controller"):
    """Make the pod of Carina's own controller."""
    raw = b.pod("carina-controller-0")
    raw["spec"] |= {
        "serviceAccountName": name,
        "containers": [{"name": "x", "image": "carina/carina-controller:0.14"}],
    }
    return raw


ACCOUNT = "system:serviceaccount:default:carina-csi-controller"


@pytest.mark.parametrize(
    ("change", "verdict", "words"),
    [
        ({"broker": BrokerUnavailable("nobody there")}, "FAIL", "nobody there"),
        ({"broker": msgspec.structs.replace(GOOD, eviction="allkeys-lru")}, "WARN", "allkeys-lru"),
        (
            {"broker": msgspec.structs.replace(GOOD, used=255 << 20)},
            "FAIL",
            "uses 255Mi of 256Mi",
        ),
        (
            {"broker": msgspec.structs.replace(GOOD, stranger="let in")},
            "FAIL",
            "without a password",
        ),
        ({"broker": msgspec.structs.replace(GOOD, user="default")}, "WARN", "user `default`"),
        (
            {"broker": msgspec.structs.replace(GOOD, clock=b.NOW - 30)},
            "WARN",
            "the broker is 29 s behind",
        ),
        ({"found": ALL[1:]}, "FAIL", "nothing is decided"),
        ({"found": [ALL[0], *ALL[2:]]}, "FAIL", "no sweep and no resume"),
        ({"found": [*ALL[:2], ALL[3]]}, "WARN", "found by resume"),
        ({"found": ALL[:3]}, "FAIL", "silent on 1 of 1 nodes: n1"),
        ({"found": [*ALL, Process("node", "n9", "0.1.0")]}, "WARN", "does not know: n9"),
        (
            {"found": [*ALL[:3], msgspec.structs.replace(ALL[3], at=b.NOW + 120)]},
            "FAIL",
            "node n1 is 114 s ahead",
        ),
        (
            {"found": [*ALL[:3], msgspec.structs.replace(ALL[3], version="0.0.9")]},
            "WARN",
            "0.0.9: node n1; this is 0.1.0",
        ),
        (
            {
                "found": [
                    msgspec.structs.replace(ALL[0], settings={"CARINA_TASKS_RESERVE": "7"}),
                    *ALL[1:],
                ]
            },
            "WARN",
            "RESERVE",
        ),
        ({"found": ALL[:1], "broker": started(5)}, "WARN", "started only 5s ago"),
        ({"found": ALL[:1], "broker": started(59)}, "WARN", "no sweep and no resume"),
        ({"found": ALL[:1], "broker": started(60)}, "FAIL", "no sweep and no resume"),
        ({"found": ALL[:3], "broker": started(59)}, "WARN", "silent on 1 of 1 nodes: n1"),
        ({"found": ALL[:3], "broker": started(60)}, "FAIL", "silent on 1 of 1 nodes: n1"),
        ({"swept": b.NOW - 3600}, "WARN", "60m ago"),
        (
            {"api": Api(b.node("n1"), denied=[("pods", "delete", "")])},
            "FAIL",
            "may not delete pods",
        ),
        (
            {"api": Api(b.node("n1"), controller())},
            "WARN",
            "may delete pods, delete persistentvolumeclaims, create",
        ),
    ],
)
def test_what_is_wrong_is_found(change, verdict, words):
    """Each with its verdict, in words that say what it means, and with something to type."""
    found = [check for check in run(**change) if words in check.finding]
    assert [check.verdict for check in found][:1] == [verdict], run(**change)
    assert found[0].do


def test_carinas_controller_without_its_verbs_is_well():
    """What docs/carina.md asks for on older clusters is what doctor looks for."""
    denied = [
        (resource, verb, ACCOUNT)
        for resource, verb in (
            ("pods", "delete"),
            ("persistentvolumeclaims", "delete"),
            ("persistentvolumeclaims", "create"),
        )
    ]
    assert run(Api(b.node("n1"), controller(), denied=denied)) == []


def test_what_cannot_be_asked_is_no_ok():
    """Without the right to ask for others the verdict is WARN, with the commands for a user who has
    it.
    """
    check = doctor.carinas_failover(ACCOUNT, FailoverUnknown("cannot be asked"))
    assert check.verdict == "WARN"
    assert f"kubectl auth can-i delete pods --as={ACCOUNT}" in check.do


def test_a_paused_system_is_said_to_be_paused():
    """It is the answer to "why does nothing happen"."""
    api = Api(b.node("n1"))
    context(api, FakeNodes()).state.write(paused="racks")
    assert [check.finding for check in run(api)] == ["paused: racks"]


def test_the_rights_are_those_of_the_manifest():
    """deploy/rbac.yaml and the table that doctor goes by are the same."""
    text = (Path(__file__).parents[2] / "deploy" / "rbac.yaml").read_text()
    granted = set()
    for role in yaml.safe_load_all(text):
        name = role["metadata"]["name"]
        others = ("carina-tasks-node-watch", "carina-tasks-view")
        if not role["kind"].endswith("Role") or name in others:
            continue
        release = dict.fromkeys(("carina-tasks-state", "carina-tasks-status"), "kube-system")
        namespace = release.get(name, role["metadata"].get("namespace", ""))
        granted |= {
            Right(group, resource, verb, namespace, name)
            for rule in role["rules"]
            for group in rule["apiGroups"]
            for resource in rule["resources"]
            for verb in rule["verbs"]
            for name in rule.get("resourceNames", [""])
        }
    assert set(rights.needed("kube-system")) == granted


# --- heartbeats ---


def test_each_process_says_who_it_is():
    """Role and name are those of the key, whatever the value says: a node can write only its
    own.
    """
    client = fakeredis.FakeRedis()
    client.set(f"{KEY}n1", msgspec.json.encode(Process("control", "boss", "9.9")))
    client.set(f"{OTHERS}beat.host.example", msgspec.json.encode(Process("beat", "x")))
    assert [(p.role, p.name) for p in processes(app(client))] == [
        ("node", "n1"),
        ("beat", "host.example"),
    ]


@pytest.mark.parametrize(
    "value",
    [
        b"1",
        b"{",
        b"\xff",
        b"[]",
        b"[" * 100_000,
        b'{"role": "king", "name": "x"}',
        b"x" * (LARGEST + 9),
        b'{"role":"node","name":"n","settings":{"a":"' + b"x" * 999 + b'"}}',
    ],
)
def test_a_sign_that_says_nothing_is_a_sign(value):
    """An older release's, or hostile: the node lives, and nothing else is believed."""
    client = fakeredis.FakeRedis()
    client.set(f"{KEY}n1", value)
    assert processes(app(client)) == [Process("node", "n1")]


def test_no_password_is_in_a_sign_of_life():
    """The broker's URL holds one, and every node may be read by Flower."""
    conf = load(
        {
            "CARINA_TASKS_BROKER_URL": "redis://u:secret@h/0",
            "CARINA_TASKS_RESERVE": "7Gi",
            "NODE_NAME": "n1",
        }
    )
    said = heartbeat.process("node", conf)
    assert "secret" not in msgspec.json.encode(said).decode()
    assert said.settings == {"CARINA_TASKS_RESERVE": str(7 << 30)}


def test_beat_lives_from_its_start_and_as_long_as_it_publishes():
    """A beat that hangs gives no sign: its process alone is no use to anybody. One that has just
    started has nothing to publish for half a minute, and is seen all the same.
    """
    from celery.signals import after_task_publish

    client = fakeredis.FakeRedis()
    before = list(after_task_publish.receivers)
    heartbeat.beat_is_alive(app(client), load({}))
    try:
        assert [p.role for p in processes(app(client))] == ["beat"]
        client.flushall()
        after_task_publish.send(sender="carina.failover.resume")
        assert [p.role for p in processes(app(client))] == ["beat"]
        assert all(0 < client.ttl(key) <= heartbeat.BEAT_TTL for key in client.scan_iter())
    finally:
        after_task_publish.receivers[:] = before


def test_no_broker_is_an_error():
    """And no empty list, from which everybody would look dead."""
    with pytest.raises(BrokerUnavailable):
        processes(app(away()))


def test_it_is_said_whose_clocks_are_right():
    """By name when they are few, else how many."""
    few, many = (
        {"the broker": 100.0, "this machine": 101.0},
        {f"node n{i}": 100.0 for i in range(4)},
    )
    assert [doctor.clocks(100.0, some, 1.0)[0].finding.split(":")[0] for some in (few, many)] == [
        "the broker and this machine",
        "4 processes",
    ]


@pytest.mark.parametrize(
    ("broker", "found", "verdict", "words"),
    [
        (structs.replace(GOOD, used=200 << 20), ALL, "WARN", "uses 200Mi of 256Mi"),
        (structs.replace(GOOD, used=240 << 20), ALL, "FAIL", "uses 240Mi of 256Mi"),
        (structs.replace(GOOD, role="slave"), ALL, "FAIL", "is a replica"),
        (
            structs.replace(GOOD, database=1, others=(0,)),
            [],
            "FAIL",
            "database 1 has no process of carina-tasks, and database 0 has",
        ),
    ],
)
def test_a_broker_that_cannot_work_fails(broker, found, verdict, words):
    """Close to its limit, a replica, or another database than the nodes': named, with what to
    do.
    """
    (check,) = [c for c in run(broker=broker, found=found) if words in c.finding]
    assert (check.verdict, bool(check.do)) == (verdict, True)


@pytest.mark.parametrize(
    ("tls", "verified", "left", "verdict", "words"),
    [
        ("", "full", None, "OK", "not encrypted"),
        ("TLSv1.3", "full", 90, "OK", "valid until"),
        ("TLSv1.3", "full", None, "OK", "are verified"),
        ("TLSv1.3", "full", 13, "WARN", "ends on"),
        ("TLSv1.3", "authority", 90, "WARN", "host name is not verified"),
        ("TLSv1.3", "none", None, "WARN", "certificate is not verified"),
    ],
)
def test_the_connection_to_the_broker_is_judged(tls, verified, left, verdict, words):
    """A certificate that ends within two weeks, and one that nobody verifies, are a warning."""
    ends = None if left is None else b.NOW + left * 86400
    check = doctor.connection(tls, verified, ends, b.NOW)
    assert check.verdict == verdict
    assert words in check.finding
    assert bool(check.do) == (verdict != "OK")
