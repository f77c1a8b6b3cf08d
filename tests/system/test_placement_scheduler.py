"""Placement beside the real kube-scheduler: the same cluster, the same pods, two verdicts.

A seeded cluster stands on a real API server; there is no controller manager, so nothing moves by
itself. Each generated pod is asked about twice over: the plan says where its volume can go, and a
probe, the same pod with a volume whose PV has affinity to that node, is scheduled or not. Nothing
but the PV pins a probe: a nodeSelector of its own would change what topology spread counts
(nodeAffinityPolicy Honor), and a rebuilt pod has none.

Where both differ, all of these are meant, and only in one direction (the plan refuses, the
scheduler would not):

- ``disks``       VG missing, full, or its worker silent: the scheduler knows nothing of LVs
- ``registered``  no label of Carina's CSI driver: the scheduler does not ask, the real PV's
  affinity does
- ``ready``       Ready is not True and no taint reports it yet: the node life-cycle controller
  taints a moment later
- ``namespaces``  required (anti-)affinity with a namespaceSelector: namespaces' labels are not
  observed, so it is refused

Not asked for here, and known: CSINode volume limits and resource claims are not observed (the
latter are refused); preemption is never counted on, pods have no priorities here; allowedTopologies
bind a rebuild, while the scheduler asks for them only when it provisions.
"""

import random
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from carina_tasks.decisions.placement import Placement, PlacementRules, Unschedulable, plan
from carina_tasks.model import objects
from carina_tasks.model.local import Inventory, VolumeGroup
from carina_tasks.model.quantity import GIB
from carina_tasks.model.snapshot import ClusterSnapshot
from tests.lab.control_plane import ControlPlane, Options
from tests.lab.kube import CLAIMS, NODES, PODS, PVS, Json, Kube, claims, pods

SEED = 20261124
NODE_COUNT = 24
STANDING = 70
ASKED = 300
HOSTNAME, ZONE, CARINA = (
    "kubernetes.io/hostname",
    "topology.kubernetes.io/zone",
    "topology.carina.storage.io/node",
)
VG = "carina-vg-hdd"
LOST = "node-00"
FULL, WITHOUT_VG, SILENT, UNREGISTERED, NOT_READY = (f"node-{number:02}" for number in range(1, 6))
OUR_OWN = {
    f"free in {VG}": "disks",
    "has no volume group": "disks",
    "its worker does not answer": "disks",
    "is not registered there": "registered",
    "is not ready": "ready",
    "labels of namespaces are not observed": "namespaces",
}
ANYWHERE = "anywhere"


@dataclass(frozen=True)
class Case:
    """The real cluster, and the same cluster as the decisions see it."""

    kube: Kube
    world: ClusterSnapshot
    inventories: dict[str, Inventory]
    dice: random.Random


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Case]:
    """Make the cluster: nodes, standing pods, and one volume pinned to each node."""
    folder: Path = tmp_path_factory.mktemp("scheduler")
    plane = ControlPlane(folder, Options(controllers=""))
    try:
        plane.start()
        dice = random.Random(SEED)
        kube = plane.kube
        names = [f"node-{number:02}" for number in range(NODE_COUNT)]
        for name in names:
            _make_node(kube, name, dice)
        for namespace in ("default", "other"):
            kube.ensure("/api/v1/namespaces", {"metadata": {"name": namespace}})
        _make_volumes(kube, names)
        for number in range(STANDING):
            _make_standing(kube, f"standing-{number:02}", dice.choice(names), dice)
        yield Case(
            kube, _observe(kube), {name: _inventory(name) for name in names if name != SILENT}, dice
        )
    finally:
        plane.stop()


