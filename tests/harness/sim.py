"""One history: a cluster, its nodes, the schedules of the product, and virtual time."""

from __future__ import annotations

import copy
import heapq
import itertools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from carina_tasks.emulator.api_server.cluster import Cluster as Emulator
from carina_tasks.emulator.api_server.kinds.node import NODES
from carina_tasks.emulator.lvm.state import Volume
from carina_tasks.errors import BrokerUnavailable, CarinaTasksError
from carina_tasks.flows.context import Context
from carina_tasks.flows.failover.failback import failback
from carina_tasks.flows.failover.lost_node import migrate_node, rebuild_node
from carina_tasks.flows.failover.resume import resume
from carina_tasks.flows.failover.single_volume import rebuild_volume
from carina_tasks.flows.sweeps.local_volumes import sweep_local_volumes
from carina_tasks.flows.sweeps.logic_volumes import sweep_logic_volumes
from carina_tasks.flows.sweeps.trash import restore
from carina_tasks.kube.cluster import Cluster
from carina_tasks.kube.events import Events
from carina_tasks.kube.published import PublishedStatus
from carina_tasks.kube.state import StateMap
from carina_tasks.kube.writes import ClusterWrites
from carina_tasks.model import well_known
from carina_tasks.model.journal import Journal
from carina_tasks.model.local import LocalVolume
from carina_tasks.observability.audit import Audit
from carina_tasks.settings import Settings, load
from carina_tasks.store.lock import HeldLock
from tests.builders.flow import FakeLatestResults
from tests.harness.api import InProcessApi
from tests.harness.clock import Clock, use
from tests.harness.controllers import JSON, Controllers
from tests.harness.faults import Fault, Killed, Points
from tests.harness.nodes import InProcessCalls, InProcessLvm, SimNode

RESUME, SWEEP = 30.0, 600.0
QUICK = {
    "CARINA_TASKS_NOT_READY_AFTER": "60",
    "CARINA_TASKS_NOT_READY_WITNESSED": "300",
    "CARINA_TASKS_OLD_COPY_RETENTION": "0",
}
"""Shorter waits than the defaults; old copies go with the rest of the trash."""
SETTINGS = load(QUICK)


