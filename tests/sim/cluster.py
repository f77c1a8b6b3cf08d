"""Kubernetes' and Carina's controllers as actors of their own: each wakes some time after something
changed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from carina_tasks.emulator.api_server import durations
from carina_tasks.emulator.api_server.cluster import Cluster, Target
from carina_tasks.emulator.api_server.kinds import (
    LEASES,
    PERSISTENT_VOLUME_CLAIMS,
    PERSISTENT_VOLUMES,
    PODS,
)
from carina_tasks.emulator.api_server.kinds.node import NODES
from carina_tasks.emulator.api_server.store import Change, clone
from carina_tasks.emulator.api_server.writes import create
from carina_tasks.model import quantity, well_known
from tests.harness.controllers import JSON, PROVISIONER, Controllers, is_ready
from tests.sim.actors import Actors
from tests.sim.chance import Chance
from tests.sim.nodes import Machine

UNKNOWN_AFTER, TAINT_EVICTION = 40.0, 300.0


def stamp(at: float) -> str:
    """Return a time as the API server writes it."""
    return durations.timestamp(datetime.fromtimestamp(at, UTC))


class SimControllers(Controllers):
    """The controllers of the kill points, with kubelets that may be out of reach."""

    machines: Mapping[str, Machine]
    held_by_hand: Mapping[str, set[str]]

    def provision(self) -> None:
        """Let the provisioner look once: a Released PV of policy Delete goes, after its
        LogicVolume.
        """
        super().provision()
        for pv in self.all(PERSISTENT_VOLUMES):
            meta, spec = pv["metadata"], pv["spec"]
            released = (pv.get("status") or {}).get("phase") == "Released" and not meta.get(
                "deletionTimestamp"
            )
            ours = PROVISIONER in (meta.get("finalizers") or ())
            if released and ours and spec["persistentVolumeReclaimPolicy"] == "Delete":
                if self.get(self.logic_volumes, meta["name"]) is None:
                    self.delete(PERSISTENT_VOLUMES, meta["name"])
                else:
                    self.delete(self.logic_volumes, meta["name"])

    def run_pods(self) -> None:
        """Let scheduler and kubelets look once."""
        nodes = self.all(NODES)
        ready = {n["metadata"]["name"] for n in nodes if is_ready(n)}
        heard = {n["metadata"]["name"] for n in nodes if self.machines[n["metadata"]["name"]].heard}
        for pod in self.all(PODS):
            meta, node = pod["metadata"], pod["spec"].get("nodeName", "")
            if meta.get("deletionTimestamp") and (node in heard or not node):
                self.delete(PODS, meta["name"], meta["namespace"])
            elif not node:
                self.schedule(pod, ready & heard)
        held = {name: set(self.held_by_hand.get(name, ())) for name in self.machines}
        for pod in self.all(PODS):
            if pod["status"].get("phase") == "Running":
                held[pod["spec"].get("nodeName", "")] |= {
                    f"volume-{pv}" for pv in self.volumes_of(pod)
                }
        for name in heard:
            for volume in self.nodes[name].volumes().values():
                volume.open = volume.name in held[name]

    def carina_agent(self) -> None:
        """Let Carina's node agents look once."""
        for name, machine in self.machines.items():
            self.nodes[name].alive = machine.heard
        super().carina_agent()

    def resize(self) -> None:
        """Let the nodes extend once what was expanded."""
        for volume in self.all(self.logic_volumes):
            spec, status = volume["spec"], volume.get("status") or {}
            machine = self.machines.get(spec["nodeName"])
            if (
                machine is None
                or not machine.heard
                or status.get("status") != well_known.STATUS_SUCCESS
            ):
                continue
            local, size = (
                machine.disks.find(f"volume-{volume['metadata']['name']}"),
                quantity.to_bytes(spec["size"]),
            )
            if (
                status.get("currentSize") != spec["size"]
                and local is not None
                and local.size <= size
            ):
                local.size = size
                self.set_status(self.logic_volumes, volume, currentSize=spec["size"])