def test_placement_agrees_with_the_scheduler(case: Case) -> None:
    """A pod is scheduled where the plan says, Pending when it says nowhere, and judged alike for
    any single node.
    """
    seen: Counter[str] = Counter()
    own: Counter[str] = Counter()
    wrong: list[str] = []
    started = time.monotonic()
    for number in range(ASKED):
        body = _asked(f"asked-{number:03}", case.dice)
        raw = case.kube.request(
            "POST", pods() + "?dryRun=All", body
        )  # as the API server would store it
        whole = _verdict(case, raw, case.inventories)
        pin = whole.node if isinstance(whole, Placement) else ANYWHERE
        _compare(
            "plan", "pod default", whole, _schedule(case.kube, body, pin), body, seen, own, wrong
        )
        for name in case.dice.sample(sorted(case.world.nodes.keys() - {LOST}), 2):
            single = _verdict(
                case, raw, {name: case.inventories[name]} if name in case.inventories else {}
            )
            _compare("node", name, single, _schedule(case.kube, body, name), body, seen, own, wrong)
    agreed = sum(count for key, count in seen.items() if "agree" in key)
    print(
        f"\nplacement and kube-scheduler: {agreed} of {seen.total()} verdicts agree, "
        f"{time.monotonic() - started:.0f} s"
    )
    print("  " + ", ".join(f"{key}: {count}" for key, count in sorted(seen.items())))
    print(
        "  only the plan refuses, by reason: "
        + ", ".join(f"{key}: {count}" for key, count in sorted(own.items()))
    )
    assert not wrong, "\n".join(wrong[:10])
    # Both answers must be common, or the comparison shows little.
    assert (
        min(
            seen[f"{kind}: agree, {what}"]
            for kind in ("plan", "node")
            for what in ("fits", "does not fit")
        )
        >= 15
    )


def test_a_whole_plan_is_schedulable_at_once(case: Case) -> None:
    """All pods of one plan, each pinned to its node, end scheduled together: what the plan places
    counts for the rest.
    """
    bodies = {f"whole-{number:02}": _asked(f"whole-{number:02}", case.dice) for number in range(60)}
    raws = [case.kube.request("POST", pods() + "?dryRun=All", body) for body in bodies.values()]
    snapshot, wanted = _with_asked(case.world, raws)
    verdicts = plan(snapshot, case.inventories, wanted, LOST, PlacementRules(reserve=0))
    placed = {v.logic_volume.name: v.node for v in verdicts if isinstance(v, Placement)}
    for name, node in placed.items():
        case.kube.create(pods(), _with_claim(bodies[name], f"at-{node}"))
    try:
        waiting: dict[str, str] = {}
        deadline = time.monotonic() + 40
        while time.monotonic() < deadline:
            found = {p["metadata"]["name"]: p for p in case.kube.list(pods())}
            waiting = {
                n: _message(found[n])
                for n in placed
                if found[n]["spec"].get("nodeName") != placed[n]
            }
            if not waiting:
                break
            time.sleep(0.2)
        print(
            f"\none plan of {len(verdicts)}: {len(placed)} placed, {len(placed) - len(waiting)} of "
            "them scheduled"
        )
        assert not waiting
        assert len(placed) >= 20
        assert len(set(placed.values())) >= 5
    finally:
        for name in placed:
            case.kube.delete(f"{pods()}/{name}", grace=0)


def _compare(
    kind: str,
    name: str,
    ours: Placement | Unschedulable,
    theirs: str,
    body: Json,
    seen: Counter[str],
    own: Counter[str],
    wrong: list[str],
) -> None:
    """Count one pair of verdicts; `name` is the node asked about, and nothing else in the reason
    may excuse a difference.

    A whole plan's nodes with a reason of our own are closed to its probe by the volume, so only a
    refusal of the pod as such (namespaces) may differ there.
    """
    if isinstance(ours, Placement) == (theirs == ""):
        seen[f"{kind}: agree, {'fits' if theirs == '' else 'does not fit'}"] += 1
        return
    reason = "" if isinstance(ours, Placement) else ours.reason
    mine = reason.removeprefix(f"0/{NODE_COUNT - 1} nodes fit: ").split("; ")
    about = [part for part in mine if part.startswith((f"{name}: ", "pod default/"))]
    classes = {meaning for text, meaning in OUR_OWN.items() if any(text in part for part in about)}
    if isinstance(ours, Unschedulable) and classes:
        seen[f"{kind}: only the plan refuses"] += 1
        own[min(classes)] += 1
        return
    seen[f"{kind}: DIFFER"] += 1
    wrong.append(
        f"{kind} {name}: plan {ours.node if isinstance(ours, Placement) else reason}; scheduler "
        f"{theirs or 'fits'}; {body}"
    )


def _verdict(case: Case, raw: Json, inventories: dict[str, Inventory]) -> Placement | Unschedulable:
    snapshot, wanted = _with_asked(case.world, [raw])
    (found,) = plan(snapshot, inventories, wanted, LOST, PlacementRules(reserve=0))
    return found


