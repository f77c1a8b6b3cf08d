"""Random clusters that change: for what must be equal however a plan was reached."""

from __future__ import annotations

import copy
import itertools
import random
from typing import Any

from carina_tasks.model.journal import Journal
from carina_tasks.model.local import Inventory, LocalVolume, VolumeGroup
from carina_tasks.model.quantity import GIB
from carina_tasks.model.snapshot import ClusterSnapshot
from tests.builders import placement as build

GROUPS = ("carina-vg-hdd", "carina-vg-ssd")
ZONE = "topology.kubernetes.io/zone"
APPS = ("a", "b", "c")

Json = dict[str, Any]


class RandomCluster:
    """Raw objects with versions, and what nodes report; `change` changes one thing."""

    def __init__(self, seed: int, *, plain: bool = False) -> None:
        """Draw one.

        Args:
            seed: The same seed is the same cluster, and the same changes.
            plain: Without constraints that reach other nodes (affinity, spread).
        """
        self._dice = dice = random.Random(seed)
        self._plain = plain
        self._versions = itertools.count(1)
        self._names = itertools.count(1)
        self.nodes: dict[str, Json] = {}
        self.volumes: dict[str, Json] = {}
        self.pods: dict[str, Json] = {}
        self.inventories: dict[str, Inventory] = {}
        for _ in range(dice.randint(2, 7)):
            self._add_node()
        for _ in range(dice.randint(1, 14)):
            self._add_volume()
        for _ in range(dice.randint(0, 14)):
            self._add_pod()

    def change(self) -> str:
        """Change one thing, and return what."""
        changes = [
            self._add_node,
            self._drop_node,
            self._cordon,
            self._label,
            self._fill,
            self._silence,
            self._add_volume,
            self._drop_volume,
            self._move_volume,
            self._begin,
            self._stray,
            self._add_pod,
            self._drop_pod,
            self._bind_pod,
        ]
        one = self._dice.choice(changes)
        one()
        return one.__name__

    def snapshot(self) -> ClusterSnapshot:
        """Return the cluster as it is now."""
        # Its objects are never changed afterwards, as the API client's are not.
        nodes, volumes, pods = copy.deepcopy((self.nodes, self.volumes, self.pods))
        return build.world(
            list(nodes.values()),
            list(volumes.values()),
            list(pods.values()),
            persistent=[_pv(one) for one in volumes.values() if one["spec"]["pvc"] != "bare"],
        )

    def _new(self, raw: Json) -> Json:
        raw["metadata"]["resourceVersion"] = str(next(self._versions))
        return raw

    def _some(self, of: dict[str, Any]) -> str:
        return self._dice.choice(sorted(of)) if of else ""

    def _add_node(self) -> None:
        dice, name = self._dice, f"n{next(self._names)}"
        taints = [{"key": "only", "value": "x", "effect": "NoSchedule"}]
        spec = {"taints": taints} if dice.random() < 0.15 else {}
        cpu = {"allocatable": {"cpu": str(dice.randint(2, 9))}}
        labels = {ZONE: dice.choice("xyz")}
        self.nodes[name] = self._new(build.node(name, labels=labels, **spec, **cpu))
        groups = tuple(
            VolumeGroup(g, build.UUID_VG, 100 * GIB, dice.randint(5, 40) * GIB, 4 << 20)
            for g in GROUPS
            if dice.random() < 0.85
        )
        self.inventories[name] = Inventory(name, groups, ())

    def _drop_node(self) -> None:
        if len(self.nodes) > 2:
            name = self._some(self.nodes)
            del self.nodes[name]
            self.inventories.pop(name, None)

    def _cordon(self) -> None:
        raw = self.nodes[self._some(self.nodes)]
        raw["spec"] = {**raw["spec"], "unschedulable": not raw["spec"].get("unschedulable")}
        self._new(raw)

    def _label(self) -> None:
        raw = self.nodes[self._some(self.nodes)]
        raw["metadata"]["labels"] = {**raw["metadata"]["labels"], ZONE: self._dice.choice("xyz")}
        self._new(raw)

    def _fill(self) -> None:
        if name := self._some(self.inventories):
            old = self.inventories[name]
            groups = tuple(
                VolumeGroup(g.name, g.uuid, g.size, self._dice.randint(0, 40) * GIB, g.extent)
                for g in old.groups
            )
            self.inventories[name] = Inventory(name, groups, old.volumes)

    def _silence(self) -> None:
        if len(self.inventories) > 1:
            del self.inventories[self._some(self.inventories)]

    def _add_volume(self) -> None:
        dice, name = self._dice, f"v{next(self._names)}"
        on, size = self._some(self.nodes), f"{dice.randint(1, 12)}Gi"
        raw = build.logic_volume(name, on, size=size, group=dice.choice(GROUPS))
        if dice.random() < 0.1:
            raw["spec"]["pvc"] = "bare"
        self.volumes[name] = self._new(raw)

    def _drop_volume(self) -> None:
        self.volumes.pop(self._some(self.volumes), None)

    def _move_volume(self) -> None:
        if name := self._some(self.volumes):
            self.volumes[name]["spec"]["nodeName"] = self._some(self.nodes)
            self._new(self.volumes[name])

    def _begin(self) -> None:
        """Journal a volume: its rebuild has begun."""
        if name := self._some(self.volumes):
            raw, target = self.volumes[name], self._some(self.nodes)
            text = Journal(
                intent="01234567-89ab-4def-8123-456789abcdef",
                kind="rebuild",
                source=self._some(self.nodes),
                target=target,
                reason="lost",
                started=1,
                manifest={},
            ).to_json()
            raw["metadata"]["annotations"] = {"tasks.carina.storage.io/journal": text}
            raw["spec"]["nodeName"] = target
            self._new(raw)

    def _stray(self) -> None:
        """Leave an LV of a volume's name on some node, perhaps open."""
        name, node = self._some(self.volumes), self._some(self.inventories)
        if name and node:
            old = self.inventories[node]
            lv = build.local_volume(
                f"volume-{name}",
                size=self._dice.randint(1, 9),
                group=self.volumes[name]["spec"]["deviceGroup"],
                is_open=self._dice.random() < 0.3,
            )
            kept: tuple[LocalVolume, ...] = tuple(v for v in old.volumes if v.name != lv.name)
            self.inventories[node] = Inventory(node, old.groups, (*kept, lv))

    def _add_pod(self) -> None:
        dice, name = self._dice, f"p{next(self._names)}"
        used = dice.sample(sorted(self.volumes), min(len(self.volumes), dice.choice((0, 1, 1, 2))))
        on = self.volumes[used[0]]["spec"]["nodeName"] if used else self._some(self.nodes)
        app, spec = dice.choice(APPS), {}
        if not self._plain and dice.random() < 0.4:
            spec = dice.choice((_apart, _near, _spread))(app)
        if dice.random() < 0.2:
            spec["tolerations"] = [{"key": "only", "operator": "Exists"}]
        self.pods[name] = self._new(
            build.pod(
                name,
                *used,
                on=on if dice.random() < 0.9 else "",
                labels={"app": app},
                owner={"kind": "StatefulSet", "name": app, "uid": f"uid-{app}"},
                requests={"cpu": str(dice.randint(0, 3))},
                **spec,
            )
        )

    def _drop_pod(self) -> None:
        self.pods.pop(self._some(self.pods), None)

    def _bind_pod(self) -> None:
        if name := self._some(self.pods):
            self.pods[name]["spec"]["nodeName"] = self._some(self.nodes)
            self._new(self.pods[name])


