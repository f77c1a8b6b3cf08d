"""S1, S2, S3: the sweeps, and what they leave alone."""

from __future__ import annotations

import json
import time
from datetime import timedelta

from tests.lab import kube as k
from tests.lab.lab import Lab
from tests.system.product import Product

ONE, TWO, THREE = "10.20.9.151", "10.20.9.152", "10.20.9.153"
GIB = 1 << 30


def test_an_orphan_is_marked_and_later_removed(lab: Lab) -> None:
    """S1: an LV without a LogicVolume is marked by one sweep and removed by a later one; what is
    somebody's stays.
    """
    product = Product(lab)
    product.start("control")
    owned = lab.world.add_volume("owned", ONE).name
    node = lab.nodes[ONE]
    node.create_lv("volume-orphan", GIB)
    node.create_lv("volume-held", GIB)
    node.mount("volume-held")
    node.create_lv("other-prefix", GIB)
    node.create_lv("volume-system", GIB, "system-vg")
    first = product.of(product.call("carina.sweep.local_volumes"), ONE)
    assert first["marked"] == ["carina-vg-hdd/volume-orphan"]
    assert "trashed" not in first
    assert "volume-orphan" in product.lvs(ONE)
    time.sleep(3)
    later = product.of(product.call("carina.sweep.local_volumes"), ONE)
    assert later["trashed"] == ["carina-vg-hdd/volume-orphan"]
    assert product.lvs(ONE).keys() == {f"volume-{owned}", "volume-held", "other-prefix"}
    assert lab.lvs("system-vg")[ONE].keys() >= {"volume-system"}
    node.unmount("volume-held")
    product.call("carina.sweep.local_volumes")
    time.sleep(3)
    product.call("carina.sweep.local_volumes")
    assert product.lvs(ONE).keys() == {f"volume-{owned}", "other-prefix"}


def test_one_sweep_never_marks_and_removes(lab: Lab) -> None:
    """S1: two sweeps at once, as from a doubled message, mark an orphan and remove nothing."""
    product = Product(lab, orphan_mark_age="60")
    product.start("control")
    lab.nodes[TWO].create_lv("volume-orphan", GIB)
    ids = [product.send("carina.sweep.local_volumes") for _ in range(2)]
    for task_id in ids:
        assert not product.of(product.result(task_id), TWO).get("trashed")
    assert product.lvs(TWO) == {"volume-orphan": GIB}


def test_a_mark_is_taken_off_what_is_wanted_again(lab: Lab) -> None:
    """S1: a marked LV whose LogicVolume appears is unmarked, and stays."""
    product = Product(lab)
    product.start("control")
    lab.nodes[ONE].create_lv("volume-late", GIB)
    product.call("carina.sweep.local_volumes")
    product.add_logic_volume("late", ONE)
    time.sleep(3)
    result = product.of(product.call("carina.sweep.local_volumes"), ONE)
    assert result["unmarked"] == ["carina-vg-hdd/volume-late"]
    assert (
        lab.nodes[ONE]
        .run("lvs", "--noheadings", "-o", "lv_tags", "carina-vg-hdd/volume-late")
        .stdout.strip()
        == ""
    )


def test_thin_volume_and_pool_go_together(lab: Lab) -> None:
    """S1: the thin volume of an old cluster goes with the pool that holds it alone; one in a shared
    pool stays.
    """
    product = Product(lab, trash_retention="1")
    product.start("control")
    node = lab.nodes[THREE]
    create = ("lvcreate", "-qy", "-T", "-V", "1G", "-n")
    node.run(*create, "volume-old", "-L", "1G", "carina-vg-hdd/thin-old")
    node.run(*create, "volume-a", "-L", "1G", "carina-vg-hdd/thin-shared")
    node.run(*create, "volume-b", "carina-vg-hdd/thin-shared")
    product.call("carina.sweep.local_volumes")
    time.sleep(3)
    result = product.of(product.call("carina.sweep.local_volumes"), THREE)
    assert result["trashed"] == ["carina-vg-hdd/volume-old"]
    time.sleep(2)
    purged = product.of(product.call("carina.sweep.local_volumes"), THREE)["purged"]
    assert len(purged) == 1
    assert purged[0].startswith("carina-vg-hdd/trash-")
    assert product.lvs(THREE).keys() == {"volume-a", "volume-b", "thin-shared"}


