"""Act two: a node falls silent.

The annotated pods and their volumes move to a third node, nothing else is touched.
"""

from __future__ import annotations

from carina_tasks.demo.acts.deleted import ANNOTATED, KEPT_NODE, ROWS
from carina_tasks.demo.acts.scene import Scene
from carina_tasks.model import quantity, well_known
from carina_tasks.model.names import local_volume_of

THIRD_NODE, SILENT_NODE = "10.20.9.152", KEPT_NODE


def play(scene: Scene) -> None:
    """Join a node, silence the one on which everything runs, and look."""
    screen, world = scene.screen, scene.world
    moving = [row for row in ROWS if row.app in ANNOTATED]
    staying = [row for row in ROWS if row.app not in ANNOTATED]
    screen.progress(f"node {THIRD_NODE} joins, with an empty volume group and a worker of its own")
    world.register(THIRD_NODE)
    scene.stage.wait_ready()

    screen.progress(
        f"node {SILENT_NODE} falls silent: no heartbeat of its kubelet, none of its worker"
    )
    screen.progress(
        f"annotated {well_known.MIGRATION_ALLOWED}=true: {', '.join(r.pod for r in moving)}"
    )
    scene.stage.power_off(SILENT_NODE)
    world.wait(f"{SILENT_NODE} is NotReady", lambda: world.ready(SILENT_NODE) != "True")
    before = {row.claim: world.versions(row.claim) for row in staying}
    after = float(scene.stage.env["CARINA_TASKS_NOT_READY_AFTER"])
    screen.progress(
        f"node {SILENT_NODE} is {world.ready(SILENT_NODE)}; failover begins after {after:.0f} s of "
        "that"
    )

    names, pods = [row.volume for row in moving], [row.pod for row in moving]
    seconds = scene.follow(
        "the annotated pods run elsewhere",
        lambda: (
            world.rebuilt(*names, away_from=SILENT_NODE) and world.running(*pods, on=THIRD_NODE)
        ),
    )
    screen.progress(f"NotReady to Running: {seconds:.1f} s")
    scene.show_volumes()
    sizes = scene.stage.nodes[THIRD_NODE].sizes()
    wanted = {local_volume_of(row.volume): quantity.to_bytes(row.size) for row in moving}
    screen.promise(
        "S6",
        f"annotated pods run on {THIRD_NODE}, their volumes are there",
        sizes == wanted and world.running(*pods, on=THIRD_NODE),
    )
    moved = [claim for claim, versions in before.items() if world.versions(claim) != versions]
    untouched = (
        "their resourceVersions have not moved" if not moved else f"touched: {', '.join(moved)}"
    )
    pods_left = ", ".join(row.pod for row in staying)
    screen.promise("S7", f"{pods_left} and their volumes stay untouched", not moved, untouched)
