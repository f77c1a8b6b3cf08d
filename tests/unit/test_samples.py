"""Two releases beside each other: what an earlier one wrote is read (tests/samples), and what a
later one wrote is left alone, with a reason.
"""

from __future__ import annotations

import base64
import json
import threading
from pathlib import Path
from typing import Any

import fakeredis
import pytest

from carina_tasks import settings
from carina_tasks.celery import make_app
from carina_tasks.enrolment import client
from carina_tasks.enrolment.server import Certificate, Server
from carina_tasks.enrolment.service import Enrolled
from carina_tasks.errors import BadInput, BadObject, NodeFailed
from carina_tasks.flows.failover.resume import resume
from carina_tasks.kube.state import StateMap
from carina_tasks.model import messages, progress, task_names, well_known
from carina_tasks.model.journal import VERSION, Journal
from carina_tasks.model.local import Inventory
from carina_tasks.model.messages import LvResults
from carina_tasks.store import heartbeat
from carina_tasks.store.answers import answer_key, read_answer
from tests.builders import kubernetes as b
from tests.builders.app import app
from tests.builders.flow import FakeApi, FakeNodes, context
from tests.lab.tls import certificates
from tests.samples.record import answering, exchange

RELEASES = sorted(one for one in (Path(__file__).parents[1] / "samples").iterdir() if one.is_dir())
RELEASES = [one for one in RELEASES if (one / "annotations.json").exists()]
REQUESTS = {
    task_names.CREATE_VOLUMES: messages.CreateLvs,
    task_names.MARK_VOLUMES: messages.MarkLvs,
    task_names.REMOVE_VOLUMES: messages.RemoveLvs,
    task_names.PURGE_VOLUMES: messages.PurgeLvs,
    task_names.RESTORE_VOLUME: messages.RestoreLv,
}
OUTCOMES = {"create": "created", "mark": "marked", "remove": "trashed", "restore": "restored"}

releases = pytest.mark.parametrize("release", RELEASES, ids=lambda one: one.name)


def sample(release: Path, name: str) -> Any:
    """Return one file of a release's samples."""
    return json.loads((release / f"{name}.json").read_text())


def test_there_are_samples() -> None:
    """Without a folder every test below would pass."""
    assert RELEASES


@releases
def test_its_journals_are_continued(release: Path) -> None:
    """Each kind, with each field; and the history and progress that people read."""
    found = {}
    for name, notes in sample(release, "annotations").items():
        one = found[name] = Journal.from_json(notes[well_known.JOURNAL])
        assert json.loads(one.to_json()) == json.loads(notes[well_known.JOURNAL])
        assert one.manifest["metadata"]["name"] == "pvc-1"
        history = progress.parse_history(notes[well_known.HISTORY])
        assert [(past.kind, past.target) for past in history] == [(one.kind, one.target)] * 2
        assert progress.waiting_reason(notes[well_known.PROGRESS]) == "node n2 is silent"
    rebuild, back = found["rebuild"], found["failback"]
    assert (rebuild.source_uid, rebuild.together) == ("uid-n1", ("pvc-2", "pvc-3"))
    assert (back.failback, bool(back.copy), back.copy_bytes > 0) == (True, True, True)
    assert (found["given-up"].given_up, found["migrate"].kind) == (True, "migrate")


@releases
def test_what_the_operator_decided_stays(release: Path) -> None:
    """Pause, stop, approval and maintenance, as the ConfigMap holds them."""

    class Api:
        def get(self, path: str) -> Any:
            del path
            return {"data": sample(release, "state")}

    state = StateMap(Api(), "x").read()  # type: ignore[arg-type]
    assert (state.paused, state.approved) == ("racks", frozenset(("n2", "n3")))
    assert state.latched
    (one,) = state.maintenance.values()
    assert (one.node, one.reason, one.error) == ("n1", "new disks", "")
    assert one.until - one.since == 3600


@releases
def test_its_messages_are_taken(release: Path) -> None:
    """From a queue that it filled: each task exists, and takes its arguments."""
    control = make_app(settings.load({}), "control")
    control.loader.import_default_modules()
    found = sample(release, "messages")
    assert REQUESTS.keys() <= found.keys()
    for name, one in found.items():
        message = one["message"]
        args, kwargs, _ = json.loads(base64.b64decode(message["body"]))
        task = control.tasks[name]
        if one["queue"] == "node.n1":
            (body,) = args or [None]
            assert (body is None) == (name == task_names.INVENTORY)
            if body:
                request = messages.read_request(body, REQUESTS[name])
                assert b.VG in messages.describe_request("n1", request)["volumes"]
        else:
            assert one["queue"] == "control"
            task.check(*args, **kwargs)
        assert message["headers"]["expires"], name