class Kubernetes:
    """Wakes the controllers, and tells nodes' states."""

    def __init__(
        self, cluster: Cluster, actors: Actors, chance: Chance, controllers: SimControllers
    ) -> None:
        self.cluster, self.actors, self.chance, self.controllers = (
            cluster,
            actors,
            chance,
            controllers,
        )
        self.machines = controllers.machines
        self.changes = 0
        """Changes of what resume looks at."""
        self.node_event: Callable[[str, JSON], None] = lambda type_, node: None
        self._woken: set[str] = set()
        self._not_ready: dict[str, list[tuple[float, float]]] = {}
        self._absent: dict[str, list[tuple[float, float]]] = {}
        c = controllers
        self._passes: dict[str, tuple[Callable[[], None], float]] = {
            "binder": (c.bind, 0.4),
            "protection": (c.protect, 0.4),
            "provisioner": (c.provision, 0.3),
            "pods": (c.collect_and_make_pods, 1.0),
            "kubelets": (c.run_pods, 2.0),
            "resizer": (c.resize, 5.0),
        }
        if controllers.carina:
            self._passes |= {
                "carina-controller": (c.carina_controller, 1.0),
                "carina-agents": (c.carina_agent, 1.0),
            }
        for resource in (
            NODES,
            PODS,
            PERSISTENT_VOLUMES,
            PERSISTENT_VOLUME_CLAIMS,
            c.logic_volumes,
        ):
            cluster.store.listen(resource.id, self._changed)
        self.wake()
        self._tick()

    def _changed(self, change: Change) -> None:
        if change.resource == NODES.id:
            self._node_changed(change)
        if change.resource != PODS.id:
            self.changes += 1
        self.wake()

    def wake(self) -> None:
        """Let every controller look some time soon."""
        for name, (work, most) in self._passes.items():
            if name not in self._woken:
                self._woken.add(name)
                self.actors.later(
                    self.chance.rng.uniform(0.005, most),
                    lambda name=name, work=work: self._pass(name, work),
                )

    def _pass(self, name: str, work: Callable[[], None]) -> None:
        self._woken.discard(name)
        work()

    def _tick(self) -> None:
        """Resync: what is not as it should be is looked at again every 15 s."""
        c, now = self.controllers, self.actors.clock.now
        nodes = {node["metadata"]["name"] for node in c.all(NODES)}
        self._evict_from_lost()
        unbound = any(
            o["status"].get("phase") != "Bound"
            for r in (PERSISTENT_VOLUMES, PERSISTENT_VOLUME_CLAIMS)
            for o in c.all(r)
        )
        homeless = any(p["spec"].get("nodeName", "") not in nodes for p in c.all(PODS))
        if unbound or homeless:
            c._looked.clear()
            self.wake()
        for machine in self.machines.values():
            if machine.silent_since is not None and now - machine.silent_since >= UNKNOWN_AFTER:
                self._condition(machine.name, "Unknown")
        self.actors.later(15.0, self._tick)

    def _evict_from_lost(self) -> None:
        """Delete the pods of nodes that have been NotReady for long, as taint eviction does; their
        kubelets hear it later.
        """
        now = self.actors.clock.now
        for pod in self.controllers.all(PODS):
            name = pod["spec"].get("nodeName", "")
            spans = self._not_ready.get(name)
            if not spans or spans[-1][1] != float("inf") or now - spans[-1][0] <= TAINT_EVICTION:
                continue
            meta = pod["metadata"]
            if not meta.get("deletionTimestamp"):
                changed = clone(pod)
                changed["metadata"] |= {
                    "deletionTimestamp": stamp(now),
                    "deletionGracePeriodSeconds": 30,
                }
                self.cluster.store.put(PODS.id, (meta["namespace"], meta["name"]), changed)

    # --- nodes ---

    def _node_changed(self, change: Change) -> None:
        name, now, inf = change.key[1], self.actors.clock.now, float("inf")
        ready, there = change.type != "DELETED" and is_ready(change.obj), change.type != "DELETED"
        for spans, is_so in ((self._not_ready, there and not ready), (self._absent, not there)):
            mine = spans.setdefault(name, [])
            open_ = bool(mine) and mine[-1][1] == inf
            if is_so and not open_:
                mine.append((now, inf))
            elif not is_so and open_:
                mine[-1] = (mine[-1][0], now)
        self.node_event(change.type, change.obj)

    def was(
        self,
        spans: Mapping[str, list[tuple[float, float]]],
        name: str,
        seconds: float,
        within: float,
    ) -> bool:
        """Return whether the node was so for `seconds` (less the one that timestamps lack) on end,
        at
        some time in the last `within` seconds.
        """
        now = self.actors.clock.now
        return any(
            min(end, now) - begin >= seconds - 1 and end >= now - within
            for begin, end in spans.get(name, ())
        )

    def was_absent(self, name: str, seconds: float, within: float = 150.0) -> bool:
        """Return whether no node of that name was there for so long."""
        return self.was(self._absent, name, seconds, within)

    def was_not_ready(self, name: str, seconds: float, within: float = 150.0) -> bool:
        """Return whether the node was NotReady for so long."""
        return self.was(self._not_ready, name, seconds, within)

    def node(self, name: str) -> JSON | None:
        """Return the node's object."""
        return self.controllers.get(NODES, name)

    def _condition(self, name: str, status: str) -> None:
        node = self.node(name)
        old = next(
            (
                c
                for c in (node or {}).get("status", {}).get("conditions") or ()
                if c["type"] == "Ready"
            ),
            None,
        )
        if node is None or (old is not None and old["status"] == status):
            return
        changed = clone(node)
        new = {
            "type": "Ready",
            "status": status,
            "lastTransitionTime": stamp(self.actors.clock.now),
        }
        changed["status"]["conditions"] = [new]
        self.chance.say("node-lifecycle", f"{name} is Ready={status}")
        self.cluster.store.put(NODES.id, ("", name), changed)

    def silence(self, name: str) -> None:
        """Note that nothing is heard of the node's kubelet any more."""
        machine = self.machines[name]
        if machine.silent_since is None:
            machine.silent_since = self.actors.clock.now
            self.actors.later(
                UNKNOWN_AFTER + self.chance.rng.uniform(0.0, 5.0),
                lambda: self._still_silent(machine),
            )

    def _still_silent(self, machine: Machine) -> None:
        since = machine.silent_since
        if since is not None and self.actors.clock.now - since >= UNKNOWN_AFTER:
            self._condition(machine.name, "Unknown")

    def hear(self, name: str, register: bool) -> None:
        """Let the kubelet be heard again; `register`: it makes its node object when there is
        none.
        """
        machine = self.machines[name]
        if not machine.heard:
            return
        machine.silent_since = None
        if self.node(name) is None and register:
            self.register(name)
        self._condition(name, "True")
        self.wake()

    def register(self, name: str) -> None:
        """Make the node's object: another one, with another UID."""
        capacity = {"cpu": "8", "memory": "16Gi", "pods": "110"}
        ready = {
            "type": "Ready",
            "status": "True",
            "lastTransitionTime": stamp(self.actors.clock.now),
        }
        body = {
            "metadata": {
                "name": name,
                "labels": {"kubernetes.io/hostname": name, well_known.TOPOLOGY_NODE: name},
            },
            "status": {"conditions": [ready], "capacity": capacity, "allocatable": capacity},
        }
        create(self.cluster, Target(NODES), body)
        self.chance.say("kubelet", f"{name} registers")

    def renew_leases(self) -> None:
        """Bring the node Leases to what they would be now."""
        now = self.actors.clock.now
        for name, machine in self.machines.items():
            at = now - now % 10 if machine.silent_since is None else machine.silent_since
            key, text = ("kube-node-lease", name), stamp(at).replace("Z", ".000000Z")
            lease = self.cluster.store.get(LEASES.id, key)
            if self.node(name) is None and lease is None:
                continue
            if lease is None:
                body = {
                    "metadata": {"name": name},
                    "spec": {"holderIdentity": name, "renewTime": text},
                }
                create(self.cluster, Target(LEASES, "kube-node-lease"), body)
            elif lease["spec"].get("renewTime") != text:
                self.cluster.store.put(
                    LEASES.id,
                    key,
                    {
                        **lease,
                        "metadata": dict(lease["metadata"]),
                        "spec": {**lease["spec"], "renewTime": text},
                    },
                )
