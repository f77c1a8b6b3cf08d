"""Asking nodes: what is sent, how long it is waited for, and what is believed of an answer."""

import ast
import json
import time
import tracemalloc

import fakeredis
import msgspec
import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st
from kombu.exceptions import OperationalError

from carina_tasks.broker.calls import NodeCalls
from carina_tasks.errors import BadAnswer, BadInput, BrokerUnavailable, NodeFailed, NodeSilent
from carina_tasks.model.local import Inventory
from carina_tasks.model.messages import CreateLvs, LvResults, LvToCreate, to_json
from carina_tasks.store.answers import RESULT_KEY, answer_key, new_task_id, read_answer
from tests.builders.app import CONF
from tests.builders.kubernetes import INTENT, done, inventory, local_volume
from tests.builders.redis import away

LIMIT = 16 << 20
TASK = "carina.node.inventory"
RAW = to_json(inventory("n1", local_volume()))


def meta(status="SUCCESS", result=RAW, **more):
    """Make what Celery's backend stores."""
    return json.dumps(
        {"status": status, "result": result, "traceback": None, "children": [], **more}
    ).encode()


def test_a_good_answer_is_read_as_what_it_is():
    """SUCCESS with the inventory of the node that was asked."""
    assert read_answer(meta(), "n1", Inventory, LIMIT) == inventory("n1", local_volume())


@pytest.mark.parametrize("status", ["PENDING", "STARTED", "RETRY", "RECEIVED"])
def test_a_task_that_still_runs_has_no_answer_yet(status):
    """None: look again."""
    assert read_answer(meta(status, None), "n1", Inventory, LIMIT) is None


def test_a_failed_task_is_told_in_one_line():
    """Exception type and message are text and are never built into anything."""
    failure = {
        "exc_type": "LvmFailed",
        "exc_message": ["no such", "group"],
        "exc_module": "carina_tasks.errors",
    }
    with pytest.raises(NodeFailed, match="node n1: LvmFailed: no such group"):
        read_answer(meta("FAILURE", failure), "n1", Inventory, LIMIT)


def test_a_question_that_expired_on_the_node_is_silence():
    """The node came to it too late and did not run it."""
    with pytest.raises(NodeSilent):
        read_answer(meta("REVOKED", None), "n1", Inventory, LIMIT)


LV = RAW["volumes"][0]


def with_volume(**fields):
    """Make an answer whose one volume has other fields."""
    return meta(result={**RAW, "volumes": [{**LV, **fields}]})


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b'"x"',
        b"\x80\x04\x95",
        b"\xff" * 50,
        b'{"status":"\xff","result":{}}',
        b'{"status":"SUCCESS"}',
        b'{"status":5,"result":{}}',
        b'{"status":null,"result":null}',
        b'{"status":"SUCCESS","result":NaN}',
        b'{"status":"SUCCESS","result":' + b"[" * 500_000,
        b'{"status":"FAILURE","result":{"exc_type":"X","exc_message":' + b"[" * 500_000,
        b'{"status":"FAILURE","result":{"exc_type":"X","exc_message":' + b"9" * 5000 + b"}}",
        b'{"status":"FAILURE","result":{"exc_type":"X","exc_message":1e999}}',
        b'{"status":"FAILURE","result":{"exc_type":"X","exc_message":"\xff"}}',
        b'{"status":"FAILURE","result":{"exc_type":"X","exc_message":"\\ud800"}}',
        meta("FAILURE", None),
        meta("FAILURE", {}),
        meta("FAILURE", {"exc_type": ["os", "system"]}),
        meta(result=None),
        meta(result=[]),
        meta(result={**RAW, "node": "n2"}),
        meta(result={**RAW, "node": 5}),
        meta(result={**RAW, "node": "n1\n"}),
        meta(result={**RAW, "more": 1}),
        meta(result={"node": "n1", "volumes": []}),
        meta(result={**RAW, "volumes": {}}),
        with_volume(size=-1),
        with_volume(size="5Gi"),
        with_volume(size=1 << 61),
        with_volume(size=1.5),
        with_volume(name="volume-x; reboot"),
        with_volume(name="--config"),
        with_volume(name="volume-x\n"),
        with_volume(group="../x"),
        with_volume(uuid="x"),
        with_volume(is_open="no"),
        with_volume(tags="x"),
        with_volume(tags=["x"] * 65),
        with_volume(tags=["x" * 1025]),
        with_volume(more=1),
        with_volume(created="now"),
        meta(result={**RAW, "volumes": [LV] * 20_001}),
    ],
)
def test_a_hostile_answer_is_a_bad_answer(data):
    """Nonsense, wrong types, another node's name, depth without end, numbers without end:
    BadAnswer, in few words.
    """
    with pytest.raises(BadAnswer) as caught:
        read_answer(data, "n1", Inventory, LIMIT)
    assert len(caught.value.message) < 400


