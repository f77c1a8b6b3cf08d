"""Which pods are ended when their volume leaves a node, in which way, and what is written for
it.
"""

import pytest

from carina_tasks.decisions.eviction import EvictPod, LeavePod, judge_pod
from carina_tasks.decisions.selection import (
    Skip,
    Wanted,
    movable_pods,
    of_deleted_node,
    of_not_ready_node,
)
from carina_tasks.errors import ApiConflict, ApiDenied
from carina_tasks.flows.failover.lost_node import migrate_node, rebuild_node
from carina_tasks.flows.failover.resume import resume
from carina_tasks.flows.report.problems import find_problems
from carina_tasks.kube import paths
from carina_tasks.kube.writes import ClusterWrites
from carina_tasks.model import objects, well_known
from tests.builders import kubernetes as b
from tests.builders.flow import FakeApi, FakeNodes, context
from tests.builders.kubernetes import NOW, at, claim, journal, logic_volume, node, pv, world

TRACKING = "batch.kubernetes.io/job-tracking"
KINDS = ("migrate", "rebuild", "failback")


def pod(name="a", *volumes, phase="Running", marked=False, grace=None, mirror=False, **more):
    """Make an annotated pod; `marked`: we wrote its phase, `grace`: it is being deleted with that
    grace.
    """
    raw = b.pod(name, *volumes, **{"annotated": True} | more)
    raw["status"]["phase"] = phase
    if marked:
        raw["status"]["conditions"] = [
            {"type": "DisruptionTarget", "status": "True", "reason": well_known.DISRUPTED_BY_US}
        ]
    if grace is not None:
        raw["metadata"] |= {"deletionTimestamp": at(NOW), "deletionGracePeriodSeconds": grace}
    if mirror:
        raw["metadata"]["annotations"]["kubernetes.io/config.mirror"] = "hash"
    return raw


def verdict(raw, kind="migrate", alive=False):
    """Judge a raw pod."""
    return judge_pod(objects.parse_pod(raw), kind, alive=alive)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("alive", [False, True])
@pytest.mark.parametrize("phase", ["Succeeded", "Failed"])
def test_a_finished_pod_is_never_ended(kind, alive, phase):
    """Annotated or not, on a lost node or a live one, for whichever flow: it holds nothing open."""
    for annotated in (True, None):
        found = verdict(pod(phase=phase, annotated=annotated), kind, alive)
        assert isinstance(found, LeavePod)
    assert "run to its end" in verdict(pod(phase=phase), kind, alive).reason


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (pod(annotated=None), "not annotated"),
        (pod(annotated=False), "not annotated"),
        (pod(annotated=None, grace=30), "not annotated"),
        (pod(mirror=True), "static pod"),
        (pod(owner="Node"), "static pod"),
        (pod(owner="DaemonSet"), "DaemonSet"),
    ],
)
def test_on_a_not_ready_node_each_of_these_is_left_with_its_reason(raw, why):
    """Only annotated pods move, and none that its node creates again."""
    found = verdict(raw)
    assert isinstance(found, LeavePod)
    assert why in found.reason


@pytest.mark.parametrize("phase", ["Running", "Pending", "Unknown"])
def test_a_pod_that_may_hold_data_is_ended_as_the_pod_gc_does_it(phase):
    """Pending too, because init containers run in that phase: Failed first, then deleted with grace
    0.
    """
    raw = pod(phase=phase)
    assert verdict(raw) == EvictPod(objects.parse_pod(raw), at_once=True, fail=True, delete=True)
    assert isinstance(verdict(pod(phase=phase, annotated=None), "rebuild"), EvictPod)


def test_a_live_node_ends_its_pods_itself():
    """The pod gets its own grace period, its status is its kubelet's, and a second deletion is not
    asked for.
    """
    assert verdict(pod(), alive=True) == EvictPod(objects.parse_pod(pod()), at_once=False)
    assert isinstance(verdict(pod(grace=30), "failback", alive=True), LeavePod)


def test_each_half_of_an_eviction_is_done_once():
    """Marked and not deleted: the deletion is left to do. Deleted by another client with grace 0:
    its
    status is. Both: nothing.
    """
    assert verdict(pod(phase="Failed", marked=True)) == EvictPod(
        objects.parse_pod(pod(phase="Failed", marked=True)), True
    )
    assert not verdict(pod(grace=0, finalizers=["x/y"])).delete
    assert verdict(pod(grace=30)).delete
    done = verdict(pod(phase="Failed", marked=True, grace=0, finalizers=["x/y"]))
    assert isinstance(done, LeavePod)
    assert done.held == ("x/y",)
    assert "x/y" in done.reason


def test_an_eviction_that_was_begun_is_ended_although_the_annotation_was_taken_off():
    """The pod has ended by then; left alone, its object would keep its name from a new pod
    (simulation, seed 130).
    """
    found = verdict(pod(phase="Failed", marked=True, annotated=None))
    assert isinstance(found, EvictPod)
    assert found.at_once