def _pv(volume: Json) -> Json:
    """Make the PV of a LogicVolume that is where that is."""
    name, spec = volume["metadata"]["name"], volume["spec"]
    key = "topology.carina.storage.io/node"
    term = {"matchExpressions": [{"key": key, "operator": "In", "values": [spec["nodeName"]]}]}
    return {
        "metadata": {
            "name": name,
            "uid": f"uid-pv-{name}",
            "resourceVersion": volume["metadata"]["resourceVersion"],
        },
        "spec": {
            "capacity": {"storage": spec["size"]},
            "csi": {
                "driver": "carina.storage.io",
                "volumeHandle": f"volume-{name}",
                "volumeAttributes": {"carina.storage.io/disk-group-name": spec["deviceGroup"]},
            },
            "claimRef": {"namespace": "default", "name": spec["pvc"], "uid": f"uid-{spec['pvc']}"},
            "nodeAffinity": {"required": {"nodeSelectorTerms": [term]}},
            "persistentVolumeReclaimPolicy": "Delete",
        },
        "status": {"phase": "Bound"},
    }


def _selected(app: str) -> Json:
    return {"labelSelector": {"matchLabels": {"app": app}}}


def _apart(app: str) -> Json:
    term = {"topologyKey": build.HOSTNAME, **_selected(app)}
    return {
        "affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}
    }


def _near(app: str) -> Json:
    term = {"topologyKey": ZONE, **_selected(app)}
    return {"affinity": {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}}


def _spread(app: str) -> Json:
    rule = {
        "maxSkew": 1,
        "topologyKey": ZONE,
        "whenUnsatisfiable": "DoNotSchedule",
        **_selected(app),
    }
    return {"topologySpreadConstraints": [rule]}