@releases
def test_its_answers_are_understood(release: Path) -> None:
    """Of a node worker that is not replaced yet: results, inventories with its tags, a failure."""
    answers = sample(release, "answers")

    def read(name: str, kind: Any) -> Any:
        one = answers[name]
        assert answer_key(one["id"]).startswith("celery-task-meta-n1:")
        return read_answer(one["bytes"].encode(), "n1", kind, 1 << 20, one["id"])

    for name, outcome in OUTCOMES.items():
        assert read(name, LvResults).volumes[0].outcome == outcome
    found = {
        name: read(name, Inventory).volumes[0]
        for name in ("inventory", "inventory-marked", "inventory-trash")
    }
    assert found["inventory"].intent == b.INTENT
    assert found["inventory-marked"].marked_at
    trashed = found["inventory-trash"].trashed
    assert (trashed.name, bool(trashed.at), bool(trashed.why)) == ("volume-pvc-1", True, True)
    with pytest.raises(NodeFailed, match="BadInput"):
        read("failure", LvResults)


@releases
def test_its_heartbeats_count(release: Path) -> None:
    """Every process is seen, with its release."""
    broker = fakeredis.FakeRedis()
    for key, value in sample(release, "heartbeats").items():
        broker.set(key, value)
    found = heartbeat.processes(app(broker))
    assert {one.role for one in found} >= {"node", "control", "node-watch"}
    assert {one.version for one in found} == {release.name}


@releases
def test_it_enrols_with_us_and_we_with_it(release: Path, tmp_path: Path) -> None:
    """Its node worker's request is answered, and our node worker understands its answer."""
    files = certificates(tmp_path / "tls")
    wire = sample(release, "enrolment")
    seen = []

    def enrol(header: str) -> Enrolled:
        seen.append(header)
        return Enrolled("n1", "redis://n1:x@r/0", "1")

    server = Server(0, Certificate(files.certificate, files.key), enrol)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        said = exchange(files.ca, server.server_address[1], wire["request"])
    finally:
        server.shutdown()
        server.server_close()
    assert " 200 " in said.splitlines()[0]
    assert seen == ["Bearer head.claims.signature"]
    (tmp_path / "token").write_text("head.claims.signature")
    with answering(files, wire["answer"].encode()) as (port, _):
        names = {"URL": f"https://localhost:{port}/v1/enrol", "CA": str(files.ca)}
        names["TOKEN_FILE"] = str(tmp_path / "token")
        env = {f"CARINA_TASKS_ENROLMENT_{key}": value for key, value in names.items()}
        url = client.ask(settings.load({"NODE_NAME": "n1", **env}))
    assert url == "redis://n1:secret@redis:6379/0"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"version": VERSION + 1, "checkpoint": "x"}, f"of version {VERSION + 1}.*later release"),
        ({"kind": "clone"}, "does not parse"),
        ({"checkpoint": "x"}, "unknown field `checkpoint`"),
    ],
)
def test_a_journal_of_a_later_release_is_left_alone(change: dict, words: str) -> None:
    """After a rollback, or beside a newer worker: nothing of the volume is touched, and an Event
    says why.
    """
    text = json.dumps(json.loads(b.journal().to_json()) | change)
    with pytest.raises(BadObject, match=words):
        Journal.from_json(text)
    api = FakeApi(b.node("n2"), b.logic_volume(journal=text, on="n2"), b.pv())
    ctx = context(api, FakeNodes(b.inventory("n2")))
    assert resume(ctx).volumes == ()
    assert api.writes() == []
    assert [one["reason"] for one in api.events] == ["JournalUnreadable"]


def test_a_request_of_a_later_release_is_refused() -> None:
    """A node worker does nothing that it understands only in part."""
    create = messages.LvToCreate(b.VG, "volume-pvc-1", 1 << 30, b.INTENT)
    body = messages.to_json(messages.CreateLvs(0, (create,)))
    with pytest.raises(BadInput, match="compress"):
        messages.read_request(body | {"compress": True}, messages.CreateLvs)
