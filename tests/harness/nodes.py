"""Nodes: the product's lvm adapter and node tasks over the simulated lvm, in this process, and the
messages to them.
"""

from __future__ import annotations

import contextlib
import copy
import io
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from unittest import mock

import msgspec

from carina_tasks.broker.calls import NodeCalls
from carina_tasks.emulator.lvm import program
from carina_tasks.emulator.lvm.state import Group, State, Volume, new_uuid
from carina_tasks.errors import BrokerUnavailable, CarinaTasksError, LvmTimeout, NodeSilent
from carina_tasks.lvm import report, volumes
from carina_tasks.lvm.command import Lvm, Reported
from carina_tasks.lvm.zero import Zeroed, Zeroing
from carina_tasks.model import well_known
from carina_tasks.model.local import LocalVolume
from carina_tasks.model.messages import (
    CreateLvs,
    MarkLvs,
    PurgeLvs,
    RemoveLvs,
    RestoreLv,
    read_request,
    to_json,
)
from carina_tasks.store.answers import read_answer
from tests.harness.faults import Killed, NodeKilled, Points

GIB = 1 << 30
VG = "carina-vg-hdd"
Removed = Callable[[str, Volume, Volume | None], None]
"""Told the node, an LV as it was, and as it is now under another name, None when it is gone."""


@dataclass
class SimNode:
    """One node's disks, and whether its worker lives."""

    name: str
    state: State = field(
        default_factory=lambda: State([Group(name=VG, uuid=new_uuid(), size=200 * GIB)])
    )
    alive: bool = True
    made: list[str] = field(default_factory=list)
    """Names of the LVs that were created and got the tag of their rebuild."""
    zeroing: set[str] = field(default_factory=set)
    """UUIDs of the LVs that its worker is writing zeroes over; a worker that dies forgets them."""

    def zero(self, lv: LocalVolume) -> Zeroed | Zeroing:
        """Begin at the first question, and have ended at the second."""
        if lv.uuid not in self.zeroing:
            self.zeroing.add(lv.uuid)
            return Zeroing("being zeroed, 0 %")
        self.zeroing.discard(lv.uuid)
        self.by_uuid()[lv.uuid].zeroed = True
        return Zeroed()

    def find(self, name: str) -> Volume | None:
        """Return the LV of that name in Carina's VG."""
        return self.state.groups[0].find(name)

    def volumes(self) -> dict[str, Volume]:
        """Return all LVs of Carina's VG by name."""
        return {volume.name: volume for volume in self.state.groups[0].volumes}

    def by_uuid(self) -> dict[str, Volume]:
        """Return all LVs of Carina's VG by UUID."""
        return {volume.uuid: volume for volume in self.state.groups[0].volumes}

    def add(
        self,
        name: str,
        gib: int,
        created: float,
        *,
        open_: bool = False,
        tags: tuple[str, ...] = (),
    ) -> Volume:
        """Put an LV there."""
        volume = Volume(
            name=name,
            uuid=new_uuid(),
            size=gib * GIB,
            time=int(created),
            open=open_,
            minor=self.state.take_minor(),
            tags=list(tags),
        )
        self.state.groups[0].volumes.append(volume)
        return volume


class InProcessLvm(Lvm):
    """The gate of the product, with the simulated lvm's program where a process would be
    started.
    """

    def attach(self, node: SimNode, points: Points, removed: Removed) -> InProcessLvm:
        """Say whose disks these are; `removed` is told of every LV that goes or is renamed."""
        object.__setattr__(self, "_parts", (node, points, removed))
        object.__setattr__(self, "_effects", [])
        return self

    def _call(self, argv: list[str], stdin: bytes | None, timeout: float) -> Reported:
        node, points, _ = self._parts  # type: ignore[attr-defined]
        out, err, code = io.StringIO(), io.StringIO(), 0

        @contextmanager
        def changing(path: str) -> Iterator[State]:
            if self._effects:
                _between_effects(
                    points, f"{node.name}: {self._effects[0]} after {len(self._effects)}"
                )
            self._effects.append(self._command)
            yield node.state

        with (
            mock.patch.object(program, "load", return_value=node.state),
            mock.patch.object(program, "changing", changing),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
        ):
            if stdin is None:
                code = self._run(argv, "Try 'lvm help'.")
            for line in (stdin or b"").decode().splitlines():
                self._run(program._split(line), "Try 'help'.")
        return Reported(out.getvalue(), err.getvalue(), code)

    def _run(self, words: list[str], hint: str) -> int:
        node, points, removed = self._parts  # type: ignore[attr-defined]
        if words[0] not in program._CHANGES:
            return program._run(node.name, words, hint)
        variant = points.at("lvm", f"{node.name}: {words[0]} {_named(words)}")
        if variant == "before":
            raise NodeKilled
        before = {uuid: copy.deepcopy(volume) for uuid, volume in node.by_uuid().items()}
        self._effects.clear()
        object.__setattr__(self, "_command", f"{words[0]} {_named(words)}")
        code = program._run(node.name, words, hint)
        after = node.by_uuid()
        for uuid, volume in before.items():
            if uuid not in after or after[uuid].name != volume.name:
                removed(node.name, volume, after.get(uuid))
        node.made += sorted(
            v.name for uuid, v in after.items() if _complete(v) and not _complete(before.get(uuid))
        )
        if variant == "after":
            raise NodeKilled
        if variant == "lost":
            raise LvmTimeout("lvm did not end in time")
        return code