def _with_asked(
    snapshot: ClusterSnapshot, raws: list[Json]
) -> tuple[ClusterSnapshot, list[objects.LogicVolume]]:
    """Add the pods, each with a volume on the lost node, to the cluster as the decisions see it."""
    added, logic_volumes, bound = [], [], {}
    for raw in raws:
        name = raw["metadata"]["name"]
        spec = {
            "nodeName": LOST,
            "deviceGroup": VG,
            "size": "1Gi",
            "pvc": f"of-{name}",
            "nameSpace": "default",
        }
        logic_volumes.append(
            objects.parse_logic_volume({"metadata": {"name": name, "uid": name}, "spec": spec})
        )
        own = {
            "metadata": {"name": f"of-{name}", "namespace": "default"},
            "spec": {"volumeName": name},
        }
        bound[f"default/of-{name}"] = objects.parse_claim(own)
        added.append(objects.parse_pod(_with_claim(raw, f"of-{name}")))
    return (
        replace(
            snapshot,
            pods=snapshot.pods + tuple(added),
            claims={**snapshot.claims, **bound},
            logic_volumes={logic_volume.name: logic_volume for logic_volume in logic_volumes},
        ),
        logic_volumes,
    )


def _schedule(kube: Kube, body: Json, pin: str) -> str:
    """Create the pod with the volume of that node, return empty when it is scheduled and else why
    not; delete it.
    """
    name = body["metadata"]["name"]
    kube.create(pods(), _with_claim(body, ANYWHERE if pin == ANYWHERE else f"at-{pin}"))
    try:
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            found = kube.get(f"{pods()}/{name}")
            if found["spec"].get("nodeName"):
                assert pin in (ANYWHERE, found["spec"]["nodeName"])
                return ""
            if message := _message(found):
                return message
            time.sleep(0.01)
        raise AssertionError(f"the scheduler did not look at {name}")
    finally:
        kube.delete(f"{pods()}/{name}", grace=0)


def _message(raw: Json) -> str:
    conditions = raw.get("status", {}).get("conditions", [])
    return next(
        (
            c["message"]
            for c in conditions
            if c["type"] == "PodScheduled" and c["status"] == "False"
        ),
        "",
    )


def _with_claim(raw: Json, name: str) -> Json:
    volume = {"name": "carina", "persistentVolumeClaim": {"claimName": name}}
    return {**raw, "spec": {**raw["spec"], "volumes": [volume, *raw["spec"].get("volumes", [])]}}


def _observe(kube: Kube) -> ClusterSnapshot:
    parsed = [objects.parse_claim(raw) for raw in kube.list(CLAIMS)]
    return ClusterSnapshot(
        now=time.time(),
        nodes={raw["metadata"]["name"]: objects.parse_node(raw) for raw in kube.list(NODES)},
        pods=tuple(objects.parse_pod(raw) for raw in kube.list(PODS)),
        claims={one.meta.key: one for one in parsed},
        persistent_volumes={
            raw["metadata"]["name"]: objects.parse_persistent_volume(raw) for raw in kube.list(PVS)
        },
    )


def _inventory(name: str) -> Inventory:
    uuid = "aaaaaa-bbbb-cccc-dddd-eeee-ffff-gggggg"
    free = 0 if name == FULL else 500 * GIB
    vg = VolumeGroup("carina-vg-ssd" if name == WITHOUT_VG else VG, uuid, 1000 * GIB, free, 4 << 20)
    return Inventory(name, (vg,), ())


def _make_node(kube: Kube, name: str, dice: random.Random) -> None:
    labels = {HOSTNAME: name, "disk": dice.choice(["ssd", "hdd"]), "rank": str(dice.randint(1, 9))}
    if dice.random() < 0.9:
        labels[ZONE] = dice.choice("abc")
    if name != UNREGISTERED:
        labels[CARINA] = name
    taints = []
    if dice.random() < 0.25:
        effect = dice.choice(["NoSchedule", "NoExecute", "PreferNoSchedule"])
        taints.append({"key": "dedicated", "value": dice.choice(["x", "y"]), "effect": effect})
    if name == LOST:
        taints.append({"key": "node.kubernetes.io/unreachable", "effect": "NoSchedule"})
    allocatable = {
        "cpu": str(dice.randint(3, 12)),
        "memory": f"{dice.randint(4, 24)}Gi",
        "pods": str(dice.randint(4, 12)),
    }
    if dice.random() < 0.3:
        allocatable["example.com/gpu"] = "1"
    ready = "Unknown" if name == LOST else "False" if name == NOT_READY else "True"
    status = {
        "conditions": [{"type": "Ready", "status": ready}],
        "allocatable": allocatable,
        "capacity": allocatable,
    }
    kube.create(NODES, {"metadata": {"name": name, "labels": labels}, "status": status})
    # Set afterwards: the admission plug-in TaintNodesByCondition makes every node begin as not
    # ready.
    kube.patch(
        f"{NODES}/{name}", {"spec": {"taints": taints, "unschedulable": dice.random() < 0.08}}
    )


