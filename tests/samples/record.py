"""Records what this release writes, from its own processes: a node worker on a simulated lvm, and a
Redis. ``python -m tests.samples.record [FOLDER]``
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import ssl
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from carina_tasks import __version__, settings
from carina_tasks.broker.calls import NodeCalls
from carina_tasks.celery import make_app
from carina_tasks.emulator.lvm.install import install
from carina_tasks.enrolment import client
from carina_tasks.enrolment.server import Certificate, Server
from carina_tasks.enrolment.service import Enrolled
from carina_tasks.model import maintenance, messages, progress, task_names, well_known
from carina_tasks.model.local import Inventory
from carina_tasks.model.messages import LvResults
from carina_tasks.store import heartbeat
from carina_tasks.store.answers import fetch
from tests.builders.kubernetes import INTENT, journal
from tests.lab import paths
from tests.lab.processes import Process, start, wait_until
from tests.lab.redis import RedisServer
from tests.lab.tls import certificates

NODE, GIB, NOW, LARGEST = "n1", 1 << 30, 1_800_000_000, 1 << 24
VG, VOLUME = "carina-vg-hdd", "volume-pvc-1"
COPY = "abcdef-0000-1111-2222-3333-4444-abcdef"
URL = f"redis://{NODE}:secret@redis:6379/0"


def main() -> None:
    """Record everything into the folder of this release."""
    given = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / __version__
    given.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        found = {"annotations": annotations(), "state": state(), "enrolment": enrolment(folder)}
        found |= from_processes(folder)
    for name, value in found.items():
        text = json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False)
        (given / f"{name}.json").write_text(text + "\n")


def annotations() -> dict[str, dict[str, str]]:
    """Return what is written to LogicVolumes, by what happens to them."""
    failback = {"kind": "failback", "copy": COPY, "copy_bytes": 5 * GIB, "before": COPY[::-1]}
    journals = {
        "rebuild": journal(source_uid="uid-n1", stale=COPY, together=("pvc-2", "pvc-3")),
        "migrate": journal(kind="migrate", reason="node n1 is NotReady for 301 s"),
        "failback": journal(reason="the operator asked for it", **failback),
        "given-up": journal("pvc-1", "n2", "n1", **failback, given_up=True),
    }
    return {
        name: {
            well_known.JOURNAL: one.to_json(),
            well_known.PROGRESS: progress.progress_line(one, 1, "node n2 is silent"),
            well_known.HISTORY: progress.add_failover(progress.add_failover("", one), one),
        }
        for name, one in journals.items()
    }


def state() -> dict[str, str]:
    """Return the data of the ConfigMap with what the operator decided."""
    one = maintenance.Maintenance(NODE, NOW, NOW + 3600, "new disks")
    latched = "2 of 3 nodes are lost"
    return {"paused": "racks", "latched": latched, "approved": "n2,n3", one.key: one.to_json()}


def enrolment(folder: Path) -> dict[str, str]:
    """Return a node worker's request and the service's answers, as they are on the wire."""
    files = certificates(folder / "tls")
    server = Server(
        0, Certificate(files.certificate, files.key), lambda _: Enrolled(NODE, URL, "1")
    )
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    (folder / "token").write_text("head.claims.signature")

    def conf(port: int) -> settings.Settings:
        names = {"URL": f"https://localhost:{port}/v1/enrol", "CA": str(files.ca)}
        names["TOKEN_FILE"] = str(folder / "token")
        values = {f"CARINA_TASKS_ENROLMENT_{key}": value for key, value in names.items()}
        return settings.load({"NODE_NAME": NODE, **values})

    answer = exchange(files.ca, server.server_address[1], request_of(conf, files))
    server.shutdown()
    server.server_close()
    return {"request": request_of(conf, files), "answer": answer}


def request_of(conf: Callable[[int], settings.Settings], files: Any) -> str:
    """Return what a node worker sends."""
    reply = b'HTTP/1.1 200 OK\r\nContent-Length: 14\r\n\r\n{"url": "x:/"}'
    with answering(files, reply) as (port, heard):
        client.ask(conf(port))
    # The host is of the machine that records.
    return heard[0].decode().replace(f":{port}", ":8443")


@contextlib.contextmanager
def answering(files: Any, reply: bytes) -> Iterator[tuple[int, list[bytes]]]:
    """Answer one request over TLS with fixed bytes; yield the port and what is heard."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(files.certificate, files.key)
    heard: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            link, _ = listener.accept()
            with context.wrap_socket(link, server_side=True) as secure:
                heard.append(secure.recv(65536))
                secure.sendall(reply)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listener.getsockname()[1], heard
        thread.join(10)


def exchange(ca: Path, port: int, request: str) -> str:
    """Send the bytes of a request over TLS and return those of the answer."""
    context = ssl.create_default_context(cafile=str(ca))
    link = socket.create_connection(("127.0.0.1", port), 10)
    with context.wrap_socket(link, server_hostname="localhost") as secure:
        secure.sendall(request.encode())
        said = b""
        while not said.endswith(b"}") and (part := secure.recv(65536)):
            said += part
    return said.decode()