# --- which volumes may move ---


def cluster(*more, **claims):
    """Make one volume on the node n1."""
    return world(
        node("n1", ready="Unknown"), node("n2"), logic_volume(), pv(), claim(**claims), *more
    )


@pytest.mark.parametrize(
    ("other", "blocks"),
    [
        (pod("b", "pvc-1", annotated=None), True),
        (pod("b", "pvc-1", annotated=None, phase="Pending"), True),
        (pod("b", "pvc-1", annotated=None, phase="Pending", on=""), True),
        (pod("b", "pvc-1", annotated=None, phase="Unknown"), True),
        (pod("b", "pvc-1", annotated=None, grace=30), True),
        (pod("b", "pvc-1", owner="DaemonSet"), True),
        (pod("b", "pvc-1", mirror=True), True),
        (pod("b", "pvc-1", annotated=None, phase="Succeeded"), False),
        (pod("b", "pvc-1", annotated=None, phase="Failed"), False),
        (pod("b", "pvc-1", annotated=None, on="n2"), False),
    ],
)
def test_who_shares_a_claim_with_an_annotated_pod(other, blocks):
    """Whatever may hold the volume on its node and may not be moved blocks it, and is named;
    whatever cannot does not.
    """
    (found,) = of_not_ready_node(cluster(pod("a", "pvc-1"), other), "n1")
    assert isinstance(found, Skip if blocks else Wanted)
    if blocks:
        assert "default/b" in found.reason
        assert "default/a" in found.reason
        assert found.blocked


def test_a_pod_that_has_the_claim_alone_blocks_nobody():
    """Nothing could move with it, so there is no warning."""
    assert not of_not_ready_node(cluster(pod("b", "pvc-1", annotated=None)), "n1")[0].blocked


OF_POD = {"ownerReferences": [{"kind": "Pod", "name": "a", "uid": "uid-a", "controller": True}]}


def test_an_ephemeral_volume_goes_with_its_pod():
    """Its claim belongs to the pod: not rebuilt, whatever the loss, and the pod is evicted as one
    without a volume.
    """
    here = cluster(pod("a", "pvc-1"), **OF_POD)
    for selected in (of_not_ready_node(here, "n1"), of_deleted_node(here, "n1")):
        assert isinstance(selected[0], Skip)
        assert "pod default/a" in selected[0].reason
    assert [p.meta.name for p in movable_pods(here, "n1")] == ["a"]
    assert movable_pods(cluster(pod("a", "pvc-1")), "n1") == ()


@pytest.mark.parametrize(
    "raw", [pod(mirror=True), pod(phase="Succeeded"), pod(phase="Failed", marked=True, grace=0)]
)
def test_pods_that_eviction_leaves_are_not_movable(raw):
    """Static, finished, and evicted already."""
    assert movable_pods(cluster(raw), "n1") == ()


# --- what is done ---


def stage(*pods, lost="NotReady"):
    """Make the node n1, lost, with one volume, and two nodes with room."""
    n1 = [node("n1", ready="Unknown", since=NOW - 400)] if lost == "NotReady" else []
    return FakeApi(*n1, node("n2"), node("n3"), logic_volume(), pv(), claim(), *pods)


def workers():
    """Make the workers of the nodes with room."""
    return FakeNodes(b.inventory("n2"), b.inventory("n3"))


def requests(api, name):
    """Return what was asked of a pod, in order."""
    return [
        (verb, path.rpartition(name)[2]) for verb, path, _ in api.log if f"/pods/{name}" in path
    ]


def test_the_finished_pod_beside_the_one_that_moves_is_not_touched():
    """A backup pod without the annotation has Succeeded and shares the claim: the volume moves, the
    pod stays as it is.
    """
    backup = pod("backup", "pvc-1", annotated=None, phase="Succeeded")
    for flow, lost in ((migrate_node, "NotReady"), (rebuild_node, "deleted")):
        api = stage(pod("app", "pvc-1"), backup, lost=lost)
        result = flow(context(api, workers()), "n1")
        assert result.outcome == "done"
        assert requests(api, "app") == [("merge", "/status"), ("delete", "")]
        assert requests(api, "backup") == []
        assert api.one("Pod", "backup")["metadata"]["resourceVersion"] == "1"


def test_a_shared_claim_keeps_its_volume_and_its_owner_is_told():
    """A running pod without the annotation: nothing is written but an Event on the claim, and
    `carina failed` names it.
    """
    api = stage(pod("app", "pvc-1"), pod("backup", "pvc-1", annotated=None))
    ctx = context(api, workers())
    result = migrate_node(ctx, "n1")
    assert api.log == []
    assert "default/backup" in result.volumes[0].reason
    (event,) = [e for e in api.events if e["reason"] == "MigrationBlocked"]
    assert (event["involvedObject"]["kind"], event["type"]) == ("PersistentVolumeClaim", "Warning")
    (finding,) = [f for f in find_problems(ctx, []).findings if f.what == "pvc-1"]
    assert "default/backup" in finding.reason