def _make_volumes(kube: Kube, names: list[str]) -> None:
    """Make claims, each bound to a PV: one per node, one for every node without a reason of ours,
    some of other drivers.
    """
    closed = [LOST, FULL, WITHOUT_VG, SILENT, NOT_READY, UNREGISTERED]
    for name in names:
        _make_volume(kube, f"at-{name}", [{"key": HOSTNAME, "operator": "In", "values": [name]}])
    _make_volume(kube, ANYWHERE, [{"key": HOSTNAME, "operator": "NotIn", "values": closed}])
    for name in names[6:12]:
        _make_volume(kube, f"local-{name}", [{"key": HOSTNAME, "operator": "In", "values": [name]}])
    _make_volume(kube, "zoned", None, labels={ZONE: "a__b"})
    _make_volume(kube, "free", None)


def _make_volume(
    kube: Kube, name: str, affinity: list[Json] | None, labels: Json | None = None
) -> None:
    modes = ["ReadWriteMany"]
    # No PV controller runs: the annotation is what tells the scheduler that the binding is
    # complete.
    meta = {"name": name, "annotations": {"pv.kubernetes.io/bind-completed": "yes"}}
    wish = {
        "accessModes": modes,
        "volumeName": name,
        "storageClassName": "",
        "resources": {"requests": {"storage": "1Gi"}},
    }
    claim = kube.create(claims(), {"metadata": meta, "spec": wish})
    spec: Json = {
        "accessModes": modes,
        "capacity": {"storage": "1Gi"},
        "csi": {"driver": "lab.example.com", "volumeHandle": name},
        "claimRef": {
            "kind": "PersistentVolumeClaim",
            "namespace": "default",
            "name": name,
            "uid": claim["metadata"]["uid"],
        },
    }
    if affinity is not None:
        spec["nodeAffinity"] = {"required": {"nodeSelectorTerms": [{"matchExpressions": affinity}]}}
    kube.create(PVS, {"metadata": {"name": name, "labels": labels or {}}, "spec": spec})


def _make_standing(kube: Kube, name: str, node: str, dice: random.Random) -> None:
    """Make a pod that stands on a node: running, terminating or finished, some with anti-affinity
    or host ports.
    """
    namespace = dice.choice(["default", "default", "other"])
    spec: Json = {"nodeName": node, "containers": [_container(dice, heavy=False)]}
    if dice.random() < 0.12:
        term = _pod_term(dice)
        term.pop("namespaceSelector", None)
        spec["affinity"] = {
            "podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}
        }
    kind = dice.random()
    meta: Json = {"name": name, "labels": _labels(dice)}
    kube.create(pods(namespace), {"metadata": meta, "spec": spec})
    if kind < 0.1:
        kube.delete(f"{pods(namespace)}/{name}", grace=300)
    elif kind < 0.2:
        kube.patch(
            f"{pods(namespace)}/{name}/status",
            {"status": {"phase": dice.choice(["Succeeded", "Failed"])}},
        )


def _labels(dice: random.Random) -> Json:
    return {"app": dice.choice("abcdef"), "rev": dice.choice("12")}


def _container(dice: random.Random, *, heavy: bool) -> Json:
    most = 5000 if heavy else 1500
    requests = {"cpu": f"{dice.randint(0, most)}m", "memory": f"{dice.randint(1, most)}Mi"}
    if heavy and dice.random() < 0.06:
        requests["example.com/gpu"] = "1"
    limits = {key: value for key, value in requests.items() if key == "example.com/gpu"}
    found: Json = {
        "name": "main",
        "image": "none",
        "resources": {"requests": requests, "limits": limits},
    }
    if dice.random() < 0.15:
        port = {
            "containerPort": 80,
            "hostPort": dice.choice([8080, 8081]),
            "protocol": dice.choice(["TCP", "UDP"]),
        }
        found["ports"] = [port | dice.choice([{}, {"hostIP": "10.0.0.1"}, {"hostIP": "10.0.0.2"}])]
    return found


def _selector(dice: random.Random) -> Json:
    app = dice.choice("abcdef")
    return dice.choice(
        [
            {"matchLabels": {"app": app}},
            {"matchLabels": {"app": app}},
            {"matchExpressions": [{"key": "app", "operator": "In", "values": [app, "z"]}]},
            {"matchExpressions": [{"key": "app", "operator": "NotIn", "values": list("abcde")}]},
            {"matchExpressions": [{"key": "none", "operator": "Exists"}]},
        ]
    )


