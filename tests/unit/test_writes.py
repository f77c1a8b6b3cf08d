"""The writes of a rebuild: each names the very object that was read, and each may be done twice."""

import json

import pytest

from carina_tasks.errors import ApiConflict, LostMidway, NotFound
from carina_tasks.kube import paths
from carina_tasks.kube.writes import ClusterWrites
from carina_tasks.model import objects, well_known
from tests.builders.flow import FakeApi
from tests.builders.kubernetes import NOW, at, claim, journal, logic_volume, pod, pv

LV = objects.parse_logic_volume(logic_volume())
PV = objects.parse_persistent_volume(pv())
CLAIM = objects.parse_claim(claim())
RESIZE = ("Resizing", "FileSystemResizePending")

GUARDED = {
    "write_journal": lambda w: w.write_journal(LV, journal()),
    "drop_journal": lambda w: w.drop_journal(LV, journal()),
    "clear_status": lambda w: w.clear_status(LV, "m"),
    "write_progress": lambda w: w.write_progress(LV, "1/5"),
    "set_success": lambda w: w.set_success(LV, 1, 2),
    "delete_logic_volume": lambda w: w.delete_logic_volume(LV),
    "retain": lambda w: w.retain(PV),
    "delete_persistent_volume": lambda w: w.delete_persistent_volume(PV),
    "clear_resize": lambda w: w.clear_resize(CLAIM, RESIZE),
    "annotate_claim": lambda w: w.annotate_claim(CLAIM, 1.0),
    "remove_claim_annotation": lambda w: w.remove_claim_annotation(CLAIM),
}
BY_UID_ALONE = {"remove_claim_annotation"}
"""A touch that was left is taken off whatever else changed: the UID is its only guard."""


def cluster(**change):
    """Make the three objects, all with some metadata changed since they were read."""
    api = FakeApi(logic_volume(), pv(), claim())
    for raw in api.objects.values():
        raw["metadata"] |= change
    return api


@pytest.mark.parametrize("name", GUARDED)
def test_an_object_of_another_uid_is_never_written(name):
    """Made again under its name: 409, and nothing of it is changed."""
    api = cluster(uid="uid-another")
    before = str(api.objects)
    with pytest.raises(ApiConflict):
        GUARDED[name](ClusterWrites(api))
    assert str(api.objects) == before


@pytest.mark.parametrize("name", sorted(GUARDED.keys() - BY_UID_ALONE))
def test_an_object_that_changed_is_never_written(name):
    """Another resourceVersion than the one that was read: 409."""
    with pytest.raises(ApiConflict):
        GUARDED[name](ClusterWrites(cluster(resourceVersion="9")))


def test_the_status_of_step_one_is_empty_and_keeps_the_volume_id():
    """An empty status.status, code 0, currentSize the size, volumeID untouched: no agent of
    Carina's acts on it.
    """
    api = cluster()
    ClusterWrites(api).clear_status(LV, "being rebuilt")
    assert api.one("LogicVolume", "pvc-1")["status"] == {
        "status": "",
        "code": 0,
        "message": "being rebuilt",
        "currentSize": "5Gi",
        "volumeID": "volume-pvc-1",
    }
    assert api.log[0][1].endswith("/status")


def test_success_is_written_whole():
    """With device numbers where they are known."""
    for numbers, more in (((252, 3), {"deviceMajor": 252, "deviceMinor": 3}), ((-1, -1), {})):
        api = cluster()
        ClusterWrites(api).set_success(LV, *numbers)
        assert api.one("LogicVolume", "pvc-1")["status"] == {
            "status": "Success",
            "code": 0,
            "message": "",
            "currentSize": "5Gi",
            "volumeID": "volume-pvc-1",
            **more,
        }


def test_journal_and_node_are_one_patch():
    """There is no moment in which the node is new and the journal is not there."""
    api = cluster()
    ClusterWrites(api).write_journal(LV, journal())
    ((_, _, body),) = api.log
    assert body["spec"] == {"nodeName": "n2"}
    assert well_known.JOURNAL in body["metadata"]["annotations"]
    assert body["metadata"]["annotations"][well_known.PROGRESS].startswith(
        "1/5 planned: n1 -> n2 since "
    )


