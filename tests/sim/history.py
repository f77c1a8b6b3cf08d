"""One history: a cluster made by a seed, its troubles, and the quiet afterwards in which all must
come right.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cache, partial
from random import Random
from types import SimpleNamespace
from typing import Any
from unittest import mock

from carina_tasks.broker import calls
from carina_tasks.broker.calls import NodeCalls
from carina_tasks.emulator.api_server import bootstrap
from carina_tasks.emulator.api_server.cluster import Cluster as Emulator
from carina_tasks.emulator.api_server.kinds import (
    CONFIG_MAPS,
    PERSISTENT_VOLUME_CLAIMS,
    PERSISTENT_VOLUMES,
)
from carina_tasks.emulator.lvm import program, state
from carina_tasks.flows import threads
from carina_tasks.flows.context import Context
from carina_tasks.flows.failover import advance, planning, rehearse, whole_pvs
from carina_tasks.flows.failover.results import FailoverResult, ResumeResult
from carina_tasks.flows.sweeps.results import RestoreResult
from carina_tasks.kube import cluster
from carina_tasks.kube.cluster import Cluster
from carina_tasks.kube.events import Events
from carina_tasks.kube.published import PublishedStatus
from carina_tasks.kube.state import StateMap
from carina_tasks.kube.writes import ClusterWrites
from carina_tasks.model import well_known
from carina_tasks.observability.audit import Audit
from carina_tasks.settings import load
from carina_tasks.store.latest_results import LatestResults
from carina_tasks.tasks import failover, sweep, trash
from carina_tasks.tasks.base import ControlTask
from tests.harness import nodes as killpoint_nodes
from tests.harness.clock import START, Clock, use, virtual_world
from tests.harness.promises import Before
from tests.harness.sim import fork
from tests.harness.stage import Stage
from tests.sim import end
from tests.sim.actors import Actors, Executor
from tests.sim.api import SimApi
from tests.sim.broker import Broker, Message
from tests.sim.chance import Chance
from tests.sim.cluster import Kubernetes, SimControllers
from tests.sim.control import ControlWorkers, Watch
from tests.sim.judge import Judge
from tests.sim.nodes import Machine, NodeWorkers, changing, skewed_time
from tests.sim.nodes import load as load_disks
from tests.sim.people import People
from tests.sim.planned import Planned
from tests.sim.racks import Racks
from tests.sim.readings import SimulatedReading
from tests.sim.undoing import Undoing
from tests.sim.watches import Watches, resources_of

QUICK = {
    "CARINA_TASKS_NOT_READY_AFTER": "60",
    "CARINA_TASKS_NOT_READY_WITNESSED": "300",
    "CARINA_TASKS_NOT_READY_CORDONED": "900",
}
"""Shorter waits than the defaults, so that more happens in a history."""
SETTINGS = [
    load(
        {
            "CARINA_TASKS_TRASH_RETENTION": str(seconds),
            "CARINA_TASKS_OLD_COPY_RETENTION": str(old),
            **QUICK,
        }
    )
    for seconds, old in ((0, 0), (500, 1200), (3600, 3600))
]
RESUME, SWEEP = 30.0, 600.0
QUIET = 12
"""Sweep intervals after the faults, in which everything must come right."""
FAULTS = (
    "api-down",
    "api-409",
    "api-410",
    "api-429",
    "api-500",
    "answer-to-write-lost",
    "list-cut-short",
    "slow",
    "killed-before-write",
    "killed-after-write",
    "broker-refuses",
    "sent-and-refused",
    "message-lost",
    "message-late",
    "message-twice",
    "message-overtakes",
    "answer-lost",
    "answer-unheard",
    "node-killed-before-lvm",
    "node-killed-after-lvm",
    "lvm-timeout",
    "node-killed-within-lvm",
    "lvm-deadline-within",
    "lvm-stopped-within",
    "watch-broken",
)


@cache
def _empty() -> Emulator:
    return bootstrap.new_cluster()


_rng = Random(0)
_ALPHABET = "abcdefghijklmnopqrstuvwxyz0123456789"


def _uuid4() -> uuid.UUID:
    return uuid.UUID(int=_rng.getrandbits(128), version=4)


def _lv_uuid() -> str:
    text = "".join(_rng.choices(_ALPHABET, k=32))
    return "-".join(
        (text[:6], text[6:10], text[10:14], text[14:18], text[18:22], text[22:26], text[26:])
    )


def _of_running() -> Context:
    return History.running.context


def _send(self: ControlTask, *args: Any, **_: Any) -> None:
    broker = History.running.broker
    broker.send_task(self.name, args=list(args), queue="control", expires=self.expires or 300)


@contextmanager
def simulated_world() -> Iterator[None]:
    """Replace clocks, ids, threads and the tasks' context for the time of the block."""
    with virtual_world(), ExitStack() as stack:
        _empty()
        for module in (advance, cluster, planning, rehearse, threads, whole_pvs):
            stack.enter_context(mock.patch.object(module, "ThreadPoolExecutor", Executor))
        stack.enter_context(mock.patch.object(cluster, "SharedReading", SimulatedReading))
        for module in (failover, sweep, trash):
            stack.enter_context(mock.patch.object(module, "context", _of_running))
        stack.enter_context(mock.patch.object(ControlTask, "send", _send))
        # What publish_status reads from Redis beside the cluster.
        beating = SimpleNamespace(beating=lambda app: History.running.beating())
        stack.enter_context(mock.patch.object(failover, "heartbeat", beating))
        results = SimpleNamespace(recent=lambda app: ([], False))
        stack.enter_context(mock.patch.object(failover, "task_results", results))
        stack.enter_context(mock.patch.object(uuid, "uuid4", _uuid4))
        for module in (state, program, killpoint_nodes):
            stack.enter_context(mock.patch.object(module, "new_uuid", _lv_uuid))
        stack.enter_context(mock.patch.object(program, "load", load_disks))
        stack.enter_context(mock.patch.object(program, "changing", changing))
        stack.enter_context(mock.patch.object(program, "sys", program.sys))
        stack.enter_context(mock.patch.object(program, "time", SimpleNamespace(time=skewed_time)))
        monotonic = SimpleNamespace(monotonic=lambda: History.running.clock.now)
        stack.enter_context(mock.patch.object(calls, "time", monotonic))
        yield


