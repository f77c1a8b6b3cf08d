"""Which step of a rebuild comes next, from every state that can be observed."""

import copy

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from carina_tasks.decisions import pv_manifest, rebuild
from carina_tasks.errors import BadInput
from carina_tasks.model import objects, well_known
from carina_tasks.model.quantity import GIB
from tests.builders import kubernetes
from tests.builders.kubernetes import affinity, at, done, journal, logic_volume, pod, pv
from tests.builders.rebuild import Model

RESIZING = [{"type": "FileSystemResizePending", "status": "True"}]


def kinds(steps):
    """Return the names of steps."""
    return [type(step).__name__ for step in steps]


def test_the_whole_way_of_one_volume():
    """The steps stand in the order of the design, each once."""
    model = Model(pods=[pod("web-0", "pvc-1")])
    assert kinds(model.run()) == [
        "ClearStatus",
        "CreateLocalVolume",
        "RetainPersistentVolume",
        "DeletePersistentVolume",
        "StripFinalizers",
        "CreatePersistentVolume",
        "BindClaim",
        "SetSuccess",
        "EvictPods",
        "RemoveClaimAnnotation",
        "DropJournal",
    ]


def test_status_is_emptied_before_anything_else():
    """While the PV is the old one or gone, a status is emptied first: carina-controller would
    delete the LogicVolume.
    """
    for volume in (pv(), None, pv(deletionTimestamp=at(kubernetes.NOW))):
        assert isinstance(Model(pv=volume, local=done()).next(), rebuild.ClearStatus)


def test_a_status_set_again_in_mid_rebuild_is_emptied_again():
    """Carina's agent may write Success before the PV is back; the next look takes it off."""
    model = Model()
    while not isinstance(step := model.next(), rebuild.CreatePersistentVolume):
        model.apply(step)
    model.status = "Success"
    assert isinstance(model.next(), rebuild.ClearStatus)


def pvs():
    """Make every kind of PV that may be met: old, retained, expanded, in deletion, gone, new,
    without finalizers.
    """
    old = st.builds(
        pv,
        policy=st.sampled_from(["Delete", "Retain"]),
        size=st.sampled_from(["5Gi", "8Gi"]),
        finalizers=st.sampled_from([[], ["kubernetes.io/pv-protection"]]),
    )
    deleting = st.builds(
        pv, deletionTimestamp=st.just(at(kubernetes.NOW)), on=st.sampled_from(["n1", "n2"])
    )
    new = st.builds(pv, on=st.just("n2"), policy=st.sampled_from(["Delete", "Retain"]))
    return st.one_of(
        st.none(),
        old,
        deleting,
        new,
        new.map(lambda raw: {**raw, "status": {"phase": "Available"}}),
    )


def claims():
    """Make every kind of claim: bound, lost, touched, resizing, another client's, none."""
    made = st.builds(
        kubernetes.claim,
        phase=st.sampled_from(["Bound", "Lost"]),
        uid=st.sampled_from(["", "uid-of-a-newer-claim"]),
        annotations=st.sampled_from([{}, {well_known.TOUCH: "1"}, {"mine": "1"}]),
    )
    resizing = made.map(
        lambda raw: {**raw, "status": {**raw["status"], "conditions": list(RESIZING)}}
    )
    return st.one_of(st.none(), made, resizing)


MODELS = st.builds(
    Model,
    status=st.sampled_from(["", "Success"]),
    size=st.sampled_from([1, 5, 8]),
    current=st.sampled_from([1, 5]),
    pv=pvs(),
    claim=claims(),
    pods=st.sampled_from([[], [pod("a", "pvc-1")], [pod("a", "pvc-1"), pod("b", "pvc-1")]]),
    local=st.one_of(
        st.none(), st.builds(done, outcome=st.sampled_from(["kept", "created", "replaced"]))
    ),
).map(copy.deepcopy)