class Sim:
    """A running system. Tasks run one after another, each as a process of its own that may die."""

    def __init__(
        self,
        emulator: Emulator,
        nodes: Sequence[SimNode],
        clock: Clock,
        faults: Sequence[Fault] = (),
        *,
        pods: dict[str, JSON] | None = None,
        carina: bool = True,
        settings: Settings = SETTINGS,
    ) -> None:
        use(clock)
        self.clock, self.emulator, self.settings = clock, emulator, settings
        self.nodes = {node.name: node for node in nodes}
        self.points = Points(faults)
        self.points.disturb = self._disturb
        self.controllers = Controllers(emulator, clock, self.nodes, pods or {}, carina)
        self.api = InProcessApi(emulator, clock, self.points, self.controllers.step)
        self.wrong: list[str] = []
        """What must never be, as it was seen."""
        self.deaths = 0
        self.target_dies = ""
        """The node that goes in the variant ``target-gone``."""
        self.restored = ""
        """What the task ``restore`` brings back."""
        self.confirmed: tuple[str, ...] = ()
        """The volumes that the operator fails back."""
        self._findings: Any = FakeLatestResults()
        self._locks: dict[str, float] = {}
        self._hints: list[tuple[str, str]] = []
        self._late: list[tuple[float, int, Callable[[], object]]] = []
        self._number = itertools.count()
        self._begun = clock.now
        self._next_resume, self._next_sweep = clock.now + RESUME, clock.now + SWEEP
        self.controllers.step()

    # --- processes ---

    def run(self, task: str, node: str = "") -> Any:
        """Run one control task in a process of its own; return its result, or the error or death it
        ended with.
        """
        try:
            return self._run(task, node)
        except Killed as exc:
            self.deaths += 1
            return exc
        except CarinaTasksError as exc:
            return exc
        except Exception as exc:
            self.wrong.append(f"{task} crashed: {exc!r}")
            return exc

    def _run(self, task: str, node: str) -> Any:
        ctx = self._context()
        match task:
            case "rebuild_node":
                return self._at_once(rebuild_node(ctx, node))
            case "migrate_node":
                return self._at_once(migrate_node(ctx, node))
            case "rebuild_volume":
                return self._at_once(rebuild_volume(ctx, *node.split("/"), node.split("/")[1]))
            case "failback":
                return self._at_once(failback(ctx, node, (), self.confirmed))
            case "local_volumes":
                return sweep_local_volumes(ctx)
            case "restore":
                return restore(ctx, node, self.restored)
            case "logic_volumes":
                swept = sweep_logic_volumes(ctx)
                for gone in swept.deleted_nodes:
                    self.hint("rebuild_node", gone)
                return swept
            case "resume":
                result = resume(ctx)
                if node == "hinted":
                    return result
                self._at_once(result)
                for gone in result.deleted_nodes:
                    self.hint("rebuild_node", gone)
                for sick in result.not_ready_nodes:
                    self.hint("migrate_node", sick)
                return result
        raise AssertionError(task)

    def _at_once(self, result: Any) -> Any:
        """Ask for a resume as the tasks do."""
        if any(volume.again for volume in result.volumes):
            self.hint("resume", "hinted")
        return result

    def hint(self, task: str, node: str) -> None:
        """Put a task on the control queue."""
        variant = self.points.at("hint", f"{task} {node}")
        if variant == "before":
            raise Killed(f"before the message {task} {node}")
        self._hints += [(task, node)] * {"vanished": 0, "twice": 2}.get(variant, 1)
        if variant == "after":
            raise Killed(f"after the message {task} {node}")
        if variant == "lost":
            raise BrokerUnavailable("the broker took it and said no")

    def watch_says(self, task: str, node: str) -> None:
        """Let the node watch put a task on the queue once; it may die of it, and does not come
        back.
        """
        try:
            self.hint(task, node)
        except (Killed, BrokerUnavailable):
            self.deaths += 1

    def _context(self) -> Context:
        return Context(
            settings=self.settings,
            cluster=Cluster(self.api),
            writes=ClusterWrites(self.api, self.advance),
            state=StateMap(self.api, self.settings.namespace),
            published=PublishedStatus(self.api, self.settings.namespace),
            nodes=InProcessCalls(self.nodes, self._gate, self.points, self.advance, self._later),
            audit=Audit(Events(self.api, lambda: self.clock.now)),
            latest_results=self._findings,
            lock=self._lock,
            worker_alive=lambda node: node in self.nodes and self.nodes[node].alive,
            sleep=self.advance,
            monotonic=lambda: self.clock.now,
        )

    @contextmanager
    def _lock(self, name: str) -> Iterator[HeldLock | None]:
        if self._locks.get(name, 0.0) > self.clock.now:
            yield None
            return
        self._locks[name] = self.clock.now + self.settings.lock_ttl
        try:
            yield HeldLock(None)
        except Killed:
            # The lock of a dead process is not released: it ends with its time to live.
            raise
        except BaseException:
            self._locks.pop(name, None)
            raise
        self._locks.pop(name, None)

    def _gate(self, node: SimNode) -> InProcessLvm:
        return InProcessLvm().attach(node, self.points, self._removed)

    # --- time ---

    def advance(self, seconds: float) -> None:
        """Let time continue, with everybody acting on the way."""
        end = self.clock.now + seconds
        while self._late and self._late[0][0] <= end:
            at, _, work = heapq.heappop(self._late)
            self.clock.now = max(self.clock.now, at)
            work()
        while self.clock.now + 15 < end:
            self.clock.now += 15
            self.controllers.step()
        self.clock.now = end
        self.controllers.step()

    def _later(self, seconds: float, work: Callable[[], object]) -> None:
        heapq.heappush(self._late, (self.clock.now + seconds, next(self._number), work))

    def leave_alone(self, until: float) -> None:
        """Let the schedules run until that time: resume every 30 s, both sweeps every 600 s, and
        what they ask for.
        """
        while True:
            while self._hints:
                self.run(*self._hints.pop(0))
            due = min(self._next_resume, self._next_sweep, until)
            if due > self.clock.now:
                self.advance(due - self.clock.now)
            if due >= until:
                return
            if due == self._next_resume:
                self._next_resume = self._after(RESUME)
                if self._something_to_resume():
                    self.run("resume")
            else:
                self._next_sweep = self._after(SWEEP)
                self.run("local_volumes")
                self.run("logic_volumes")

    def _after(self, interval: float) -> float:
        return (self.clock.now // interval + 1) * interval

    def _something_to_resume(self) -> bool:
        """Return whether a resume would do more than read; saves most of the time of a long quiet
        history.

        A NotReady node that keeps volumes makes every resume ask for a migration; after ten of them
        that is no news.
        """
        early = self.clock.now - self._begun < 10 * RESUME
        ready = {
            node["metadata"]["name"]
            for node in self.controllers.all(NODES)
            if any(
                c["type"] == "Ready" and c["status"] == "True"
                for c in node["status"].get("conditions") or ()
            )
        }
        known = {node["metadata"]["name"] for node in self.controllers.all(NODES)}
        return any(
            volume["spec"]["nodeName"] not in (ready if early else known)
            or well_known.JOURNAL in (volume["metadata"].get("annotations") or {})
            for volume in self.controllers.all(self.controllers.logic_volumes)
        )

    # --- what happens beside ---

    def _disturb(self, variant: str) -> str:
        if variant in ("flushed", "raced"):
            self._locks.clear()
            self._hints.clear()
            self._late.clear()
        if variant == "raced":
            # Another worker does everything, which it may: the lock went with the broker's memory.
            self.run("resume")
            while self._hints:
                self.run(*self._hints.pop(0))
            self._locks.clear()
        if variant in ("raced", "swept"):
            self.run("local_volumes")
            self.run("logic_volumes")
        if variant == "target-gone":
            self.lose(self.target_dies)
        if variant == "denied":
            # The API client knows which request it is.
            return variant
        if variant == "source-back":
            self.bring_back("n1")
            return "before"
        return ""

    def bring_back(self, name: str) -> None:
        """Let a silent node be Ready again, with its worker and its disks."""
        self.nodes[name].alive = True
        ready = {"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:10:00Z"}
        node = self.controllers.get(NODES, name)
        if node is not None:
            self.controllers.set_status(NODES, node, conditions=[ready])
        self.controllers.step()

    def lose(self, name: str) -> None:
        """Let a node go permanently: its worker, its disks and its object."""
        self.nodes[name].alive = False
        if self.controllers.get(NODES, name) is not None:
            self.controllers.delete(NODES, name)
        self.controllers.step()

    def _removed(self, node: str, volume: Volume, now: Volume | None) -> None:
        name = volume.name.removeprefix("volume-")
        if volume.open:
            self.wrong.append(f"an open volume was removed: {volume.name} on {node}")
        lv = LocalVolume(
            node, volume.name, volume.uuid, 0, False, True, "", "", tags=tuple(volume.tags)
        )
        if volume.name.startswith("trash-"):
            if now is not None:
                return  # restored
            if lv.trashed is None or self.clock.now - lv.trashed.at < self.settings.trash_retention:
                self.wrong.append(f"{volume.name} on {node} was purged before its time")
            return
        if lv.unfinished:
            # It holds nothing of its own, and must never come back from the trash.
            if now is not None:
                self.wrong.append(
                    f"an LV that was never wiped went into the trash: {volume.name} on {node}"
                )
            return
        if now is None and self.settings.trash_retention:
            self.wrong.append(
                f"a volume was removed permanently and not put into the trash: {volume.name} on "
                f"{node}"
            )
        if now is not None and (now.active or not now.name.startswith("trash-")):
            self.wrong.append(
                f"{volume.name} on {node} was renamed to {now.name}, active: {now.active}"
            )
        found = self.controllers.get(self.controllers.logic_volumes, name)
        replaced = found is not None and well_known.JOURNAL in (
            found["metadata"].get("annotations") or {}
        )
        marked = lv.marked_at
        if not replaced and (
            marked is None or self.clock.now - marked < self.settings.orphan_mark_age
        ):
            self.wrong.append(
                f"a volume was removed that no earlier sweep had marked: {volume.name} on {node}"
            )
        if found is None:
            return
        text = (found["metadata"].get("annotations") or {}).get(well_known.JOURNAL)
        journal = Journal.from_json(text) if text else None
        if journal is None:
            owned = found["spec"]["nodeName"] == node
        elif journal.target == node:
            # The stale copy goes before the new one is made, and nothing else.
            owned = (
                volume.uuid != journal.stale
                or well_known.TAG_INTENT + journal.intent in volume.tags
            )
        else:
            owned = journal.source == node
        if owned:
            self.wrong.append(f"a volume was removed that is owned: {volume.name} on {node}")


def fork(emulator: Emulator) -> Emulator:
    """Return a cluster of its own with the same objects; stored objects are never changed in place,
    so they are shared.
    """
    other = Emulator()
    other.registry = emulator.registry
    other.store._objects = {
        kind: dict(objects) for kind, objects in emulator.store._objects.items()
    }
    other.store.version = emulator.store.version
    other.store.forget_history()
    return other


def fork_nodes(nodes: Sequence[SimNode]) -> list[SimNode]:
    """Return nodes of their own with the same disks."""
    return copy.deepcopy(list(nodes))
