"""Act one: a node is deleted.

All its volumes come back, empty, on the other node, under the same names.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from carina_tasks.demo.acts.scene import Scene
from carina_tasks.model import quantity
from carina_tasks.model.names import local_volume_of
from carina_tasks.model.objects import Claim

KEPT_NODE, LOST_NODE = "10.20.9.153", "10.20.9.154"


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the manual's table, and the claim that stands behind it here."""

    volume: str
    size: str
    node: str
    app: str
    ordinal: int

    @property
    def claim(self) -> str:
        """The claim of the StatefulSet's pod."""
        return f"data-{self.pod}"

    @property
    def pod(self) -> str:
        """The pod."""
        return f"{self.app}-{self.ordinal}"


ROWS = (
    Row("pvc-177854eb-f811-4612-92c5-b8bb98126b94", "5Gi", LOST_NODE, "mysql", 0),
    Row("pvc-1fed3234-ff89-4c58-8c65-e21ca338b099", "5Gi", KEPT_NODE, "mysql", 1),
    Row("pvc-527b5989-3ac3-4d7a-a64d-24e0f665788b", "10Gi", LOST_NODE, "reports", 0),
    Row("pvc-b987d27b-39f3-4e74-9465-91b3e6b13837", "3Gi", LOST_NODE, "cache", 0),
)
"""The table of Carina's failover manual, row for row."""
ANNOTATED = ("mysql",)
"""Applications whose pods allow migration; a deleted node's volumes come back whether they do or
not.
"""


def prepare(scene: Scene) -> None:
    """Make the manual's two nodes, volumes and pods."""
    world = scene.world
    world.prepare()
    world.register(KEPT_NODE, LOST_NODE)
    for row in ROWS:
        world.claim(row.claim, row.size, row.node, row.volume, app=row.app)
    for app in dict.fromkeys(row.app for row in ROWS):
        mine = [row for row in ROWS if row.app == app]
        world.stateful_set(app, mine[0].size, len(mine), "true" if app in ANNOTATED else None)
    for row in ROWS:
        world.wait(
            f"{row.pod} runs on {row.node}",
            partial(world.running, row.pod, on=row.node),
        )


def play(scene: Scene) -> None:
    """Delete the node and look at everything that was promised."""
    screen, world = scene.screen, scene.world
    before, claims = scene.show_volumes(), world.claims()
    expected = [[r.volume, r.size, "carina-vg-hdd", r.node, "Success"] for r in ROWS]
    screen.promise("0", "the manual's table, row for row", before[1:] == expected)

    screen.command(f"kubectl delete node {LOST_NODE}")
    world.delete_node(LOST_NODE)
    names, pods = [row.volume for row in ROWS], [row.pod for row in ROWS]
    seconds = scene.follow(
        "all volumes are rebuilt and all pods run",
        lambda: world.rebuilt(*names, away_from=LOST_NODE) and world.running(*pods, on=KEPT_NODE),
    )
    after = scene.show_volumes()
    confirm = float(scene.stage.env["CARINA_TASKS_CONFIRM_ABSENCE"])
    screen.progress(
        f"deletion to Running: {seconds:.1f} s, of which {confirm:.0f} s make sure that the node "
        "is gone"
    )

    sizes = scene.stage.nodes[KEPT_NODE].sizes()
    wanted = {local_volume_of(row.volume): quantity.to_bytes(row.size) for row in ROWS}
    screen.promise("S4", f"lvs on {KEPT_NODE} shows every volume, sizes right", sizes == wanted)
    moved = [[*row[:3], KEPT_NODE, "Success"] for row in expected]
    screen.promise("S5", "the same names, a new NODE, all Success", after[1:] == moved)
    kept = all(_same(claims[row.claim], world.claims().get(row.claim)) for row in ROWS)
    screen.promise("S5", "claims kept: same UID, labels, annotations; Bound", kept)
    screen.promise(
        "S8",
        f"all pods run again on {KEPT_NODE}, without a hand",
        world.running(*pods, on=KEPT_NODE),
    )
    said = [_said(scene, row) for row in ROWS if row.node == LOST_NODE]
    screen.promise(
        "S9", f"an Event on each claim says new and empty, and from {LOST_NODE}", all(said)
    )
    if said[0]:
        screen.say(f"          {said[0]}")


def _same(before: Claim, after: Claim | None) -> bool:
    return after is not None and after.phase == "Bound" and _kept(before) == _kept(after)


def _kept(claim: Claim) -> tuple[object, ...]:
    meta = claim.meta
    return (
        meta.uid,
        dict(meta.labels),
        dict(meta.annotations),
        meta.owners,
        meta.finalizers,
        claim.pv_name,
    )


def _said(scene: Scene, row: Row) -> str:
    for event in scene.world.events("PersistentVolumeClaim", row.claim):
        if (
            event["reason"] == "VolumeRebuiltEmpty"
            and "new and empty" in event["message"]
            and LOST_NODE in event["message"]
        ):
            return str(event["message"])
    return ""