def from_processes(folder: Path) -> dict[str, Any]:
    """Return messages, answers and heartbeats, from a node worker and the control side."""
    server = RedisServer(folder / "redis")
    server.start()
    env = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "PYTHONPATH": str(paths.REPOSITORY),
        "NODE_NAME": NODE,
        "CARINA_TASKS_BROKER_URL": server.url,
        "CARINA_TASKS_NODE_PROFILE": "sealed",
        "CARINA_TASKS_LVM_COMMAND": str(
            install(folder / "bin", folder / "lvm.json", {VG: 40 * GIB})
        ),
    }
    app = make_app(settings.load({"CARINA_TASKS_BROKER_URL": server.url}), "control")
    argv = [sys.executable, "-m", "workers.node"]
    worker = start("node", argv, folder=folder, env=env)
    try:
        asked, answers = ask(app, worker)
        heartbeats = heartbeats_of(app, server)
        worker.stop()
        with server.client as redis:
            redis.flushall()
        return {
            "answers": answers,
            "heartbeats": heartbeats,
            "messages": messages_of(app, server, asked),
        }
    finally:
        worker.kill()
        server.stop()


def ask(app: Any, worker: Process) -> tuple[list[tuple[str, Any]], dict[str, Any]]:
    """Have a node create, mark, remove, restore and purge a volume; return questions and answers.

    The bytes of each answer are taken as they come.
    """
    wait_until("the node worker is ready", lambda: "ready." in worker.tail(), 60, watch=[worker])
    answers: dict[str, Any] = {}
    asked: list[tuple[str, Any]] = []

    def question(name: str, task: str, request: Any, kind: Any) -> Any:
        asked.append((task, request))
        ids: list[str] = []
        calls = NodeCalls(app, 30, LARGEST, tell=lambda task_id, _: ids.append(task_id))
        found = calls.ask_all({NODE: request}, task, kind)[NODE]
        data = fetch(app, ids[0], LARGEST)
        answers[name] = {"id": ids[0], "bytes": without_paths(data)}
        return found

    create = messages.LvToCreate(VG, VOLUME, GIB, INTENT)
    question(
        "create", task_names.CREATE_VOLUMES, messages.CreateLvs(GIB, (create,), NOW), LvResults
    )
    found = question("inventory", task_names.INVENTORY, None, Inventory)
    (volume,) = (one for one in found.volumes if one.name == VOLUME)
    target = messages.LvTarget(VG, VOLUME, volume.uuid)
    mark = messages.MarkLvs(NOW, (target,))
    question("mark", task_names.MARK_VOLUMES, mark, LvResults)
    question("inventory-marked", task_names.INVENTORY, None, Inventory)
    remove = messages.LvToRemove(VG, VOLUME, volume.uuid, "no_LogicVolume_and_no_PV")
    request = messages.RemoveLvs(NOW, (remove,), NOW)
    question("remove", task_names.REMOVE_VOLUMES, request, LvResults)
    found = question("inventory-trash", task_names.INVENTORY, None, Inventory)
    (trashed,) = (one.name for one in found.volumes if one.name.startswith("trash-"))
    lost = messages.LvInTrash(VG, trashed, volume.uuid)
    restore = messages.RestoreLv(NOW, lost)
    question("restore", task_names.RESTORE_VOLUME, restore, LvResults)
    question("purge", task_names.PURGE_VOLUMES, messages.PurgeLvs(NOW, (lost,)), LvResults)
    good = list(asked)
    question("failure", task_names.CREATE_VOLUMES, _Wrong(), LvResults)
    return good, answers


class _Wrong(msgspec.Struct):
    """A request that no node takes."""

    volumes: tuple[int, ...] = ()


def without_paths(data: bytes) -> str:
    """Return an answer without the traceback, which names files of the machine that records."""
    answer = json.loads(data)
    return json.dumps(answer | {"traceback": answer["traceback"] and "cut"})


def heartbeats_of(app: Any, server: RedisServer) -> dict[str, str]:
    """Return the bytes of each heartbeat, by key; those of processes that share this one's code."""
    for role in ("control", "node-watch"):
        conf = settings.load({"CARINA_TASKS_BROKER_URL": server.url})
        one = heartbeat.of_this_process(app, role, conf)
        one._info = msgspec.structs.replace(one._info, name="host")
        one._node = f"{role}.host"
        one.start()
        key = f"{heartbeat.OTHERS}{role}.host"
        wait_until(role, lambda key=key: server.client.exists(key), 10)
        one.stop()
    with server.client as redis:
        keys = [*redis.scan_iter("alive.*"), *redis.scan_iter(f"{heartbeat.OTHERS}*")]
        return {key.decode(): redis.get(key).decode() for key in sorted(keys)}


def messages_of(app: Any, server: RedisServer, asked: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return the messages on the queues, as Redis keeps them: to a node and to control workers."""
    # Nobody answers: the messages stay where they are.
    calls = NodeCalls(app, 0.1, LARGEST)
    for task, request in asked:
        calls.ask_all({NODE: request}, task, Inventory)
    for task, args, kwargs in (
        (task_names.REBUILD_NODE, ["n1"], {}),
        (task_names.MIGRATE_NODE, ["n1"], {}),
        (task_names.REBUILD_VOLUME, ["n1", "pvc-1"], {"force": "pvc-1"}),
        (task_names.FAILBACK, ["n1"], {"volumes": ["pvc-1"]}),
        (task_names.PLAN, ["n1"], {"not_ready": True}),
        (task_names.RESUME, [], {}),
        (task_names.SWEEP_LOCAL_VOLUMES, [], {}),
        (task_names.SWEEP_LOGIC_VOLUMES, [], {}),
    ):
        app.send_task(task, args=args, kwargs=kwargs, queue="control")
    found = {}
    with server.client as redis:
        for key in redis.scan_iter(_type="list"):
            for one in map(json.loads, redis.lrange(key, 0, -1)):
                one["headers"]["origin"] = "recorded"
                found[one["headers"]["task"]] = {"queue": key.decode(), "message": one}
    return found


if __name__ == "__main__":
    main()
