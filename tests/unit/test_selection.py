"""Which volumes and pods of a lost node are taken."""

import pytest

from carina_tasks.decisions.selection import (
    Skip,
    Wanted,
    leaving,
    movable_pods,
    of_deleted_node,
    of_lost_target,
    of_not_ready_node,
)
from tests.builders.kubernetes import NOW, at, claim, journal, logic_volume, node, pod, pv, world

OWNED = {"ownerReferences": [{"kind": "LogicVolume", "name": "half", "uid": "u"}]}


def cluster(*more, lv=None, volume=None):
    """Make a cluster with one volume on n1."""
    return world(node("n2"), lv or logic_volume(), volume or pv(), claim(), *more)


def test_all_volumes_of_a_deleted_node_are_wanted():
    """Annotated or not, used or not: all of them, and none of another node."""
    both = world(
        logic_volume("pvc-1"),
        logic_volume("pvc-2"),
        logic_volume("pvc-3", "n2"),
        pv("pvc-1"),
        pv("pvc-2"),
        pv("pvc-3", "n2"),
        pod("a", "pvc-1", annotated=False),
    )
    assert [(v.logic_volume.name, type(v)) for v in of_deleted_node(both, "n1")] == [
        ("pvc-1", Wanted),
        ("pvc-2", Wanted),
    ]


def changed(**spec):
    """Make a PV with other fields in its spec."""
    raw = pv()
    raw["spec"] |= spec
    return raw


CACHED = pv()
CACHED["spec"]["csi"]["volumeAttributes"]["carina.storage.io/cache/volume"] = "x"


@pytest.mark.parametrize(
    ("lv", "volume", "why"),
    [
        (logic_volume(journal=journal()), None, "under way"),
        (logic_volume(journal="{"), None, "does not parse"),
        (logic_volume(deletionTimestamp=at(NOW)), None, "being deleted"),
        (logic_volume(manage="raw"), None, "raw"),
        (logic_volume(**OWNED), None, "LogicVolume"),
        (None, pv("pvc-other"), "no PersistentVolume"),
        (
            None,
            changed(csi={"driver": "other", "volumeHandle": "volume-pvc-1"}),
            "not a plain Carina",
        ),
        (
            None,
            changed(csi={"driver": "carina.storage.io", "volumeHandle": "volume-x"}),
            "not a plain Carina",
        ),
        (None, CACHED, "not a plain Carina"),
        (None, pv(deletionTimestamp=at(NOW)), "PersistentVolume is being deleted"),
        (None, {**pv(), "status": {"phase": "Released"}}, "claim is gone"),
        (None, pv(on="n3"), "n3"),
        (None, changed(nodeAffinity=None), "no node"),
    ],
)
def test_what_is_not_plainly_ours_is_skipped_with_its_reason(lv, volume, why):
    """Each of these is left as it is even when the node was deleted."""
    (verdict,) = of_deleted_node(cluster(lv=lv, volume=volume), "n1")
    assert isinstance(verdict, Skip)
    assert why in verdict.reason


def test_a_released_volume_that_is_retained_is_rebuilt():
    """It is kept on purpose; it moves like the others."""
    kept = {**pv(policy="Retain"), "status": {"phase": "Released"}}
    assert isinstance(of_deleted_node(cluster(volume=kept), "n1")[0], Wanted)


def test_not_ready_takes_only_volumes_of_annotated_pods():
    """Annotated: wanted. Not annotated, annotated otherwise, or unused: left."""
    assert isinstance(
        of_not_ready_node(cluster(pod("a", "pvc-1", annotated=True)), "n1")[0], Wanted
    )
    for others in ([pod("a", "pvc-1")], [pod("a", "pvc-1", annotated=False)], []):
        assert isinstance(of_not_ready_node(cluster(*others), "n1")[0], Skip)


@pytest.mark.parametrize("value", ["True", "yes", "1", " true", ""])
def test_only_the_very_word_true_allows(value):
    """Anything but "true" is a no."""
    raw = pod("a", "pvc-1", annotated=True)
    raw["metadata"]["annotations"] = dict.fromkeys(raw["metadata"]["annotations"], value)
    assert isinstance(of_not_ready_node(cluster(raw), "n1")[0], Skip)


