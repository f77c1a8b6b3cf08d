"""Virtual time, and who continues next: every actor is a greenlet that gives way wherever the real
thing would wait.

The product's flows are straight-line code that blocks on API calls, sleeps and answers. Here each
of these is a switch to the scheduler, which resumes whatever is due first. All delays come
from one seeded generator, so a seed is a history.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from random import Random
from types import TracebackType
from typing import Any, Self

from greenlet import GreenletExit, getcurrent, greenlet

from tests.harness.clock import Clock


class Killed(GreenletExit):
    """The process died: no handler of the product may catch it."""


class Process:
    """Greenlets that live and die together."""

    def __init__(self, name: str) -> None:
        self.name, self.dead = name, False
        self.actors: dict[Actor, None] = {}
        """In the order in which they were started."""


class Actor(greenlet):
    """One thread of a process."""

    process: Process


class Actors:
    """The scheduler of one history."""

    def __init__(self, clock: Clock, rng: Random) -> None:
        self.clock, self.rng = clock, rng
        self._due: list[tuple[float, int, Callable[[], object]]] = []
        self._number = itertools.count()
        self._hub = getcurrent()

    def later(self, seconds: float, work: Callable[[], object]) -> None:
        """Call `work` in so many seconds, outside of any actor."""
        heapq.heappush(self._due, (self.clock.now + seconds, next(self._number), work))

    def run(self, until: float) -> None:
        """Let everybody act until that time."""
        while self._due and self._due[0][0] <= until:
            at, _, work = heapq.heappop(self._due)
            self.clock.now = max(self.clock.now, at)
            work()
        self.clock.now = max(self.clock.now, until)

    def start(self, process: Process, work: Callable[[], object], after: float = 0.0) -> Actor:
        """Start an actor of `process`."""
        actor = Actor(work, self._hub)
        actor.process = process
        process.actors[actor] = None
        self.later(after, lambda: self._go_on(actor))
        return actor

    def _go_on(self, actor: Actor) -> None:
        if not actor.dead and not actor.process.dead:
            actor.switch()
        if actor.dead:
            actor.process.actors.pop(actor, None)

    def sleep(self, seconds: float) -> None:
        """Let the calling actor wait. Raises Killed when its process is dead."""
        actor = getcurrent()
        assert isinstance(actor, Actor), "only an actor can wait"
        if actor.process.dead:
            raise Killed
        self.later(seconds, lambda: self._go_on(actor))
        self._hub.switch()

    def park(self, call_back: Callable[[Callable[[object], None]], None]) -> None:
        """Let the calling actor wait until what it hands to `call_back` is called. Raises
        Killed.
        """
        actor = getcurrent()
        assert isinstance(actor, Actor), "only an actor can wait"
        if actor.process.dead:
            raise Killed
        call_back(lambda _: self.later(0.0, lambda: self._go_on(actor)))
        self._hub.switch()

    def kill(self, process: Process) -> None:
        """End a process where it stands; an actor that kills its own process must then raise Killed
        itself.
        """
        process.dead = True
        if getcurrent() is self._hub:
            for actor in list(process.actors):
                actor.throw(Killed)
            process.actors.clear()
        else:
            # Only the hub may throw into others.
            self.later(0.0, lambda: self.kill(process))

    @property
    def process(self) -> Process | None:
        """The process of the calling actor."""
        actor = getcurrent()
        return actor.process if isinstance(actor, Actor) else None


class Executor:
    """A thread pool of the product: each call is an actor of the process that made it."""

    actors: Actors

    def __init__(self, max_workers: int | None = None) -> None:
        self._futures: list[Answer] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        if not (kind and issubclass(kind, GreenletExit)):
            for future in self._futures:
                future.wait()

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Answer:
        """Start the call."""
        process = self.actors.process
        assert process is not None
        future = Answer(self.actors)

        def work() -> None:
            try:
                future.set_result(function(*arguments))
            except Exception as exc:
                future.set_exception(exc)

        self._futures.append(future)
        self.actors.start(process, work, self.actors.rng.uniform(0.0, 0.002))
        return future

    def map(self, function: Callable[..., Any], *iterables: Iterable[Any]) -> Iterator[Any]:
        """Start a call for each, and return the results in order."""
        futures = [self.submit(function, *arguments) for arguments in zip(*iterables, strict=False)]
        return (future.result() for future in futures)


class Answer(Future):  # type: ignore[type-arg]
    """What a call will return."""

    def __init__(self, actors: Actors) -> None:
        super().__init__()
        self._actors = actors

    def wait(self) -> None:
        """Wait until it is there."""
        while not self.done():
            self._actors.park(self.add_done_callback)

    def result(self, timeout: float | None = None) -> Any:
        """Return it."""
        self.wait()
        return super().result()