@settings(max_examples=300, deadline=None)
@given(MODELS, st.lists(st.integers(0, 15), max_size=3), st.lists(st.integers(0, 15), max_size=2))
def test_from_every_state_the_journal_is_dropped_in_bounded_steps(model, forgotten, expanded):
    """Any state, any process that dies between steps, any expansion on the way: it ends, and no
    step is ever unsafe.
    """
    size = model.size
    for turn in range(40):
        if model.journal is None:
            break
        if turn in forgotten:
            model.local = None  # another process continues, and has not asked the node yet
        if turn in expanded:
            model.size += 3
        step, view = model.next(), model.view()
        if isinstance(step, rebuild.DeletePersistentVolume):
            wanted = pv_manifest.wanted_size(view.logic_volume, view.journal.manifest)
            assert view.logic_volume.status == ""
            assert view.lv is not None
            assert view.lv.size >= wanted
            assert view.pv.policy == "Retain"
            assert view.pv.nodes == ("n1",)
            assert view.journal.manifest == pv_manifest.manifest_of(
                view.pv, pv_manifest.policy_of(view.pv, view.journal.manifest)
            )
        if isinstance(
            step,
            rebuild.CreatePersistentVolume
            | rebuild.StripFinalizers
            | rebuild.RetainPersistentVolume,
        ):
            assert view.logic_volume.status == ""
            assert view.lv is not None
        if isinstance(step, rebuild.EvictPods | rebuild.SetSuccess | rebuild.DropJournal):
            assert view.pv.nodes == ("n2",)
        model.apply(step)
    assert model.journal is None, kinds(model.steps)
    assert model.status == "Success"
    assert model.current >= size
    assert model.pv["spec"]["nodeAffinity"] == affinity("n2")
    assert model.pods == []
    assert model.claim is None or well_known.TOUCH not in model.claim["metadata"]["annotations"]


@given(st.integers(1, 1 << 44), st.integers(1, 1 << 44))
def test_the_new_volume_is_never_below_the_pvs_capacity(size, capacity):
    """Whole GiB, at least what the LogicVolume says and at least what the PV promises."""
    volume = objects.parse_logic_volume(logic_volume(size=str(size)))
    wanted = pv_manifest.wanted_size(volume, {"spec": {"capacity": {"storage": str(capacity)}}})
    assert wanted >= max(size, capacity)
    assert wanted % GIB == 0
    assert wanted - max(size, capacity) < GIB


def test_a_manifest_without_a_capacity_is_refused():
    """A journal that does not say how large the PV was gives an error of ours, no guess."""
    with pytest.raises(BadInput):
        pv_manifest.wanted_size(objects.parse_logic_volume(logic_volume()), {"spec": {}})


def created(before: dict | None = None, **local):
    """Return the PV that is created again from a PV, as it was when the journal was written."""
    old = objects.parse_persistent_volume(before or pv())
    plan = journal(manifest=pv_manifest.manifest_of(old, old.policy))
    model = Model(pv=copy.deepcopy(old.raw), status="", journal=plan)
    model.local = done(**local)
    while not isinstance(step := model.next(), rebuild.CreatePersistentVolume):
        model.apply(step)
    return step.body


def test_the_replacement_keeps_everything_but_its_place():
    """Labels, annotations, owners, finalizers, unknown fields, policy, claimRef's UID: as they
    were; affinity: new.
    """
    owners = [{"apiVersion": "v1", "kind": "X", "name": "x", "uid": "u"}]
    before = pv(ownerReferences=owners)
    after = created(copy.deepcopy(before))
    for field in ("name", "labels", "annotations", "finalizers", "ownerReferences"):
        assert after["metadata"][field] == before["metadata"][field]
    assert set(after["metadata"]) == {
        "name",
        "labels",
        "annotations",
        "finalizers",
        "ownerReferences",
    }
    spec = copy.deepcopy(before["spec"])
    spec["claimRef"].pop("resourceVersion")
    spec["nodeAffinity"] = affinity("n2")
    spec["csi"]["volumeAttributes"][well_known.ATTRIBUTE_NODE] = "n2"
    assert after["spec"] == spec
    assert (after["apiVersion"], after["kind"]) == ("v1", "PersistentVolume")
    assert "status" not in after


