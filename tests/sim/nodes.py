"""Machines: their power, network, kubelet and clock; their disks behind the product's lvm gate; and
their node worker.
"""

from __future__ import annotations

import copy
import io
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace

from greenlet import getcurrent

from carina_tasks.emulator.lvm import program
from carina_tasks.errors import LvmTimeout
from carina_tasks.lvm.command import Lvm, Reported
from tests.harness.nodes import Removed, SimNode, serve
from tests.sim.actors import Actors, Killed, Process
from tests.sim.broker import Broker, Message
from tests.sim.chance import Chance

HEARTBEAT_TTL = 20.0


@dataclass
class Machine:
    """One node as it is, whatever the API server knows of it."""

    disks: SimNode
    power: bool = True
    network: bool = True
    kubelet: bool = True
    skew: float = 0.0
    """Seconds by which its clock is wrong."""
    silent_since: float | None = None
    """Since when its kubelet has not been heard; None: it is heard."""
    beaten: float = -1e9
    """When its worker was last known to live."""
    worker: Process = field(default_factory=lambda: Process("none"))

    @property
    def name(self) -> str:
        """The node's name."""
        return self.disks.name

    @property
    def heard(self) -> bool:
        """Whether its kubelet reaches the API server."""
        return self.power and self.network and self.kubelet

    @property
    def works(self) -> bool:
        """Whether its worker reaches the broker."""
        return self.power and self.network and not self.worker.dead


class SimLvm(Lvm):
    """The product's gate, with the simulated lvm's program where a process would be started."""

    def attach(self, machine: Machine, actors: Actors, chance: Chance, removed: Removed) -> SimLvm:
        """Say whose disks these are; `removed` is told of every LV that goes or is renamed."""
        object.__setattr__(self, "_parts", (machine, actors, chance, removed))
        return self

    def _call(self, argv: list[str], stdin: bytes | None, timeout: float) -> Reported:
        out, err, code = io.StringIO(), io.StringIO(), 0
        if stdin is None:
            code = self._run(argv, "Try 'lvm help'.", out, err)
        for line in (stdin or b"").decode().splitlines():
            self._run(program._split(line), "Try 'help'.", out, err)
        return Reported(out.getvalue(), err.getvalue(), code)

    def _run(self, words: list[str], hint: str, out: io.StringIO, err: io.StringIO) -> int:
        machine, actors, chance, removed = self._parts  # type: ignore[attr-defined]
        if words[0] in program._REPORTS or words[0] in program._CHANGES:
            actors.sleep(chance.rng.uniform(0.02, 0.2))
        changes = words[0] in program._CHANGES
        if changes and chance.hits("node-killed-before-lvm"):
            die(actors, chance, words)
        before = (
            {uuid: copy.copy(volume) for uuid, volume in machine.disks.by_uuid().items()}
            if changes
            else {}
        )
        _between[:] = [lambda: self._between_effects(words)]
        code = _program(machine, words, hint, out, err)
        if changes:
            chance.say(f"lvm {machine.name}", " ".join(words))
            after = machine.disks.by_uuid()
            for uuid, volume in before.items():
                if uuid not in after or after[uuid].name != volume.name:
                    removed(machine.name, volume, after.get(uuid))
                if volume.locked and (uuid not in after or vars(after[uuid]) != vars(volume)):
                    chance.wrong(
                        f"{volume.name} of {machine.name} was changed while a pvmove had locked "
                        f"it: {words[0]}"
                    )
            if chance.hits("node-killed-after-lvm"):
                die(actors, chance, words)
            if chance.hits("lvm-timeout"):
                raise LvmTimeout("lvm did not end in time")
        return code

    def _between_effects(self, words: list[str]) -> None:
        """End the command after its first effects: with its worker, at its deadline, or alone."""
        _, actors, chance, _ = self._parts  # type: ignore[attr-defined]
        if chance.hits("node-killed-within-lvm"):
            die(actors, chance, words)
        if chance.hits("lvm-deadline-within"):
            raise LvmTimeout("lvm did not end in time")
        if chance.hits("lvm-stopped-within"):
            raise program.CommandError(5, "  Interrupted...")


