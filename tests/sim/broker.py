"""Redis as the product sees it: queues, answers, locks and heartbeats; and every way in which
messages go wrong.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from kombu.exceptions import OperationalError

from carina_tasks.settings import Settings
from carina_tasks.store.answers import answer_key
from carina_tasks.store.lock import HeldLock
from tests.sim.actors import Actors, Killed
from tests.sim.chance import Chance


@dataclass
class Message:
    """A task that was sent."""

    task: str
    args: list[Any]
    id: str
    expires: float
    retries: int = 0


@dataclass
class Listener:
    """Notices answers to some questions within a quarter of a second."""

    broker: Broker
    hears: bool
    keys: list[str] = field(default_factory=list)

    def add(self, task_ids: Sequence[str]) -> None:
        """Listen for the answers to these questions too."""
        self.keys += [answer_key(task_id) for task_id in task_ids]

    def wait(self, seconds: float) -> frozenset[str]:
        """Return the keys that were answered, after `seconds` at most."""
        end = self.broker.actors.clock.now + seconds
        if not self.hears:
            self.broker.actors.sleep(seconds)
            return frozenset()
        while (left := end - self.broker.actors.clock.now) > 0:
            self.broker.actors.sleep(min(left, 0.25))
            heard = [key for key in self.keys if key in self.broker.answers]
            for key in heard:
                self.keys.remove(key)
            if heard and not self.broker.chance.hits("answer-unheard"):
                return frozenset(heard)
        return frozenset()


@dataclass
class Broker:
    """One Redis. `taken` is called when a queue got a message."""

    actors: Actors
    chance: Chance
    settings: Settings
    taken: Callable[[str], None] = lambda queue: None
    queues: dict[str, list[Message]] = field(default_factory=dict)
    answers: dict[str, bytes] = field(default_factory=dict)
    _locks: dict[str, tuple[object, float]] = field(default_factory=dict)
    _numbers: Iterator[int] = field(default_factory=itertools.count)
    _slots: Iterator[int] = field(default_factory=itertools.count)
    backend: Any = None
    conf: Any = None

    def __post_init__(self) -> None:
        # What NodeCalls and LatestResults use of a Celery application.
        client = SimpleNamespace(
            getrange=lambda key, start, end: self.answers.get(key, b""),
            get=self.answers.get,
            set=lambda key, value, ex: self.answers.update({key: value}),
            incr=lambda key: next(self._slots),
            unlink=lambda *keys: [self.answers.pop(key, None) for key in keys],
        )
        self.backend = SimpleNamespace(client=client)
        self.conf = SimpleNamespace(broker_use_ssl=None)

    def send_task(
        self, name: str, *, args: list[Any], queue: Any, expires: float, task_id: str = "", **_: Any
    ) -> None:
        """Put a task on a queue, from an actor. Raises OperationalError."""
        self.actors.sleep(self.chance.latency())
        if self.chance.hits("broker-refuses"):
            raise OperationalError("the broker does not answer")
        message = Message(
            name, args, task_id or f"task-{next(self._numbers)}", self.actors.clock.now + expires
        )
        self.put(getattr(queue, "name", queue), message)
        if self.chance.hits("sent-and-refused"):
            raise OperationalError("the broker took it and said no")

    def put(self, queue: str, message: Message) -> None:
        """Let the message arrive: at once, late, twice or never."""
        if self.chance.hits("message-lost"):
            return
        late = self.chance.rng.uniform(1.0, 90.0) if self.chance.hits("message-late") else 0.0
        self.actors.later(late, lambda: self._arrive(queue, message))
        if self.chance.hits("message-twice"):
            self.actors.later(
                self.chance.rng.uniform(0.0, 60.0), lambda: self._arrive(queue, message)
            )

    def _arrive(self, queue: str, message: Message) -> None:
        waiting = self.queues.setdefault(queue, [])
        # Reordered: it overtakes what waits.
        waiting.insert(0 if self.chance.hits("message-overtakes") else len(waiting), message)
        self.taken(queue)

    def take(self, queue: str) -> Message | None:
        """Take the next message that has not expired; an expired one is answered as Celery does."""
        waiting = self.queues.get(queue) or []
        while waiting:
            message = waiting.pop(0)
            if message.expires > self.actors.clock.now:
                return message
            self.chance.count("expired")
            self.answer(message, b'{"status": "REVOKED", "result": null}')
        return None

    def answer(self, message: Message, data: bytes) -> None:
        """Store an answer; it may get lost."""
        if not self.chance.hits("answer-lost"):
            # As Celery does, which knows by it whose answer stands in a slot.
            whose = b'{"task_id": "' + message.id.encode() + b'", '
            self.answers[answer_key(message.id)] = whose + data.removeprefix(b"{")

    @contextmanager
    def listening(self, _: object, hears: bool) -> Iterator[Listener]:
        """Listen for answers; each message may be lost.

        Args:
            hears: Whether Redis lets this process subscribe.
        """
        yield Listener(self, hears)

    def empty(self) -> None:
        """Forget everything, as FLUSHALL does."""
        self.queues.clear()
        self.answers.clear()
        self._locks.clear()

    @contextmanager
    def lock(self, name: str) -> Iterator[HeldLock | None]:
        """Give a hold on `name`; that of a dead process ends with its time to live."""
        now, process = self.actors.clock.now, self.actors.process
        holder, since = self._locks.get(name, (None, 0.0))
        if holder is not None and (not holder.dead or now < since + self.settings.lock_ttl):  # type: ignore[attr-defined]
            yield None
            return
        self._locks[name] = (process, now)
        try:
            yield HeldLock(None)
        except Killed:
            if name in self._locks:
                self._locks[name] = (process, self.actors.clock.now)
            raise
        except BaseException:
            self._locks.pop(name, None)
            raise
        self._locks.pop(name, None)