CLAIM = """
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: saved}
spec:
  accessModes: [ReadWriteOnce]
  storageClassName: ""
  volumeName: pvc-lost
  resources: {requests: {storage: 1Gi}}
"""


def test_what_was_removed_comes_back_with_its_data(lab: Lab) -> None:
    """Undo: `carina restore` brings a removed volume back, also while paused, and what it prints
    makes a claim of it.
    """
    product = Product(lab)
    product.start("control")
    node = lab.nodes[ONE]
    node.create_lv("volume-pvc-lost", GIB)
    folder = node.mount("volume-pvc-lost")
    node.run("sh", "-c", f"echo precious > {folder}/file && sync")
    node.unmount("volume-pvc-lost")
    product.call("carina.sweep.local_volumes")
    time.sleep(3)
    product.call("carina.sweep.local_volumes")
    assert product.lvs(ONE) == {}
    assert "volume-pvc-lost" in product.celery("carina", "trash")
    product.celery("carina", "pause", "it removed too much")
    said = product.celery("carina", "restore", ONE, "pvc-lost", "-o", "json")
    restored = json.loads(said[said.index("\n{") :])  # the audit's line comes before it
    assert product.lvs(ONE) == {"volume-pvc-lost": GIB}
    node.run("mkdir", "-p", "/run/saved")
    node.run("mount", "-o", "ro", "/dev/carina-vg-hdd/volume-pvc-lost", "/run/saved")
    assert node.run("cat", "/run/saved/file").stdout == "precious\n"
    node.run("umount", "/run/saved")
    lab.kubectl("apply", "-f", "-", stdin=restored["manifest"])
    status = {"volumeID": "volume-pvc-lost", "status": "Success", "code": 0, "currentSize": "1Gi"}
    patch = json.dumps({"status": status})
    lab.kubectl(
        "patch", "logicvolume", "pvc-lost", "--subresource=status", "--type=merge", "-p", patch
    )
    lab.kubectl("apply", "-f", "-", stdin=CLAIM)
    bound = lambda: lab.kubectl("get", "pvc", "saved", "-o", "jsonpath={.status.phase}") == "Bound"  # noqa: E731
    lab.world.wait("the claim is Bound", bound, 30)
    product.celery("carina", "resume")
    for _ in range(2):
        result = product.of(product.call("carina.sweep.local_volumes"), ONE)
        assert (result.get("marked"), result["kept"]) == (None, 1)
        product.call("carina.sweep.logic_volumes")
    assert product.lvs(ONE) == {"volume-pvc-lost": GIB}


def test_too_many_orphans_wait_for_a_person(lab: Lab) -> None:
    """S1: more orphans than the cap are not removed until the operator names their exact number."""
    product = Product(lab, orphan_limit="2")
    product.start("control")
    for i in range(4):
        lab.nodes[ONE].create_lv(f"volume-orphan-{i}", GIB)
    product.call("carina.sweep.local_volumes")
    time.sleep(3)
    result = product.of(product.call("carina.sweep.local_volumes"), ONE)
    assert result["outcome"] == "refused"
    assert len(product.lvs(ONE)) == 4
    assert (
        len(
            product.of(product.call("carina.sweep.local_volumes", confirm={ONE: 3}), ONE).get(
                "trashed", []
            )
        )
        == 0
    )
    assert (
        len(
            product.of(product.call("carina.sweep.local_volumes", confirm={ONE: 4}), ONE)["trashed"]
        )
        == 4
    )
    assert product.lvs(ONE) == {}


def test_a_logic_volume_without_a_pv_is_deleted(lab: Lab) -> None:
    """S2: it is deleted and its local volume goes by S1; a young, an owned and a raw one, and one
    with a PV, stay.
    """
    product = Product(lab, logic_volume_grace="5")
    product.start("control")
    kept = lab.world.add_volume("kept", ONE).name
    lab.nodes[ONE].create_lv("volume-gone", GIB)
    product.add_logic_volume("gone", ONE)
    product.add_logic_volume("raw", ONE, manage_type="raw")
    owner = {
        "apiVersion": "v1",
        "kind": "Node",
        "name": ONE,
        "uid": lab.kube.get(f"{k.NODES}/{ONE}")["metadata"]["uid"],
    }
    product.add_logic_volume("owned", ONE, owners=[owner])
    time.sleep(6)
    product.add_logic_volume("young", ONE)
    result = product.call("carina.sweep.logic_volumes")
    assert result["deleted"] == ["gone"]
    assert product.logic_volumes().keys() == {kept, "raw", "owned", "young"}
    product.call("carina.sweep.local_volumes")
    time.sleep(3)
    product.call("carina.sweep.local_volumes")
    assert product.lvs(ONE).keys() == {f"volume-{kept}"}


