"""The figures: each measures ours and the bare thing side by side, on the same parts, in the same
minute.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path

import redis

from carina_tasks.broker.calls import NodeCalls
from carina_tasks.demo import manifests
from carina_tasks.demo.nodes import GROUP
from carina_tasks.emulator.lvm import state as disk
from carina_tasks.kube import paths
from carina_tasks.lvm.command import Lvm
from carina_tasks.model.local import Inventory
from tests.bench.figures import Figure, by_turns
from tests.integration.embedded import ONE, THREE, TWO, Embedded
from tests.lab import parts

THREADS = 8
"""As many as a control worker has."""

MIB = 1 << 20


def lvm_batch(lvm: Lvm, kind: str, group: str, volumes: int, turns: int) -> Figure:
    """Measure one lvm shell for a batch of ``lvcreate``, and one process for each."""
    made = iter(range(1_000_000))

    def creates() -> list[tuple[str, ...]]:
        return [
            ("lvcreate", "-y", "-n", f"volume-bench-{next(made)}", "-L", "4m", group)
            for _ in range(volumes)
        ]

    def cleared(commands: Sequence[Sequence[str]], seconds: float) -> float:
        assert len(lvm.run("lvs", "--noheadings", group).split("\n")) >= volumes
        lvm.batch([("lvremove", "-y", f"{group}/{command[3]}") for command in commands])
        return seconds

    def ours() -> float:
        commands = creates()
        begun = time.monotonic()
        said = lvm.batch(commands).errors
        seconds = time.monotonic() - begun
        assert not any("rror" in text or "nsufficient" in text for text in said), said
        return cleared(commands, seconds)

    def bare() -> float:
        commands = creates()
        begun = time.monotonic()
        for command in commands:
            lvm.run(*command)
        return cleared(commands, time.monotonic() - begun)

    return by_turns(
        f"{volumes} lvcreate in one lvm shell ({kind})", "a process for each", ours, bare, turns
    )


def simulated_lvm(embedded: Embedded, node: str) -> Lvm:
    """Return the simulated lvm of a node, emptied."""
    embedded.nodes[node].clear()
    return Lvm(binary=(str(embedded.nodes[node].lvm),))


@contextlib.contextmanager
def real_lvm() -> Iterator[Lvm | None]:
    """Lend real lvm2 on a loop device, or None where the machine has none."""
    if parts.missing("root", "lvm2"):
        yield None
        return
    from tests.lab.loop_node import loop_node

    with tempfile.TemporaryDirectory() as folder:
        try:
            with loop_node(Path(folder)) as node:
                yield node.lvm
        except subprocess.CalledProcessError as exc:
            print(f"no loop device here: {exc.stderr}", file=sys.stderr)
            yield None


def node_ask(embedded: Embedded, turns: int) -> Figure:
    """Measure a question to a node's worker whose lvm answers at once, and a ping-pong of the same
    broker.
    """
    lvm = embedded.stage.folder / "quick-lvm"
    lvm.write_text("#!/bin/sh\necho '{\"report\": []}'\n")
    lvm.chmod(0o755)
    env = {key: value for key, value in embedded.stage.env.items() if key != "KUBECONFIG"}
    env |= {"NODE_NAME": "bench", "CARINA_TASKS_LVM_COMMAND": str(lvm)}
    worker = embedded.stage.children.start(
        "node-bench", [sys.executable, "-m", "workers.node"], **env
    )
    embedded.wait("the worker lives", lambda: embedded.stage.redis.exists("alive.bench"), 30)
    calls = NodeCalls(embedded.stage.app, 30, 1 << 20)
    end = threading.Event()
    echo = threading.Thread(target=_echo, args=(embedded.stage.broker_url, end), daemon=True)
    echo.start()
    client = redis.Redis.from_url(embedded.stage.broker_url)

    def ours() -> float:
        begun = time.monotonic()
        calls.ask("bench", "carina.node.inventory", None, Inventory)
        return time.monotonic() - begun

    def bare() -> float:
        key = f"bench.{uuid.uuid4()}"
        begun = time.monotonic()
        client.lpush("bench.ping", key)
        assert client.brpop([key], timeout=5)
        return time.monotonic() - begun

    ours()
    try:
        return by_turns(
            "a question to a node and its answer",
            "a ping-pong over two Redis lists",
            ours,
            bare,
            turns,
        )
    finally:
        end.set()
        embedded.stage.children.kill(worker)


def _echo(url: str, end: threading.Event) -> None:
    client = redis.Redis.from_url(url)
    while not end.is_set():
        taken = client.brpop(["bench.ping"], timeout=1)
        if taken:
            client.lpush(taken[1], "pong")


def sweep(embedded: Embedded, volumes: int, turns: int) -> Figure:
    """Measure a sweep that finds nothing to do, and the lists and inventories that it must read."""
    embedded.reset_objects()
    size = 4 * MIB
    for number, name in ((n, f"pvc-{uuid.uuid4()}") for n in range(volumes)):
        node = (ONE, TWO)[number % 2]
        claim = {
            "metadata": {
                "name": f"claim-{number}",
                "namespace": manifests.NAMESPACE,
                "uid": str(uuid.uuid4()),
            }
        }
        embedded.api.create(
            paths.LOGIC_VOLUMES, manifests.logic_volume(name, node, "4Mi", f"claim-{number}")
        )
        embedded.api.merge(
            paths.logic_volume(name) + "/status",
            manifests.logic_volume_status(name, "4Mi", 252, number),
        )
        pv = manifests.persistent_volume(name, node, "4Mi", claim, major=252, minor=number)
        embedded.api.create(paths.PERSISTENT_VOLUMES, pv)
        with disk.changing(str(embedded.nodes[node].state)) as state:
            group = state.find(GROUP)
            assert group is not None
            made = {
                "name": f"volume-{name}",
                "uuid": disk.new_uuid(),
                "size": size,
                "minor": state.take_minor(),
            }
            group.volumes.append(disk.Volume(**made, time=int(time.time())))
    calls = NodeCalls(embedded.stage.app, 60, 64 << 20)

    def ours() -> float:
        begun = time.monotonic()
        result = embedded.call("carina.sweep.local_volumes")
        seconds = time.monotonic() - begun
        assert sum(node.get("kept", 0) for node in result["nodes"]) == volumes, result["summary"]
        assert not any(node.get("missing") or node.get("marked") for node in result["nodes"]), (
            result["summary"]
        )
        return seconds

    def bare() -> float:
        begun = time.monotonic()
        calls.ask_all(dict.fromkeys((ONE, TWO, THREE)), "carina.node.inventory", Inventory)
        for collection in (paths.NODES, paths.LOGIC_VOLUMES, paths.PERSISTENT_VOLUMES):
            embedded.api.list(collection)
        return time.monotonic() - begun

    return by_turns(
        f"a sweep of {volumes} local volumes", "its inventories and lists alone", ours, bare, turns
    )


def threads(embedded: Embedded, tasks: int, turns: int) -> Figure:
    """Measure how long a heap of dry runs takes a control worker with 8 threads, and one with a
    single thread.
    """
    embedded.reset_objects()

    def heap(concurrency: str) -> float:
        embedded.end("control")
        child = embedded.stage.children.start(
            "control",
            [sys.executable, "-m", "workers.control"],
            **{**embedded.stage.env, "CARINA_TASKS_CONCURRENCY": concurrency},
        )
        embedded.processes["control"] = child
        embedded.stage.wait_ready(child)
        embedded.call("carina.failover.plan", THREE)
        begun = time.monotonic()
        ids = [embedded.send("carina.failover.plan", THREE) for _ in range(tasks)]
        for one in ids:
            embedded.stage.app.AsyncResult(one).get(timeout=120)
        return time.monotonic() - begun

    return by_turns(
        f"{tasks} dry runs with 8 threads",
        "one thread",
        lambda: heap("8"),
        lambda: heap("1"),
        turns,
    )
