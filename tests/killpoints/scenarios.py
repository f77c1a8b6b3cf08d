"""The histories whose every point is tried: how each begins, and what must be true at its end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from carina_tasks.emulator.api_server.kinds import PODS
from carina_tasks.model import well_known
from carina_tasks.settings import Settings, load
from tests.harness import promises
from tests.harness.api import Denial
from tests.harness.clock import START, Clock, virtual_world
from tests.harness.faults import Fault
from tests.harness.promises import Before
from tests.harness.sim import QUICK, SETTINGS, Sim, fork, fork_nodes
from tests.harness.stage import Stage

SHORT_TRASH = load({"CARINA_TASKS_TRASH_RETENTION": "500", **QUICK})
"""What one sweep puts into the trash, the next one purges."""
NO_TRASH = load(
    {**QUICK, "CARINA_TASKS_TRASH_RETENTION": "0", "CARINA_TASKS_OLD_COPY_RETENTION": "86400"}
)
"""Only old copies are kept."""
Check = Callable[[Sim, Before], list[str]]
LONG, LONGER = 1900.0, 4300.0
"""Seconds of virtual time after which a history is judged, and judged for the last time."""


@dataclass(frozen=True)
class Scenario:
    """One way for things to begin, whose end is checked."""

    name: str
    stage: Stage
    begin: Callable[[Sim], None]
    check: Check
    carina: bool = True
    first: Sequence[Fault] = ()
    """What has gone wrong before the points that are tried."""
    target_dies: str = ""
    """The node that goes in the variant ``target-gone``."""
    settings: Settings = SETTINGS
    patient: bool = True
    """Judge a history that is not well at the end of `LONG` once more, at the end of `LONGER`."""
    until: float = LONG
    """Seconds of virtual time after which it is judged for the first time."""
    needs_fault: bool = False
    """The end that is checked is that of a disturbed history only."""

    def history(self, faults: Sequence[Fault] = ()) -> tuple[Sim, list[str]]:
        """Run one history to its end; return it and what is wrong with it."""
        clock = Clock(START)
        nodes = fork_nodes(list(self.stage.nodes.values()))
        sim = Sim(
            fork(self.stage.emulator),
            nodes,
            clock,
            [*self.first, *faults],
            pods=self.stage.pods,
            carina=self.carina,
            settings=self.settings,
        )
        sim.target_dies = self.target_dies
        before = promises.remember(sim)
        self.begin(sim)
        for seconds in (self.until, LONGER) if self.patient else (self.until,):
            sim.leave_alone(START + seconds)
            wrong = [*self.check(sim, before), *promises.clean(sim)]
            if not wrong:
                break
        return sim, wrong


def _lost_node(*, stale: bool = True) -> Stage:
    """Make a cluster whose node n1 is deleted; with `stale`, all other nodes have an old LV of one
    of its volumes.
    """
    stage = Stage("n1", "n2", "n3", "n4")
    stage.volume("shared", "n1", 3)
    stage.volume("grown", "n1", 5)
    stage.volume("idle", "n1", 4)
    stage.volume("kept", "n1", 2, policy="Retain", block=True)
    stage.volume("bystander", "n3", 5)
    stage.grow("grown", 8)
    stage.pod("web-0", "n1", "shared")
    stage.pod("web-1", "n1", "shared", "grown")
    stage.pod("db-0", "n1", "kept")
    stage.pod("by-0", "n3", "bystander")
    for node in ("n2", "n3", "n4"):
        if stale:
            # From an earlier life, of another size: not to be handed to anybody.
            stage.nodes[node].add("volume-pvc-idle", 7, stage.clock.now)
        stage.nodes[node].add("backup", 1, stage.clock.now)
    stage.delete_node("n1")
    return stage


ALL = ("shared", "grown", "idle", "kept")


def _all_rebuilt(sim: Sim, before: Before, *lost: str, once: bool = True) -> list[str]:
    return [
        *promises.rebuilt(sim, before, ALL, ("n1", *lost), once=once),
        *promises.untouched(sim, before, ["bystander"] if "n3" not in lost else []),
        *promises.running(sim, ["web-0", "web-1", "db-0"], away_from=("n1", *lost)),
        *promises.no_strays(sim, ("n1", *lost)),
    ]


def rebuild() -> Scenario:
    """Delete a node: four volumes, two pods that share one, an expanded one, an unused one with
    stale LVs everywhere.
    """
    return Scenario(
        "rebuild",
        _lost_node(),
        lambda sim: sim.watch_says("rebuild_node", "n1"),
        lambda sim, before: _all_rebuilt(sim, before),
    )


def frozen() -> Scenario:
    """Let a policy deny every update of one volume from the start: nothing of it or its companion
    moves, the others do.
    """

    def begin(sim: Sim) -> None:
        sim.api.denied = (Denial(frozenset({"PATCH"}), "logicvolumes/pvc-grown", 422),)
        sim.watch_says("rebuild_node", "n1")

    def check(sim: Sim, before: Before) -> list[str]:
        return [
            *promises.rebuilt(sim, before, ["idle", "kept"], ["n1"]),
            *promises.untouched(sim, before, ["grown", "shared", "bystander"]),
            *promises.running(sim, ["db-0"], away_from=["n1"]),
            *promises.no_strays(sim, ["n1"]),
        ]

    # What is denied is tried again every 30 s, so all is over before the sweeps come; stale LVs
    # would wait for those.
    return Scenario("frozen", _lost_node(stale=False), begin, check, until=400.0)


TOGETHER = {
    "shared": ("shared", "grown"),
    "grown": ("shared", "grown"),
    "web-0": ("shared", "grown"),
    "web-1": ("shared", "grown"),
    "db-0": ("kept",),
    "kept": ("kept",),
    "idle": ("idle",),
}
"""The volumes that may wait when something of that name is denied."""


def denied() -> Scenario:
    """From any write on, let that verb on that object be denied: the other volumes end; once it is
    allowed, this one does.
    """

    def check(sim: Sim, before: Before) -> list[str]:
        silent = any(one.name.startswith("events/") for one in sim.api.denied)
        # An Event that is refused is not written later: a log line has it.
        return [
            what for what in unpromised(sim, before) if not (silent and promises.NO_EVENT in what)
        ]

    def unpromised(sim: Sim, before: Before) -> list[str]:
        wait = {
            v
            for one in sim.api.denied
            for v in TOGETHER.get(one.name.rpartition("/")[2].removeprefix("pvc-"), ())
        }
        wrong = [
            *promises.rebuilt(sim, before, [name for name in ALL if name not in wait], ["n1"]),
            *promises.untouched(sim, before, ["bystander"]),
        ]
        if wrong:
            return [f"while {sim.api.denied} is denied: {what}" for what in wrong]
        if sim.api.denied:
            sim.api.denied = ()
            sim.leave_alone(sim.clock.now + 1300)
        return _all_rebuilt(sim, before)

    return Scenario(
        "denied", _lost_node(), lambda sim: sim.watch_says("rebuild_node", "n1"), check, until=700.0
    )


def resumed() -> Scenario:
    """Let the worker of a rebuild die after its journals; every point of what resume makes of it is
    tried as a second death.
    """
    scenario = rebuild()
    return replace(
        scenario, name="resume", first=(Fault(_number(scenario, "pvc-shared journal"), "after"),)
    )


def replanned() -> Scenario:
    """Let the target of two volumes die, its node deleted, in mid-rebuild; every point of the
    recovery is tried.
    """
    scenario = target_dies()
    return replace(
        scenario,
        name="replan",
        needs_fault=False,
        first=(Fault(_number(scenario, "persistentvolumeclaims/grown touch"), "target-gone"),),
    )


def target_dies() -> Scenario:
    """Let the node that two volumes go to die permanently, at any point."""
    return Scenario(
        "target dies",
        _lost_node(),
        lambda sim: sim.watch_says("rebuild_node", "n1"),
        lambda sim, before: _all_rebuilt(sim, before, "n2", once=False),
        target_dies="n2",
        needs_fault=True,
    )


def _number(scenario: Scenario, label: str) -> int:
    """Return the number of the first point whose label ends so."""
    with virtual_world():
        sim, _ = scenario.history()
    return next(
        number for number, point in enumerate(sim.points.seen) if point.label.endswith(label)
    )


def _migrating() -> Stage:
    stage = Stage("n1", "n2", "n3", "n4")
    stage.volume("moves", "n1", 5)
    stage.volume("stays", "n1", 5)
    stage.volume("mixed", "n1", 5)
    stage.volume("idle", "n1", 5)
    stage.pod("moves-0", "n1", "moves", migrate=True)
    stage.pod("stays-0", "n1", "stays")
    stage.pod("mixed-0", "n1", "mixed", migrate=True)
    stage.pod("mixed-1", "n1", "mixed")
    stage.pod("free-0", "n1", migrate=True)
    # What no failover may touch: a backup that has ended, a static pod; and one that its finalizer
    # keeps, ended once.
    stage.volume("scratch", "n1", 2)
    stage.pod("backup-0", "n1", "moves", phase="Succeeded", again=False)
    stage.pod("static-0", "n1", migrate=True, again=False, annotations={well_known.MIRROR: "hash"})
    stage.pod("job-0", "n1", "moves", migrate=True, again=False, finalizers=["example.com/kept"])
    stage.pod("temp-0", "n1", "scratch", migrate=True, again=False)
    stage.ephemeral("scratch", "temp-0")
    stage.not_ready("n1", "2026-01-01T00:00:00Z")
    return stage


def _migrated(sim: Sim, before: Before) -> list[str]:
    stay = ("stays", "mixed", "idle", "scratch")
    return [
        *promises.ended_once(sim, "job-0", finalizer="example.com/kept"),
        *[
            f"pod {name} was touched"
            for name in ("backup-0", "static-0")
            if promises.asked(sim, name)
        ],
        *(
            []
            if sim.controllers.get(PODS, "temp-0", "default") is None
            else ["pod temp-0 is still there"]
        ),
        *promises.rebuilt(sim, before, ["moves"], ["n1"]),
        *promises.untouched(sim, before, stay),
        *promises.running(sim, ["moves-0", "free-0"], away_from=["n1"]),
        *promises.running(sim, ["stays-0", "mixed-0", "mixed-1"], on="n1"),
        *promises.no_strays(sim, ["n1"]),
        *promises.disks(sim, {"n1": [f"volume-pvc-{name}" for name in ("moves", *stay)]}),
    ]


def migrate() -> Scenario:
    """Silence a node: what is annotated moves, what is not, or only in part, has not moved a
    version.
    """
    return Scenario(
        "migrate", _migrating(), lambda sim: sim.watch_says("migrate_node", "n1"), _migrated
    )


def returns() -> Scenario:
    """Let the worker die and the silent node come back, both at any point: a pod's volumes have all
    moved, or none has.
    """
    stage = Stage("n1", "n2", "n3")
    pods = {
        "one-0": ("one",),
        "pair-0": ("left", "right"),
        "both-0": ("mine", "shared"),
        "both-1": ("yours", "shared"),
    }
    volumes = sorted({name for claims in pods.values() for name in claims})
    for name in volumes:
        stage.volume(name, "n1", 2)
    for pod, claims in pods.items():
        stage.pod(pod, "n1", *claims, migrate=True)
    stage.not_ready("n1", "2026-01-01T00:00:00Z")

    def check(sim: Sim, before: Before) -> list[str]:
        on = {}
        for name in volumes:
            found = sim.controllers.get(sim.controllers.logic_volumes, f"pvc-{name}")
            on[name] = found["spec"]["nodeName"] if found is not None else ""
        moved = [name for name in volumes if on[name] != "n1"]
        wrong = [
            f"the volumes of {pod} are parted: {[on[name] for name in claims]}"
            for pod, claims in pods.items()
            if len({on[name] for name in claims}) > 1
        ]
        return [
            *wrong,
            *promises.rebuilt(sim, before, moved, ["n1"]),
            *promises.untouched(sim, before, [name for name in volumes if name not in moved]),
            *promises.running(sim, list(pods)),
        ]

    return Scenario("returns", stage, lambda sim: sim.watch_says("migrate_node", "n1"), check)


def _sweeping() -> Stage:
    stage = Stage("n1", "n2")
    stage.volume("used", "n1", 5)
    stage.volume("away", "n2", 5)
    stage.pod("used-0", "n1", "used")
    stage.pod("away-0", "n2", "away")
    now = stage.clock.now
    for name, gib in (("volume-pvc-orphan", 3), ("volume-pvc-second", 2), ("volume-pvc-away", 5)):
        stage.nodes["n1"].add(name, gib, now)
    # Marked by an earlier sweep, though it is wanted: the mark comes off.
    used = stage.nodes["n1"].find("volume-pvc-used")
    assert used is not None
    used.tags = ["carina-tasks.orphan=1700000000"]
    stage.nodes["n1"].add("backup", 1, now)
    stage.nodes["n2"].add("volume-pvc-orphan", 3, now)
    return stage


def sweep_local() -> Scenario:
    """Orphans on two nodes, an old copy of a volume that moved, a wrong mark; a foreign LV and used
    volumes stay.
    """

    def check(sim: Sim, before: Before) -> list[str]:
        return [
            *promises.disks(sim, {"n1": ["volume-pvc-used", "backup"], "n2": ["volume-pvc-away"]}),
            *promises.untouched(sim, before, ["used", "away"]),
            *promises.running(sim, ["used-0"], on="n1"),
            *promises.running(sim, ["away-0"], on="n2"),
        ]

    return Scenario("sweep_local", _sweeping(), lambda sim: None, check, settings=SHORT_TRASH)


def undo() -> Scenario:
    """Restore a removed volume; whatever dies, it is somewhere, and asking again brings it back as
    it was.
    """
    stage = Stage("n1")
    stage.volume("used", "n1", 5)
    stage.pod("used-0", "n1", "used")
    lost = stage.nodes["n1"].add("", 3, stage.clock.now)
    lost.name, lost.active = f"trash-{lost.uuid}", False
    lost.tags = [
        f"{well_known.TAG_TRASH_NAME}volume-pvc-lost",
        f"{well_known.TAG_TRASH_AT}{int(START) - 100}",
        f"{well_known.TAG_TRASH_WHY}test",
        f"{well_known.TAG_ORPHAN}{int(START) - 700}",
    ]

    def begin(sim: Sim) -> None:
        sim.restored = lost.name
        sim.run("restore", "n1")

    def check(sim: Sim, before: Before) -> list[str]:
        found = sim.nodes["n1"].by_uuid().get(lost.uuid)
        if found is not None and (
            not found.active or any(tag.startswith(well_known.TAG_TRASH) for tag in found.tags)
        ):
            # The person's command died with its process, and they type it again.
            sim.run("restore", "n1")
        if found is None or found.name != "volume-pvc-lost" or not found.active:
            return [f"the restored volume is {vars(found) if found else 'gone'}"]
        marked = [
            tag
            for tag in found.tags
            if tag.startswith((well_known.TAG_ORPHAN, well_known.TAG_TRASH))
        ]
        return [
            *([f"the restored volume still has {marked}"] if marked else []),
            *promises.disks(sim, {"n1": ["volume-pvc-used", "volume-pvc-lost"]}),
            *promises.running(sim, ["used-0"], on="n1"),
        ]

    return Scenario("undo", stage, begin, check)


def sweep_logic() -> Scenario:
    """LogicVolumes without a PV go, with their LVs after them; one that hangs in deletion is
    helped; the others stay.
    """
    stage = Stage("n1", "n2")
    stage.volume("used", "n1", 5)
    stage.volume("orphan", "n1", 5, parts="lv logic")
    stage.volume("bare", "n2", 5, parts="logic")
    stage.volume("hanging", "n2", 5, parts="lv logic")
    stage.pod("used-0", "n1", "used")

    def begin(sim: Sim) -> None:
        sim.controllers.delete(sim.controllers.logic_volumes, "pvc-hanging")

    def check(sim: Sim, before: Before) -> list[str]:
        left = {
            obj["metadata"]["name"] for obj in sim.controllers.all(sim.controllers.logic_volumes)
        }
        return [
            *([] if left == {"pvc-used"} else [f"the LogicVolumes are {sorted(left)}"]),
            *promises.disks(sim, {"n1": ["volume-pvc-used"], "n2": []}),
            *promises.untouched(sim, before, ["used"]),
            *promises.running(sim, ["used-0"], on="n1"),
        ]

    return Scenario("sweep_logic", stage, begin, check, carina=False, settings=SHORT_TRASH)


def failback() -> Scenario:
    """Let an operator undo a failover: each volume is its old copy or what it was, both copies are
    kept, pods stay whole.
    """
    stage = Stage("n1", "n2", "n3")
    old = {}
    for name, gib, pods in (
        ("shared", 3, ("web-0", "web-1")),
        ("grown", 5, ("web-1",)),
        ("idle", 4, ()),
    ):
        stage.volume(name, "n2", gib)
        old[name] = stage.nodes["n1"].add(f"volume-pvc-{name}", gib, stage.clock.now)
        assert pods or name == "idle"
    stage.grow("grown", 8)
    stage.volume("bystander", "n3", 5)
    stage.pod("web-0", "n2", "shared")
    stage.pod("web-1", "n2", "shared", "grown")
    stage.pod("by-0", "n3", "bystander")
    # One in its place, one in the trash, one marked by a sweep.
    lying = old["grown"]
    lying.tags = [
        f"{well_known.TAG_TRASH_NAME}{lying.name}",
        f"{well_known.TAG_TRASH_AT}{int(START) - 100}",
        f"{well_known.TAG_TRASH_WHY}test",
    ]
    lying.name, lying.active = f"trash-{lying.uuid}", False
    old["idle"].tags = [f"{well_known.TAG_ORPHAN}{int(START) - 100}"]
    in_use = {name: stage.nodes["n2"].find(f"volume-pvc-{name}") for name in old}
    copies = {
        name: {"n1": old[name].uuid, "n2": local.uuid}
        for name, local in in_use.items()
        if local is not None
    }

    def begin(sim: Sim) -> None:
        sim.confirmed = tuple(f"pvc-{name}" for name in old)
        sim.watch_says("failback", "n1")

    def check(sim: Sim, before: Before) -> list[str]:
        on = {
            n: (sim.controllers.get(sim.controllers.logic_volumes, f"pvc-{n}") or {})
            .get("spec", {})
            .get("nodeName")
            for n in old
        }
        return [
            *[what for name in old for what in promises.one_of(sim, before, name, copies[name])],
            *([f"the volumes of web-1 are parted: {on}"] if on["shared"] != on["grown"] else []),
            *promises.untouched(sim, before, ["bystander"]),
            *promises.running(sim, ["web-0", "web-1"], on=on["shared"] or ""),
            *promises.running(sim, ["by-0"], on="n3"),
        ]

    return Scenario("failback", stage, begin, check, settings=NO_TRASH)


def by_hand() -> Scenario:
    """Let the operator rebuild one volume of a live node: it stays as it was, or is whole
    elsewhere;
    nothing between, and once.
    """
    stage = Stage("n1", "n2", "n3")
    stage.volume("idle", "n1", 4)
    stage.volume("bystander", "n1", 5)
    stage.pod("by-0", "n1", "bystander")

    def check(sim: Sim, before: Before) -> list[str]:
        now = sim.controllers.get(sim.controllers.logic_volumes, "pvc-idle")
        begun = now is None or now["spec"]["nodeName"] != "n1"
        return [
            *promises.untouched(sim, before, ["bystander"] if begun else ["bystander", "idle"]),
            *(promises.rebuilt(sim, before, ["idle"], ["n1"]) if begun else []),
            *promises.running(sim, ["by-0"], on="n1"),
            *promises.disks(
                sim, {"n1": ["volume-pvc-bystander"] + ([] if begun else ["volume-pvc-idle"])}
            ),
        ]

    return Scenario(
        "manually",
        stage,
        lambda sim: sim.watch_says("rebuild_volume", "n1/pvc-idle"),
        check,
        settings=SHORT_TRASH,
    )