def test_the_original_policy_comes_back():
    """Retain was only for the time of the replacement: Delete is Delete again."""
    assert created()["spec"]["persistentVolumeReclaimPolicy"] == "Delete"
    assert created(pv(policy="Retain"))["spec"]["persistentVolumeReclaimPolicy"] == "Retain"


def test_provisioned_by_is_there_always_and_never_changed():
    """Without it provisioner 2.2 never cleans up; one that names another provisioner stays."""
    assert created(pv(annotations=None))["metadata"]["annotations"] == {
        well_known.PROVISIONED_BY: well_known.CSI_DRIVER
    }
    other = created(pv(annotations={well_known.PROVISIONED_BY: "x"}))
    assert other["metadata"]["annotations"] == {well_known.PROVISIONED_BY: "x"}


def test_no_finalizer_is_invented():
    """A PV that had none comes back with none."""
    assert "finalizers" not in created(pv(finalizers=[]))["metadata"]


def test_device_numbers_are_the_new_ones_where_there_were_any():
    """Major and minor follow the new LV; unknown ones stay, absent ones are not added."""
    attributes = created(major=253, minor=7)["spec"]["csi"]["volumeAttributes"]
    assert (attributes[well_known.ATTRIBUTE_MAJOR], attributes[well_known.ATTRIBUTE_MINOR]) == (
        "253",
        "7",
    )
    attributes = created()["spec"]["csi"]["volumeAttributes"]
    assert (attributes[well_known.ATTRIBUTE_MAJOR], attributes[well_known.ATTRIBUTE_MINOR]) == (
        "252",
        "3",
    )
    bare = pv()
    bare["spec"]["csi"]["volumeAttributes"] = {}
    assert created(bare, major=253, minor=7)["spec"]["csi"]["volumeAttributes"] == {
        well_known.ATTRIBUTE_NODE: "n2"
    }


def test_an_expansion_since_the_plan_is_taken_over():
    """The PV grew from 5 to 8 GiB after the journal was written: manifest first, then a
    larger LV.
    """
    model = Model(pv=pv(size="8Gi"), size=8, status="")
    steps = kinds(model.run())
    assert steps.index("RefreshManifest") < steps.index("DeletePersistentVolume")
    assert model.made == 8
    assert model.pv["spec"]["capacity"] == {"storage": "8Gi"}


def test_what_a_person_sets_as_policy_is_kept():
    """Retain by the operator, before ours or in place of it, is what the new PV gets; ours alone is
    not; nor is our mark.
    """
    before = Model(pv=pv(policy="Retain"), status="")
    steps = kinds(before.run())
    assert "RefreshManifest" in steps
    assert before.pv["spec"]["persistentVolumeReclaimPolicy"] == "Retain"
    for then in ("Delete", "Recycle"):
        model = Model(
            status="",
            pv=pv(policy="Retain"),
            journal=journal(manifest=Model(pv=pv(policy="Retain")).kept()),
        )
        model.pv["spec"]["persistentVolumeReclaimPolicy"] = then
        model.run()
        assert model.pv["spec"]["persistentVolumeReclaimPolicy"] == then
    ours = Model(status="")
    assert "RefreshManifest" not in kinds(ours.run())
    assert ours.pv["spec"]["persistentVolumeReclaimPolicy"] == "Delete"
    assert well_known.RETAINED not in ours.pv["metadata"]["annotations"]


def test_a_volume_that_a_pod_may_have_written_to_is_not_planned_again():
    """The PV names the target, and its LV cannot be extended: that is waited out, not thrown
    away.
    """
    failed = done(outcome="failed", reason="no space")
    assert isinstance(Model(pv=pv(on="n2"), size=8, local=failed).next(), rebuild.RebuildWaits)


def test_a_local_volume_that_became_too_small_is_asked_for_again():
    """What the node made before the expansion does not count."""
    model = Model(status="", size=8, local=done(size=5 * GIB))
    assert model.next() == rebuild.CreateLocalVolume(8 * GIB)