def test_depth_that_decodes_can_also_be_told():
    """An exception message nested as deep as the decoder takes it makes no other error when it is
    shown.
    """
    for depth in range(1, 1200, 7):
        data = (
            b'{"status":"FAILURE","result":{"exc_type":"X","exc_message":'
            + b"[" * depth
            + b"]" * depth
            + b"}}"
        )
        with pytest.raises((BadAnswer, NodeFailed)):
            read_answer(data, "n1", Inventory, LIMIT)


def test_an_exception_in_disguise_builds_nothing():
    """What AsyncResult would import and call is only text here."""
    evil = {"exc_type": "system", "exc_message": ["touch /tmp/owned"], "exc_module": "os"}
    with pytest.raises(NodeFailed) as caught:
        read_answer(meta("FAILURE", evil, children=[[["x", None], None]]), "n1", Inventory, LIMIT)
    assert type(caught.value) is NodeFailed
    assert caught.value.__cause__ is None


@given(
    st.binary(max_size=200)
    | st.text(max_size=100).map(lambda t: meta("FAILURE", {"exc_type": t, "exc_message": t}))
)
def test_no_bytes_raise_anything_else(data):
    """Any bytes: an answer, none yet, or one of three errors."""
    try:
        read_answer(data, "n1", LvResults, LIMIT)
    except (BadAnswer, NodeFailed, NodeSilent) as exc:
        assert len(exc.message) < 700  # noqa: PT017


class App:
    """A Celery application of which only `send_task` and the result client are used."""

    def __init__(self, answer=None, broken=None):
        """Answer each task with the bytes that `answer` makes of its node."""
        self.sent, self.answer, self.broken = [], answer, broken
        self.client = fakeredis.FakeRedis()
        self.backend, self.conf = self, CONF

    def send_task(self, name, **options):
        """Keep what was sent; store the answer."""
        if self.broken:
            raise self.broken
        self.sent.append((name, options))
        node = options["task_id"].split(":")[0]
        if self.answer and (data := self.answer(node)):
            key = answer_key(options["task_id"])
            # As Celery's backend stores a result.
            self.client.set(key, data)
            self.client.publish(key, data)


def answers(node):
    """Answer as `node` should."""
    return meta(result={**RAW, "node": node})


def asking(app, deadline=0.2, limit=LIMIT):
    """Make the caller."""
    return NodeCalls(app, deadline, limit)


def test_a_question_expires_with_its_deadline_and_names_its_node():
    """To the node's queue only, id `<node>:<uuid>`, and expiring, so that a node that returns later
    does not run it.
    """
    app = App(answers)
    assert asking(app, 45).ask("n1", TASK, None, Inventory, more=8).node == "n1"
    ((name, options),) = app.sent
    assert name == TASK
    assert options["queue"].name == "node.n1"
    assert options["task_id"].startswith("n1:")
    assert options["expires"] == 53
    assert options["args"] == []


def test_a_request_is_sent_as_plain_json():
    """One argument, as the node reads it."""
    app = App(lambda node: meta(result=to_json(LvResults(node=node, volumes=(done(),)))))
    request = CreateLvs(reserve=0, volumes=(LvToCreate("vg", "volume-x", 1, INTENT),))
    asking(app).ask("n1", "carina.volume.create", request, LvResults)
    assert json.loads(json.dumps(app.sent[0][1]["args"])) == json.loads(
        json.dumps([msgspec.to_builtins(request)])
    )


def test_people_can_search_for_what_a_node_was_asked():
    """Node, volumes and reason stand in the header as flat literals; the message itself stays as it
    is.
    """
    app = App(lambda node: meta(result=to_json(LvResults(node=node, volumes=(done(),)))))
    request = CreateLvs(reserve=0, volumes=(LvToCreate("vg", "volume-x", 1 << 30, INTENT),))
    asking(app).ask("n1", "carina.volume.create", request, LvResults)
    options = app.sent[0][1]
    assert ast.literal_eval(options["argsrepr"]) == ("n1",)
    assert ast.literal_eval(options["kwargsrepr"]) == {
        "node": "n1",
        "volumes": "vg/volume-x 1Gi",
        "reason": "their node is lost",
    }
    assert "kwargs" not in options


