"""S4, S5, S8, S9: a node is deleted, and all its volumes come back elsewhere under the same
names.
"""

from __future__ import annotations

import json
import time

import pytest

from carina_tasks.decisions.rebuild import RESIZE_CONDITIONS
from tests.lab import kube as k
from tests.lab.lab import Lab
from tests.system.product import Product

ONE, TWO, THREE = "10.20.9.151", "10.20.9.152", "10.20.9.153"
GIB = 1 << 30


def test_mysql_runs_again(lab: Lab) -> None:
    """S8: `kubectl delete node` under the manual's StatefulSet: without a hand, all three pods run
    again elsewhere.
    """
    product = Product(lab, confirm_absence="10")
    product.start("control", "beat", "node_watch")
    lab.world.add_mysql()
    before = product.table()
    lab.kubectl("delete", "node", ONE)
    seconds = lab.world.wait(
        "mysql runs without the node", lambda: product.running_elsewhere("app=mysql", 3, ONE), 90
    )
    print(f"deletion to Running: {seconds:.1f} s (confirm delay 10 s)")
    lab.world.wait(
        "all are Success",
        lambda: {row[3:] for row in product.table().values()} == {("Success",)},
        10,
    )
    after = product.table()
    assert after.keys() == before.keys()
    assert ONE not in {row[2] for row in after.values()}


@pytest.mark.parametrize("setting", ["true", "false"])
def test_a_pod_that_reads_the_device_reads_nothing_of_others(lab: Lab, setting: str) -> None:
    """The extents held another pod's files: with volumeMode Block all of the new LV is zero.
    Without the setting it is not.
    """
    product = Product(lab, zero_block=setting)
    product.start("control", "beat", "node_watch")
    name = lab.world.add_volume("raw", ONE, "1Gi", with_pod=False, mode="Block").name
    junk = "carina-vg-hdd/junk"
    for node in (TWO, THREE):
        lab.nodes[node].run("lvcreate", "-y", "-n", "junk", "-L", "1g", "carina-vg-hdd")
        write = (
            f"yes secret | head -c 64M | dd of=/dev/{junk} bs=1M seek=512 conv=fsync 2>/dev/null"
        )
        lab.nodes[node].run("sh", "-c", f"{write}; lvremove -y {junk}")
    lab.kubectl("delete", "node", ONE)
    seconds = product.wait_rebuilt(name, away_from=ONE, timeout=150)
    print(f"rebuilt in {seconds:.1f} s")
    target = lab.nodes[product.table()[name][2]]
    left = target.run(
        "sh", "-c", f"tr -d '\\000' < /dev/carina-vg-hdd/volume-{name} | head -c 100 | wc -c"
    ).stdout
    assert (int(left) == 0) == (setting == "true")


def test_all_volumes_come_back_under_their_names(lab: Lab) -> None:
    """S4, S5, S9, D2: what the node watch publishes is enough: all volumes of the node, annotated
    or not, are on other nodes: same names, sizes, claims and labels.
    """
    product = Product(lab)
    product.start("control", "node_watch")
    made = {
        "annotated": lab.world.add_volume(
            "annotated", ONE, "5Gi", migrate="true", labels={"app": "x"}
        ),
        "plain": lab.world.add_volume("plain", ONE, "3Gi", annotations={"note": "mine"}),
        "unused": lab.world.add_volume("unused", ONE, "2Gi", with_pod=False),
        "elsewhere": lab.world.add_volume("elsewhere", TWO, "4Gi"),
    }
    names = {claim: volume.name for claim, volume in made.items()}
    claims = {one["metadata"]["name"]: one for one in lab.kube.list(k.claims())}
    pvs = {one["metadata"]["name"]: one for one in lab.kube.list(k.PVS)}
    before = product.table()
    lab.kubectl("delete", "node", ONE)
    product.wait_rebuilt(*(names[c] for c in ("annotated", "plain", "unused")), away_from=ONE)

    after = product.table()
    assert after.keys() == before.keys()
    assert after[names["elsewhere"]] == before[names["elsewhere"]]
    sizes = {lv: size for node in (TWO, THREE) for lv, size in lab.lvs()[node].items()}
    assert sizes == {
        f"volume-{names[c]}": g * GIB
        for c, g in (("annotated", 5), ("plain", 3), ("unused", 2), ("elsewhere", 4))
    }
    for one in lab.kube.list(k.claims()):
        old = claims[one["metadata"]["name"]]
        for field in ("uid", "labels", "annotations", "ownerReferences", "finalizers"):
            assert one["metadata"].get(field) == old["metadata"].get(field), field
        assert one["status"]["phase"] == "Bound"
        assert one["spec"] == old["spec"]
    for claim in ("annotated", "plain", "unused"):
        pv, old = lab.kube.get(f"{k.PVS}/{names[claim]}"), pvs[names[claim]]
        assert (
            pv["spec"]["persistentVolumeReclaimPolicy"]
            == old["spec"]["persistentVolumeReclaimPolicy"]
        )
        assert pv["spec"]["claimRef"]["uid"] == claims[claim]["metadata"]["uid"]
        assert (
            pv["metadata"]["annotations"]["pv.kubernetes.io/provisioned-by"] == "carina.storage.io"
        )
        node = after[names[claim]][2]
        assert pv["spec"]["csi"]["volumeAttributes"]["carina.storage.io/node"] == node
        events = lab.kubectl("describe", "pvc", claim)
        assert "VolumeRebuiltEmpty" in events
        assert f"new and empty on node {node}" in events
        assert ONE in events
        assert f"volume-{names[claim]}" in lab.lvs()[node]
    assert lab.kubectl("get", "lv", "-o", "json").count("tasks.carina.storage.io/journal") == 0


