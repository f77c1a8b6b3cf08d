"""The promise: volumes that are to be lost, bystanders that are not, and everything that must hold
of them afterwards.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable
from concurrent.futures import ThreadPoolExecutor

import urllib3

from tests.lab import kube as k
from tests.lab.errors import LabError
from tests.lab.sender import Sender
from tests.lab.volumes import TOPOLOGY, VG, lv_size
from tests.system.product import Product

ONE, TWO, THREE = "10.20.9.151", "10.20.9.152", "10.20.9.153"
GIB = 1 << 30
TOUCH = "tasks.carina.storage.io/touch"
ORPHAN = "carina-tasks.orphan="


class Promise:
    """Volumes on `source` (by default three of 1 GiB, all but the last with pods) and a bystander
    on other nodes.

    The first bystander is held open. Names are those of the LogicVolumes.
    """

    def __init__(
        self,
        product: Product,
        *,
        count: int = 3,
        source: str = ONE,
        migrate: str | None = None,
        pods: int | None = None,
        bystanders: Collection[str] = (TWO, THREE),
    ) -> None:
        self.product, self.lab, self.source = product, product.lab, source
        self.sender = Sender(product.lab.redis.url)
        world, with_pods = self.lab.world, count - 1 if pods is None else pods
        self.moving = [
            world.add_volume(
                f"data-{i}", source, "1Gi", with_pod=i < with_pods, migrate=migrate
            ).name
            for i in range(count)
        ]
        self.staying = {
            node: world.add_volume(f"by-{node[-3:]}", node, "1Gi").name
            for node in bystanders
            if node != source
        }
        for node, name in list(self.staying.items())[:1]:
            self.lab.nodes[node].mount(f"volume-{name}")
        self.claims = {
            one["metadata"]["name"]: one["metadata"]["uid"]
            for one in self.lab.kube.list(k.claims())
        }
        self.uuids = {node: self._uuid(node, name) for node, name in self.staying.items()}

    def wait(self, timeout: float = 120, *, since: float | None = None, away: bool = True) -> float:
        """Wait until every volume to be moved is whole again (elsewhere, when `away`); return the
        seconds since `since`.
        """
        begun = time.monotonic() if since is None else since
        end = time.monotonic() + timeout
        while True:
            why = self._not_yet(away)
            if not why:
                return time.monotonic() - begun
            if time.monotonic() > end:
                raise LabError(f"not converged {timeout:.0f} s later: {why}")
            time.sleep(0.25)

    def sweep(self, times: int = 3) -> list[str]:
        """Run both sweeps, several times, 3 s apart; return what was removed, `<node>
        <group>/<LV>`.
        """
        removed = []
        for number in range(times):
            if number:
                time.sleep(3)
            ids = [
                self.sender.send(f"carina.sweep.{what}")
                for what in ("logic_volumes", "local_volumes")
            ]
            results = [self.product.result(one, 60) for one in ids]
            assert "deleted" not in results[0], results[0]
            removed += [
                f"{one['node']} {lv}"
                for one in results[1]["nodes"]
                for lv in one.get("trashed", ())
            ]
        return removed

    def check(self, *, swept: bool = True, gone: Collection[str] = ()) -> None:
        """Assert everything that must hold; `gone` are nodes whose disks do not count. Sweeps first
        unless told not to.
        """
        product, kube = self.product, self.lab.kube
        before = {
            name: self._uuid(node, name)
            for name, node in self._places().items()
            if node not in gone
        }
        if swept:
            self.sweep()
        volumes = product.logic_volumes()
        names = {*self.moving, *self.staying.values()}
        assert volumes.keys() == names, "every LogicVolume is there under its name, and no other"
        for name, one in volumes.items():
            assert one["status"].get("status") == "Success", (name, one["status"])
            assert "deletionTimestamp" not in one["metadata"], name
        assert product.journals() == []
        self._check_claims(volumes)
        living = set(kube.names(k.NODES)) - set(gone)
        copies: dict[str, list[str]] = {name: [] for name in names}
        with ThreadPoolExecutor(3) as pool:
            reports = pool.map(
                lambda node: (node, self.lab.nodes[node].lvs(VG, "lv_name,lv_size,lv_tags")),
                sorted(living),
            )
            for node, report in reports:
                for lv in report:
                    if lv["lv_name"].startswith("trash-"):
                        continue
                    name = lv["lv_name"].removeprefix("volume-")
                    assert name in names, f"{lv['lv_name']} of {node} belongs to no LogicVolume"
                    copies[name].append(node)
                    if volumes[name]["spec"]["nodeName"] == node:
                        assert ORPHAN not in lv["lv_tags"], (
                            f"{lv['lv_name']} of {node} is marked as an orphan"
                        )
                        assert int(lv["lv_size"]) == lv_size(volumes[name]["spec"]["size"])
        for name, nodes in copies.items():
            place = volumes[name]["spec"]["nodeName"]
            assert place in gone or nodes == [place], f"{name} belongs on {place} and is on {nodes}"
        for name, uuid in before.items():
            assert self._uuid(volumes[name]["spec"]["nodeName"], name) == uuid, (
                f"{name} was created again by a sweep"
            )
        for node, name in self.staying.items():
            assert volumes[name]["spec"]["nodeName"] == node, f"bystander {name} was moved"
            if node not in gone:
                assert self._uuid(node, name) == self.uuids[node], f"bystander {name} is another LV"

    def nodes(self) -> dict[str, int]:
        """Return how many of the volumes to be moved are on each node."""
        places = self._places()
        found: dict[str, int] = {}
        for name in self.moving:
            found[places[name]] = found.get(places[name], 0) + 1
        return found

    def _check_claims(self, volumes: dict[str, k.Json]) -> None:
        kube = self.lab.kube
        claims, pvs = (
            kube.list(k.claims()),
            {one["metadata"]["name"]: one for one in kube.list(k.PVS)},
        )
        assert {one["metadata"]["name"]: one["metadata"]["uid"] for one in claims} == self.claims
        assert pvs.keys() == volumes.keys()
        for claim in claims:
            name = claim["spec"]["volumeName"]
            pv = pvs[name]
            assert (claim["status"]["phase"], pv["status"]["phase"]) == ("Bound", "Bound"), name
            assert TOUCH not in claim["metadata"].get("annotations", {}), (
                f"a touch is left on {name}"
            )
            assert pv["spec"]["persistentVolumeReclaimPolicy"] == "Delete", name
            assert pv["spec"]["claimRef"]["uid"] == claim["metadata"]["uid"], name
            assert _affinity(pv) == [volumes[name]["spec"]["nodeName"]], name

    def _not_yet(self, away: bool) -> str:
        try:
            volumes = self.product.logic_volumes()
            claims = self.lab.kube.list(k.claims())
            journals = self.product.journals()
        except (LabError, urllib3.exceptions.HTTPError) as error:
            return f"the API server does not answer: {error}"
        lost = [name for name in self.moving if name not in volumes]
        assert not lost, f"LogicVolumes are lost: {lost}"
        if journals:
            return f"journals on {journals}"
        for name in self.moving:
            if volumes[name]["status"].get("status") != "Success":
                return f"{name} has the status {volumes[name]['status']}"
            if away and volumes[name]["spec"]["nodeName"] == self.source:
                return f"{name} is on {self.source}"
        return ", ".join(
            f"{c['metadata']['name']} is {c['status']['phase']}"
            for c in claims
            if c["status"]["phase"] != "Bound"
        )

    def _places(self) -> dict[str, str]:
        return {name: one["spec"]["nodeName"] for name, one in self.product.logic_volumes().items()}

    def _uuid(self, node: str, name: str) -> str:
        return self.product.lv_uuid(node, f"volume-{name}")


def _affinity(pv: k.Json) -> list[str]:
    terms: Iterable[k.Json] = pv["spec"]["nodeAffinity"]["required"]["nodeSelectorTerms"]
    return [
        value
        for term in terms
        for one in term["matchExpressions"]
        if one["key"] == TOPOLOGY
        for value in one["values"]
    ]
