"""What goes wrong from outside, by seed: machines, networks, processes, and people who act at the
wrong moment.
"""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

from carina_tasks.emulator.api_server.cluster import Target
from carina_tasks.emulator.api_server.deletion import DeleteOptions, delete
from carina_tasks.emulator.api_server.kinds import (
    CONFIG_MAPS,
    PERSISTENT_VOLUME_CLAIMS,
    PERSISTENT_VOLUMES,
    PODS,
)
from carina_tasks.emulator.api_server.kinds.node import NODES
from carina_tasks.emulator.api_server.store import clone
from carina_tasks.emulator.api_server.writes import create, patch
from carina_tasks.model import quantity, well_known
from tests.harness.controllers import claims_of, is_ready
from tests.harness.stage import MERGE
from tests.sim.broker import Message

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.sim.history import History
    from tests.sim.nodes import Machine


TWO_SWEEPS = (600.0, 2400.0)
"""Seconds of what must last from one sweep to the next to do harm."""


class People:
    """Users who act on the cluster beside the product and the controllers."""

    def __init__(self, history: History) -> None:
        self.h = history
        self.rng = history.chance.rng
        self.one = Random(f"{history.seed}/approves-one")
        self.revokes = Random(f"{history.seed}/revokes")
        """Dice of their own, so that the other histories stay as they were."""

    def troubles(self) -> list[Callable[[], None]]:
        """Return everything that can be done; the first ones are chosen more often."""
        return [
            *[self.delete_node] * 4,
            *[self.silence_node] * 4,
            *[self.cut_network] * 2,
            self.stop_kubelet,
            self.reboot,
            self.kill_control,
            self.kill_control,
            self.kill_node_worker,
            self.empty_broker,
            self.step_clock,
            self.restart_watch,
            self.stop_beat,
            self.pause,
            self.expand,
            self.fill_group,
            self.forbid,
            self.leave_out,
            self.restore,
            self.restore,
            self.delete_pod,
            self.delete_claim,
            self.delete_pv,
            self.delete_logic_volume,
            self.re_register,
        ]

    def _machine(self) -> Machine:
        return self.rng.choice(list(self.h.machines.values()))

    def _fault(self, what: str, about: str = "") -> None:
        self.h.chance.count(what, about)

    # --- disks ---

    def move_extents(self, rng: Random) -> None:
        """Let an administrator run pvmove on some nodes: the LVs that it moves are locked until it
        has ended.

        `rng` is a stream of its own, so that all else in a history is as it was without this.
        """
        for m in self.h.machines.values():
            if rng.random() < 0.3:
                self.h.actors.later(rng.uniform(0.0, 1200.0), lambda m=m: self._lock(m, rng))
                self.h.actors.later(rng.uniform(1200.0, 3000.0), lambda m=m: self._unlock(m))

    def _lock(self, m: Machine, rng: Random) -> None:
        if not self.h.chance.calm:
            self._fault("pvmove", m.name)
            for local in m.disks.volumes().values():
                local.locked = rng.random() < 0.7

    def _unlock(self, m: Machine) -> None:
        for local in m.disks.volumes().values():
            local.locked = False

    def end_moves(self) -> None:
        """Let every pvmove end."""
        for m in self.h.machines.values():
            self._unlock(m)

    # --- machines ---

    def delete_node(self) -> None:
        """Kubectl delete node; its machine is gone, or comes back some day under another UID."""
        m = self._machine()
        if self.h.kubernetes.node(m.name) is None:
            return
        self._fault("node-deleted", m.name)
        if self.rng.random() < 0.8:
            self.power_off(m)
        delete(self.h.cluster, Target(NODES, "", m.name))
        if self.rng.random() < 0.4:
            self._back(
                m,
                self.rng.choice((5.0, 30.0, 300.0, 900.0)) * self.rng.uniform(0.5, 1.5),
                register=True,
            )

    def re_register(self) -> None:
        """Delete a node and make it again at once, under another UID."""
        m = self._machine()
        if m.heard and self.h.kubernetes.node(m.name) is not None:
            self._fault("node-re-registered", m.name)
            delete(self.h.cluster, Target(NODES, "", m.name))
            self._back(m, self.rng.uniform(0.1, 25.0), register=True)

    def silence_node(self) -> None:
        """Let a machine fail; it comes back sooner, later or never."""
        m = self._machine()
        self._fault("machine-off", m.name)
        self.power_off(m)
        if self.revokes.random() < 0.3:
            self.h.actors.later(self.revokes.uniform(0.0, 30.0), lambda: self.revoke(m.name))
        if self.rng.random() < 0.7:
            self._back(
                m, self.rng.choice((20.0, 90.0, 150.0, 500.0, 900.0)) * self.rng.uniform(0.7, 1.3)
            )

    def revoke(self, node: str) -> None:
        """Take the annotation off the pods of a node that fails: they are to wait for it."""
        if self.h.chance.calm:
            return
        for pod in self.h.controllers.all(PODS):
            meta = pod["metadata"]
            annotated = (meta.get("annotations") or {}).get(well_known.MIGRATION_ALLOWED) == "true"
            if pod["spec"].get("nodeName") == node and annotated:
                self._fault("annotation-revoked", meta["name"])
                self.h.judge.revoked[meta["uid"]] = self.h.actors.clock.now
                target = Target(PODS, meta["namespace"], meta["name"])
                without = {"metadata": {"annotations": {well_known.MIGRATION_ALLOWED: None}}}
                patch(self.h.cluster, target, MERGE, without)

    def cut_network(self) -> None:
        """Let a machine live on unheard, with its pods and their open volumes."""
        m = self._machine()
        self._fault("network-cut", m.name)
        self.h.nodes.alive(m.name)
        m.network = False
        self.h.kubernetes.silence(m.name)
        self._back(m, self.rng.choice((20.0, 120.0, 600.0)) * self.rng.uniform(0.7, 1.3))

    def stop_kubelet(self) -> None:
        """Silence a kubelet alone: the worker answers."""
        m = self._machine()
        self._fault("kubelet-stopped", m.name)
        m.kubelet = False
        self.h.kubernetes.silence(m.name)
        self._back(m, self.rng.choice((60.0, 200.0, 600.0)) * self.rng.uniform(0.7, 1.3))

    def reboot(self) -> None:
        """Off and on again within the thresholds."""
        m = self._machine()
        self._fault("reboot", m.name)
        self.power_off(m)
        self._back(m, self.rng.uniform(15.0, 80.0))

    def power_off(self, m: Machine) -> None:
        """Let a machine stop with everything on it."""
        self.h.nodes.alive(m.name)
        m.power = False
        self.h.actors.kill(m.worker)
        for volume in m.disks.volumes().values():
            volume.open = False
        self.h.kubernetes.silence(m.name)

    def _back(self, m: Machine, after: float, register: bool = False) -> None:
        self.h.actors.later(after, lambda: self.back(m, register))

    def back(self, m: Machine, register: bool = False) -> None:
        """Let a machine be well again."""
        self.h.chance.say("machine", f"{m.name} is back")
        was_off = not m.power
        m.power = m.network = m.kubelet = True
        if was_off:
            self.h.nodes.start(m.name)
        self.h.kubernetes.hear(m.name, register)
        self.h.nodes.pump(m.name)

    def step_clock(self) -> None:
        """Let the clock of a machine jump."""
        m = self._machine()
        m.skew = self.rng.choice((-86400.0, -1200.0, -30.0, 30.0, 1200.0, 86400.0))
        self._fault("clock-step", f"{m.name} {m.skew:+.0f} s")

    def fill_group(self) -> None:
        """Take most of a volume group."""
        m = self._machine()
        group = m.disks.state.groups[0]
        gib = (group.free >> 30) - self.rng.randrange(10, 16)
        if gib > 0 and m.disks.find("filler") is None:
            self._fault("volume-group-full", m.name)
            m.disks.add("filler", gib, self.h.actors.clock.now)

    # --- processes ---

    def kill_control(self) -> None:
        """Kill a control worker."""
        self.h.control.kill(self.rng.uniform(2.0, 60.0))

    def kill_node_worker(self) -> None:
        """Kill a node worker."""
        m = self._machine()
        if m.works:
            self._fault("node-worker-killed", m.name)
            self.h.nodes.kill(m.name, self.rng.uniform(2.0, 40.0))

    def empty_broker(self) -> None:
        """FLUSHALL."""
        self._fault("broker-emptied")
        self.h.broker.empty()

    def restart_watch(self) -> None:
        """Let the node watch begin again."""
        self._fault("watch-restarted")
        self.h.watch.restart()

    def stop_beat(self) -> None:
        """Beat is away for a while."""
        self._fault("beat-stopped")
        self.h.beat_until = self.h.actors.clock.now + self.rng.uniform(30.0, 700.0)

    # --- what stands before the API server ---

    def forbid(self) -> None:
        """Apply an older ClusterRole: some things cannot be read for a while."""
        both = ("logicvolumes", "persistentvolumes")
        which = self.rng.choice((both, both, both, both[:1], both[1:], ("pods",), ("nodes",)))
        self._fault("reads-forbidden", ", ".join(which))
        self.h.api.forbidden = frozenset(which)
        self.h.actors.later(
            self.rng.uniform(*TWO_SWEEPS), lambda: setattr(self.h.api, "forbidden", frozenset())
        )

    def leave_out(self) -> None:
        """Let a cache in between leave the same LogicVolumes and PersistentVolumes out of every
        list for a while.
        """
        c = self.h.controllers
        names = {
            v["metadata"]["name"] for r in (c.logic_volumes, PERSISTENT_VOLUMES) for v in c.all(r)
        }
        lacking = [name for name in sorted(names) if self.rng.random() < 0.4]
        self._fault("lists-lack-the-same", ", ".join(lacking))
        self.h.api.lacking = frozenset(lacking)
        self.h.actors.later(
            self.rng.uniform(*TWO_SWEEPS), lambda: setattr(self.h.api, "lacking", frozenset())
        )

    # --- people ---

    def pause(self) -> None:
        """Pause everything, and resume it later."""
        self._fault("paused")
        self.state(paused="the operator said so")
        self.h.actors.later(self.rng.uniform(30.0, 400.0), lambda: self.state(paused=None))

    def state(self, **changes: str | None) -> None:
        """Write the ConfigMap of pause and latch."""
        target = Target(CONFIG_MAPS, self.h.settings.namespace, well_known.STATE_CONFIG_MAP)
        if self.h.cluster.store.get(CONFIG_MAPS.id, target.key) is None:
            data = {key: value for key, value in changes.items() if value}
            create(
                self.h.cluster,
                Target(CONFIG_MAPS, target.namespace),
                {"metadata": {"name": target.name}, "data": data},
            )
        else:
            patch(self.h.cluster, target, MERGE, {"data": changes})

    def look(self) -> None:
        """Look after the latch, now and then, and resume as `carina resume` does."""
        found = self.h.cluster.store.get(
            CONFIG_MAPS.id, (self.h.settings.namespace, well_known.STATE_CONFIG_MAP)
        )
        if ((found or {}).get("data") or {}).get("latched"):
            nodes = {n["metadata"]["name"]: is_ready(n) for n in self.h.controllers.all(NODES)}
            named = {
                v["spec"]["nodeName"]
                for v in self.h.controllers.all(self.h.controllers.logic_volumes)
            }
            lost = sorted({n for n, ready in nodes.items() if not ready} | (named - nodes.keys()))
            if len(lost) > 1 and self.one.random() < 0.4:
                one = self.one.choice(lost)
                self.h.chance.say("person", f"approves of {one} alone")
                self.state(approved=one)
            else:
                self.h.chance.say("person", f"resumes; approves of {lost}")
                self.state(latched=None, approved=",".join(lost) or None)
        self.h.actors.later(self.rng.uniform(200.0, 500.0), self.look)

    def restore(self) -> None:
        """Carina restore: for what lies in the trash when they look, which may take a while."""
        lying = [
            (m.name, v.name)
            for m in self.h.machines.values()
            for v in m.disks.volumes().values()
            if v.name.startswith("trash-")
        ]
        if not lying:
            if self.h.chance.odds:
                self.h.actors.later(60.0, self.restore)
            return
        node, name = self.rng.choice(lying)
        self._fault("restore-asked", f"{node} {name}")
        message = Message(
            "carina.trash.restore", [node, name], f"restore-{name}", self.h.actors.clock.now + 300
        )
        self.h.broker.put("control", message)

    def _volume(self) -> str | None:
        names = sorted(v["metadata"]["name"] for v in self.h.controllers.all(PERSISTENT_VOLUMES))
        return self.rng.choice(names) if names else None

    def expand(self) -> None:
        """Expand a claim."""
        name = self._volume()
        c = self.h.controllers
        logic, pv = c.get(c.logic_volumes, name or ""), c.get(PERSISTENT_VOLUMES, name or "")
        claim = c.get(PERSISTENT_VOLUME_CLAIMS, (name or "").removeprefix("pvc-"), "default")
        if (
            not name
            or logic is None
            or pv is None
            or claim is None
            or pv["metadata"].get("deletionTimestamp")
        ):
            return
        self._fault("expanded", name)
        size = {"storage": quantity.show(quantity.to_bytes(logic["spec"]["size"]) + (1 << 30))}
        patch(
            self.h.cluster,
            Target(c.logic_volumes, "", name),
            MERGE,
            {"spec": {"size": size["storage"]}},
        )
        patch(
            self.h.cluster,
            Target(PERSISTENT_VOLUMES, "", name),
            MERGE,
            {"spec": {"capacity": size}},
        )
        target = Target(PERSISTENT_VOLUME_CLAIMS, "default", claim["metadata"]["name"])
        patch(self.h.cluster, target, MERGE, {"spec": {"resources": {"requests": size}}})

    def delete_pod(self) -> None:
        """Kubectl delete pod."""
        pods = self.h.controllers.all(PODS)
        if pods:
            pod = self.rng.choice(pods)
            self._fault("pod-deleted", pod["metadata"]["name"])
            delete(self.h.cluster, Target(PODS, "default", pod["metadata"]["name"]))

    def delete_claim(self) -> None:
        """Delete a claim with the pods that use it."""
        claims = self.h.controllers.all(PERSISTENT_VOLUME_CLAIMS)
        if not claims:
            return
        claim = clone(self.rng.choice(claims))
        name = claim["metadata"]["name"]
        self._fault("claim-deleted", name)
        self.h.given_up.add(claim["spec"]["volumeName"])
        for pod, body in list(self.h.controllers.pods.items()):
            if name in claims_of(body):
                del self.h.controllers.pods[pod]
                if self.h.controllers.get(PODS, pod, "default"):
                    delete(self.h.cluster, Target(PODS, "default", pod), DeleteOptions(grace=0))
        target = Target(PERSISTENT_VOLUME_CLAIMS, "default", name)
        patch(self.h.cluster, target, MERGE, {"metadata": {"finalizers": None}})
        delete(self.h.cluster, target)

    def delete_pv(self) -> None:
        """Kubectl delete pv: it is Terminating while it is Bound."""
        name = self._volume()
        if name:
            self._fault("pv-deleted", name)
            self.h.given_up.add(name)
            delete(self.h.cluster, Target(PERSISTENT_VOLUMES, "", name))

    def delete_logic_volume(self) -> None:
        """Kubectl delete lv."""
        names = sorted(
            v["metadata"]["name"] for v in self.h.controllers.all(self.h.controllers.logic_volumes)
        )
        if names:
            name = self.rng.choice(names)
            self._fault("logic-volume-deleted", name)
            self.h.given_up.add(name)
            delete(self.h.cluster, Target(self.h.controllers.logic_volumes, "", name))
