"""A real control worker is lied to by a node: it survives, reports it, stays small, and nothing
comes
of the lies.
"""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from carina_tasks.demo.acts.scene import wait_out_the_schedule
from carina_tasks.kube import paths
from carina_tasks.store.answers import answer_key
from tests.integration.embedded import GIB, ONE, THREE, TWO, Embedded

MIB = 1 << 20
HUGE = 500 * MIB
MAY_GROW = 120 * MIB
"""An answer that is read may have 16 MiB, and it is there twice for a moment; the rest is Python's
own.
"""
Answer = bytes | Callable[["redis.Redis[bytes]", str], Any]


def _meta(status: str, result: Any, **more: Any) -> bytes:
    return json.dumps(
        {"status": status, "result": result, "traceback": None, "children": [], **more}
    ).encode()


def _disguise(name: str, module: str, *message: Any) -> bytes:
    return _meta("FAILURE", {"exc_type": name, "exc_module": module, "exc_message": list(message)})


EMPTY = {"node": ONE, "groups": [], "volumes": []}
LIES: dict[str, Answer] = {
    "500 MiB": lambda server, key: server.setrange(key, HUGE, b"x"),
    "16 MiB of a message": _disguise("LvmFailed", "carina_tasks.errors", "x" * (15 * MIB)),
    "4 MiB of empty lists": b'{"status":"SUCCESS","result":[' + b"[]," * (4 * MIB // 3) + b"[]]}",
    "depth without end": b'{"status":"SUCCESS","result":' + b"[" * MIB,
    "no JSON": b"\x80\x04\x95boom",
    "no UTF-8": b'{"status":"SUCCESS","result":"\xff\xfe"}',
    "nothing of a task": b"[]",
    "wrong types": _meta("SUCCESS", {"node": 1, "groups": "x", "volumes": None}),
    "another node's inventory": _meta("SUCCESS", {**EMPTY, "node": TWO}),
    "an exception that ends processes": _disguise("SystemExit", "builtins", 0),
    "an exception of another module": _disguise("system", "os", "touch /tmp/owned"),
    "children without end": _meta(
        "SUCCESS", {**EMPTY, "more": 1}, children=[[["x", None], None]] * 10_000
    ),
    "another kind of key": lambda server, key: server.lpush(key, b"x"),
}


class Impostor(threading.Thread):
    """Stands where the worker of a node was, and answers whatever it is asked with `lie`."""

    def __init__(self, port: int, node: str) -> None:
        super().__init__(daemon=True)
        self.lie: Answer = b""
        self.asked: list[str] = []
        self._node, self._server, self._ended = node, redis.Redis(port=port), threading.Event()
        self._sign = self._server.get(f"alive.{node}") or b"{}"

    def run(self) -> None:
        """Beat the heart, take questions, lie."""
        while not self._ended.is_set():
            self._server.set(f"alive.{self._node}", self._sign, ex=5)
            taken: Any = self._server.brpop([f"node.{self._node}"], timeout=0.2)
            if taken is None:
                continue
            headers = json.loads(taken[1])["headers"]
            self.asked.append(headers["task"])
            key = answer_key(headers["id"])
            self._server.delete(key)
            if isinstance(self.lie, bytes):
                self._server.set(key, self.lie, ex=60)
            else:
                self.lie(self._server, key)
                self._server.expire(key, 30)

    def stop(self) -> None:
        """End the thread and forget what it left."""
        self._ended.set()
        self.join()
        self._server.delete(
            f"alive.{self._node}", *self._server.keys(f"celery-task-meta-{self._node}:*")
        )
        self._server.close()


@contextlib.contextmanager
def _impostor(embedded: Embedded, node: str) -> Iterator[Impostor]:
    stage = embedded.stage
    impostor = Impostor(int(stage.broker_url.split(":")[2].split("/")[0]), node)
    stage.worker(node).kill()
    impostor.start()
    try:
        yield impostor
    finally:
        impostor.stop()
        stage.power_off(node)
        stage.power_on(node)
        stage.wait_ready()


def _peak(embedded: Embedded) -> int:
    """Return the most bytes that the control worker ever had."""
    status = Path(f"/proc/{embedded.processes['control'].popen.pid}/status").read_text()
    return next(
        int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM")
    )


@pytest.fixture(autouse=True)
def _between_two_sweeps() -> None:
    wait_out_the_schedule(60)


def test_a_control_worker_survives_every_lie(
    embedded: Embedded, capsys: pytest.CaptureFixture[str]
) -> None:
    """Sweeps with each lie: the node is named with its reason, the others are swept, the worker
    lives and stays small.
    """
    owned = embedded.volume("data", ONE)
    embedded.nodes[TWO].create("volume-pvc-orphan", GIB)
    worker = embedded.processes["control"]
    embedded.sweep()
    before = _peak(embedded)
    with _impostor(embedded, ONE) as impostor:
        for what, lie in LIES.items():
            impostor.lie, asked = lie, len(impostor.asked)
            swept = embedded.sweep()
            assert len(impostor.asked) > asked, what
            assert swept[ONE]["outcome"] == "failed", what
            assert len(swept[ONE]["reason"]) < 700, what
            assert swept[TWO]["outcome"] == "swept", what
            assert worker.alive, what
    grown = _peak(embedded) - before
    with capsys.disabled():
        print(
            f"\nhostile answers: {len(LIES)} kinds, the control worker grew by {grown / MIB:.0f} "
            "MiB"
        )
    assert grown < MAY_GROW
    assert not Path("/tmp/owned").exists()
    told = [
        raw["message"]
        for raw in embedded.api.list(paths.EVENTS).items
        if raw["reason"] == "CarinaTasksRefused"
    ]
    assert any(f"node {ONE}" in message for message in told), told
    embedded.wait(
        "the node is swept again", lambda: embedded.sweep()[ONE]["outcome"] == "swept", 20
    )
    assert embedded.nodes[ONE].find(f"volume-{owned}") is not None


def test_a_rebuild_goes_round_a_node_that_lies(embedded: Embedded) -> None:
    """Of two nodes that are left one claims to have made whatever it is asked for: the volume goes
    to the other.
    """
    volume = embedded.volume("data", THREE)
    claims_all = _meta(
        "SUCCESS",
        {
            **EMPTY,
            "groups": [{"name": "carina-vg-hdd", "uuid": "x", "size": 1 << 60, "free": 1 << 60}],
        },
    )
    with _impostor(embedded, ONE) as impostor:
        impostor.lie = claims_all
        embedded.world.delete_node(THREE)
        embedded.wait_rebuilt(volume, away_from=THREE)
        assert impostor.asked
    assert embedded.table()[volume][2] == TWO
    assert embedded.nodes[TWO].find(f"volume-{volume}") is not None
