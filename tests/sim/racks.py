"""Several machines lost at once, as with a rack: deleted within seconds, or without power.

Its dice are a stream of their own, so that all else in a history is as it was without this.
"""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

from carina_tasks.emulator.api_server.cluster import Target
from carina_tasks.emulator.api_server.deletion import delete
from carina_tasks.emulator.api_server.kinds.node import NODES

if TYPE_CHECKING:
    from tests.sim.history import History
    from tests.sim.nodes import Machine


class Racks:
    """What takes several machines at once."""

    def __init__(self, history: History) -> None:
        self.h, self.rng = history, Random(f"{history.seed}/racks")

    def begin(self) -> None:
        """Let two machines fail together, in four of ten histories with enough of them."""
        machines = list(self.h.machines.values())
        if len(machines) < 4 or self.rng.random() > 0.4:
            return
        lost = self.rng.sample(machines, 2)
        deleted = self.rng.random() < 0.6
        at = self.rng.uniform(5.0, 900.0)
        back = self.rng.choice((None, 20.0, 500.0, 900.0))
        apart = self.rng.choice((0.0, 1.5, 12.0))
        """Seconds in which they go: at once, in one command, by a cloud's controller."""
        for m in lost:
            self.h.actors.later(
                at + self.rng.uniform(0.0, apart), lambda m=m: self._lose(m, deleted, back)
            )

    def _lose(self, m: Machine, deleted: bool, back: float | None) -> None:
        if self.h.chance.calm or not m.heard or self.h.kubernetes.node(m.name) is None:
            return
        self.h.chance.count("rack-deleted" if deleted else "rack-off", m.name)
        self.h.people.power_off(m)
        if deleted:
            delete(self.h.cluster, Target(NODES, "", m.name))
        if back is not None:
            after = back * self.rng.uniform(0.7, 1.3)
            self.h.actors.later(after, lambda: self._back(m, deleted))

    def _back(self, m: Machine, register: bool) -> None:
        if not self.h.chance.calm:
            self.h.people.back(m, register)
