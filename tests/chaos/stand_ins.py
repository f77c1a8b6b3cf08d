"""Stand-ins for Carina's own processes, as WIRE's facts and Carina's source have them."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable

import urllib3

from tests.lab import kube as k
from tests.lab.errors import LabError
from tests.lab.lab import Lab
from tests.lab.volumes import lv_size
from tests.lab.world import pod

FINALIZER = "carina.storage.io/logicvolume"


class Loop:
    """A thread that does something again and again; what the API server or a node refuses it tries
    again.
    """

    def __init__(self, every: float, act: Callable[[], object]) -> None:
        self.rounds = 0
        self.errors: list[str] = []
        self._every, self._act = every, act
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Loop:
        """Begin."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End, after the round that is under way."""
        self._end.set()
        self._thread.join(20)

    def _run(self) -> None:
        while not self._end.wait(self._every):
            try:
                self._act()
                self.rounds += 1
            except (LabError, urllib3.exceptions.HTTPError, OSError) as error:
                self.errors.append(str(error))


class CarinaController:
    """Deletes, on each deletion of a pod, every LogicVolume with a status, its finalizer, no owner
    and no PV.

    It makes the deletions of pods itself, as fast as it can: one round is a pod that comes and
    goes, and the clean-up.
    """

    def __init__(self, lab: Lab) -> None:
        self.deleted: list[str] = []
        self._kube = lab.kube
        self._names = (f"passing-{i}" for i in itertools.count())

    def round(self) -> None:
        """Make a pod go, and clean up as carina-controller does."""
        name = next(self._names)
        self._kube.create(k.pods(), pod(name, []))
        self._kube.delete(f"{k.pods()}/{name}", grace=0)
        volumes = self._kube.list(k.LOGIC_VOLUMES)
        with_pv = set(self._kube.names(k.PVS))
        for one in volumes:
            meta = one["metadata"]
            if (
                (one.get("status") or {}).get("status")
                and FINALIZER in (meta.get("finalizers") or ())
                and not meta.get("ownerReferences")
                and meta["name"] not in with_pv
            ):
                self.deleted.append(meta["name"])
                path = f"{k.LOGIC_VOLUMES}/{meta['name']}"
                self._kube.delete(path)
                self._kube.patch(path, {"metadata": {"finalizers": None}})


class CarinaAgent:
    """Carina's node agent on every node: makes, extends and removes the local volumes of the
    LogicVolumes of its node.
    """

    def __init__(self, lab: Lab) -> None:
        self.created: list[str] = []
        self.extended: list[str] = []
        self.removed: list[str] = []
        self._lab = lab

    def round(self) -> None:
        """Look at every LogicVolume once."""
        for one in self._lab.kube.list(k.LOGIC_VOLUMES):
            name, spec, status = one["metadata"]["name"], one["spec"], one.get("status") or {}
            node, path = (
                self._lab.nodes[spec["nodeName"]],
                f"{k.LOGIC_VOLUMES}/{one['metadata']['name']}",
            )
            lv = f"volume-{name}"
            if one["metadata"].get("deletionTimestamp"):
                node.run("lvremove", "-qy", f"{spec['deviceGroup']}/{lv}", check=False)
                self._lab.kube.patch(path, {"metadata": {"finalizers": None}})
                self.removed.append(name)
            elif not status.get("volumeID") and not status.get("code"):
                node.create_lv(lv, lv_size(spec["size"]), spec["deviceGroup"])
                fresh = {
                    "volumeID": lv,
                    "status": "Success",
                    "code": 0,
                    "currentSize": spec["size"],
                }
                self._lab.kube.patch(f"{path}/status", {"status": fresh})
                self.created.append(name)
            elif lv_size(status.get("currentSize") or spec["size"]) < lv_size(spec["size"]):
                node.run(
                    "lvextend",
                    "-q",
                    "-L",
                    f"{lv_size(spec['size'])}b",
                    f"{spec['deviceGroup']}/{lv}",
                )
                self._lab.kube.patch(
                    f"{path}/status", {"status": {"currentSize": spec["size"], "status": "Success"}}
                )
                self.extended.append(name)
