"""What must be true when all faults are over and everything had its time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from carina_tasks.emulator.api_server.kinds import (
    PERSISTENT_VOLUME_CLAIMS,
    PERSISTENT_VOLUMES,
    PODS,
)
from carina_tasks.emulator.api_server.kinds.event import EVENTS
from carina_tasks.model import quantity, well_known
from tests.harness.controllers import JSON, is_ready, nodes_of
from tests.harness.promises import bare

if TYPE_CHECKING:
    from tests.sim.history import History


def wrong(history: History) -> list[str]:
    """Return what is not as it was promised, in words."""
    found = []
    for name in sorted(history.before.volumes.keys() - history.given_up):
        found += [f"{name}: {what}" for what in _volume(history, name)]
    return found + _disks(history) + _left(history) + _pods(history)


def _volume(history: History, name: str) -> list[str]:
    c, before = history.controllers, history.before
    logic, pv = c.get(c.logic_volumes, name), c.get(PERSISTENT_VOLUMES, name)
    claim = c.get(PERSISTENT_VOLUME_CLAIMS, name.removeprefix("pvc-"), "default")
    node = logic["spec"]["nodeName"] if logic is not None else ""
    # In mid-rebuild the PersistentVolume may be in the journal alone.
    if (
        logic is not None
        and (pv is not None or _journalled(logic))
        and claim is not None
        and _excused(history, logic, node)
    ):
        history.chance.did["volumes that wait, with a reason"] += 1
        return []
    if logic is None or pv is None or claim is None:
        return [
            f"lost: LogicVolume {logic is not None}, PersistentVolume {pv is not None}, claim "
            f"{claim is not None}"
        ]
    status, size = logic.get("status") or {}, quantity.to_bytes(logic["spec"]["size"])
    old, old_claim = before.volumes[name], before.claims[name.removeprefix("pvc-")]
    new_bare, old_bare = bare(pv), bare(old)
    for one in (new_bare, old_bare):
        one["spec"].pop("capacity", None)
    checks = [
        (history.kubernetes.node(node) is None, f"its LogicVolume names {node}, which is deleted"),
        (
            logic["metadata"]["uid"] != before.logic[name]["metadata"]["uid"],
            "its LogicVolume is another one",
        ),
        (claim["metadata"]["uid"] != old_claim["metadata"]["uid"], "its claim is another one"),
        (status.get("status") != "Success", f"its status is {status.get('status')!r}"),
        (
            nodes_of(pv) != [node],
            f"its PersistentVolume is for {nodes_of(pv)}, its LogicVolume for {node}",
        ),
        (bool(pv["metadata"].get("deletionTimestamp")), "its PersistentVolume is being deleted"),
        (
            pv["status"].get("phase") != "Bound",
            f"its PersistentVolume is {pv['status'].get('phase')}",
        ),
        (claim["status"].get("phase") != "Bound", f"its claim is {claim['status'].get('phase')}"),
        (new_bare != old_bare, f"its PersistentVolume differs: {new_bare} was {old_bare}"),
        (
            well_known.TOUCH in (claim["metadata"].get("annotations") or {}),
            "a touch is left on its claim",
        ),
    ]
    machine = history.machines.get(node)
    local = machine.disks.find(f"volume-{name}") if machine else None
    checks += [
        (local is None, f"{node} has no LV of it"),
        (
            local is not None and local.size < size and machine is not None and machine.heard,
            "its LV is too small",
        ),
        (
            name not in history.judge.moved
            and local is not None
            and local.uuid != history.data[name],
            "its data is gone, and it has not moved",
        ),
    ]
    return [what for is_wrong, what in checks if is_wrong]


def _excused(history: History, logic: JSON, node: str) -> bool:
    """Return whether it waits for a good reason that people were told."""
    found = history.kubernetes.node(node)
    if _journalled(logic) and found is not None:
        # Its target is silent, and may hold it: nothing removes it from there.
        return not is_ready(found)
    if found is not None or (
        _journalled(logic) and not _tied_to_given_up(history, logic["metadata"]["name"])
    ):
        return False
    about = logic["spec"]["pvc"]
    return any(
        e.get("reason") == "NoNodeFits" and e["involvedObject"]["name"] == about
        for _, e in history.cluster.store.items(EVENTS.id)
    )


def _journalled(logic: JSON) -> bool:
    return well_known.JOURNAL in (logic["metadata"].get("annotations") or {})


def _tied_to_given_up(history: History, name: str) -> bool:
    """Return whether a pod needs the volume together with one that the operator destroyed, and
    whose PV
    still names a node.
    """
    pods = [
        history.controllers.get(PODS, pod, "default") for pod in sorted(history.controllers.pods)
    ]
    tied = {
        volume
        for pod in pods
        if pod and name in (found := history.controllers.volumes_of(pod))
        for volume in found
    }
    return bool(tied & history.given_up)


def _disks(history: History) -> list[str]:
    found = []
    for machine in history.machines.values():
        node = history.kubernetes.node(machine.name)
        if node is None or not is_ready(node) or not machine.works:
            continue
        for volume in machine.disks.volumes().values():
            if not volume.name.startswith("volume-") or volume.uuid in history.judge.restored:
                continue
            logic = history.controllers.get(
                history.controllers.logic_volumes, volume.name.removeprefix("volume-")
            )
            if logic is None or logic["spec"]["nodeName"] != machine.name:
                pv = history.controllers.get(
                    PERSISTENT_VOLUMES, volume.name.removeprefix("volume-")
                )
                if (
                    volume.open
                    or (logic is None) != (pv is None)
                    or (logic is not None and _journalled(logic))
                ):
                    continue
                if volume.time > history.clock.now - history.settings.orphan_grace:
                    # Made while its node's clock was ahead: it is young until that time has come.
                    history.chance.did["orphans from the future, kept"] += 1
                else:
                    found.append(f"{machine.name}: {volume.name} belongs to no LogicVolume")
            elif any(tag.startswith(well_known.TAG_ORPHAN) for tag in volume.tags):
                found.append(f"{machine.name}: {volume.name} is marked, and is wanted")
        if "backup" not in machine.disks.volumes():
            found.append(f"{machine.name}: another client's LV backup is gone")
    return found


def _left(history: History) -> list[str]:
    found = []
    for logic in history.controllers.all(history.controllers.logic_volumes):
        name, node = logic["metadata"]["name"], history.kubernetes.node(logic["spec"]["nodeName"])
        if not _journalled(logic) or name in history.given_up:
            continue
        if node is not None and is_ready(node):
            found.append(f"{name}: its journal is left: {history.last_reason(name)}")
        elif not history.last_reason(name):
            found.append(f"{name}: its journal is left without a reason")
    return found


def _pods(history: History) -> list[str]:
    found = []
    for name in sorted(history.controllers.pods):
        pod = history.controllers.get(PODS, name, "default")
        volumes = history.controllers.volumes_of(pod) if pod else []
        if pod is None or any(volume in history.given_up for volume in volumes):
            continue
        node = pod["spec"].get("nodeName", "")
        there = history.kubernetes.node(node) if node else None
        if there is None and not any(_waits(history, volume) for volume in volumes):
            found.append(f"pod {name} does not run")
    return found


def _waits(history: History, name: str) -> bool:
    """Return whether the pod of this volume can only wait: the volume's node is NotReady or
    gone.
    """
    logic = history.controllers.get(history.controllers.logic_volumes, name)
    node = history.kubernetes.node(logic["spec"]["nodeName"]) if logic else None
    return node is None or not is_ready(node)
