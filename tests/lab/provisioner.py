"""A stand-in for Carina's CSI provisioner and node agent: a thread that gives every claim its
volume.

For each claim with a selected node: the LV on that node (by a callback), then the LogicVolume and
the PersistentVolume. Binding, scheduling and everything after that is done by Kubernetes itself.
"""

import threading
import traceback
from collections.abc import Callable
from dataclasses import replace

import urllib3

from tests.lab import kube as k
from tests.lab.errors import LabError
from tests.lab.kube import Json, Kube
from tests.lab.volumes import STORAGE_CLASS, Volume, lv_size

SELECTED_NODE = "volume.kubernetes.io/selected-node"
BY_HAND = "lab/by-hand"  # a claim that a test provisions itself, under a name of its own
CreateLv = Callable[[str, str, str, int], tuple[int, int]]


class Provisioner:
    """Polls every 100 ms. `create_lv(node, vg, lv, bytes)` makes the LV and returns its device
    numbers.

    `errors` keeps the text of what went wrong; the claim is tried again at the next round, as the
    real one does.
    """

    def __init__(self, kube: Kube, create_lv: CreateLv) -> None:
        self.errors: list[str] = []
        self._kube = kube
        self._create_lv = create_lv
        self._end = threading.Event()
        self._paused = threading.Event()
        self._round = threading.Lock()
        self._one_at_a_time = threading.Lock()
        self._thread = threading.Thread(target=self._run, daemon=True, name="provisioner")

    def start(self) -> None:
        """Begin to poll."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        self._end.set()
        if self._thread.is_alive():
            self._thread.join(10)

    def pause(self) -> None:
        """Make no more volumes until `resume`; a round that is under way ends first."""
        self._paused.set()
        with self._round:
            return

    def resume(self) -> None:
        """Continue."""
        self._paused.clear()

    def provision(self, claim: Json, name: str | None = None) -> Volume:
        """Make the volume of one claim on its selected node and return it; what is there already is
        left alone.

        Its name is `pvc-<UID of the claim>` unless `name` says otherwise.
        """
        meta, spec = claim["metadata"], claim["spec"]
        volume = Volume(
            name=name or f"pvc-{meta['uid']}",
            node=meta["annotations"][SELECTED_NODE],
            claim=meta["name"],
            claim_uid=meta["uid"],
            size=spec["resources"]["requests"]["storage"],
            namespace=meta["namespace"],
            storage_class=spec["storageClassName"],
            mode=spec.get("volumeMode") or "Filesystem",
        )
        with self._one_at_a_time:
            if self._kube.find(f"{k.PVS}/{volume.name}"):
                return volume
            return publish(self._kube, volume, self._create_lv)

    def _run(self) -> None:
        while not self._end.wait(0.1):
            if self._paused.is_set():
                continue
            with self._round:
                try:
                    for claim in self._kube.list(k.CLAIMS):
                        if _waits(claim):
                            self.provision(claim)
                except (LabError, urllib3.exceptions.HTTPError):
                    self.errors.append(traceback.format_exc())


def publish(kube: Kube, volume: Volume, create_lv: CreateLv | None) -> Volume:
    """Make LV, LogicVolume with status, and PersistentVolume, in Carina's order.

    Without `create_lv` there is no LV. Returns the volume with its device numbers.
    """
    if create_lv:
        major, minor = create_lv(volume.node, volume.vg, volume.lv, lv_size(volume.size))
        volume = replace(volume, major=major, minor=minor)
    kube.ensure(k.LOGIC_VOLUMES, volume.logic_volume())
    kube.patch(f"{k.LOGIC_VOLUMES}/{volume.name}/status", volume.logic_volume_status())
    kube.ensure(k.PVS, volume.persistent_volume())
    return volume


def _waits(claim: Json) -> bool:
    meta, spec = claim["metadata"], claim["spec"]
    return (
        SELECTED_NODE in meta.get("annotations", {})
        and not spec.get("volumeName")
        and "deletionTimestamp" not in meta
        and spec.get("storageClassName") == STORAGE_CLASS
        and claim["status"].get("phase") == "Pending"
        and BY_HAND not in meta.get("annotations", {})
    )
