"""A tiny pure model of one volume in rebuild: what each step does to PV, LogicVolume, claim, pods
and LV.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field

import msgspec.structs

from carina_tasks.decisions import pv_manifest, rebuild
from carina_tasks.model import objects, well_known
from carina_tasks.model.journal import Journal
from carina_tasks.model.messages import LvResult
from carina_tasks.model.quantity import GIB
from tests.builders import kubernetes
from tests.builders.kubernetes import Json


@dataclass
class Model:
    """One volume's objects, as the API server and the target node would hold them."""

    journal: Journal | None = field(default_factory=kubernetes.journal)
    status: str = "Success"
    size: int = 5
    current: int = 5
    pv: Json | None = field(default_factory=kubernetes.pv)
    claim: Json | None = field(default_factory=kubernetes.claim)
    pods: list[Json] = field(default_factory=list)
    local: LvResult | None = None
    made: int = 0
    """GiB of the LV on the target."""
    steps: list[rebuild.Step] = field(default_factory=list)

    def view(self) -> rebuild.RebuildView:
        """Observe everything, through the parsers."""
        assert self.journal is not None
        raw = kubernetes.logic_volume(
            on=self.journal.target, status=self.status, size=f"{self.size}Gi", journal=self.journal
        )
        raw["status"]["currentSize"] = f"{self.current}Gi"
        return rebuild.RebuildView(
            logic_volume=objects.parse_logic_volume(raw),
            journal=self.journal,
            pv=objects.parse_persistent_volume(copy.deepcopy(self.pv)) if self.pv else None,
            claim=objects.parse_claim(copy.deepcopy(self.claim)) if self.claim else None,
            lv=self.local,
            pods=tuple(objects.parse_pod(pod) for pod in self.pods),
        )

    def next(self) -> rebuild.Step:
        """Ask for the next step."""
        step = rebuild.next_step(self.view())
        self.steps.append(step)
        return step

    def apply(self, step: rebuild.Step) -> None:
        """Do what the step says, as the flow would."""
        assert self.journal is not None
        match step:
            case rebuild.ClearStatus():
                self.status, self.current = "", self.size
            case rebuild.CreateLocalVolume(size):
                self.made = max(self.made, size // GIB)
                self.local = kubernetes.done(size=self.made * GIB, major=252, minor=9)
            case rebuild.RefreshManifest(manifest):
                self.journal = msgspec.structs.replace(self.journal, manifest=manifest)
            case rebuild.RetainPersistentVolume() if self.pv:
                self.pv["spec"]["persistentVolumeReclaimPolicy"] = "Retain"
                self.pv["metadata"]["annotations"] = {
                    **(self.pv["metadata"].get("annotations") or {}),
                    well_known.RETAINED: "true",
                }
            case rebuild.DeletePersistentVolume() if self.pv:
                self.pv["metadata"]["deletionTimestamp"] = kubernetes.at(kubernetes.NOW)
                if not self.pv["metadata"].get("finalizers"):
                    self._gone()
            case rebuild.StripFinalizers() if self.pv:
                assert "deletionTimestamp" in self.pv["metadata"]
                self._gone()
            case rebuild.CreatePersistentVolume(body):
                assert self.pv is None
                self.pv = copy.deepcopy(body)
                self.pv["metadata"]["uid"] = "uid-pv-new"
                self.pv["status"] = {"phase": "Available"}
            case rebuild.BindClaim() if self.pv and self.claim:
                self.claim["status"]["phase"] = self.pv["status"]["phase"] = "Bound"
                self.claim["metadata"].setdefault("annotations", {})[well_known.TOUCH] = "1.0"
            case rebuild.EvictPods(pods):
                gone = {verdict.pod.meta.uid for verdict in pods}
                self.pods = [pod for pod in self.pods if pod["metadata"]["uid"] not in gone]
            case rebuild.RemoveClaimAnnotation() if self.claim:
                del self.claim["metadata"]["annotations"][well_known.TOUCH]
            case rebuild.ClearResize() if self.claim:
                self.claim["status"].pop("conditions")
            case rebuild.SetSuccess():
                self.status, self.current = "Success", self.size
            case rebuild.DropJournal():
                self.journal = None
            case _:
                raise AssertionError(f"the rebuild stopped with {step}")

    def run(self, most: int = 40) -> list[rebuild.Step]:
        """Continue until the journal is dropped; return the steps. Fails when that takes more than
        `most`.
        """
        for _ in range(most):
            if self.journal is None:
                return self.steps
            self.apply(self.next())
        raise AssertionError(f"no end after {most} steps: {[type(s).__name__ for s in self.steps]}")

    def kept(self) -> Json:
        """Return what a journal keeps of the PV as it is."""
        parsed = objects.parse_persistent_volume(copy.deepcopy(self.pv or {}))
        return pv_manifest.manifest_of(parsed, parsed.policy)

    def _gone(self) -> None:
        self.pv = None
        if self.claim:
            self.claim["status"]["phase"] = "Lost"