def test_an_expanded_claim_comes_back_with_its_size(lab: Lab) -> None:
    """S5: a claim expanded from 5 to 8 GiB comes back with 8, and its stale resize condition is
    cleared.
    """
    product = Product(lab)
    product.start("control", "node_watch")
    name = lab.world.add_volume("grown", ONE, "5Gi").name
    lab.kube.patch(f"{k.claims()}/grown", {"spec": {"resources": {"requests": {"storage": "8Gi"}}}})
    lab.kube.patch(f"{k.PVS}/{name}", {"spec": {"capacity": {"storage": "8Gi"}}})
    lab.kube.patch(f"{k.LOGIC_VOLUMES}/{name}", {"spec": {"size": "8Gi"}})
    condition = {
        "type": "FileSystemResizePending",
        "status": "True",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }
    lab.kube.patch(
        f"{k.claims()}/grown/status",
        {"status": {"capacity": {"storage": "8Gi"}, "conditions": [condition]}},
    )
    lab.kubectl("delete", "node", ONE)
    product.wait_rebuilt(name, away_from=ONE)
    size, _, node, _ = product.table()[name]
    assert size == "8Gi"
    assert lab.lvs()[node] == {f"volume-{name}": 8 * GIB}
    claim = lab.kube.get(f"{k.claims()}/grown")
    assert claim["status"]["capacity"]["storage"] == "8Gi"
    # Kubernetes 1.37 has a condition of its own there (Unused), which stays.
    kept = {condition["type"] for condition in claim["status"].get("conditions", ())}
    assert not kept & set(RESIZE_CONDITIONS)
    assert product.logic_volumes()[name]["status"]["currentSize"] == "8Gi"


@pytest.mark.parametrize("stale_gib", [5, 9])
def test_a_stale_volume_is_not_handed_to_the_pod(lab: Lab, stale_gib: int) -> None:
    """S5: an LV of the same name that stood on the target before, of the same or another size, is
    replaced by a new one.
    """
    product = Product(lab)
    product.start("control", "node_watch")
    name = lab.world.add_volume("data", ONE, "5Gi").name
    for node in (TWO, THREE):
        lab.nodes[node].create_lv(f"volume-{name}", stale_gib * GIB)
    stale = {node: product.lv_uuid(node, f"volume-{name}") for node in (TWO, THREE)}
    lab.kubectl("delete", "node", ONE)
    product.wait_rebuilt(name, away_from=ONE)
    node = product.table()[name][2]
    assert lab.lvs()[node] == {f"volume-{name}": 5 * GIB}
    assert product.lv_uuid(node, f"volume-{name}") != stale[node]


def test_an_open_stale_volume_is_left_alone(lab: Lab) -> None:
    """S5: a stale LV that something holds open is neither removed nor handed out; the volume waits
    and the reason is told.
    """
    product = Product(lab)
    product.start("control")
    name = lab.world.add_volume("data", ONE, "5Gi").name
    lab.kubectl("cordon", THREE)
    lab.nodes[TWO].create_lv(f"volume-{name}", 5 * GIB)
    lab.nodes[TWO].mount(f"volume-{name}")
    uuid = product.lv_uuid(TWO, f"volume-{name}")
    lab.kubectl("delete", "node", ONE)
    result = product.call("carina.failover.rebuild_node", ONE)
    assert result["outcome"] == "unfinished"
    assert "open" in result["volumes"][0]["reason"]
    assert product.lv_uuid(TWO, f"volume-{name}") == uuid
    assert (
        lab.kube.get(f"{k.PVS}/{name}")["spec"]["csi"]["volumeAttributes"]["carina.storage.io/node"]
        == ONE
    )
    lab.nodes[TWO].unmount(f"volume-{name}")
    product.call("carina.failover.resume")
    product.wait_rebuilt(name, away_from=ONE)
    assert product.lv_uuid(TWO, f"volume-{name}") != uuid