def _between_effects(points: Points, label: str) -> None:
    """End an lvm command after its first effects and before the others."""
    variant = points.at("effect", label)
    if variant == "killed":
        raise NodeKilled
    if variant == "deadline":
        raise LvmTimeout("lvm did not end in time")
    if variant == "stopped":
        # SIGTERM: the command ends, and the shell runs the next one.
        raise program.CommandError(5, "  Interrupted...")


def _complete(volume: Volume | None) -> bool:
    return volume is not None and any(tag.startswith(well_known.TAG_INTENT) for tag in volume.tags)


def _named(words: list[str]) -> str:
    return words[words.index("-n") + 1] if "-n" in words else words[-1]


def serve(lvm: Lvm, node: SimNode, task: str, body: Any) -> bytes:
    """Run one node task as its Celery task does; return what Celery's backend would store."""
    requests = {
        "carina.volume.create": (CreateLvs, partial(volumes.create_volumes, zero=node.zero)),
        "carina.volume.mark": (MarkLvs, volumes.mark_volumes),
        "carina.volume.remove": (RemoveLvs, volumes.remove_volumes),
        "carina.volume.purge": (PurgeLvs, volumes.purge_volumes),
        "carina.volume.restore": (RestoreLv, volumes.restore_volume),
    }
    try:
        if task == "carina.node.inventory":
            result: Any = report.inventory(lvm, node.name)
        else:
            kind, work = requests[task]
            result = work(lvm, node.name, read_request(body, kind))  # type: ignore[operator, arg-type, type-var]
    except CarinaTasksError as exc:
        failure = {"exc_type": type(exc).__name__, "exc_message": [exc.message]}
        return msgspec.json.encode({"status": "FAILURE", "result": failure})
    return msgspec.json.encode({"status": "SUCCESS", "result": msgspec.to_builtins(result)})


class InProcessCalls(NodeCalls):
    """Questions to nodes: answered at once, with every loss that a broker knows."""

    def __init__(
        self,
        nodes: Mapping[str, SimNode],
        gate: Callable[[SimNode], Lvm],
        points: Points,
        advance: Callable[[float], None],
        later: Callable[[float, Callable[[], object]], None],
    ) -> None:
        self._nodes, self._gate, self._points, self._advance, self._later = (
            nodes,
            gate,
            points,
            advance,
            later,
        )
        self._limit, self._deadline = 16 << 20, 45.0

    def ask_all(  # type: ignore[override]
        self, requests: Mapping[str, msgspec.Struct | None], task: str, answer: Any, more: float = 0
    ) -> dict[str, Any]:
        """Send every question, then take the answers."""
        results: dict[str, Any] = {}
        answers: dict[str, bytes | None] = {}
        for node, request in requests.items():
            try:
                answers[node] = self._request(
                    node, task, None if request is None else to_json(request)
                )
            except BrokerUnavailable as exc:
                results[node] = exc
        for node, data in answers.items():
            variant = (
                self._points.at("answer", f"{task} <- {node}") if data is not None else "before"
            )
            if variant == "after":
                raise Killed(f"with the answer of {node}")
            if variant == "before":
                self._advance(self._deadline + more)
                results[node] = NodeSilent(f"{node} did not answer in time")
                continue
            try:
                results[node] = read_answer(data, node, answer, self._limit)  # type: ignore[arg-type]
            except CarinaTasksError as exc:
                results[node] = exc
        return results

    def stream(  # type: ignore[override]
        self, requests: Mapping[str, msgspec.Struct | None], task: str, answer: Any, most: int = 64
    ) -> Iterator[dict[str, Any]]:
        """Send every question, then hand on each answer alone."""
        for node, result in self.ask_all(requests, task, answer).items():
            yield {node: result}

    def _request(self, name: str, task: str, body: Any) -> bytes | None:
        variant = self._points.at("request", f"{task} -> {name}")
        node = self._nodes.get(name)
        if variant == "before":
            raise Killed(f"before {task} -> {name}")
        if variant == "vanished" or node is None or not node.alive:
            return None
        if variant == "late":
            self._later(40.0, lambda: self._deliver(node, task, body))
            raise Killed(f"after {task} -> {name}, which comes late")
        data = self._deliver(node, task, body)
        if variant == "twice":
            data = self._deliver(node, task, body)
        if variant == "after":
            raise Killed(f"after {task} -> {name}")
        if variant == "lost":
            raise BrokerUnavailable("the broker took it and said no")
        return data

    def _deliver(self, node: SimNode, task: str, body: Any) -> bytes | None:
        try:
            return serve(self._gate(node), node, task, body)
        except NodeKilled:
            # Its DaemonSet starts it again; what it had begun is as it is.
            node.zeroing.clear()
            return None
