"""What must be true at the end, read from the objects and the disks alone. Each function returns
what is wrong, in words.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from carina_tasks.emulator.api_server.cluster import Cluster
from carina_tasks.emulator.api_server.kinds import (
    PERSISTENT_VOLUME_CLAIMS,
    PERSISTENT_VOLUMES,
    PODS,
)
from carina_tasks.emulator.api_server.kinds.event import EVENTS
from carina_tasks.emulator.api_server.kinds.node import NODES
from carina_tasks.emulator.lvm.state import Volume
from carina_tasks.kube import paths
from carina_tasks.model import progress, quantity, well_known
from tests.harness.controllers import JSON, PROVISIONER, nodes_of
from tests.harness.sim import Sim

NO_EVENT = "no Event reports that it is new and empty"


@dataclass(frozen=True)
class Before:
    """The objects as they were, by name."""

    logic: Mapping[str, JSON]
    volumes: Mapping[str, JSON]
    claims: Mapping[str, JSON]
    lv_uuids: frozenset[str]


def remember(sim: Sim) -> Before:
    """Keep what the promises compare with."""
    names = lambda objects: {o["metadata"]["name"]: o for o in objects}  # noqa: E731
    return Before(
        names(sim.controllers.all(sim.controllers.logic_volumes)),
        names(sim.controllers.all(PERSISTENT_VOLUMES)),
        names(sim.controllers.all(PERSISTENT_VOLUME_CLAIMS)),
        frozenset(v.uuid for node in sim.nodes.values() for v in node.volumes().values()),
    )


def rebuilt(
    sim: Sim, before: Before, names: Iterable[str], lost: Iterable[str], *, once: bool = True
) -> list[str]:
    """Every volume of `names` is on another node, new and empty, once, under its old names, Bound,
    and said so.
    """
    wrong: list[str] = []
    for name in names:
        wrong += [f"{name}: {what}" for what in _rebuilt(sim, before, name, set(lost), once=once)]
    return wrong


def _rebuilt(sim: Sim, before: Before, name: str, lost: set[str], *, once: bool) -> list[str]:
    controllers, pv_name = sim.controllers, f"pvc-{name}"
    logic = controllers.get(controllers.logic_volumes, pv_name)
    pv = controllers.get(PERSISTENT_VOLUMES, pv_name)
    claim = controllers.get(PERSISTENT_VOLUME_CLAIMS, name, "default")
    if logic is None or pv is None or claim is None:
        return [
            f"lost: LogicVolume {logic is not None}, PersistentVolume {pv is not None}, claim "
            f"{claim is not None}"
        ]
    old_logic, old_pv, old_claim = (
        before.logic[pv_name],
        before.volumes[pv_name],
        before.claims[name],
    )
    node, size = logic["spec"]["nodeName"], quantity.to_bytes(old_logic["spec"]["size"])
    status = logic.get("status") or {}
    wrong = [
        (node in lost or controllers.get(NODES, node) is None, f"its LogicVolume names {node}"),
        (
            logic["metadata"]["uid"] != old_logic["metadata"]["uid"],
            "its LogicVolume is another one",
        ),
        (well_known.JOURNAL in (logic["metadata"].get("annotations") or {}), "its journal is left"),
        (
            well_known.PROGRESS in (logic["metadata"].get("annotations") or {}),
            "its progress is left",
        ),
        (
            not _in_history(logic, node),
            f"its history does not end with {node}, or tells a failover twice",
        ),
        (bool(logic["metadata"].get("deletionTimestamp")), "its LogicVolume is being deleted"),
        (status.get("status") != "Success", f"its status is {status.get('status')!r}"),
        (
            status.get("volumeID") != f"volume-{pv_name}",
            f"its volumeID is {status.get('volumeID')!r}",
        ),
        (
            quantity.to_bytes(status.get("currentSize") or "1") != size,
            f"currentSize is {status.get('currentSize')}",
        ),
        (bool(pv["metadata"].get("deletionTimestamp")), "its PersistentVolume is being deleted"),
        (
            nodes_of(pv) != [node],
            f"its PersistentVolume is for {nodes_of(pv)}, its LogicVolume for {node}",
        ),
        (
            pv["spec"]["csi"]["volumeAttributes"][well_known.ATTRIBUTE_NODE] != node,
            "its attributes name another node",
        ),
        (
            pv["status"].get("phase") != "Bound",
            f"its PersistentVolume is {pv['status'].get('phase')}",
        ),
        (
            bare(pv) != bare(old_pv),
            f"its PersistentVolume differs: {_difference(bare(pv), bare(old_pv))}",
        ),
        (claim["metadata"]["uid"] != old_claim["metadata"]["uid"], "its claim is another one"),
        (claim["status"].get("phase") != "Bound", f"its claim is {claim['status'].get('phase')}"),
        (claim["spec"] != old_claim["spec"], "its claim's spec differs"),
        (
            _annotations(claim) != _annotations(old_claim),
            f"its claim's annotations are {_annotations(claim)}",
        ),
        (bool(claim["status"].get("conditions")), "its claim has a stale resize condition"),
        (not _told(sim.emulator, name), NO_EVENT),
    ]
    there = {
        n.name: v
        for n in sim.nodes.values()
        if n.name not in lost and (v := n.find(f"volume-{pv_name}"))
    }
    local = there.get(node)
    wrong += [
        (local is None, f"{node} has no LV of it"),
        (local is not None and local.size != size, "its LV has another size"),
        (
            local is not None and not local.wiped,
            "its LV was never wiped: its pod reads what another one wrote",
        ),
        (not_zeroed(pv, local), "its LV was never zeroed: its pod reads what another one wrote"),
        (local is not None and not local.active, "its LV has no device"),
        (
            local is not None and local.uuid in before.lv_uuids,
            "its LV stood there before: it is not new and empty",
        ),
        (len(there) > 1, f"its LV is on {sorted(there)}"),
    ]
    made = sum(node.made.count(f"volume-{pv_name}") for node in sim.nodes.values())
    posted = sim.api.writes.count(("POST", f"{paths.PERSISTENT_VOLUMES}/{pv_name}"))
    if once:
        wrong += [
            (made != 1, f"its LV was made {made} times"),
            (posted != 1, f"its PersistentVolume was made {posted} times"),
        ]
    return [what for is_wrong, what in wrong if is_wrong]


def one_of(sim: Sim, before: Before, name: str, copies: Mapping[str, str]) -> list[str]:
    """Check that the volume is whole on one node of `copies` (node: UUID), with that very LV, and
    the other LV is still there.
    """
    controllers, pv_name = sim.controllers, f"pvc-{name}"
    logic = controllers.get(controllers.logic_volumes, pv_name)
    pv = controllers.get(PERSISTENT_VOLUMES, pv_name)
    claim = controllers.get(PERSISTENT_VOLUME_CLAIMS, name, "default")
    if logic is None or pv is None or claim is None:
        return [
            f"{name} is lost: LogicVolume {logic is not None}, PersistentVolume {pv is not None}, "
            f"claim {claim is not None}"
        ]
    node, annotations = logic["spec"]["nodeName"], logic["metadata"].get("annotations") or {}
    local = sim.nodes[node].find(f"volume-{pv_name}") if node in copies else None
    status = logic.get("status") or {}
    checks = [
        (node not in copies, f"its LogicVolume names {node}"),
        (
            local is None or local.uuid != copies[node],
            f"its LV is {vars(local) if local else None}",
        ),
        (local is not None and not local.active, "its LV has no device"),
        (
            well_known.JOURNAL in annotations or well_known.PROGRESS in annotations,
            "its journal or progress is left",
        ),
        (status.get("status") != "Success", f"its status is {status.get('status')!r}"),
        (
            nodes_of(pv) != [node],
            f"its PersistentVolume is for {nodes_of(pv)}, its LogicVolume for {node}",
        ),
        (
            pv["status"].get("phase") != "Bound",
            f"its PersistentVolume is {pv['status'].get('phase')}",
        ),
        (
            bare(pv) != bare(before.volumes[pv_name]),
            f"its PersistentVolume differs: {_difference(bare(pv), bare(before.volumes[pv_name]))}",
        ),
        (claim["status"].get("phase") != "Bound", f"its claim is {claim['status'].get('phase')}"),
        (
            _annotations(claim) != _annotations(before.claims[name]),
            f"its claim's annotations are {_annotations(claim)}",
        ),
        (
            not {v.uuid for n in sim.nodes.values() for v in n.volumes().values()}
            <= before.lv_uuids,
            "an LV was made",
        ),
    ]
    checks += [
        (
            uuid not in {v.uuid for v in sim.nodes[other].volumes().values()},
            f"its copy on {other} is gone",
        )
        for other, uuid in copies.items()
    ]
    return [f"{name}: {what}" for is_wrong, what in checks if is_wrong]


def not_zeroed(pv: JSON, local: Volume | None) -> bool:
    """Return whether a pod that reads the device itself would read what other volumes wrote
    there.
    """
    return local is not None and pv["spec"].get("volumeMode") == "Block" and not local.zeroed


def _in_history(logic: JSON, node: str) -> bool:
    past = progress.parse_history(
        (logic["metadata"].get("annotations") or {}).get(well_known.HISTORY) or ""
    )
    return bool(past) and past[-1].target == node and len({one.intent for one in past}) == len(past)


def untouched(sim: Sim, before: Before, names: Iterable[str]) -> list[str]:
    """LogicVolume, PersistentVolume and claim of each of `names` have the versions that they
    had.
    """
    wrong = []
    for name in names:
        for kind, resource, old, key in (
            (
                "LogicVolume",
                sim.controllers.logic_volumes,
                before.logic.get(f"pvc-{name}"),
                ("", f"pvc-{name}"),
            ),
            (
                "PersistentVolume",
                PERSISTENT_VOLUMES,
                before.volumes.get(f"pvc-{name}"),
                ("", f"pvc-{name}"),
            ),
            ("claim", PERSISTENT_VOLUME_CLAIMS, before.claims.get(name), ("default", name)),
        ):
            now = sim.controllers.get(resource, key[1], key[0])
            if (now or {}).get("metadata", {}).get("resourceVersion") != (old or {}).get(
                "metadata", {}
            ).get("resourceVersion"):
                wrong.append(f"{name}: its {kind} was touched")
    return wrong


def running(
    sim: Sim, names: Iterable[str], *, on: str = "", away_from: Iterable[str] = ()
) -> list[str]:
    """Each pod runs, on that node or away from those."""
    wrong = []
    for name in names:
        pod = sim.controllers.get(PODS, name, "default")
        phase, node = (
            (pod["status"].get("phase"), pod["spec"].get("nodeName", "")) if pod else ("gone", "")
        )
        if phase != "Running" or (on and node != on) or node in set(away_from):
            wrong.append(f"pod {name} is {phase} on {node or 'no node'}")
    return wrong


def asked(sim: Sim, pod: str) -> list[str]:
    """Return the verbs of what the product did to a pod."""
    return [verb for verb, path in sim.api.writes if f"/pods/{pod}" in path]


def ended_once(sim: Sim, name: str, finalizer: str) -> list[str]:
    """Check that a pod which a finalizer keeps has ended as pod GC ends one, and that its deletion
    was asked for once.
    """
    pod = sim.controllers.get(PODS, name, "default")
    if pod is None:
        return [f"pod {name} is gone, and {finalizer} was not removed"]
    types = [c["type"] for c in pod["status"].get("conditions") or () if c["status"] == "True"]
    wrong = [
        (
            asked(sim, name).count("DELETE") != 1,
            f"it was deleted {asked(sim, name).count('DELETE')} times",
        ),
        (pod["status"].get("phase") != "Failed", f"its phase is {pod['status'].get('phase')}"),
        ("DisruptionTarget" not in types, f"its conditions are {types}"),
        (pod["metadata"].get("deletionGracePeriodSeconds") != 0, "it is not being deleted at once"),
    ]
    return [f"pod {name}: {what}" for is_wrong, what in wrong if is_wrong]


def clean(sim: Sim) -> list[str]:
    """No journal, no touch and no mark is left anywhere, and nothing happened that must never
    happen.
    """
    wrong = list(sim.wrong)
    for volume in sim.controllers.all(sim.controllers.logic_volumes):
        if well_known.JOURNAL in (volume["metadata"].get("annotations") or {}):
            wrong.append(f"{volume['metadata']['name']}: a journal is left")
    for claim in sim.controllers.all(PERSISTENT_VOLUME_CLAIMS):
        if well_known.TOUCH in (claim["metadata"].get("annotations") or {}):
            wrong.append(f"{claim['metadata']['name']}: a touch is left")
    return wrong


def disks(sim: Sim, expected: Mapping[str, Iterable[str]]) -> list[str]:
    """Each of those nodes has these LVs and no other, none of them marked."""
    wrong = []
    for node, names in expected.items():
        volumes = sim.nodes[node].volumes()
        if set(volumes) != set(names):
            wrong.append(f"{node} has {sorted(volumes)}, not {sorted(names)}")
        wrong += [
            f"{node}: {v.name} is marked as an orphan"
            for v in volumes.values()
            if any(tag.startswith(well_known.TAG_ORPHAN) for tag in v.tags)
        ]
    return wrong


def no_strays(sim: Sim, lost: Iterable[str] = ()) -> list[str]:
    """Every LV with Carina's prefix on a node that lives is the one of a LogicVolume that names the
    node.
    """
    wrong = []
    for node in sim.nodes.values():
        if node.name in set(lost):
            continue
        for name in node.volumes():
            if name.startswith("volume-"):
                found = sim.controllers.get(
                    sim.controllers.logic_volumes, name.removeprefix("volume-")
                )
                if found is None or found["spec"]["nodeName"] != node.name:
                    wrong.append(f"{node.name}: {name} belongs to no LogicVolume")
    return wrong


def _annotations(obj: JSON) -> dict[str, str]:
    return dict(obj["metadata"].get("annotations") or {})


def bare(pv: JSON) -> JSON:
    """Return what of a PV must come back as it was."""
    spec: dict[str, Any] = {
        key: value
        for key, value in pv["spec"].items()
        if key not in ("nodeAffinity", "csi", "claimRef")
    }
    csi = {key: value for key, value in pv["spec"]["csi"].items() if key != "volumeAttributes"}
    moved = (well_known.ATTRIBUTE_NODE, well_known.ATTRIBUTE_MAJOR, well_known.ATTRIBUTE_MINOR)
    attributes = {k: v for k, v in pv["spec"]["csi"]["volumeAttributes"].items() if k not in moved}
    claim = {
        key: value for key, value in pv["spec"]["claimRef"].items() if key != "resourceVersion"
    }
    finalizers = sorted(set(pv["metadata"].get("finalizers") or ()) - {PROVISIONER})
    return {
        "spec": spec,
        "csi": csi,
        "attributes": attributes,
        "claimRef": claim,
        "finalizers": finalizers,
        "annotations": _annotations(pv),
        "labels": pv["metadata"].get("labels"),
    }


def _difference(new: JSON, old: JSON) -> str:
    return "; ".join(f"{key}: {old[key]} -> {new[key]}" for key in old if new[key] != old[key])


def _told(emulator: Cluster, claim: str) -> bool:
    return any(
        event.get("reason") == "VolumeRebuiltEmpty" and event["involvedObject"]["name"] == claim
        for _, event in emulator.store.items(EVENTS.id)
    )
