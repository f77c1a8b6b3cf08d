"""Carina's own processes beside ours: its controller's clean-up, and its node agent."""

from __future__ import annotations

import time

from tests.chaos.conftest import Case
from tests.chaos.promise import ONE, Promise
from tests.chaos.stand_ins import CarinaAgent, CarinaController, Loop
from tests.lab.lab import Lab
from tests.system.product import Product


def test_carinas_controller_takes_nothing_in_rebuild(lab: Lab, case: Case) -> None:
    """A stand-in for carina-controller deletes what has a status and no PV, again and again: no volume is lost."""
    case("carina-controller's clean-up at each of many pod deletions, in a rebuild of 8 volumes", "no LogicVolume lost")
    product = Product(lab)
    product.start("control", "beat", "node_watch")
    promise = Promise(product, count=8, pods=6)
    product.add_logic_volume("bait", ONE)
    controller = CarinaController(lab)
    begun = time.monotonic()
    with Loop(0.02, controller.round) as loop:
        lab.world.wait("the clean-up bites", lambda: controller.deleted == ["bait"], 10)
        lab.kubectl("delete", "node", ONE)
        case.seconds = promise.wait(120, since=begun)
    assert controller.deleted == ["bait"]
    promise.check()
    case.seen = f"{loop.rounds} clean-ups took only the bait; rebuilt on {promise.nodes()}"


def test_carinas_controller_and_agent_together(lab: Lab, case: Case) -> None:
    """Both stand-ins run through a rebuild: the agent makes, extends and removes nothing of what is being rebuilt."""
    case("carina-controller's clean-up and the node agent through a rebuild of 6 volumes", "the agent does nothing")
    product = Product(lab)
    product.start("control", "beat", "node_watch")
    promise = Promise(product, count=6, pods=5)
    controller, agent = CarinaController(lab), CarinaAgent(lab)
    begun = time.monotonic()
    with Loop(0.05, controller.round) as one, Loop(0.05, agent.round) as two:
        lab.kubectl("delete", "node", ONE)
        case.seconds = promise.wait(120, since=begun)
    assert not controller.deleted
    assert (agent.created, agent.extended, agent.removed) == ([], [], [])
    promise.check()
    case.seen = f"{one.rounds} clean-ups and {two.rounds} looks of the agent, none acted; rebuilt on {promise.nodes()}"
