"""The trash: what the sweeps removed and can still be brought back, and bringing it back.

Restoring works while everything is paused: an operator who stopped the sweeps because they removed
too much wants just that.
"""

from __future__ import annotations

from collections.abc import Iterable

import yaml

from carina_tasks.decisions import answers
from carina_tasks.errors import BadInput, CarinaTasksError, NodeFailed
from carina_tasks.flows import ask_nodes
from carina_tasks.flows.context import Context
from carina_tasks.flows.sweeps.results import RestoreResult, TrashedVolume, TrashResult
from carina_tasks.kube.parsing import Objects
from carina_tasks.model import names, quantity, task_names, times, well_known
from carina_tasks.model.local import Inventory, LocalVolume, TrashTags
from carina_tasks.model.messages import LvInTrash, LvResults, LvTarget, RestoreLv, batch_time
from carina_tasks.model.objects import LogicVolume
from carina_tasks.observability.audit import about_node


def list_trash(ctx: Context, nodes: Iterable[str] = ()) -> TrashResult:
    """Return what lies in the trash of `nodes` (default: all), the oldest first.

    Raises:
        BadInput: A name is invalid.
        CarinaTasksError: The API server does not answer.
    """
    wanted = [names.node_name(node) for node in nodes] or _all_nodes(ctx)
    now, volumes, silent = ctx.cluster.now(), [], []
    wanting = ctx.cluster.logic_volumes()
    for node, answer in ask_nodes.inventories(ctx, wanted).items():
        if isinstance(answer, CarinaTasksError):
            silent.append(f"{node}: {answer.message}")
            continue
        volumes += [
            _trashed_volume(ctx, node, v, v.trashed, now, wanting)
            for v in answer.volumes
            if v.trashed is not None
        ]
    volumes.sort(key=lambda v: (-v.seconds, v.node, v.name, v.trash))
    return TrashResult(volumes=tuple(volumes), silent=tuple(sorted(silent)))


def restore(ctx: Context, node: str, wanted: str) -> RestoreResult:
    """Bring `wanted` back from the trash of `node`.

    Its name there, its UUID, or its old name when only one had it.

    Raises:
        BadInput: Nothing or more than one fits, NodeFailed when the node could not do it, and the
            adapters' errors.
    """
    names.node_name(node)
    inventory = ask_nodes.inventories(ctx, [node])[node]
    if isinstance(inventory, CarinaTasksError):
        raise inventory
    lv, old = _find(inventory, wanted)
    request = RestoreLv(
        at=int(ctx.cluster.now()), volume=LvInTrash(lv.group, names.trash_of(lv.uuid), lv.uuid)
    )
    # It is spoken of under its old name when it is back, else under the one that it has in the
    # trash.
    asked = (request.volume, LvTarget(lv.group, old, lv.uuid))
    said = ask_nodes.accepted_results(
        ctx,
        node,
        asked,
        answers.RESTORE,
        lambda: ctx.nodes.ask(
            node, task_names.RESTORE_VOLUME, request, LvResults, more=batch_time(4)
        ),
    )
    if not any(done.outcome == "restored" and done.uuid == lv.uuid for done in said):
        reasons = "; ".join(done.reason for done in said) or "it gave no reason"
        raise NodeFailed(f"node {node} did not restore {lv.group}/{lv.name}: {reasons}")
    ctx.audit.acted(
        "restore-local-volume",
        about_node(node),
        f"local volume {lv.group}/{old} of node {node} restored by the operator",
        "TrashRestored",
        node=node,
        volume=old,
    )
    try:
        return _advise(ctx, node, lv, old)
    except CarinaTasksError as exc:
        # It is restored, whatever the API server answers about its objects.
        advice = (
            "it is back; whether the cluster has its LogicVolume and PersistentVolume could not be "
            f"read ({exc.message}): see kubectl get lv,pv {names.logic_volume_of(old)}"
        )
        return RestoreResult(node, lv.group, old, lv.size, advice)


def _all_nodes(ctx: Context) -> list[str]:
    return sorted(ctx.cluster.nodes().names)


def _trashed_volume(
    ctx: Context,
    node: str,
    lv: LocalVolume,
    trashed: TrashTags,
    now: float,
    wanting: Objects[LogicVolume],
) -> TrashedVolume:
    age = max(0, int(now) - trashed.at)
    conf = ctx.settings
    name = trashed.name.removeprefix(names.VOLUME_PREFIX)
    old_copy = name in wanting.names
    logic_volume = wanting.values.get(name)
    claim = logic_volume.claim_key if logic_volume is not None else ""
    left = max(
        0,
        int(
            max(conf.trash_retention, conf.old_copy_retention) if old_copy else conf.trash_retention
        )
        - age,
    )
    return TrashedVolume(
        node, lv.group, trashed.name, lv.name, lv.size, age, left, trashed.why, claim
    )


