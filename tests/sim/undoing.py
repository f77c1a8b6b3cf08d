"""An operator who undoes failovers: old copies on nodes that are back, and on a machine that has
another name now.

Its dice are a stream of their own, so that all else in a history is as it was without this.
"""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

from carina_tasks.model import well_known
from tests.harness.controllers import is_ready
from tests.harness.nodes import SimNode
from tests.sim.broker import Message
from tests.sim.nodes import Machine

if TYPE_CHECKING:
    from tests.harness.controllers import JSON
    from tests.sim.history import History

LOOKS = 4


class Undoing:
    """The operator, and the technician who puts disks into another machine."""

    def __init__(self, history: History) -> None:
        self.h, self.rng = history, Random(f"{history.seed}/failback")

    def begin(self) -> None:
        """Look for old copies now and then, in every other history."""
        if self.rng.random() < 0.5:
            for _ in range(LOOKS):
                self.h.actors.later(self.rng.uniform(100.0, 1800.0), self._look)
            self.h.actors.later(self.rng.uniform(60.0, 1200.0), self._rename)

    def calm(self) -> None:
        """Look once more, now that everything is back."""
        if self.rng.random() < 0.5:
            self.h.actors.later(self.rng.uniform(30.0, 900.0), self._look)

    def _look(self) -> None:
        """Ask for the old copies of one node: all of them, or one by its UUID."""
        found = [(m, copies) for m in self.h.machines.values() if (copies := self._old_copies(m))]
        if not found:
            return
        machine, copies = self.rng.choice(found)
        chosen = copies if self.rng.random() < 0.5 else [self.rng.choice(copies)]
        names = [name for name, _ in chosen]
        for name, uuid in chosen:
            self.h.judge.asked.setdefault(name, set()).add(uuid)
        self.h.chance.count("failback-asked", f"{machine.name} {names}")
        now = self.h.actors.clock.now
        words = [machine.name, [uuid for _, uuid in chosen], names]
        self.h.broker.put(
            "control", Message("carina.failover.failback", words, f"failback-{now}", now + 300)
        )
        if self.rng.random() < 0.3:
            uuid = self.rng.choice(chosen)[1]
            self.h.actors.later(self.rng.uniform(0.2, 4.0), lambda: self._remove(machine, uuid))

    def _remove(self, machine: Machine, uuid: str) -> None:
        """Let an administrator remove an old copy manually, as long as the failback has not
        restored
        it.
        """
        local = machine.disks.by_uuid().get(uuid)
        journals = [
            j for name in self.h.before.logic if (j := self.h.judge.journal_of(name)) is not None
        ]
        if any(uuid == j.before or (j.given_up and uuid == j.copy) for j in journals):
            return  # It is the copy in use of a failback that is under way.
        if (
            local is not None
            and not local.open
            and not any(tag.startswith(well_known.TAG_INTENT) for tag in local.tags)
        ):
            self.h.chance.count("old-copy-removed", f"{machine.name} {local.name}")
            machine.disks.state.groups[0].volumes.remove(local)

    def _old_copies(self, machine: Machine) -> list[tuple[str, str]]:
        """Return the old copies of a node that is Ready, as LogicVolume and UUID: one for each."""
        node = self.h.kubernetes.node(machine.name)
        if node is None or not is_ready(node):
            return []
        found = {}
        for local in machine.disks.volumes().values():
            old = next(
                (
                    tag.removeprefix(well_known.TAG_TRASH_NAME)
                    for tag in local.tags
                    if tag.startswith(well_known.TAG_TRASH_NAME)
                ),
                "",
            )
            name = (old or local.name).removeprefix("volume-")
            logic = self._logic(name)
            if (
                logic is not None
                and name not in self.h.given_up
                and logic["spec"]["nodeName"] != machine.name
            ):
                found[name] = local.uuid
        return sorted(found.items())

    def _logic(self, name: str) -> JSON | None:
        return self.h.controllers.get(self.h.controllers.logic_volumes, name)

    def _rename(self) -> None:
        """Put the disks of a machine that is off, and whose node is deleted, into one with another
        name.
        """
        named = {
            v["spec"]["nodeName"] for v in self.h.controllers.all(self.h.controllers.logic_volumes)
        }
        named |= {
            j.source for v in self.h.before.logic if (j := self.h.judge.journal_of(v)) is not None
        }
        off = [
            m
            for m in self.h.machines.values()
            if not m.power and self.h.kubernetes.node(m.name) is None and m.name not in named
        ]
        if self.h.chance.calm or not off:
            return
        machine = self.rng.choice(off)
        old, new = machine.name, f"{machine.name}x"
        self.h.chance.count("machine-renamed", f"{old} {new}")
        empty = SimNode(old)
        empty.state.groups[0].size = machine.disks.state.groups[0].size
        empty.add("backup", 1, self.h.actors.clock.now)
        machine.disks.name = new
        self.h.machines[new], self.h.machines[old] = machine, Machine(empty, power=False)
        self.h.controllers.nodes[new], self.h.controllers.nodes[old] = machine.disks, empty
        self.h.people.back(machine, register=True)