def _pod_term(dice: random.Random) -> Json:
    term: Json = {
        "topologyKey": dice.choice([HOSTNAME, HOSTNAME, ZONE]),
        "labelSelector": _selector(dice),
    }
    extra = dice.random()
    if extra < 0.15:
        term["namespaces"] = ["other"]
    elif extra < 0.25:
        term["namespaceSelector"] = {}
    elif extra < 0.30:
        term["namespaceSelector"] = {"matchLabels": {"kubernetes.io/metadata.name": "other"}}
    elif extra < 0.40:
        term["matchLabelKeys"] = ["rev"]
    elif extra < 0.50:
        term["mismatchLabelKeys"] = ["rev"]
    return term


def _node_terms(dice: random.Random) -> Json:
    expression = dice.choice(
        [
            {"key": "disk", "operator": "In", "values": ["ssd"]},
            {"key": ZONE, "operator": "NotIn", "values": ["a"]},
            {"key": ZONE, "operator": "Exists"},
            {"key": ZONE, "operator": "DoesNotExist"},
            {"key": "rank", "operator": "Gt", "values": ["3"]},
            {"key": "rank", "operator": "Lt", "values": ["7"]},
        ]
    )
    terms: list[Json] = [{"matchExpressions": [expression]}]
    if dice.random() < 0.3:
        name = f"node-{dice.randrange(NODE_COUNT):02}"
        terms.append(
            {"matchFields": [{"key": "metadata.name", "operator": "In", "values": [name]}]}
        )
    return {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}


def _spread(dice: random.Random) -> Json:
    found: Json = {
        "maxSkew": dice.choice([1, 1, 2, 3]),
        "topologyKey": dice.choice([ZONE, ZONE, HOSTNAME]),
        "whenUnsatisfiable": dice.choice(
            ["DoNotSchedule", "DoNotSchedule", "DoNotSchedule", "ScheduleAnyway"]
        ),
        "labelSelector": dice.choice([_selector(dice), {}]),
        "nodeAffinityPolicy": dice.choice(["Honor", "Ignore"]),
        "nodeTaintsPolicy": dice.choice(["Honor", "Ignore"]),
    }
    if found["whenUnsatisfiable"] == "DoNotSchedule" and dice.random() < 0.3:
        found["minDomains"] = dice.choice([2, 3, 4])
    if dice.random() < 0.2:
        found["matchLabelKeys"] = ["rev"]
    return found


def _asked(name: str, dice: random.Random) -> Json:
    """Make a pod with a random mix of everything that the filters read."""
    spec: Json = {"containers": [_container(dice, heavy=True)], "affinity": {}, "tolerations": []}
    if dice.random() < 0.15:
        spec["nodeSelector"] = {"disk": dice.choice(["ssd", "hdd"])}
    if dice.random() < 0.25:
        spec["affinity"]["nodeAffinity"] = _node_terms(dice)
    if dice.random() < 0.2:
        terms = [_pod_term(dice) for _ in range(dice.choice([1, 1, 2]))]
        spec["affinity"]["podAffinity"] = {"requiredDuringSchedulingIgnoredDuringExecution": terms}
    if dice.random() < 0.25:
        terms = [_pod_term(dice) for _ in range(dice.choice([1, 1, 2]))]
        spec["affinity"]["podAntiAffinity"] = {
            "requiredDuringSchedulingIgnoredDuringExecution": terms
        }
    if dice.random() < 0.3:
        spec["topologySpreadConstraints"] = [_spread(dice)]
    if dice.random() < 0.3:
        spec["tolerations"].append(
            dice.choice(
                [
                    {"key": "dedicated", "operator": "Exists"},
                    {"key": "dedicated", "operator": "Equal", "value": "x", "effect": "NoSchedule"},
                    {"key": "node.kubernetes.io/unschedulable", "operator": "Exists"},
                    {"operator": "Exists"},
                ]
            )
        )
    if dice.random() < 0.12:
        other: Any = dice.choice(
            ["zoned", "free", *(f"local-node-{number:02}" for number in range(6, 12))]
        )
        spec["volumes"] = [{"name": "other", "persistentVolumeClaim": {"claimName": other}}]
    return {
        "metadata": {"name": name, "namespace": "default", "labels": _labels(dice)},
        "spec": spec,
    }
