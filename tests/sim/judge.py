"""What must never happen, seen at each act of the product and judged by what is true at that
moment.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from greenlet import getcurrent

from carina_tasks.emulator.api_server.kinds import (
    CONFIG_MAPS,
    PERSISTENT_VOLUME_CLAIMS,
    PERSISTENT_VOLUMES,
    PODS,
)
from carina_tasks.emulator.api_server.kinds.node import NODES
from carina_tasks.emulator.lvm.state import Volume
from carina_tasks.model import names, well_known
from carina_tasks.model.journal import Journal
from carina_tasks.model.local import LocalVolume
from tests.harness.controllers import JSON, is_ready
from tests.harness.promises import not_zeroed
from tests.sim.chance import Chance
from tests.sim.cluster import Kubernetes

if TYPE_CHECKING:
    from carina_tasks.settings import Settings
    from tests.sim.planned import Planned

READ_BEFORE = 60.0
"""Seconds from a task's list of pods to the journals that follow, asking the nodes included."""
GOES_ON = 150.0
"""Seconds for which a task that began before a pause may resume what it holds in hand."""


class Judge:
    """Watches one history."""

    def __init__(self, kubernetes: Kubernetes, chance: Chance, settings: Settings) -> None:
        self.kubernetes, self.chance, self.settings = kubernetes, chance, settings
        self.controllers = kubernetes.controllers
        self.stopped_since: float | None = None
        """Since when the ConfigMap reports that all stands still."""
        self.planned: Planned
        """What an administrator does to machines on purpose."""
        self.approved: set[str] = set()
        """Nodes that may be failed over although everything else is stopped."""
        self._withdrawn: dict[str, float] = {}
        """When the approval of a node ended: a task that began before may resume what it holds.
        """
        self.moved: set[str] = set()
        """Volumes that were moved at least once."""
        self.restored: set[str] = set()
        """UUIDs of LVs that came back from the trash: sweeps leave them alone for a day."""
        self.asked: dict[str, set[str]] = {}
        """UUIDs of the old copies that an operator wanted back, by LogicVolume."""
        self.revoked: dict[str, float] = {}
        """When a pod's annotation was taken off, by the pod's UID."""
        self._trashed: dict[str, float] = {}

    # --- the API server ---

    def before(self, verb: str, path: str, body: JSON | None) -> None:
        """Judge a write of the product that is about to take effect."""
        if any(kind in path for kind in ("/events", "/configmaps", "/failoverstatuses")):
            return
        kind, name = path.removesuffix("/status").split("/")[-2:]
        version = ((body or {}).get("metadata") or {}).get("resourceVersion")
        resource = {"logicvolumes": self.controllers.logic_volumes, "pods": PODS}.get(kind)
        if version is not None and resource is not None:
            found = self.controllers.get(resource, name, "default" if kind == "pods" else "")
            if found is None or version != found["metadata"]["resourceVersion"]:
                return  # It has changed since it was read: the API server refuses the write.
        annotations = ((body or {}).get("metadata") or {}).get("annotations") or {}
        self._moving(f"{verb} {path}", self._leaves(kind, name, body or {}))
        if kind == "logicvolumes" and verb == "PATCH" and annotations.get(well_known.JOURNAL):
            self._journal(name, Journal.from_json(annotations[well_known.JOURNAL]))
        if verb == "POST" and path.endswith("/persistentvolumes"):
            self._new_pv(body or {})
        if verb == "DELETE":
            {"pods": self._pod, "persistentvolumes": self._pv, "logicvolumes": self._logic_volume}[
                kind
            ](name, body or {})

    def _new_pv(self, pv: JSON) -> None:
        """Judge the LV that a pod will mount from now on."""
        name = pv["metadata"]["name"]
        journal = self.journal_of(name)
        machine = self.kubernetes.machines.get(journal.target) if journal is not None else None
        local = machine.disks.find(f"volume-{name}") if machine is not None else None
        if journal is not None and journal.copy and (local is None or local.uuid != journal.copy):
            self.chance.wrong(
                f"{name} is failed back to LV {journal.copy}, and its pod gets "
                f"{local and local.uuid}"
            )
        if not_zeroed(pv, local):
            self.chance.wrong(f"{name} is shown to its pod, and its LV was never zeroed")
        if local is not None and not local.wiped:
            self.chance.wrong(f"{name} is shown to its pod, and its LV was never wiped")

    def after(self, verb: str, path: str, body: JSON | None) -> None:
        """Count a write that took effect."""
        annotations = ((body or {}).get("metadata") or {}).get("annotations") or {}
        if well_known.JOURNAL in annotations and not annotations[well_known.JOURNAL]:
            self.chance.did["volumes rebuilt"] += 1
        if verb == "DELETE":
            self.chance.did[
                {"pods": "pods evicted", "logicvolumes": "LogicVolumes deleted"}.get(
                    path.split("/")[-2], "PVs replaced"
                )
            ] += 1

    def state_changed(self) -> None:
        """Take note of pause and latch."""
        found = self.controllers.get(
            CONFIG_MAPS, well_known.STATE_CONFIG_MAP, self.settings.namespace
        )
        data = (found or {}).get("data") or {}
        stopped = data.get("paused") or data.get("latched")
        approved = (
            set() if data.get("paused") else set((data.get("approved") or "").split(",")) - {""}
        )
        self._withdrawn |= dict.fromkeys(self.approved - approved, self.kubernetes.actors.clock.now)
        self.approved = approved
        if stopped and self.stopped_since is None:
            self.stopped_since = self.kubernetes.actors.clock.now
            self.chance.say("state", f"stopped: {stopped}")
            self.chance.did["pauses and latches"] += 1
        elif not stopped and self.stopped_since is not None:
            self.stopped_since = None
            self.chance.say("state", "continues")

    def _leaves(self, kind: str, name: str, body: JSON) -> str:
        """Return the node that a volume or pod leaves with this write, empty when it leaves
        none.
        """
        if kind == "pods":
            return ((self.controllers.get(PODS, name, "default") or {}).get("spec") or {}).get(
                "nodeName", ""
            )
        metadata = body.get("metadata") or {}
        text = (metadata.get("annotations") or {}).get(well_known.JOURNAL)
        volume = (
            f"pvc-{name}"
            if kind == "persistentvolumeclaims"
            else name
            if kind == "logicvolumes"
            else ""
        )
        volume = volume or (metadata.get("name", "") if name == "persistentvolumes" else name)
        journal = Journal.from_json(text) if text else self.journal_of(volume)
        return journal.source if journal is not None else ""

    def _moving(self, what: str, leaves: str) -> None:
        if self.stopped_since is None or self._approved(leaves):
            return
        now, began = self.kubernetes.actors.clock.now, getattr(getcurrent(), "began", 0.0)
        if began > self.stopped_since:
            self.chance.wrong(f"{what} by a task that began while all was stopped")
        elif now - self.stopped_since > GOES_ON:
            self.chance.wrong(f"{what} {now - self.stopped_since:.0f} s after all was stopped")

    def _approved(self, node: str) -> bool:
        withdrawn = self._withdrawn.get(node)
        recently = withdrawn is not None and self.kubernetes.actors.clock.now - withdrawn <= GOES_ON
        return node in self.approved or recently

    def _journal(self, name: str, journal: Journal) -> None:
        old = self.journal_of(name)
        if old is not None and old.intent == journal.intent:
            return
        self.moved.add(name)
        lost = journal.source if old is None else old.target
        after = self.settings.confirm_absence
        gone = self.kubernetes.was_absent(lost, after)
        sick = self.kubernetes.was_not_ready(lost, self.settings.not_ready_after)
        if old is not None:
            self._again(name, old, journal)
            return
        if journal.failback:
            self._failback(name, journal)
            return
        self.chance.did[f"journals of kind {journal.kind}"] += 1
        if self._follows(name, journal):
            # Its node may be back: what was decided for the pod holds for all its volumes.
            self.chance.did["volumes fetched that a failover had left behind"] += not (gone or sick)
            gone = sick = True
        else:
            self._planned(name, lost, journal.kind)
        self._mass_failure(name, lost)
        if journal.kind == "rebuild" and not gone:
            self.chance.wrong(f"{name} is rebuilt, and {lost} was not away for {after:.0f} s")
        if journal.kind == "migrate" and not sick:
            self.chance.wrong(
                f"{name} is migrated, and {lost} was not NotReady for "
                f"{self.settings.not_ready_after:.0f} s"
            )
        if journal.kind == "migrate":
            for pod in self.controllers.all(PODS):
                if (
                    pod["spec"].get("nodeName") == lost
                    and name in self.controllers.volumes_of(pod)
                    and not self._annotated_lately(pod)
                ):
                    self.chance.wrong(
                        f"{name} is migrated, and pod {pod['metadata']['name']} is not annotated"
                    )

    def _annotated_lately(self, pod: JSON) -> bool:
        """Return whether the pod is annotated, or was when a task that still runs read it."""
        since = self.revoked.get(pod["metadata"]["uid"])
        lately = since is not None and self.chance.clock.now - since <= READ_BEFORE
        return lately or _annotated(pod)

    def _again(self, name: str, old: Journal, journal: Journal) -> None:
        self.chance.did["failbacks given up" if journal.given_up else "planned again"] += 1
        if journal.given_up and (journal.copy, journal.target) != (old.before, old.source):
            self.chance.wrong(
                f"the failback of {name} is given up, and {journal.copy} on {journal.target} was "
                "not in use"
            )

    def _failback(self, name: str, journal: Journal) -> None:
        self.chance.did["failbacks"] += 1
        machine = self.kubernetes.machines[journal.source]
        in_use = machine.disks.find(f"volume-{name}")
        if journal.copy not in self.asked.get(name, ()):
            self.chance.wrong(
                f"{name} is failed back to {journal.copy}, and no operator asked for that"
            )
        if (in_use.uuid if in_use else "") != journal.before:
            self.chance.wrong(
                f"{name} is failed back, and {journal.before} is not in use on {journal.source}"
            )

    def _planned(self, name: str, lost: str, kind: str) -> None:
        """Judge a failover of a node whose absence is planned; one that had begun by then may
        continue
        with what it holds.
        """
        cordoned = self.settings.not_ready_cordoned
        if self.planned.announced_for(lost) > GOES_ON:
            self.chance.wrong(f"{name} is failed over, and {lost} is in maintenance")
        waits = kind == "migrate" and self.planned.cordoned_for(lost) > GOES_ON
        if waits and not self.kubernetes.was_not_ready(lost, cordoned):
            self.chance.wrong(
                f"{name} is migrated, and {lost} is cordoned and was not NotReady for "
                f"{cordoned:.0f} s"
            )

    def _follows(self, name: str, journal: Journal) -> bool:
        """Return whether the volume follows another of its pod, whose journal names it and the same
        way.
        """
        others = {
            v
            for pod in self.controllers.all(PODS)
            if name in (found := self.controllers.volumes_of(pod))
            for v in found
        }
        leaders = [self.journal_of(other) for other in others - {name}]
        return any(
            j and name in j.together and (j.source, j.target) == (journal.source, journal.target)
            for j in leaders
        )

    def _mass_failure(self, name: str, leaves: str) -> None:
        """Judge a failover by the nodes that were already lost when the control worker began it.

        They must not be too many.
        """
        nodes = {n["metadata"]["name"] for n in self.controllers.all(NODES)}
        named = {
            v["spec"]["nodeName"] for v in self.controllers.all(self.controllers.logic_volumes)
        }
        k = self.kubernetes
        lost = {
            n
            for n in nodes | named
            if k.was_not_ready(n, GOES_ON, 0.0) or (n in named and k.was_absent(n, GOES_ON, 0.0))
        }
        found = self.controllers.get(
            CONFIG_MAPS, well_known.STATE_CONFIG_MAP, self.settings.namespace
        )
        approved = set((((found or {}).get("data") or {}).get("approved") or "").split(","))
        lost -= self.planned.announced()
        nodes -= self.planned.announced()
        if (
            len(lost) > self.settings.mass_failure_share * len(nodes | named)
            and leaves not in approved
            and not self._approved(leaves)
        ):
            self.chance.wrong(
                f"{name} is moved while {sorted(lost)} of {len(nodes | named)} nodes are lost, and "
                "no person approved"
            )

    def _pod(self, name: str, body: JSON) -> None:
        pod = self.controllers.get(PODS, name, "default")
        if pod is None or self._annotated_lately(pod) or not _meets(pod, body):
            return
        if pod["status"].get("phase") == "Failed":
            # The first half of its eviction is done: it has ended.
            return
        node = pod["spec"].get("nodeName", "")
        journals = [self.journal_of(volume) for volume in self.controllers.volumes_of(pod)]
        if any(j is not None and j.kind == "rebuild" and j.source == node for j in journals):
            return
        if any(j is not None and j.failback and node in (j.source, j.target) for j in journals):
            if body.get("gracePeriodSeconds") == 0:
                self.chance.wrong(f"pod {name} is ended by force for a failback")
            return
        found = self.kubernetes.node(node)
        if found is not None:
            self.chance.wrong(
                f"un-annotated pod {name} of {'Ready' if is_ready(found) else 'NotReady'} {node} "
                "is evicted"
            )

    def _pv(self, name: str, body: JSON) -> None:
        pv, journal = self.controllers.get(PERSISTENT_VOLUMES, name), self.journal_of(name)
        if (
            pv is not None
            and _meets(pv, body)
            and (journal is None or (journal.manifest.get("metadata") or {}).get("name") != name)
        ):
            self.chance.wrong(f"PersistentVolume {name} is deleted, and no journal holds it")

    def _logic_volume(self, name: str, body: JSON) -> None:
        found = self.controllers.get(self.controllers.logic_volumes, name)
        if found is None or not _meets(found, body):
            return
        if self.controllers.get(PERSISTENT_VOLUMES, name) is not None:
            self.chance.wrong(f"LogicVolume {name} is deleted, and it has a PersistentVolume")
        if self.journal_of(name) is not None:
            self.chance.wrong(f"LogicVolume {name} is deleted in mid-rebuild")
        claim = self.controllers.get(PERSISTENT_VOLUME_CLAIMS, found["spec"]["pvc"], "default")
        if claim is not None and claim["spec"].get("volumeName") == name:
            self.chance.wrong(f"LogicVolume {name} is deleted, and its claim names it")

    def journal_of(self, name: str) -> Journal | None:
        """Return the journal of a LogicVolume."""
        found = self.controllers.get(self.controllers.logic_volumes, name)
        text = ((found or {}).get("metadata", {}).get("annotations") or {}).get(well_known.JOURNAL)
        return Journal.from_json(text) if text else None

    # --- disks ---

    def removed(self, node: str, volume: Volume, now: Volume | None) -> None:
        """Judge an LV that a node worker removes, puts into the trash, or brings back."""
        self.chance.did["LVs trashed" if now is not None else "LVs removed"] += 1
        if volume.name.startswith(names.TRASH_PREFIX):
            if now is None:
                self._purged(node, volume)
            else:
                self.restored.add(volume.uuid)
                self.chance.did["LVs trashed"] -= 1
                self.chance.did["LVs restored"] += 1
            return
        what = f"{volume.name} on {node} was removed"
        if volume.open:
            self.chance.wrong(f"{what}, and was open")
        if _local(node, volume).unfinished:
            # It holds nothing of its own, and must never come back from the trash.
            if now is not None:
                self.chance.wrong(
                    f"{volume.name} on {node} was never wiped, and went into the trash"
                )
            self.chance.did["LVs created again, because they were never wiped"] += 1
            return
        if now is None and self.settings.trash_retention and not self._lacked_space(node, volume):
            self.chance.wrong(f"{what} permanently and not put into the trash")
        if now is not None:
            self._trashed[volume.uuid] = self.kubernetes.actors.clock.now
        self._unwanted(what, node, volume)

    def _unwanted(self, what: str, node: str, volume: Volume) -> None:
        name = volume.name.removeprefix("volume-")
        found, journal = (
            self.controllers.get(self.controllers.logic_volumes, name),
            self.journal_of(name),
        )
        if journal is not None:
            if journal.target == node and volume.uuid == journal.stale:
                return
            if journal.target == node and well_known.TAG_INTENT + journal.intent in volume.tags:
                self.chance.wrong(f"{what}, and its rebuild made it")
            elif journal.source == node:
                self.chance.wrong(f"{what}, and it is the source of a rebuild")
        marked = _local(node, volume).marked_at
        if (
            marked is None
            or self.kubernetes.actors.clock.now - marked < self.settings.orphan_mark_age - 1
        ):
            self.chance.wrong(f"{what}, and no earlier sweep had marked it")
        if journal is None and found is not None and found["spec"]["nodeName"] == node:
            self.chance.wrong(f"{what}, and its LogicVolume is there")
        elif found is None and self.controllers.get(PERSISTENT_VOLUMES, name) is not None:
            self.chance.wrong(f"{what}, and its PersistentVolume is there")

    def _purged(self, node: str, volume: Volume) -> None:
        since = self._trashed.get(volume.uuid)
        age = self.kubernetes.actors.clock.now - since if since is not None else 0.0
        # The sweep's time stands on it, and a sweep takes a while.
        found = self.controllers.get(
            self.controllers.logic_volumes, _local(node, volume).old_name.removeprefix("volume-")
        )
        # Whatever node its LogicVolume names: the volume may have come back to this one as another
        # LV.
        kept = (
            self.settings.old_copy_retention if found is not None else self.settings.trash_retention
        )
        if age < kept - GOES_ON and not self._lacked_space(node, volume):
            self.chance.wrong(
                f"{volume.name} on {node} was purged {age:.0f} s after it went into the trash"
            )

    def _lacked_space(self, node: str, volume: Volume) -> bool:
        """Return whether the node makes volumes for a rebuild, for which there was no room while
        `volume` stood there.
        """
        message = getcurrent().message  # type: ignore[attr-defined]
        if message.task != "carina.volume.create":
            return False
        self.chance.did["LVs removed for their space"] += 1
        group = self.kubernetes.machines[node].disks.state.groups[0]
        wanted = sum(one["size"] for one in message.args[0]["volumes"])
        return bool(group.free - volume.size - message.args[0]["reserve"] < wanted)


def _local(node: str, volume: Volume) -> LocalVolume:
    return LocalVolume(
        node, volume.name, volume.uuid, 0, False, True, "", "", tags=tuple(volume.tags)
    )


def _meets(obj: JSON, body: JSON) -> bool:
    """Return whether the preconditions of a deletion hold: else the API server refuses it."""
    wanted, meta = body.get("preconditions") or {}, obj["metadata"]
    return all(meta[key] == value for key, value in wanted.items())


def _annotated(obj: dict[str, Any]) -> bool:
    return (obj["metadata"].get("annotations") or {}).get(well_known.MIGRATION_ALLOWED) == "true"