def test_the_journal_goes_and_the_history_comes_in_one_patch():
    """What people read costs no write of its own, and no failover can be told twice or not at
    all.
    """
    api = cluster()
    after = ClusterWrites(api).drop_journal(LV, journal())
    (_, _, body), annotations = (
        api.log[0],
        api.one("LogicVolume", "pvc-1")["metadata"]["annotations"],
    )
    assert len(api.log) == 1
    assert (
        body["metadata"]["annotations"][well_known.JOURNAL],
        body["metadata"]["annotations"][well_known.PROGRESS],
    ) == (
        None,
        None,
    )
    assert json.loads(annotations[well_known.HISTORY])[0]["intent"] == journal().intent
    assert [(one.source, one.target) for one in after.history] == [("n1", "n2")]


def test_what_is_gone_already_is_deleted():
    """404 is what a deletion wants; where an act is recorded, it is told that another client
    did it.
    """
    writes = ClusterWrites(FakeApi())
    writes.delete_logic_volume(LV)
    writes.finish_deletion(LV)
    writes.strip_finalizers(PV)
    with pytest.raises(NotFound):
        writes.delete_persistent_volume(PV)
    assert writes.evict(objects.parse_pod(pod("a"))) is False


def test_help_takes_no_finalizer_off_what_lives_or_is_another():
    """Only one that is being deleted, and the same."""
    for raw in (logic_volume(), logic_volume(uid="other", deletionTimestamp=at(NOW))):
        api = FakeApi(raw)
        ClusterWrites(api).finish_deletion(LV)
        assert api.log == []


def test_finalizers_that_come_back_are_stripped_again():
    """A provisioner puts its own back within milliseconds: said again until the PV is gone."""
    api = FakeApi(pv(deletionTimestamp=at(NOW)))
    stubborn = [3]

    def put_back(path, body):
        if stubborn[0]:
            stubborn[0] -= 1
            return {}
        return FakeApi.merge(api, path, body)

    api.merge = put_back
    ClusterWrites(api, sleep=lambda _: None).strip_finalizers(PV)
    assert paths.persistent_volume("pvc-1") not in api.objects


def test_finalizers_that_come_back_for_ever_are_told():
    """After so many tries it is left to resume."""
    api = FakeApi(pv(deletionTimestamp=at(NOW)))
    api.merge = lambda path, body: {}
    with pytest.raises(LostMidway, match="puts them back"):
        ClusterWrites(api, sleep=lambda _: None).strip_finalizers(PV, tries=3)


def test_another_pv_of_the_name_keeps_its_finalizers():
    """A PV that another client created meanwhile is not stripped."""
    api = FakeApi(pv(uid="uid-theirs"))
    ClusterWrites(api, sleep=lambda _: None).strip_finalizers(PV)
    assert (
        api.one("PersistentVolume", "pvc-1")["metadata"]["finalizers"]
        == pv()["metadata"]["finalizers"]
    )


def test_an_eviction_is_at_once_and_of_this_pod():
    """Grace 0 and the UID."""
    api = FakeApi(pod("a"))
    ClusterWrites(api).evict(objects.parse_pod(pod("a")))
    assert api.log[0][2] == {"uid": "uid-a", "resourceVersion": "", "grace": 0}


def test_only_resize_conditions_are_cleared():
    """Conditions of others stay."""
    raw = claim()
    raw["status"]["conditions"] = [{"type": "Resizing"}, {"type": "Other"}]
    api = FakeApi(raw)
    ClusterWrites(api).clear_resize(objects.parse_claim(raw), RESIZE)
    assert api.one("PersistentVolumeClaim", "claim-pvc-1")["status"]["conditions"] == [
        {"type": "Other"}
    ]


def test_a_pod_of_another_uid_is_not_evicted():
    """A pod that was created again under its name before we came lives, without an error."""
    api = FakeApi(pod("a", uid="uid-newer"))
    ClusterWrites(api).evict(objects.parse_pod(pod("a")))
    assert api.one("Pod", "a")["metadata"] == pod("a", uid="uid-newer")["metadata"]
