"""Planned work on machines: cordon and drain, a reboot, maintenance, and an upgrade that deletes
and re-creates the node.

Its dice are a stream of their own, so that all else in a history is as it was without this.
"""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

from carina_tasks.emulator.api_server.cluster import Target
from carina_tasks.emulator.api_server.deletion import delete
from carina_tasks.emulator.api_server.kinds import PODS
from carina_tasks.emulator.api_server.kinds.node import NODES
from carina_tasks.emulator.api_server.writes import patch
from carina_tasks.model import maintenance
from tests.harness.stage import MERGE

if TYPE_CHECKING:
    from tests.sim.history import History
    from tests.sim.nodes import Machine


class Planned:
    """An administrator who works on some of the machines."""

    def __init__(self, history: History) -> None:
        self.h, self.rng = history, Random(f"{history.seed}/planned")
        self._cordoned: dict[str, float] = {}
        self._announced: dict[str, float] = {}

    def begin(self) -> None:
        """Plan the work of this history, in every third of them."""
        if self.rng.random() > 0.35:
            return
        for m in self.rng.sample(list(self.h.machines.values()), self.rng.randint(1, 2)):
            work = self.rng.choice((self.reboot, self.reboot, self.long_work, self.upgrade))
            self.h.actors.later(self.rng.uniform(5.0, 900.0), lambda m=m, work=work: work(m))

    # --- what is done ---

    def reboot(self, m: Machine) -> None:
        """Cordon, drain, reboot, and uncordon when the node is back: longer than NotReady may last,
        shorter than cordoned.
        """
        if not self._away(m):
            self.h.chance.count("drained-and-rebooted", m.name)
            self._cordon(m)
            self._drain_and_stop(m, 40.0, 800.0)

    def long_work(self, m: Machine) -> None:
        """Announce maintenance, drain, and be away for longer than a cordon allows; sometimes
        longer than announced.
        """
        if not self._away(m):
            self.h.chance.count("maintenance", m.name)
            self._announce(m, self.rng.choice((600.0, 3000.0)))
            if self.rng.random() < 0.5:
                self._cordon(m)
            self._drain_and_stop(m, 300.0, 2500.0)

    def upgrade(self, m: Machine) -> None:
        """Announce maintenance, delete the node, and register the same machine again under another
        UID.
        """
        if self._away(m):
            return
        self.h.chance.count("node-upgraded", m.name)
        self._announce(m, 1200.0)
        self.h.actors.later(self.rng.uniform(1.0, 30.0), lambda: self._delete(m))

    def calm(self) -> None:
        """End all of it; machines that are still away come back with the others."""
        for name in list(self._cordoned):
            self._uncordon(name)
        for name in list(self._announced):
            self._end(name)

    # --- what the judge asks ---

    def cordoned_for(self, node: str) -> float:
        """Return for how many seconds the node has been cordoned; 0: it is not."""
        found = self.h.kubernetes.node(node)
        if found is None or not found["spec"].get("unschedulable"):
            return 0.0
        return self.h.actors.clock.now - self._cordoned.get(node, self.h.actors.clock.now)

    def announced_for(self, node: str) -> float:
        """Return for how many seconds the node has been in maintenance; 0: it is not."""
        return self.h.actors.clock.now - self._announced.get(node, self.h.actors.clock.now)

    def announced(self) -> set[str]:
        """Return the nodes in maintenance."""
        return set(self._announced)

    # --- steps ---

    def _away(self, m: Machine) -> bool:
        return self.h.chance.calm or not m.heard or self.h.kubernetes.node(m.name) is None

    def _cordon(self, m: Machine) -> None:
        self._cordoned[m.name] = self.h.actors.clock.now
        patch(self.h.cluster, Target(NODES, "", m.name), MERGE, {"spec": {"unschedulable": True}})

    def _uncordon(self, name: str) -> None:
        self._cordoned.pop(name, None)
        if self.h.kubernetes.node(name) is not None:
            patch(self.h.cluster, Target(NODES, "", name), MERGE, {"spec": {"unschedulable": None}})

    def _drain(self, m: Machine) -> None:
        for pod in self.h.controllers.all(PODS):
            if pod["spec"].get("nodeName") == m.name:
                delete(self.h.cluster, Target(PODS, "default", pod["metadata"]["name"]))

    def _announce(self, m: Machine, seconds: float) -> None:
        now = self.h.actors.clock.now
        self._announced[m.name] = now
        entry = maintenance.new(m.name, now, seconds, "a test of planned work")
        self.h.people.state(**{entry.key: entry.to_json()})

    def _end(self, name: str) -> None:
        self._announced.pop(name, None)
        self.h.people.state(**{maintenance.PREFIX + name: None})

    def _drain_and_stop(self, m: Machine, least: float, most: float) -> None:
        self._drain(m)
        seconds = self.rng.uniform(least, most)
        self.h.actors.later(self.rng.uniform(5.0, 40.0), lambda: self._off(m, seconds))

    def _off(self, m: Machine, seconds: float) -> None:
        if not self._away(m):
            self.h.people.power_off(m)
            self.h.actors.later(seconds, lambda: self._back(m))

    def _delete(self, m: Machine) -> None:
        if not self._away(m):
            delete(self.h.cluster, Target(NODES, "", m.name))
            self.h.actors.later(self.rng.uniform(20.0, 900.0), lambda: self._back(m, register=True))

    def _back(self, m: Machine, register: bool = False) -> None:
        if self.h.chance.calm:
            return
        self.h.people.back(m, register)
        # Once the node is Ready, and not before.
        self.h.actors.later(self.rng.uniform(30.0, 60.0), lambda: self._over(m.name))

    def _over(self, name: str) -> None:
        if name in self._cordoned:
            self._uncordon(name)
        if name in self._announced:
            self._end(name)