def test_how_each_question_ended_is_told():
    """An answer and a silence, each by the id of its question."""
    told = []
    app = App(lambda node: answers(node) if node == "n1" else None)
    calls = NodeCalls(
        app,
        0.2,
        LIMIT,
        tell=lambda task_id, answer: told.append((task_id.split(":")[0], type(answer))),
    )
    calls.ask_all({"n1": None, "n2": None}, TASK, Inventory)
    assert sorted(told, key=str) == [("n1", Inventory), ("n2", NodeSilent)]


def test_two_questions_never_share_an_id():
    """Each has a UUID of its own: an old answer is never taken for a new one."""
    app = App(answers)
    for _ in range(2):
        asking(app).ask("n1", TASK, None, Inventory)
    assert app.sent[0][1]["task_id"] != app.sent[1][1]["task_id"]


def test_a_node_that_does_not_answer_is_silent_after_the_deadline():
    """Not before, and not much later."""
    begun = time.monotonic()
    with pytest.raises(NodeSilent, match="n1"):
        asking(App(), 0.2).ask("n1", TASK, None, Inventory)
    assert 0.2 <= time.monotonic() - begun < 2


def test_each_node_has_an_answer_or_a_reason_of_its_own():
    """One answers, one is silent, one lies, one has no name: none delays another."""
    app = App(lambda node: {"n1": answers("n1"), "n3": answers("n1")}.get(node))
    got = asking(app).ask_all(dict.fromkeys(("n1", "n2", "n3", "N 4")), TASK, Inventory)
    assert {node: type(value) for node, value in got.items()} == {
        "n1": Inventory,
        "n2": NodeSilent,
        "n3": BadAnswer,
        "N 4": BadInput,
    }


def test_an_answer_of_500_megabytes_costs_no_more_than_the_limit():
    """Only limit + 1 bytes are ever fetched, and they are refused."""
    limit = 1 << 16

    class Huge(fakeredis.FakeRedis):
        def getrange(self, key, start, end):
            """Be Redis with 500 MB under `key`: give what is asked for, and no more."""
            assert (start, end) == (0, limit)
            return b"x" * (end + 1)

    app = App()
    app.client = Huge()
    tracemalloc.start()
    with pytest.raises(BadAnswer, match="larger than 65536"):
        asking(app, limit=limit).ask("n1", TASK, None, Inventory)
    assert tracemalloc.get_traced_memory()[1] < 4 << 20
    tracemalloc.stop()


def test_an_answer_just_above_the_limit_is_refused_and_one_at_it_is_read():
    """The limit is exact."""
    for extra, error in ((0, None), (-1, BadAnswer)):
        app = App(answers)
        caller = asking(app, limit=len(answers("n1")) + extra)
        if error:
            with pytest.raises(error):
                caller.ask("n1", TASK, None, Inventory)
        else:
            assert caller.ask("n1", TASK, None, Inventory)


@pytest.mark.parametrize(
    "broken", [OperationalError("away"), redis.ConnectionError("away"), OSError("away")]
)
def test_a_broker_that_takes_no_message_is_unavailable(broken):
    """Every library's way to say it becomes one error."""
    with pytest.raises(BrokerUnavailable):
        asking(App(broken=broken)).ask("n1", TASK, None, Inventory)


def test_a_broker_that_goes_away_while_we_wait_is_unavailable():
    """The answer cannot be fetched."""
    app = App()
    app.client = away()
    with pytest.raises(BrokerUnavailable):
        asking(app).ask("n1", TASK, None, Inventory)


def test_the_key_is_what_the_acl_allows():
    """celery-task-meta-<node>:<slot>: a node can write eight answers, however many ids it makes up;
    other tasks have a key each.
    """
    assert RESULT_KEY == "celery-task-meta-"
    assert answer_key("n1:3:0b0e") == "celery-task-meta-n1:3"
    assert answer_key("n1:3:x:y") == "celery-task-meta-n1:3"
    for other in ("0b0e-77", "n1:8:0b0e", "n1:33:0b0e", "n1:0b0e", ":3:0b0e"):
        assert answer_key(other) == "celery-task-meta-" + other


def test_questions_take_turns_in_the_slots():
    """Eight questions in a row have eight keys, and the ninth begins again."""
    app = App()
    ids = [new_task_id(app, "n1") for _ in range(9)]
    assert len({answer_key(one) for one in ids[:8]}) == 8
    assert answer_key(ids[8]) == answer_key(ids[0])
    assert len(set(ids)) == 9


def test_a_late_answer_to_another_question_is_none():
    """What stands in the slot is the answer only when it names the question."""
    mine, other = "n1:0:mine", "n1:0:other"
    data = meta(result=RAW, task_id=other)
    assert read_answer(data, "n1", Inventory, LIMIT, mine) is None
    assert read_answer(data, "n1", Inventory, LIMIT, other) is not None
