"""Carina's own processes beside ours: its controller's clean-up, and its node agent."""

from __future__ import annotations

import time

from tests.chaos.promise import ONE, TWO, Promise
from tests.chaos.stand_ins import CarinaAgent, CarinaController, Loop
from tests.chaos.story import Case, Story
from tests.lab import kube as k
from tests.lab.lab import Lab
from tests.system.product import Product


def test_carinas_controller_takes_nothing_in_rebuild(lab: Lab, case: Case) -> None:
    """A stand-in for carina-controller deletes what has a status and no PV, again and again: no
    volume is lost.
    """
    case(
        "carina-controller's clean-up at each of many pod deletions, in a rebuild of 8 volumes",
        "no LogicVolume lost",
    )
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


def test_carinas_controller_and_agent_together(story: Story) -> None:
    """Both stand-ins run through a rebuild: the agent makes a bait, and makes, extends and removes
    nothing of what is being rebuilt.
    """
    story.tell(
        "carina-controller's clean-up and the node agent through a rebuild of 6 volumes",
        "the agent makes only a bait",
    )
    promise = story.begin(count=6, pods=5)
    lab, controller, agent = story.lab, CarinaController(story.lab), CarinaAgent(story.lab)
    with Loop(0.05, controller.round) as one, Loop(0.05, agent.round) as two:
        story.product.add_logic_volume("bait", TWO)
        lab.kube.patch(f"{k.LOGIC_VOLUMES}/bait/status", {"status": {"volumeID": "", "status": ""}})
        lab.world.wait(
            "the agent bites, then the clean-up",
            lambda: "bait" in agent.created + controller.deleted,
            20,
        )
        lab.world.wait("the bait is gone", lambda: "bait" not in story.product.logic_volumes(), 20)
        story.delete_node()
        story.converge()
    taken = {*agent.created, *agent.extended, *agent.removed, *controller.deleted}
    assert taken == {"bait"}
    assert len(promise.moving) == 6
    story.end(f"{one.rounds} clean-ups and {two.rounds} looks of the agent took only the bait")
