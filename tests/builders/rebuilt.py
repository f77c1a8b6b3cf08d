"""What a rebuild must leave behind, checked on the fakes."""

from __future__ import annotations

from carina_tasks.kube import paths
from carina_tasks.model import well_known
from carina_tasks.model.quantity import GIB
from tests.builders.flow import FakeNodes
from tests.builders.kubernetes import (
    affinity,
    inventory,
)

VOLUMES = ("pvc-1", "pvc-2")


def nodes(*names):
    """Make workers with room."""
    return FakeNodes(*(inventory(name) for name in names or ("n2", "n3")))


def check_rebuilt(api, fake, names=VOLUMES):
    """Check everything that a rebuild promises of each volume."""
    for name in names:
        volume, new = api.one("LogicVolume", name), api.one("PersistentVolume", name)
        target = volume["spec"]["nodeName"]
        assert target in fake.now
        assert volume["status"]["status"] == "Success"
        assert volume["status"]["volumeID"] == f"volume-{name}"
        assert well_known.JOURNAL not in volume["metadata"]["annotations"]
        assert new["spec"]["nodeAffinity"] == affinity(target)
        assert new["spec"]["persistentVolumeReclaimPolicy"] == "Delete"
        assert new["spec"]["claimRef"]["uid"] == f"uid-claim-{name}"
        assert new["spec"]["fieldOfTomorrow"] == {"kept": [1, 2, 3]}
        assert new["metadata"]["labels"] == {"team": "db"}
        held = api.one("PersistentVolumeClaim", name="claim-" + name)
        assert held["status"]["phase"] == "Bound"
        assert held["metadata"]["annotations"] == {}
        assert fake.now[target].find("carina-vg-hdd", f"volume-{name}").size == 5 * GIB
        assert paths.pod("default", f"pod-{name}") not in api.objects