def die(actors: Actors, chance: Chance, words: list[str]) -> None:
    """Let the node worker that runs this die. Raises Killed."""
    process = actors.process
    assert process is not None
    chance.say(process.name, f"killed at {' '.join(words)}")
    actors.kill(process)
    raise Killed


_state: list[Machine] = []
_effects: list[str] = []
"""Effects that the lvm command that runs now has had."""
_between: list[Callable[[], None]] = []
"""What may happen between two effects of the lvm command that runs now."""


def _program(
    machine: Machine, words: list[str], hint: str, out: io.StringIO, err: io.StringIO
) -> int:
    _state[:] = [machine]
    _effects.clear()
    program.sys = SimpleNamespace(stdout=out, stderr=err)  # type: ignore[attr-defined]
    return program._run(machine.name, words, hint)


@contextmanager
def changing(path: str):  # type: ignore[no-untyped-def]
    """Hand out the disks of the machine that runs lvm now, for one effect of its command."""
    if _effects:
        _between[0]()
    _effects.append(path)
    yield _state[0].disks.state


def load(path: str) -> object:
    """Return the disks of the machine that runs lvm now."""
    return _state[0].disks.state


def skewed_time() -> float:
    """Return the time by the clock of the machine that runs lvm now."""
    from tests.harness.clock import _Current

    return _Current.clock.now + _state[0].skew


@dataclass
class NodeWorkers:
    """The DaemonSet: one worker on each machine, one task at a time."""

    actors: Actors
    chance: Chance
    broker: Broker
    machines: dict[str, Machine]
    removed: Removed
    _busy: set[str] = field(default_factory=set)

    def start(self, name: str) -> None:
        """Start a worker; one that dies is started again."""
        machine = self.machines[name]
        machine.disks.zeroing.clear()
        machine.worker, machine.beaten = Process(f"worker {name}"), self.actors.clock.now
        self._busy.discard(name)
        self.pump(name)

    def kill(self, name: str, back_after: float) -> None:
        """Kill the worker, and start another one later."""
        machine = self.machines[name]
        self.alive(name)
        self.actors.kill(machine.worker)
        self.actors.later(back_after, lambda: self.start(name) if machine.worker.dead else None)

    def alive(self, name: str) -> bool:
        """Return whether the worker's heartbeat still stands at the broker."""
        machine = self.machines.get(name)
        if machine is None:
            return False
        if machine.works:
            machine.beaten = self.actors.clock.now
        return self.actors.clock.now - machine.beaten < HEARTBEAT_TTL

    def pump(self, name: str) -> None:
        """Let the worker take a message when it has time."""
        machine = self.machines.get(name)
        if machine is None or name in self._busy or not machine.works:
            return
        message = self.broker.take(f"node.{name}")
        if message is None:
            return
        self._busy.add(name)
        self.actors.start(
            machine.worker, lambda: self._work(machine, message), self.chance.latency()
        )

    def _work(self, machine: Machine, message: Message) -> None:
        process = machine.worker
        getcurrent().message = message  # type: ignore[attr-defined]
        gate = SimLvm().attach(machine, self.actors, self.chance, self.removed)
        try:
            data = serve(
                gate, machine.disks, message.task, message.args[0] if message.args else None
            )
        except Killed:
            self.actors.later(
                self.chance.rng.uniform(2.0, 40.0), lambda: self._again(machine, process)
            )
            raise
        if machine.network:
            self.broker.answer(message, data)
        self._busy.discard(machine.name)
        self.actors.later(0.0, lambda: self.pump(machine.name))

    def _again(self, machine: Machine, process: Process) -> None:
        if machine.worker is process and machine.power:
            self.start(machine.name)