def test_a_node_that_cannot_is_waited_for_or_replaced():
    """A transient failure waits; any other asks for another target. The PV is untouched
    either way.
    """
    assert isinstance(
        Model(status="", local=done(outcome="failed", transient=True)).next(), rebuild.RebuildWaits
    )
    replan = Model(status="", local=done(outcome="failed", reason="no space")).next()
    assert replan == rebuild.Replan("n2: no space")


def test_an_lv_that_the_rebuild_did_not_create_is_named_in_the_journal_first():
    """The node leaves it alone until the journal names it; once the PV names the target, a pod may
    use it: wait.
    """
    taken = done(outcome="taken", uuid=kubernetes.UUID_LV, reason="it may hold data")
    assert Model(status="", local=taken).next() == rebuild.RecordStaleLv(kubernetes.UUID_LV)
    assert Model(pv=pv(on="n2"), local=taken).next() == rebuild.RebuildWaits("n2: it may hold data")


def test_an_lv_without_a_device_is_no_success():
    """No pod could mount it: the volume waits, before its PV is replaced and after."""
    for where in (pv(), pv(on="n2")):
        assert isinstance(
            Model(status="", pv=where, local=done(major=-1, minor=-1)).next(), rebuild.RebuildWaits
        )


def test_contradictions_are_refused():
    """A LogicVolume or PV that names a third node is the operator's business."""
    view = Model(status="", local=done()).view()
    moved = rebuild.RebuildView(
        **{f: getattr(view, f) for f in view.__slots__} | {"journal": journal(target="n3")}
    )
    assert isinstance(rebuild.next_step(moved), rebuild.RefuseRebuild)
    assert isinstance(Model(status="", local=done(), pv=pv(on="n9")).next(), rebuild.RefuseRebuild)


def test_a_claim_of_another_uid_is_left_alone():
    """The claim was created again since: it is not bound, not touched, not cleared, and the rebuild
    ends.
    """
    other = kubernetes.claim(phase="Pending", uid="uid-new")
    model = Model(claim=other)
    assert not {"BindClaim", "RemoveClaimAnnotation", "ClearResize"} & set(kinds(model.run()))


def test_stale_resize_conditions_are_cleared_only_at_full_size():
    """Where the claim's capacity equals the PV's nothing is left to resize; where it does not, the
    kubelet continues.
    """
    for capacity, cleared in (("5Gi", True), ("3Gi", False)):
        held = kubernetes.claim()
        held["status"] |= {"conditions": list(RESIZING), "capacity": {"storage": capacity}}
        model = Model(claim=held, pv=pv(on="n2"), status="", local=done())
        assert ("ClearResize" in kinds(model.run())) == cleared


def test_size_counts_for_success_too():
    """A volume that says Success at an older size gets its status written again."""
    model = Model(pv=pv(on="n2"), status="Success", current=3, local=done())
    assert isinstance(model.next(), rebuild.SetSuccess)


@pytest.mark.parametrize("absent", [{}, {"annotations": None}])
def test_a_map_that_is_null_counts_as_empty(absent):
    """A client wrote null where Kubernetes leaves a map out: the PV is created all the same."""
    manifest = pv_manifest.manifest_of(objects.parse_persistent_volume(pv()), policy="Delete")
    manifest["metadata"].pop("annotations")
    manifest["metadata"] |= absent
    manifest["spec"]["csi"]["volumeAttributes"] = None
    found = journal()
    made = pv_manifest.replacement(msgspec.structs.replace(found, manifest=manifest))
    assert made["metadata"]["annotations"] == {well_known.PROVISIONED_BY: well_known.CSI_DRIVER}
    assert made["spec"]["csi"]["volumeAttributes"] == {well_known.ATTRIBUTE_NODE: found.target}


def test_the_manifest_is_a_copy():
    """What is put into the journal does not change with the object it was read from."""
    parsed = objects.parse_persistent_volume(pv())
    manifest = pv_manifest.manifest_of(parsed, "Delete")
    manifest["spec"]["csi"]["driver"] = "x"
    assert parsed.raw["spec"]["csi"]["driver"] == well_known.CSI_DRIVER
    assert parsed.raw["spec"]["claimRef"]["resourceVersion"] == "77"