def _find(inventory: Inventory, wanted: str) -> tuple[LocalVolume, str]:
    """Return the one volume of the trash that `wanted` names, with its old name."""
    lying = [(lv, lv.old_name) for lv in inventory.volumes if lv.old_name]
    found = [
        (lv, old)
        for lv, old in lying
        if wanted in (names.trash_of(lv.uuid), lv.uuid, old, old.removeprefix(names.VOLUME_PREFIX))
    ]
    if len(found) == 1:
        return found[0]
    if found:
        which = ", ".join(sorted(names.trash_of(lv.uuid) for lv, _ in found))
        raise BadInput(
            f"{len(found)} volumes in the trash of node {inventory.node} were {wanted!r}: name one "
            f"of {which}"
        )
    there = ", ".join(sorted(old for _, old in lying)[:10]) or "nothing"
    raise BadInput(f"{wanted!r} is not in the trash of node {inventory.node}; there lies: {there}")


def _advise(ctx: Context, node: str, lv: LocalVolume, old: str) -> RestoreResult:
    """Return what is left to do.

    Nothing, or a PersistentVolume to make, or a decision between two copies.
    """
    name = names.logic_volume_of(old)
    logic_volume, pv = ctx.cluster.logic_volume(name), ctx.cluster.persistent_volume(name)
    if logic_volume is not None and pv is not None:
        if logic_volume.node == node and pv.nodes == (node,):
            advice = (
                f"LogicVolume and PersistentVolume {name} name this node: nothing is left to do"
            )
        else:
            advice = (
                f"volume {name} lives on node {logic_volume.node} now; this is an older copy. Copy "
                f"what you need from /dev/{lv.group}/{old} (mount it read-only); the sweeps leave "
                f"it alone for {times.age(ctx.settings.restore_hold)} and remove it then"
            )
        return RestoreResult(node, lv.group, old, lv.size, advice)
    have = [
        k for k, v in (("LogicVolume", logic_volume), ("PersistentVolume", pv)) if v is not None
    ]
    advice = (
        f"the cluster has {' and '.join(have) or 'neither LogicVolume nor PersistentVolume'} of "
        f"it. Make what is lacking within {times.age(ctx.settings.restore_hold)}, or the "
        "sweeps remove it again"
    )
    return RestoreResult(node, lv.group, old, lv.size, advice, _manifest(node, lv, name, old))


def _manifest(node: str, lv: LocalVolume, name: str, old: str) -> str:
    """Return YAML for `kubectl apply`.

    Retain, so that no mistake with the claim deletes the volume again.
    """
    size = quantity.show(lv.size)
    term = {"key": well_known.TOPOLOGY_NODE, "operator": "In", "values": [node]}
    pv = {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {
            "name": name,
            "annotations": {well_known.PROVISIONED_BY: well_known.CSI_DRIVER},
        },
        "spec": {
            "capacity": {"storage": size},
            "accessModes": ["ReadWriteOnce"],
            "persistentVolumeReclaimPolicy": "Retain",
            "storageClassName": "",
            "csi": {
                "driver": well_known.CSI_DRIVER,
                "volumeHandle": old,
                "fsType": "ext4",
                "volumeAttributes": {
                    well_known.ATTRIBUTE_NODE: node,
                    well_known.ATTRIBUTE_GROUP: lv.group,
                    well_known.ATTRIBUTE_PATH: f"/dev/{lv.group}/{old}",
                    well_known.ATTRIBUTE_MAJOR: str(lv.major),
                    well_known.ATTRIBUTE_MINOR: str(lv.minor),
                },
            },
            "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [term]}]}},
        },
    }
    logic_volume = {
        "apiVersion": "carina.storage.io/v1",
        "kind": "LogicVolume",
        "metadata": {
            "name": name,
            "annotations": {well_known.MANAGE_TYPE: well_known.MANAGE_TYPE_LVM},
            "finalizers": [well_known.LOGIC_VOLUME_FINALIZER],
        },
        "spec": {
            "nodeName": node,
            "deviceGroup": lv.group,
            "size": size,
            "nameSpace": "default",
            "pvc": name,
        },
    }
    return str(yaml.safe_dump_all([pv, logic_volume], sort_keys=False))