def test_a_node_registered_again_loses_nothing(lab: Lab) -> None:
    """A node that is deleted and registered again within the confirm delay keeps all its volumes,
    under any UID.
    """
    product = Product(lab, confirm_absence="6")
    product.start("control", "node_watch")
    name = lab.world.add_volume("data", ONE).name
    volume = product.logic_volumes()[name]
    node = lab.kube.get(f"{k.NODES}/{ONE}")
    lab.kubectl("delete", "node", ONE)
    time.sleep(2)
    lab.world.add_node(ONE)
    assert lab.kube.get(f"{k.NODES}/{ONE}")["metadata"]["uid"] != node["metadata"]["uid"]
    time.sleep(8)
    assert (
        product.logic_volumes()[name]["metadata"]["resourceVersion"]
        == volume["metadata"]["resourceVersion"]
    )
    assert lab.lvs()[ONE] == {f"volume-{name}": 5 * GIB}


def test_the_sweep_finds_what_the_watch_missed(lab: Lab) -> None:
    """With the node watch stopped, a deleted node's volumes are rebuilt all the same: the sweep
    sees who is named and gone.
    """
    product = Product(lab)
    product.start("control")
    name = lab.world.add_volume("data", ONE).name
    lab.kubectl("delete", "node", ONE)
    result = product.call("carina.sweep.logic_volumes")
    assert result["deleted_nodes"] == [ONE]
    product.wait_rebuilt(name, away_from=ONE)


def test_an_emptied_redis_loses_nothing(lab: Lab) -> None:
    """With Redis emptied in mid-rebuild (`FLUSHALL`, several times), the rebuild ends all the
    same.
    """
    product = Product(lab)
    product.start("control", "beat", "node_watch")
    names = [lab.world.add_volume(f"data-{i}", ONE, "1Gi", with_pod=i < 2).name for i in range(4)]
    lab.kubectl("delete", "node", ONE)
    begun = time.monotonic()
    lab.world.wait("a journal is written", lambda: product.journals(), 30)
    for _ in range(3):
        lab.redis.flushall()
        time.sleep(0.3)
    product.wait_rebuilt(*names, away_from=ONE, timeout=100)
    print(f"with three FLUSHALL: rebuilt {time.monotonic() - begun:.1f} s after the deletion")
    sizes = [size for node in (TWO, THREE) for size in lab.lvs()[node].values()]
    assert sizes == [GIB] * 4


def test_a_killed_worker_loses_nothing(lab: Lab) -> None:
    """With the control worker killed (SIGKILL) in mid-rebuild, another ends what it began, from the
    journal.
    """
    product = Product(lab, lock_ttl="5")
    control = product.start("control")
    names = [lab.world.add_volume(f"data-{i}", ONE, "1Gi", with_pod=i < 2).name for i in range(4)]
    lab.kubectl("delete", "node", ONE)
    product.send("carina.failover.rebuild_node", ONE)
    lab.world.wait("a journal is written", lambda: product.journals(), 30)
    control[0].popen.kill()
    left = product.journals()
    assert left
    print(f"killed with {len(left)} of {len(names)} volumes unfinished")
    product.start("control", "beat", nodes=False)
    product.wait_rebuilt(*names, away_from=ONE, timeout=100)


def test_the_journal_can_be_read(lab: Lab) -> None:
    """While a rebuild hangs (its target's worker is away), the LogicVolume reports what is left:
    journal and empty status.
    """
    product = Product(lab, node_deadline="2")
    product.start("control")
    name = lab.world.add_volume("data", ONE).name
    lab.kubectl("cordon", THREE)
    plan_only = product.freeze_after_inventory(TWO)
    lab.kubectl("delete", "node", ONE)
    with plan_only:
        result = product.call("carina.failover.rebuild_node", ONE)
    assert result["volumes"][0]["outcome"] == "unfinished", result
    volume = product.logic_volumes()[name]
    journal = json.loads(volume["metadata"]["annotations"]["tasks.carina.storage.io/journal"])
    assert (journal["source"], journal["target"], volume["spec"]["nodeName"]) == (ONE, TWO, TWO)
    assert journal["manifest"]["metadata"]["name"] == name
    assert volume["status"].get("status", "") == ""
    assert volume["status"]["volumeID"] == f"volume-{name}"
    product.call("carina.failover.resume")
    product.wait_rebuilt(name, away_from=ONE)
