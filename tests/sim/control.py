"""Control workers, beat and the node watch: the product's own tasks, each in a process that may
die.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from greenlet import getcurrent
from kombu.exceptions import OperationalError

from carina_tasks.decisions.hints import NodeWatchState
from carina_tasks.errors import CarinaTasksError, TransientError
from carina_tasks.flows.context import Context
from carina_tasks.kube import paths
from carina_tasks.model import objects
from carina_tasks.tasks import failover, sweep, trash
from carina_tasks.tasks.base import PAUSES
from tests.sim.actors import Actors, Killed, Process
from tests.sim.broker import Broker, Message
from tests.sim.chance import Chance

if TYPE_CHECKING:
    from carina_tasks.kube.api import Api

TASKS: dict[str, Any] = {
    "carina.failover.rebuild_node": failover.rebuild_node,
    "carina.failover.migrate_node": failover.migrate_node,
    "carina.failover.failback": failover.failback,
    "carina.failover.resume": failover.resume,
    "carina.failover.publish_status": failover.publish_status,
    "carina.failover.readiness": failover.readiness,
    "carina.sweep.local_volumes": sweep.sweep_local_volumes,
    "carina.sweep.logic_volumes": sweep.sweep_logic_volumes,
    "carina.trash.list": trash.list_trash,
    "carina.trash.restore": trash.restore,
}
WATCHED = {
    "deleted": "carina.failover.rebuild_node",
    "not-ready": "carina.failover.migrate_node",
    "changed": "carina.failover.readiness",
}
SLOTS = 3


class Worker(Process):
    """One control worker."""

    busy = 0


@dataclass
class ControlWorkers:
    """The Deployment: several workers with several threads each."""

    actors: Actors
    chance: Chance
    broker: Broker
    context: Context
    done: Callable[[Message, Any], None]
    workers: list[Worker] = field(default_factory=list)

    def start(self, number: int) -> None:
        """Start one worker."""
        worker = Worker(f"control-{number}")
        self.workers.append(worker)
        self.pump()

    def kill(self, back_after: float) -> None:
        """Kill one worker, and start another one later."""
        alive = [worker for worker in self.workers if not worker.dead]
        if alive:
            worker = self.chance.rng.choice(alive)
            self.chance.count("control-worker-killed", worker.name)
            self.actors.kill(worker)
            self._replace(worker, back_after)

    def _replace(self, worker: Worker, after: float) -> None:
        if worker in self.workers:
            self.workers.remove(worker)
            self.actors.later(after, lambda: self.start(int(worker.name.rpartition("-")[2])))

    def pump(self) -> None:
        """Let idle workers take messages."""
        for worker in list(self.workers):
            if worker.dead:
                self._replace(worker, self.chance.rng.uniform(2.0, 40.0))
                continue
            while worker.busy < SLOTS:
                message = self.broker.take("control")
                if message is None:
                    return
                worker.busy += 1
                work = lambda worker=worker, message=message: self._work(worker, message)  # noqa: E731
                self.actors.start(worker, work, self.chance.latency())

    def _work(self, worker: Worker, message: Message) -> None:
        getcurrent().began = self.actors.clock.now  # type: ignore[attr-defined]
        words = " ".join([message.task.removeprefix("carina."), *map(str, message.args)])
        self.chance.say(worker.name, f"begins {words}")
        result: Any = None
        try:
            result = TASKS[message.task].run(*message.args)
        except Killed:
            self.actors.later(0.0, self.pump)
            raise
        except TransientError as exc:
            result = exc
            if message.retries < len(PAUSES):
                self.actors.later(PAUSES[message.retries], lambda: self._retry(message))
        except (CarinaTasksError, OperationalError) as exc:
            result = exc
        except Exception as exc:
            self.chance.wrong(f"{words} crashed: {exc!r} {traceback.format_exc()[-600:]}")
            result = exc
        said = (
            getattr(result, "message", None)
            or getattr(result, "summary", None)
            or getattr(result, "reason", "")
        )
        self.chance.say(worker.name, f"ends {words}: {said or type(result).__name__}")
        worker.busy -= 1
        self.done(message, result)
        self.actors.later(0.0, self.pump)

    def _retry(self, message: Message) -> None:
        again = Message(
            message.task, message.args, message.id, message.expires, message.retries + 1
        )
        self.broker.put("control", again)


class Watch:
    """The node watch: the product's state machine, fed by a watch that breaks."""

    def __init__(
        self, actors: Actors, chance: Chance, broker: Broker, api: Api, after: float, every: float
    ) -> None:
        self.actors, self.chance, self.broker, self.api = actors, chance, broker, api
        self.process = Process("node-watch")
        self._rules = after, every
        self.restart()

    def restart(self) -> None:
        """Begin again, with an empty memory."""
        self.actors.kill(self.process)
        self.process = Process("node-watch")
        self.state, self._linked = NodeWatchState(*self._rules), False
        self.actors.start(self.process, self._follow)

    def _follow(self) -> None:
        while True:
            try:
                listing = self.api.list(paths.NODES)
            except CarinaTasksError:
                self.actors.sleep(2.0)
                continue
            self.state.listed([objects.parse_node(raw) for raw in listing.items], 0.0)
            self._linked = True
            while self._linked:
                self._say()
                self.actors.sleep(5.0)
            self.actors.sleep(self.chance.rng.uniform(1.0, 60.0))

    def _say(self) -> None:
        now = self.actors.clock.now
        for hint in self.state.due(now):
            arguments = [hint.node] if hint.node else []
            try:
                self.broker.send_task(
                    WATCHED[hint.kind], args=arguments, queue="control", expires=300
                )
            except OperationalError:
                return
            self.state.published(hint, now)

    def event(self, type_: str, raw: Any) -> None:
        """Let a watch event come, some time later, if the watch stands."""
        if self._linked and self.chance.hits("watch-broken"):
            self._linked = False
        if self._linked:
            process = self.process
            self.actors.later(
                self.chance.rng.uniform(0.01, 1.0), lambda: self._seen(process, type_, raw)
            )

    def _seen(self, process: Process, type_: str, raw: Any) -> None:
        if self._linked and process is self.process:
            node = objects.parse_node(raw)
            (self.state.deleted if type_ == "DELETED" else self.state.seen)(node)