@pytest.mark.parametrize(("flow", "lost"), [(migrate_node, "NotReady"), (rebuild_node, "deleted")])
def test_a_pod_with_a_finalizer_is_deleted_once_and_its_volume_ends(flow, lost):
    """Phase and condition as pod GC writes them, one deletion, one record; the volume is rebuilt
    and names the finalizer.
    """
    api = stage(pod("job-0", "pvc-1", owner="Job", finalizers=[TRACKING]), lost=lost)
    ctx = context(api, workers())
    result = flow(ctx, "n1")
    assert result.outcome == "done"
    assert TRACKING in result.volumes[0].reason
    for _ in range(3):
        flow(ctx, "n1")
        resume(ctx)
    assert requests(api, "job-0") == [("merge", "/status"), ("delete", "")]
    status = api.one("Pod", "job-0")["status"]
    assert status["phase"] == "Failed"
    (condition,) = status["conditions"]
    assert (condition["type"], condition["status"]) == ("DisruptionTarget", "True")
    said = [e["message"] for e in api.events if e["reason"] == "PodEvicted"]
    assert said
    assert all(TRACKING in message for message in said)
    (finding,) = [f for f in find_problems(ctx, []).findings if "job-0" in f.what]
    assert TRACKING in finding.reason


def test_a_free_pod_with_a_finalizer_is_evicted_once():
    """One that uses no volume, too."""
    api = stage(pod("free", finalizers=["x/y"]))
    ctx = context(api, workers())
    assert migrate_node(ctx, "n1").evicted == ("default/free",)
    assert migrate_node(ctx, "n1").evicted == ()
    assert len(requests(api, "free")) == 2


def test_a_worker_that_died_between_the_two_halves_is_followed_by_another():
    """The status says Failed by us, the deletion was never asked for: it is, and the volume
    ends.
    """
    half = pod("web-0", "pvc-1", phase="Failed", marked=True, finalizers=["x/y"])
    api = FakeApi(
        node("n1", ready="Unknown", since=NOW - 400),
        node("n2"),
        logic_volume("pvc-1", "n2", journal=journal(kind="migrate"), status=""),
        pv("pvc-1", "n2"),
        claim(),
        half,
    )
    resume(context(api, FakeNodes(b.inventory("n2"))))
    assert requests(api, "web-0") == [("delete", "")]
    assert well_known.JOURNAL not in api.one("LogicVolume", "pvc-1")["metadata"]["annotations"]


def test_on_a_node_that_is_back_the_pod_gets_its_grace():
    """Its kubelet ends it: no status of ours, no grace 0, and the volume does not wait for it."""
    api = FakeApi(
        node("n1"),
        node("n2"),
        logic_volume("pvc-1", "n2", journal=journal(kind="migrate"), status=""),
        pv("pvc-1", "n2"),
        claim(),
        pod("web-0", "pvc-1", finalizers=["x/y"]),
    )
    resume(context(api, FakeNodes(b.inventory("n1"), b.inventory("n2"))))
    assert [(verb, body.get("grace")) for verb, path, body in api.log if "/pods/" in path] == [
        ("delete", None)
    ]
    assert well_known.JOURNAL not in api.one("LogicVolume", "pvc-1")["metadata"]["annotations"]


def test_the_status_of_a_pod_keeps_its_other_conditions_and_names_the_very_pod():
    """Other conditions stay; a pod that has changed is a conflict, and is read again."""
    raw = pod()
    raw["status"]["conditions"] = [{"type": "Ready", "status": "True"}]
    api = FakeApi(raw)
    ClusterWrites(api).fail_pod(objects.parse_pod(raw), "why", NOW)
    assert [c["type"] for c in api.one("Pod", "a")["status"]["conditions"]] == [
        "Ready",
        "DisruptionTarget",
    ]
    with pytest.raises(ApiConflict):
        ClusterWrites(api).fail_pod(objects.parse_pod(raw), "why", NOW)


@pytest.mark.parametrize(("finalizers", "outcome"), [([], "done"), (["x/y"], "unfinished")])
def test_a_status_that_may_not_be_written_keeps_no_pod_that_goes_at_once(finalizers, outcome):
    """An older ClusterRole: without a finalizer the pod goes all the same; with one, the volume
    reports what is denied.
    """
    api = stage(pod("web-0", "pvc-1", finalizers=finalizers))
    merge = api.merge

    def denied(path, body, dry_run=False):
        if path == paths.pod("default", "web-0") + "/status" and not dry_run:
            raise ApiDenied("PATCH pods/status: 403")
        return merge(path, body, dry_run=dry_run)

    api.merge = denied
    result = migrate_node(context(api, workers()), "n1")
    assert result.outcome == outcome
    assert [verb for verb, _ in requests(api, "web-0")] == ([] if finalizers else ["delete"])
    assert outcome == "done" or "403" in result.volumes[0].reason
