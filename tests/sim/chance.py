"""Which faults strike, how long things take, and the log of what happened; all from one seed."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass, field
from random import Random

from tests.harness.clock import START, Clock


@dataclass
class Chance:
    """The dice and the log of one history."""

    rng: Random
    clock: Clock
    odds: dict[str, float] = field(default_factory=dict)
    """How probable each fault is at each of its occasions; empty when the faults are over."""
    counts: Counter[str] = field(default_factory=Counter)
    """Faults that struck, by name."""
    did: Counter[str] = field(default_factory=Counter)
    """What the product did, by name."""
    log: list[tuple[float, str, str]] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    """What must never be, as it was seen."""

    calm: bool = False
    """Whether the faults are over."""

    def hits(self, fault: str) -> bool:
        """Throw the dice for one occasion of `fault`."""
        odds = self.odds.get(fault, 0.0)
        if not odds or self.rng.random() >= odds:
            return False
        self.count(fault)
        return True

    def count(self, fault: str, about: str = "") -> None:
        """Take note of a fault that struck."""
        self.counts[fault] += 1
        self.say("fault", f"{fault} {about}".rstrip())

    def say(self, who: str, what: str) -> None:
        """Write a line of the history."""
        self.log.append((self.clock.now, who, what))

    def wrong(self, what: str) -> None:
        """Write down what must never be."""
        self.broken.append(what)
        self.say("BROKEN", what)

    def latency(self) -> float:
        """Return how long one call takes: milliseconds, now and then seconds."""
        if self.hits("slow"):
            return self.rng.uniform(0.5, 14.0)
        return self.rng.uniform(0.001, 0.03)

    def lines(self) -> list[str]:
        """Return the history for users."""
        return [f"{at - START:9.3f}  {who:<14} {what}" for at, who, what in self.log]

    def digest(self) -> str:
        """Return a fingerprint of the whole history."""
        return hashlib.sha256("\n".join(self.lines()).encode()).hexdigest()