def test_one_unwilling_pod_keeps_a_shared_volume():
    """A volume that an un-annotated pod of the node uses too stays where it is."""
    shared = cluster(pod("a", "pvc-1", annotated=True), pod("b", "pvc-1"))
    verdict = of_not_ready_node(shared, "n1")[0]
    assert isinstance(verdict, Skip)
    assert "default/b" in verdict.reason


def test_a_finished_pod_has_no_say():
    """A pod that ran to its end holds no volume and forbids nothing."""
    ended = {**pod("b", "pvc-1"), "status": {"phase": "Succeeded"}}
    assert isinstance(
        of_not_ready_node(cluster(ended, pod("a", "pvc-1", annotated=True)), "n1")[0], Wanted
    )


def test_free_annotated_pods_with_a_controller_are_moved():
    """A pod without a Carina volume there needs nothing but an eviction."""
    assert [p.meta.name for p in movable_pods(cluster(pod("a", annotated=True)), "n1")] == ["a"]


@pytest.mark.parametrize(
    "raw",
    [
        pod("a"),
        pod("a", annotated=False),
        pod("a", on="n2", annotated=True),
        pod("a", annotated=True, owner=""),
        pod("a", annotated=True, owner="DaemonSet"),
        pod("a", annotated=True, owner="Node"),
        pod("a", "pvc-1", annotated=True),
        {**pod("a", annotated=True), "status": {"phase": "Failed"}},
    ],
)
def test_pods_that_would_be_lost_or_belong_to_the_node_stay(raw):
    """Not annotated, elsewhere, finished, without controller, a DaemonSet's, a static one, or one
    with a volume here.
    """
    assert movable_pods(cluster(raw), "n1") == ()


def on_target(*pods, pv_on="n2", nodes=("n2", "n3")):
    """Make a volume whose journal brings it from n1 to n2, which is NotReady or not there, and
    judge it.
    """
    known = [node(name, ready="Unknown" if name == "n2" else "True") for name in nodes]
    seen = world(*known, logic_volume(on="n2", journal=journal()), pv(on=pv_on), claim(), *pods)
    return of_lost_target(seen, seen.logic_volumes["pvc-1"])


def test_a_volume_that_nobody_can_have_written_to_leaves_its_lost_target():
    """Its PV still names the old node: whatever its pods say, it continues to another one."""
    assert isinstance(on_target(pod("a", "pvc-1"), pv_on="n1"), Wanted)


def test_after_that_it_is_a_volume_of_that_node_like_any_other():
    """Target deleted: it leaves. NotReady: only with annotated pods alone, also one that is still
    bound to the old node.
    """
    assert isinstance(on_target(pod("a", "pvc-1"), nodes=("n3",)), Wanted)
    for bound in ("n2", "", "n1"):
        assert isinstance(on_target(pod("a", "pvc-1", on=bound, annotated=True)), Wanted), bound
        assert isinstance(on_target(pod("a", "pvc-1", on=bound)), Skip), bound
    assert isinstance(on_target(), Skip)


def test_what_leaves_a_not_ready_node_is_what_its_plans_take():
    """Annotated ones and empty ones that were on their way there; not the un-annotated, not those
    of other nodes.
    """
    seen = world(
        node("n2", ready="Unknown"),
        *(part for name in ("a", "b", "c") for part in (pv(name, "n2"), claim(name))),
        logic_volume("a", "n2"),
        pod("pod-a", "a", on="n2", annotated=True),
        logic_volume("b", "n2"),
        pod("pod-b", "b", on="n2"),
        logic_volume("c", "n2", journal=journal("c")),
        pod("pod-c", "c", on="n2"),
        logic_volume("d", "n2", journal=journal("d")),
        pv("d", "n1"),
        claim("d"),
        pod("pod-d", "d", on=""),
        logic_volume("e", "n3"),
        pv("e", "n3"),
        claim("e"),
    )
    assert [v.name for v in leaving(seen, "n2", ())] == ["a", "d"]
    assert [v.name for v in leaving(seen, "n2", ("a",))] == ["d"]