class History:
    """One seed."""

    running: History

    def __init__(self, seed: int) -> None:
        History.running, self.seed = self, seed
        self.rng = Random(seed)
        _rng.seed(seed)
        self.clock, self.settings = Clock(START), self.rng.choice(SETTINGS)
        self.held: dict[str, set[str]] = {}
        """LVs that the operator has mounted manually, by node."""
        stage = self._stage()
        use(self.clock)
        self.cluster = stage.emulator
        self.chance = Chance(self.rng, self.clock)
        self.actors = Actors(self.clock, self.rng)
        Executor.actors = self.actors
        self.machines = {name: Machine(disks) for name, disks in stage.nodes.items()}
        self.controllers = SimControllers(
            self.cluster, self.clock, stage.nodes, stage.pods, carina=self.rng.random() < 0.7
        )
        self.controllers.machines, self.controllers.held_by_hand = self.machines, self.held
        self.kubernetes = Kubernetes(self.cluster, self.actors, self.chance, self.controllers)
        self.judge = Judge(self.kubernetes, self.chance, self.settings)
        self.broker = Broker(self.actors, self.chance, self.settings)
        self.nodes = NodeWorkers(
            self.actors, self.chance, self.broker, self.machines, self.judge.removed
        )
        self.api = api = SimApi(
            self.cluster,
            self.actors,
            self.chance,
            self.rng.choice((3, 500)),
            self.judge.before,
            self.judge.after,
        )
        api.renew = self.kubernetes.renew_leases
        self.context = self._context(api)
        self.control = ControlWorkers(
            self.actors, self.chance, self.broker, self.context, self._done
        )
        self.watch = Watch(
            self.actors,
            self.chance,
            self.broker,
            api,
            self.settings.not_ready_after,
            self.settings.watch_publish_interval,
        )
        self.kubernetes.node_event = self.watch.event
        self.cluster.store.listen(CONFIG_MAPS.id, lambda change: self.judge.state_changed())
        self.broker.taken = self._taken
        self.people = People(self)
        self.planned = self.judge.planned = Planned(self)
        self.undoing = Undoing(self)
        self.beat_until = 0.0
        """Beat is away until then."""
        self.given_up: set[str] = set()
        """Volumes that the operator destroyed: nothing is promised of them."""
        self._reasons: dict[str, str] = {}
        self._quiet_resumes, self._seen_changes = 0, -1
        self.before = self._remember()
        self.home = {name: logic["spec"]["nodeName"] for name, logic in self.before.logic.items()}
        found = {
            name: self.machines[node].disks.find(f"volume-{name}")
            for name, node in self.home.items()
        }
        self.data = {name: local.uuid if local else "" for name, local in found.items()}

    # --- set up ---

    def _stage(self) -> Stage:
        rng = self.rng
        stage = Stage(*[f"n{i + 1}" for i in range(rng.randint(3, 5))], emulator=fork(_empty()))
        names = sorted(stage.nodes)
        for node in stage.nodes.values():
            node.state.groups[0].size = rng.choice((40, 60, 200)) << 30
            node.add("backup", 1, stage.clock.now)
        block = Random(f"{self.seed}/block")
        volumes = {f"v{i}": rng.choice(names) for i in range(rng.randint(3, 8))}
        for name, node in volumes.items():
            gib, policy = rng.randint(1, 4), rng.choice(("Delete", "Delete", "Retain"))
            stage.volume(name, node, gib, policy=policy, block=block.random() < 0.25)
        free, number = sorted(volumes), 0
        while free:
            claims = [free.pop()]
            node = volumes[claims[0]]
            for other in [name for name in free if volumes[name] == node]:
                if rng.random() < 0.4:
                    free.remove(other)
                    claims.append(other)
            if rng.random() < 0.15:
                continue
            for _ in range(2 if rng.random() < 0.2 else 1):
                stage.pod(f"pod-{number}", node, *claims, migrate=rng.random() < 0.6)
                number += 1
        for i in range(rng.randrange(4)):
            stage.nodes[rng.choice(names)].add(f"volume-pvc-orphan{i}", 1, stage.clock.now)
        for machine in stage.nodes.values():
            self.held[machine.name] = {
                name for name in machine.volumes() if "orphan" in name and rng.random() < 0.3
            }
        for name, node in volumes.items():
            if rng.random() < 0.2:
                stage.nodes[rng.choice([n for n in names if n != node])].add(
                    f"volume-pvc-{name}", rng.randint(1, 4), stage.clock.now
                )
        if rng.random() < 0.3:
            stage.volume("bare", rng.choice(names), 2, parts="lv logic")
        return stage

    def _context(self, api: SimApi) -> Context:
        return Context(
            settings=self.settings,
            cluster=Cluster(api, self._watches()),
            writes=ClusterWrites(api, self.actors.sleep),
            state=StateMap(api, self.settings.namespace),
            published=PublishedStatus(api, self.settings.namespace),
            nodes=NodeCalls(
                self.broker,
                self.settings.node_deadline,
                self.settings.answer_limit,
                partial(self.broker.listening, hears=self.seed % 2 == 0),
            ),  # type: ignore[arg-type]
            audit=Audit(Events(api)),
            latest_results=LatestResults(self.broker),  # type: ignore[arg-type]
            lock=self.broker.lock,
            worker_alive=lambda node: self.nodes.alive(node),
            sleep=self.actors.sleep,
            monotonic=lambda: self.clock.now,
        )

    def beating(self) -> list[str]:
        """Return the nodes whose workers send heartbeats."""
        return [name for name in sorted(self.nodes.machines) if self.nodes.alive(name)]

    def _watches(self) -> Watches | None:
        """Return what control workers watch; in every fifth history they list, as commands do."""
        if self.seed % 5 == 0:
            return None
        resources = resources_of(self.controllers.logic_volumes.id)
        return Watches(self.cluster, resources, self.actors, self.chance, self.seed)

    def _remember(self) -> Before:
        names = lambda objects: {o["metadata"]["name"]: o for o in objects}  # noqa: E731
        c = self.controllers
        return Before(
            names(c.all(c.logic_volumes)),
            names(c.all(PERSISTENT_VOLUMES)),
            names(c.all(PERSISTENT_VOLUME_CLAIMS)),
            frozenset(),
        )

    # --- run ---

    def run(self) -> list[str]:
        """Live through it; return what is wrong."""
        rng, actors = self.rng, self.actors
        for number in range(rng.randint(1, 3)):
            self.control.start(number)
        for name in self.machines:
            self.nodes.start(name)
        actors.later(rng.uniform(0.0, RESUME), self._beat_resume)
        actors.later(rng.uniform(0.0, 300.0), self._beat_readiness)
        actors.later(SWEEP - self.clock.now % SWEEP, self._beat_sweeps)
        actors.later(rng.uniform(100.0, 400.0), self.people.look)
        self.people.move_extents(Random(f"{self.seed}/pvmove"))
        self.planned.begin()
        Racks(self).begin()
        self.undoing.begin()
        length = rng.uniform(300.0, 1500.0)
        self._choose_odds()
        troubles = self.people.troubles()
        for _ in range(rng.randint(1, 6)):
            actors.later(rng.uniform(1.0, length * 0.8), rng.choice(troubles))
        actors.run(START + length)
        self._calm()
        for quiet in range(QUIET):
            actors.run(self.clock.now + SWEEP)
            wrong = end.wrong(self)
            if self.chance.broken or (not wrong and quiet >= 2):
                break
        actors.kill(self.watch.process)
        for worker in [*self.control.workers, *[m.worker for m in self.machines.values()]]:
            actors.kill(worker)
        return [*self.chance.broken, *wrong]

    def _choose_odds(self) -> None:
        rng = self.rng
        for fault in rng.sample(FAULTS, rng.randint(0, 6)):
            self.chance.odds[fault] = rng.choice((0.003, 0.01, 0.04, 0.3))

    def _calm(self) -> None:
        self.chance.say("calm", "the faults are over")
        self.chance.calm = True
        self.chance.odds = {}
        self.api.forbidden = self.api.lacking = frozenset()
        self.beat_until = 0.0
        self.people.state(paused=None)
        self.held.clear()
        self.kubernetes.wake()
        self.rng.shuffle(machines := list(self.machines.values()))
        ill = [m for m in machines if not m.heard]
        for m in ill[: max(0, len(ill) - self.rng.randrange(2))]:
            self.people.back(m)
        # Some nodes stay deleted, but not so many that there is unschedulable.
        deleted = [m for m in machines if m.heard and self.kubernetes.node(m.name) is None]
        for m in deleted[len(machines) // 4 :]:
            self.people.back(m, register=True)
        self.people.end_moves()
        self.planned.calm()
        self.undoing.calm()
        for m in machines:
            m.skew = 0.0
            m.disks.state.groups[0].volumes = [
                v for v in m.disks.state.groups[0].volumes if v.name != "filler"
            ]
            m.disks.state.groups[0].size = 200 << 30

    # --- beat ---

    def _beat_resume(self) -> None:
        if self.clock.now >= self.beat_until and not self._nothing_new():
            self.broker.put(
                "control", Message("carina.failover.resume", [], "resume", self.clock.now + RESUME)
            )
        self.actors.later(RESUME, self._beat_resume)

    def _nothing_new(self) -> bool:
        """Return whether a resume would only see what the last ones saw; saves most of the time of
        the
        quiet.
        """
        if self.chance.odds:
            return False
        if self.kubernetes.changes != self._seen_changes:
            self._seen_changes, self._quiet_resumes = self.kubernetes.changes, 0
        self._quiet_resumes += 1
        journalled = any(
            well_known.JOURNAL in (v["metadata"].get("annotations") or {})
            for v in self.controllers.all(self.controllers.logic_volumes)
        )
        return self._quiet_resumes > 4 and (not journalled or self._quiet_resumes % 10 != 0)

    def _beat_readiness(self) -> None:
        # It only reads; while all is quiet, that shows nothing new.
        if self.chance.odds:
            message = Message("carina.failover.readiness", [], "readiness", self.clock.now + 300)
            self.broker.put("control", message)
            self.actors.later(300.0, self._beat_readiness)

    def _beat_sweeps(self) -> None:
        if self.clock.now >= self.beat_until:
            for name in ("local_volumes", "logic_volumes"):
                self.broker.put(
                    "control",
                    Message(f"carina.sweep.{name}", [], f"sweep-{name}", self.clock.now + SWEEP),
                )
        self.actors.later(SWEEP, self._beat_sweeps)

    # --- told by others ---

    def _taken(self, queue: str) -> None:
        if queue == "control":
            self.control.pump()
        else:
            self.nodes.pump(queue.removeprefix("node."))

    def _done(self, message: Message, result: Any) -> None:
        if isinstance(result, FailoverResult):
            self.chance.did[f"failovers {result.outcome}"] += 1
            self.chance.did["nodes failed over by the plan of another"] += len(result.along)
        if isinstance(result, RestoreResult):
            node, name = message.args
            local = self.machines[node].disks.by_uuid().get(name.removeprefix("trash-"))
            if local is None or local.name != result.name:
                self.chance.wrong(
                    f"{name} of {node} was restored as {result.name}, and is "
                    f"{local.name if local else 'gone'}"
                )
        if isinstance(result, FailoverResult | ResumeResult):
            self._reasons.update({volume.volume: volume.reason for volume in result.volumes})

    def last_reason(self, name: str) -> str:
        """Return what was said of a volume at last."""
        return self._reasons.get(name, "")