def test_a_lost_claim_keeps_its_logic_volume(lab: Lab) -> None:
    """S2: a LogicVolume whose PV is gone but whose claim still names it is kept, and said, because
    it can be saved.
    """
    product = Product(lab)
    product.start("control")
    name = lab.world.add_volume("data", ONE, with_pod=False).name
    lab.kube.patch(f"{k.PVS}/{name}", {"spec": {"persistentVolumeReclaimPolicy": "Retain"}})
    lab.kube.delete(f"{k.PVS}/{name}")
    lab.kube.patch(f"{k.PVS}/{name}", {"metadata": {"finalizers": None}})
    lab.world.wait("the PV is gone", lambda: lab.kube.find(f"{k.PVS}/{name}") is None, 10)
    result = product.call("carina.sweep.logic_volumes")
    assert "deleted" not in result
    assert any("still names it" in line for line in result["noted"])


def test_a_hanging_deletion_is_helped(lab: Lab) -> None:
    """S2: a LogicVolume that hangs in deletion is left to its finalizer's owner first, and helped
    after the grace.
    """
    product = Product(lab, logic_volume_grace="4")
    product.start("control")
    product.add_logic_volume("hanging", ONE)
    lab.kube.delete(f"{k.LOGIC_VOLUMES}/hanging")
    assert "helped" not in product.call("carina.sweep.logic_volumes")
    assert "hanging" in product.logic_volumes()
    time.sleep(5)
    assert product.call("carina.sweep.logic_volumes")["helped"] == ["hanging"]
    assert "hanging" not in product.logic_volumes()


def test_a_missing_volume_is_reported_and_not_made_again(lab: Lab) -> None:
    """S3: a LogicVolume that is Success on a live node without its LV: Event and task result, and
    no LV is made.
    """
    product = Product(lab)
    product.start("control")
    name = lab.world.add_volume("data", ONE, with_pod=False).name
    lab.nodes[ONE].run("lvremove", "-qy", f"carina-vg-hdd/volume-{name}")
    result = product.of(product.call("carina.sweep.local_volumes"), ONE)
    assert result["missing"] == [name]
    assert "LocalVolumeMissing" in lab.kubectl("describe", "lv", name)
    assert product.lvs(ONE) == {}
    assert product.table()[name][3] == "Success"


def test_an_api_server_that_is_away_removes_nothing(lab: Lab) -> None:
    """S1: while the API server is down nothing is an orphan: the sweep fails with a clear reason
    and removes nothing.
    """
    product = Product(lab)
    product.start("control")
    lab.nodes[ONE].create_lv("volume-orphan", GIB)
    product.call("carina.sweep.local_volumes")
    time.sleep(3)
    lab.control_plane.stop_apiserver()
    task_id = product.send("carina.sweep.local_volumes")
    time.sleep(4)
    assert product.lvs(ONE) == {"volume-orphan": GIB}
    lab.control_plane.start_apiserver()
    lab.world.wait("the API server is back", lambda: lab.kube.find(f"{k.NODES}/{ONE}"), 30)
    print("retried after the outage:", product.of(product.result(task_id, 60), ONE).get("trashed"))


def test_beat_runs_both_sweeps_every_ten_minutes() -> None:
    """S1, S2: the schedule of beat has both sweeps at minutes 0, 10, … 50, and each expires before
    the next.
    """
    from beat_schedule import BEAT_SCHEDULE

    for name in ("sweep-local-volumes", "sweep-logic-volumes"):
        entry = BEAT_SCHEDULE[name]
        assert sorted(entry["schedule"].minute) == [0, 10, 20, 30, 40, 50]
        assert entry["options"]["expires"] <= timedelta(minutes=10).total_seconds()
