"""Rebuild, migrate and resume on hand-made fakes: every write may be the last one of the
process.
"""

import copy
import itertools

import pytest
from msgspec import structs

from carina_tasks.errors import (
    ApiConflict,
    ApiUnavailable,
    BadInput,
    MassFailure,
    NodeFailed,
    NodeSilent,
    Paused,
)
from carina_tasks.flows.failover.advance import REPLANNED, advance_all
from carina_tasks.flows.failover.lost_node import migrate_node, rebuild_node
from carina_tasks.flows.failover.replanning import replan
from carina_tasks.flows.failover.resume import resume
from carina_tasks.flows.failover.steps import NeedsTarget
from carina_tasks.kube import paths
from carina_tasks.kube.api import Listing
from carina_tasks.kube.cluster import Cluster
from carina_tasks.kube.events import Events
from carina_tasks.model import well_known
from carina_tasks.model.messages import LvResults
from carina_tasks.model.quantity import GIB
from carina_tasks.observability import metrics
from tests.builders.flow import FakeApi, FakeNodes, Killed, context, cut_pods
from tests.builders.kubernetes import (
    NOW,
    affinity,
    claim,
    done,
    inventory,
    journal,
    local_volume,
    logic_volume,
    node,
    pod,
    pv,
)
from tests.builders.rebuilt import VOLUMES, check_rebuilt, nodes


def deleted(*more, names=VOLUMES, ready=("n2", "n3")):
    """Make a cluster whose node n1 was deleted, with one volume and pod for each of `names`."""
    parts = [node(name) for name in ready]
    for name in names:
        parts += [logic_volume(name), pv(name), claim(name), pod(f"pod-{name}", name)]
    return FakeApi(*parts, *more)


def test_a_deleted_nodes_volumes_are_rebuilt_under_their_names():
    """All of them, and the result reports it for each."""
    api, fake = deleted(), nodes()
    result = rebuild_node(context(api, fake), "n1")
    assert (result.outcome, {v.outcome for v in result.volumes}) == ("done", {"rebuilt"})
    check_rebuilt(api, fake)


def test_every_journal_is_written_before_anything_is_touched():
    """The first writes are the journals of all volumes, each with the whole manifest and guarded by
    UID and version.
    """
    api, fake = deleted(), nodes()
    rebuild_node(context(api, fake), "n1")
    for verb, path, body in api.log[: len(VOLUMES)]:
        assert (verb, path.rsplit("/", 1)[0]) == ("merge", paths.LOGIC_VOLUMES)
        assert '"manifest"' in body["metadata"]["annotations"][well_known.JOURNAL]
        assert body["spec"]["nodeName"] in ("n2", "n3")
        assert body["metadata"]["uid"]
        assert body["metadata"]["resourceVersion"]


def test_that_a_volume_is_empty_is_written_while_its_journal_is_there(monkeypatch):
    """Every other Event may wait, and be lost with the process: this one may not."""
    api, fake = deleted(names=("pvc-1",)), nodes()
    said = []

    def say(self, about, type_, reason, message, key="", *, related=None, wait):
        journalled = (
            well_known.JOURNAL in api.one("LogicVolume", "pvc-1")["metadata"]["annotations"]
        )
        said.append((about.kind, reason, wait, journalled))

    monkeypatch.setattr(Events, "say", say)
    assert rebuild_node(context(api, fake), "n1").outcome == "done"
    assert ("PersistentVolumeClaim", "VolumeRebuiltEmpty", True, True) in said
    assert {reason for _, reason, wait, _ in said if wait} == {"VolumeRebuiltEmpty"}


def test_a_pod_is_left_alone_when_another_worker_has_finished_meanwhile(monkeypatch):
    """A look took long, and without a broker there are no locks: the pods that it shows are none
    of this rebuild's any more (simulation, seed 784).
    """
    api, fake = deleted(names=("pvc-1",)), nodes()
    real = Cluster.is_ready

    def is_ready(self, node):
        found, meta = real(self, node), api.one("LogicVolume", "pvc-1")["metadata"]
        if meta["annotations"].pop(well_known.JOURNAL, None):
            meta["resourceVersion"] = "9999"
        return found

    monkeypatch.setattr(Cluster, "is_ready", is_ready)
    (result,) = rebuild_node(context(api, fake), "n1").volumes
    assert "another worker finished it" in result.reason
    assert [raw for raw in api.objects.values() if raw["kind"] == "Pod"]
    assert not [path for verb, path, _ in api.log if "/pods/" in path]


def test_a_pod_of_the_last_look_is_left_alone_when_another_worker_has_finished(monkeypatch):
    """The status was written long before that look: what it proved then it does not prove now."""
    api, fake = deleted(names=("pvc-1",)), nodes()
    for path in [path for path, raw in api.objects.items() if raw["kind"] == "Pod"]:
        del api.objects[path]
    real, late = Cluster.pods_on, paths.pod("default", "late")

    def pods_on(self, node, namespace):
        api.objects[late] = copy.deepcopy(pod("late", "pvc-1"))
        meta = api.one("LogicVolume", "pvc-1")["metadata"]
        if meta["annotations"].pop(well_known.JOURNAL, None):
            meta["resourceVersion"] = "9999"
        return real(self, node, namespace)

    monkeypatch.setattr(Cluster, "pods_on", pods_on)
    (result,) = rebuild_node(context(api, fake), "n1").volumes
    assert "another worker finished it" in result.reason
    assert late in api.objects
    assert not [path for _, path, _ in api.log if path.startswith(late)]


def test_a_pod_that_is_bound_to_the_source_at_the_last_moment_is_evicted_too():
    """It tolerates everything and names the node: the pods are listed again before the journal
    goes, and its volume is no longer there.
    """
    api, fake = deleted(names=("pvc-1",)), nodes()
    late = pod("late", "pvc-1")

    def bind(verb, path):
        if path.endswith("/status") and api.one("PersistentVolume", "pvc-1"):
            on = api.one("PersistentVolume", "pvc-1")["spec"]["nodeAffinity"]
            if "n1" not in str(on) and paths.pod("default", "late") not in api.objects:
                api.objects[paths.pod("default", "late")] = copy.deepcopy(late)

    api.on_write = bind
    assert rebuild_node(context(api, fake), "n1").outcome == "done"
    assert not [raw for raw in api.objects.values() if raw["kind"] == "Pod"]


@pytest.mark.parametrize("volumes", [1, 20])
def test_the_pods_of_a_deleted_node_are_listed_once_for_each_target(volumes):
    """Those of the plan are evicted, and one list shows whom all journals of a group must wait for:
    a list for each volume made the cost grow with the square of the volumes.
    """
    api = deleted(names=[f"pvc-{number}" for number in range(volumes)])
    result = rebuild_node(context(api, nodes()), "n1")
    assert {one.outcome for one in result.volumes} == {"rebuilt"}
    lists = api.reads.count("/api/v1/namespaces/default/pods")
    assert lists == len({one.target for one in result.volumes})


def test_an_annotation_that_is_taken_off_while_the_rebuild_is_tried_keeps_the_volume():
    """The dry runs take their time; before the journal is written the pods are looked at again, and
    nothing has been touched.
    """
    parts = (logic_volume("pvc-1"), pv("pvc-1"), claim("pvc-1"))
    movable = pod("pod-pvc-1", "pvc-1", annotated=True)
    lost = node("n1", ready="Unknown", since=NOW - 900)
    api = FakeApi(lost, node("n2"), node("n3"), *parts, movable)
    whole = api.create

    def create(path, body, *, dry_run=False):
        if dry_run:
            api.objects[paths.pod("default", "pod-pvc-1")]["metadata"]["annotations"] = {}
        return whole(path, body, dry_run=dry_run)

    api.create = create
    (result,) = migrate_node(context(api, nodes()), "n1").volumes
    assert result.outcome == "unfinished"
    assert "it changed since the plan" in result.reason
    assert api.log == []


def test_a_pod_that_has_changed_since_the_plan_is_read_again():
    """It has run to its end by itself meanwhile: it is left alone, and its volume is rebuilt."""
    api, fake = deleted(names=("pvc-1",)), nodes()

    def ended(verb, path):
        raw = api.objects.get(paths.pod("default", "pod-pvc-1"))
        if verb == "create" and path.startswith(paths.PERSISTENT_VOLUMES) and raw is not None:
            raw["status"]["phase"] = "Succeeded"
            raw["metadata"]["resourceVersion"] = "9999"

    api.on_write = ended
    assert rebuild_node(context(api, fake), "n1").outcome == "done"
    assert api.objects[paths.pod("default", "pod-pvc-1")]["status"]["phase"] == "Succeeded"


def test_a_pod_that_is_bound_to_the_source_again_and_again_leaves_its_volume_for_resume():
    """The run ends, and says why."""
    api, fake = deleted(names=("pvc-1",)), nodes()
    whole, number = api.list, itertools.count()

    def another(path, query=None):
        if path == "/api/v1/namespaces/default/pods":
            name = f"late-{next(number)}"
            api.objects[paths.pod("default", name)] = pod(name, "pvc-1", uid=f"uid-{name}")
        return whole(path, query)

    api.list = another
    (result,) = rebuild_node(context(api, fake), "n1").volumes
    assert result.outcome == "unfinished"
    assert "keep being bound to its source" in result.reason


def test_no_pv_is_ever_deleted_with_a_status_set():
    """At each deletion the LogicVolume has a journal, an empty status, its volumeID, and the PV is
    retained.
    """
    api, fake = deleted(), nodes()
    seen = []

    def look(verb, path):
        if verb == "delete" and path.startswith(paths.PERSISTENT_VOLUMES):
            name = path.rsplit("/", 1)[1]
            volume = api.one("LogicVolume", name)
            assert volume["status"]["status"] == ""
            assert volume["status"]["volumeID"] == f"volume-{name}"
            assert well_known.JOURNAL in volume["metadata"]["annotations"]
            assert (
                api.one("PersistentVolume", name)["spec"]["persistentVolumeReclaimPolicy"]
                == "Retain"
            )
            seen.append(name)

    api.on_write = look
    rebuild_node(context(api, fake), "n1")
    assert seen == list(VOLUMES)


def test_the_device_of_a_block_volume_is_zeroed_before_the_pv_is_replaced():
    """The node is asked for zeroes; until it has written them the PV stays, and the progress on the
    LogicVolume has the percent.
    """
    api, fake = deleted(names=("pvc-1",)), nodes()
    api.one("PersistentVolume", "pvc-1")["spec"]["volumeMode"] = "Block"
    for percent in ("3", "47"):
        said = LvResults(
            node="n2",
            volumes=(done(outcome="zeroing", reason=f"being zeroed, {percent} % of 5Gi"),),
        )
        fake.broken = {
            (name, "carina.volume.create"): structs.replace(said, node=name)
            for name in ("n2", "n3")
        }
        rebuild_node(context(api, fake), "n1")
        resume(context(api, fake))
        volume = api.one("LogicVolume", "pvc-1")
        assert (
            f"being zeroed, {percent} % of 5Gi"
            in volume["metadata"]["annotations"][well_known.PROGRESS]
        )
        assert api.one("PersistentVolume", "pvc-1")["spec"]["nodeAffinity"] == affinity("n1")
    fake.broken = {}
    resume(context(api, fake))
    check_rebuilt(api, fake, ("pvc-1",))
    asked = [
        volume.zero
        for _, task, request in fake.asked
        if task == "carina.volume.create"
        for volume in request.volumes
    ]
    assert asked
    assert all(asked)


@pytest.mark.parametrize("setting", ["true", "false"])
def test_a_volume_with_a_file_system_is_not_zeroed_nor_any_without_the_setting(setting):
    """The kubelet formats it, and no pod reads the device."""
    api, fake = deleted(), nodes()
    if setting == "false":
        api.one("PersistentVolume", "pvc-1")["spec"]["volumeMode"] = "Block"
    rebuild_node(context(api, fake, zero_block=setting), "n1")
    asked = [
        volume.zero
        for _, task, request in fake.asked
        if task == "carina.volume.create"
        for volume in request.volumes
    ]
    assert (len(asked) >= 2, any(asked)) == (True, False)


def test_a_pv_that_cannot_be_made_again_is_left_as_it_is():
    """Its volumeAttributes are text (found by fuzzing): the reason is that volume's, the others
    move.
    """
    api, fake = deleted(), nodes()
    api.one("PersistentVolume", "pvc-1")["spec"]["csi"]["volumeAttributes"] = ""
    result = rebuild_node(context(api, fake), "n1")
    assert {v.volume: v.outcome for v in result.volumes} == {"pvc-1": "failed", "pvc-2": "rebuilt"}
    assert api.one("LogicVolume", "pvc-1")["spec"]["nodeName"] == "n1"


def test_a_list_that_lacks_a_pv_is_no_proof_that_a_volume_is_empty():
    """Its PV names the target already, and the list of PVs lacks it: it stays, as its data may be
    there (simulation, seed 1669).
    """
    api = FakeApi(
        node("n2"),
        node("n3"),
        logic_volume("pvc-1", "n2", journal=journal("pvc-1")),
        pv("pvc-1", "n2"),
        claim("pvc-1"),
        pod("a", "pvc-1", on="n2", annotated=False),
    )
    ctx, whole = context(api, nodes()), api.list
    api.list = lambda path, query=None: (
        Listing((), "1", NOW) if path == paths.PERSISTENT_VOLUMES else whole(path, query)
    )
    found = ctx.cluster.logic_volume("pvc-1")
    (result,) = replan(ctx, "n2", [NeedsTarget(found, found.journal, "lvm was interrupted")])
    assert result.outcome == "unfinished"
    assert api.one("LogicVolume", "pvc-1")["spec"]["nodeName"] == "n2"


def test_a_volume_does_not_leave_a_target_that_already_has_another_of_its_pod():
    """Its LV cannot be made there now; the other is rebuilt, its pod is evicted and not created
    again
    yet: it waits, and follows.
    """
    api, fake = deleted(pod("both", *VOLUMES)), nodes()
    for name in VOLUMES:
        del api.objects[paths.pod("default", f"pod-{name}")]
    answers = [
        done(name="pvc-1"),
        done(name="pvc-2", outcome="failed", reason="lvm was interrupted", transient=False),
    ]
    fake.broken = {
        (name, "carina.volume.create"): LvResults(node=name, volumes=tuple(answers))
        for name in ("n2", "n3")
    }
    result = rebuild_node(context(api, fake), "n1")
    there = api.one("LogicVolume", "pvc-1")["spec"]["nodeName"]
    assert {v.volume: v.outcome for v in result.volumes} == {
        "pvc-1": "rebuilt",
        "pvc-2": "unfinished",
    }
    assert paths.pod("default", "both") not in api.objects
    assert api.one("LogicVolume", "pvc-2")["spec"]["nodeName"] == there
    assert f"pvc-1, which its pod uses too, is on {there} already" in next(
        v.reason for v in result.volumes if v.volume == "pvc-2"
    )
    fake.broken = {}
    resume(context(api, fake))
    assert [api.one("LogicVolume", name)["spec"]["nodeName"] for name in VOLUMES] == [there, there]


def count_writes():
    """Return how many writes the rebuild of one volume takes."""
    api = deleted(names=("pvc-1",))
    rebuild_node(context(api, nodes()), "n1")
    return len(api.log)


@pytest.mark.parametrize("after", [False, True])
def test_killed_at_any_write_another_process_ends_it(after):
    """Die before or after each single write: resume, in a process that knows nothing, completes the
    rebuild.
    """
    for number in range(count_writes()):
        api, fake = deleted(names=("pvc-1",)), nodes()
        api.kill_at, api.kill_after = number, after
        with pytest.raises(Killed):
            rebuild_node(context(api, fake), "n1")
        api.kill_at = None
        found = resume(context(api, fake))
        for lost in found.deleted_nodes:  # killed before the journal: the hint says it again
            rebuild_node(context(api, fake), lost)
        check_rebuilt(api, fake, ("pvc-1",))


@pytest.mark.parametrize("number", range(1, 9))
def test_an_object_that_changes_at_any_moment_is_read_again(number):
    """Another client changes LogicVolume and PV just before our write: 409, read again, and it ends
    all
    the same.
    """
    api, fake = deleted(names=("pvc-1",)), nodes()

    def meddle(verb, path):
        if len(api.log) == number:
            api.on_write = lambda verb, path: None
            for raw in api.objects.values():
                raw["metadata"]["resourceVersion"] = "9999"

    api.on_write = meddle
    rebuild_node(context(api, fake), "n1")
    resume(context(api, fake))
    check_rebuilt(api, fake, ("pvc-1",))


def test_a_pv_of_another_uid_is_not_deleted():
    """The PV was replaced by another client between our read and our delete: theirs stays, and the
    operator
    is asked.
    """
    api, fake = deleted(names=("pvc-1",)), nodes()

    def swap(verb, path):
        if verb == "delete" and path == paths.persistent_volume("pvc-1"):
            api.on_write = lambda verb, path: None
            api.objects[path] = copy.deepcopy(pv("pvc-1", "n9", uid="uid-theirs"))

    api.on_write = swap
    result = rebuild_node(context(api, fake), "n1")
    assert result.volumes[0].outcome == "refused"
    assert api.one("PersistentVolume", "pvc-1")["metadata"]["uid"] == "uid-theirs"
    assert "deletionTimestamp" not in api.one("PersistentVolume", "pvc-1")["metadata"]


def test_a_pod_made_again_under_its_name_is_not_evicted():
    """The pod that is evicted is the one that was seen, by UID: a newer one of its name lives."""
    api, fake = deleted(names=("pvc-1",)), nodes()

    def swap(verb, path):
        if verb == "delete" and "/pods/" in path:
            api.on_write = lambda verb, path: None
            api.objects[path] = copy.deepcopy(pod("pod-pvc-1", "pvc-1", on="n2", uid="uid-newer"))

    api.on_write = swap
    assert rebuild_node(context(api, fake), "n1").outcome == "done"
    assert api.one("Pod", "pod-pvc-1")["metadata"]["uid"] == "uid-newer"


def test_a_journal_is_not_written_over_a_change():
    """The LogicVolume changed between plan and journal: nothing of it is touched, it is told as
    unfinished.
    """
    api, fake = deleted(names=("pvc-1",)), nodes()

    def meddle(verb, path):
        api.on_write = lambda verb, path: None
        api.one("LogicVolume", "pvc-1")["metadata"]["resourceVersion"] = "9999"

    api.on_write = meddle
    result = rebuild_node(context(api, fake), "n1")
    assert result.volumes[0].outcome == "unfinished"
    assert api.one("LogicVolume", "pvc-1")["spec"]["nodeName"] == "n1"
    assert fake.tasks() == []


MUTATING = [
    lambda ctx: rebuild_node(ctx, "n1"),
    lambda ctx: migrate_node(ctx, "n1"),
    resume,
]


@pytest.mark.parametrize("flow", MUTATING)
@pytest.mark.parametrize("key", ["paused", "latched"])
def test_pause_and_latch_come_before_everything(flow, key):
    """With either set, the state is the only thing read, no node is asked and nothing is
    written.
    """
    state = {
        "kind": "ConfigMap",
        "metadata": {"name": well_known.STATE_CONFIG_MAP, "namespace": "kube-system"},
    }
    api = deleted(
        state | {"data": {key: "manually"}}, logic_volume("pvc-9", "n2", journal=journal("pvc-9"))
    )
    fake = nodes()
    try:
        result = flow(context(api, fake))
    except (Paused, MassFailure) as exc:
        assert "manually" in exc.message  # noqa: PT017
    else:
        assert result.outcome == "refused"
        assert "manually" in result.reason
    assert api.reads == [paths.config_map("kube-system", well_known.STATE_CONFIG_MAP)]
    assert (api.log, fake.asked) == ([], [])


@pytest.mark.parametrize("flow", MUTATING)
def test_a_state_that_cannot_be_read_is_not_no(flow):
    """The API server does not say whether we are paused: nothing continues."""
    api, fake = deleted(), nodes()

    def fail(path, query=None):
        raise ApiUnavailable("away")

    api.get = fail
    with pytest.raises(ApiUnavailable):
        flow(context(api, fake))
    assert (api.log, fake.asked) == ([], [])


def test_a_node_that_exists_is_not_rebuilt():
    """A message that n2 was deleted is wrong, and nothing is written."""
    api, fake = deleted(), nodes()
    result = rebuild_node(context(api, fake), "n2")
    assert (result.outcome, api.log) == ("refused", [])
    assert "exists" in result.reason


def test_a_node_that_comes_back_in_the_confirmation_is_not_rebuilt():
    """It is asked for every second of the ten: one that registers again and goes again in between
    was not absent.
    """
    for back, gone in ((1, None), (9.5, None), (3, 5)):
        api, fake = deleted(), nodes()
        ctx = context(api, fake)
        asleep, sleep = [], ctx.sleep

        def wait(seconds, api=api, asleep=asleep, sleep=sleep, back=back, gone=gone):
            asleep.append(seconds)
            sleep(seconds)
            if back <= sum(asleep) and (gone is None or sum(asleep) < gone):
                api.objects[paths.node("n1")] = node("n1", uid="uid-new")
            else:
                api.objects.pop(paths.node("n1"), None)

        object.__setattr__(ctx, "sleep", wait)
        result = rebuild_node(ctx, "n1")
        assert (result.outcome, "uid-new" in result.reason) == ("refused", True), (back, gone)
        assert (sum(asleep) <= 10, api.log) == (True, [])
        assert paths.PODS not in api.reads


def test_mass_failure_stops_and_latches():
    """Two of three nodes are gone: nothing but the latch is written, and the next attempt refuses
    by it.
    """
    api, fake = deleted(logic_volume("pvc-9", "n9"), ready=("n2",)), nodes("n2")
    result = rebuild_node(context(api, fake), "n1")
    assert result.outcome == "refused"
    assert "2 of 3" in result.reason
    assert api.writes() == [
        f"merge configmaps/{well_known.STATE_CONFIG_MAP}",
        f"create configmaps/{well_known.STATE_CONFIG_MAP}",
    ]
    del api.objects[paths.logic_volume("pvc-9")]
    assert "until the operator resumes" in rebuild_node(context(api, fake), "n1").reason
    assert fake.asked == []


def test_after_an_outage_of_the_api_server_nothing_latches():
    """All nodes are NotReady since a second: refused for now; when they are Ready again, it ends by
    itself.
    """
    api = deleted()
    for name in ("n2", "n3"):
        api.objects[paths.node(name)] = node(name, ready="Unknown", since=NOW - 1)
    result = rebuild_node(context(api, nodes()), "n1")
    assert (result.outcome, "nothing is done for now" in result.reason) == ("refused", True)
    assert api.log == []
    for name in ("n2", "n3"):
        api.objects[paths.node(name)] = node(name)
    fake = nodes()
    assert rebuild_node(context(api, fake), "n1").outcome == "done"


def test_a_list_that_lacks_nodes_latches_nothing():
    """The nodes that it lacks are asked for by name, and are there."""
    api = FakeApi(
        node("n1"),
        node("n2"),
        node("n3"),
        logic_volume(on="n3", journal=journal(target="n3")),
        pv(),
        claim(),
        logic_volume("pvc-8", "n1"),
        logic_volume("pvc-9", "n2"),
    )
    whole = api.list
    api.list = lambda path, query=None: (
        Listing(
            tuple(raw for raw in whole(path, query).items if raw["metadata"]["name"] == "n3"),
            "1",
            NOW,
        )
        if path == paths.NODES
        else whole(path, query)
    )
    with pytest.raises(MassFailure, match="which exists"):
        resume(context(api, nodes("n3")))
    assert api.log == []


def test_mass_failure_stops_migration_and_resume_too():
    """The same guard stands before a migration, and before a resume resumes anything."""
    parts = [node("n1", ready="Unknown"), node("n2", ready="Unknown"), node("n3")]
    api = FakeApi(*parts, logic_volume(), pv(), claim(), pod("a", "pvc-1", annotated=True))
    assert "2 of 3" in migrate_node(context(api, nodes("n3")), "n1").reason
    api = FakeApi(*parts, logic_volume(on="n3", journal=journal(target="n3")), pv(), claim())
    with pytest.raises(MassFailure):
        resume(context(api, nodes("n3")))
    assert not any(
        "logicvolumes" in write or "persistentvolumes" in write for write in api.writes()
    )


def test_another_worker_at_it_is_left_alone():
    """The hold is another client's: refused at once, nothing is written."""
    api = deleted()
    assert rebuild_node(context(api, nodes(), held=True), "n1").reason == "another worker is at it"
    assert api.log == []


@pytest.mark.parametrize("name", ["", "N1", "n1;reboot", "../n1", None, 5, ["n1"]])
def test_a_wrong_name_is_refused_before_anything_is_asked(name):
    """A task call with something that is no node."""
    api = deleted()
    for flow in (rebuild_node, migrate_node):
        with pytest.raises(BadInput):
            flow(context(api, nodes()), name)
    assert api.reads == []


def test_a_volume_with_nowhere_to_go_is_left_and_the_others_go_on():
    """Too large for any node: untouched, an Event gives the reason; the other volume is rebuilt."""
    api = deleted(
        logic_volume("big", size="900Gi"),
        pv("big", size="900Gi"),
        claim("big"),
        pod("pod-big", "big"),
    )
    before, fake = copy.deepcopy(api.one("LogicVolume", "big")), nodes()
    result = rebuild_node(context(api, fake), "n1")
    outcomes = {v.volume: v.outcome for v in result.volumes}
    assert (result.outcome, outcomes) == (
        "unfinished",
        {"big": "no-fit", "pvc-1": "rebuilt", "pvc-2": "rebuilt"},
    )
    assert api.one("LogicVolume", "big") == before
    assert "NoNodeFits" in {event["reason"] for event in api.events}
    check_rebuilt(api, fake)


def test_a_malformed_object_holds_nobody_up():
    """A LogicVolume without a size, and one with a journal that makes no PV: told, and the others
    are rebuilt.
    """
    broken, forged = (
        logic_volume("broken"),
        logic_volume("forged", "n2", journal=journal("forged", manifest={"spec": 1})),
    )
    del broken["spec"]["size"]
    api, fake = deleted(broken, forged), nodes()
    result = rebuild_node(context(api, fake), "n1")
    assert result.unreadable == (
        "LogicVolume broken: broken: spec.size: None is not a quantity: use a Kubernetes quantity "
        "such as 5Gi",
    )
    check_rebuilt(api, fake)
    assert [(v.volume, v.outcome) for v in resume(context(api, fake)).volumes] == [
        ("forged", "refused")
    ]


def test_a_full_target_is_planned_again():
    """The target turns out full: another target and a new intent go into the journal, and resume
    ends it there.
    """
    api, fake = deleted(names=("pvc-1",)), nodes()
    full = done("pvc-1", "failed", reason="no space")
    fake.broken = {
        ("n2", "carina.volume.create"): LvResults("n2", (full,)),
        ("n3", "carina.volume.create"): LvResults("n3", (full,)),
    }
    first = rebuild_node(context(api, fake), "n1").volumes[0]
    assert "planned again" in first.reason
    fake.broken.clear()
    resume(context(api, fake))
    check_rebuilt(api, fake, ("pvc-1",))
    intents = [
        request.volumes[0].intent
        for _, task, request in fake.asked
        if task == "carina.volume.create"
    ]
    assert len(set(intents)) == 2


@pytest.mark.parametrize(
    "answer",
    [NodeFailed("boom"), LvResults("n2", ()), LvResults("n2", (done("other"),))],
)
def test_an_answer_that_says_nothing_of_the_volume_leaves_it_unfinished(answer):
    """The node failed or forgot it: nothing is deleted, the journal stays, a later resume
    ends it.
    """
    api, fake = deleted(names=("pvc-1",), ready=("n2",)), nodes("n2")
    fake.broken = {("n2", "carina.volume.create"): answer}
    assert rebuild_node(context(api, fake), "n1").volumes[0].outcome == "unfinished"
    assert not any(write.startswith("delete") for write in api.writes())
    fake.broken.clear()
    resume(context(api, fake))
    check_rebuilt(api, fake, ("pvc-1",))


def test_the_events_say_that_the_volume_is_empty():
    """On the claim: new, empty, from where and whereto."""
    api = deleted(names=("pvc-1",))
    rebuild_node(context(api, nodes()), "n1")
    event = next(e for e in api.events if e["reason"] == "VolumeRebuiltEmpty")
    assert event["involvedObject"]["kind"] == "PersistentVolumeClaim"
    assert "new and empty" in event["message"]
    assert "it was on n1" in event["message"]


def not_ready(*pods, since=NOW - 400):
    """Make a cluster whose node n1 is NotReady, with two volumes."""
    parts = [node("n1", ready="Unknown", since=since), node("n2"), node("n3")]
    for name in VOLUMES:
        parts += [logic_volume(name), pv(name), claim(name)]
    return FakeApi(*parts, *pods)


def test_migration_moves_the_annotated_and_touches_nothing_else():
    """pvc-1's pod is annotated and moves; every object of pvc-2 has the resourceVersion that it
    had.
    """
    api = not_ready(
        pod("pod-pvc-1", "pvc-1", annotated=True),
        pod("pod-pvc-2", "pvc-2"),
        pod("free", annotated=True),
    )
    fake = nodes()
    result = migrate_node(context(api, fake), "n1")
    assert {v.volume: v.outcome for v in result.volumes} == {"pvc-1": "rebuilt", "pvc-2": "skipped"}
    assert result.evicted == ("default/free",)
    check_rebuilt(api, fake, ("pvc-1",))
    untouched = [
        api.one("LogicVolume", "pvc-2"),
        api.one("PersistentVolume", "pvc-2"),
        api.one("Pod", "pod-pvc-2"),
    ]
    assert [raw["metadata"]["resourceVersion"] for raw in untouched] == ["1", "1", "1"]


def test_a_list_of_pods_that_was_cut_short_moves_nothing_of_those_it_lacks():
    """pvc-1 is used by an annotated pod and by another; whichever of the two lists lacks that one,
    nothing is written.

    From an API server that does not count (remainingItemCount is optional) the two lists are all
    that there is.
    """
    for lacking in (0, 1):
        api = not_ready(pod("willing", "pvc-1", annotated=True), pod("unwilling", "pvc-1"))
        api.count = lambda path: None
        cut_pods(api, "unwilling", lists=(lacking,))
        result = migrate_node(context(api, nodes()), "n1")
        assert ({v.outcome for v in result.volumes}, api.log) == ({"skipped"}, []), lacking


@pytest.mark.parametrize(
    ("stage", "flow"),
    [
        (
            lambda *pods: not_ready(pod("willing", "pvc-1", annotated=True), *pods),
            lambda ctx: migrate_node(ctx, "n1"),
        ),
        (lambda *pods: deleted(*pods, names=("pvc-1",)), lambda ctx: rebuild_node(ctx, "n1")),
        (
            lambda *pods: deleted(
                logic_volume("pvc-9", "n2", journal=journal("pvc-9")), *pods, names=("pvc-1",)
            ),
            resume,
        ),
    ],
    ids=["migrate", "rebuild", "resume"],
)
def test_lists_of_pods_that_hold_fewer_than_are_counted_begin_nothing(stage, flow):
    """Every list lacks the pod that is not annotated, as from a broken cache: an error, and nothing
    is written.
    """
    api = stage(pod("unwilling", "pvc-1"))
    cut_pods(api, "unwilling")
    with pytest.raises(ApiUnavailable, match="hold 1 of the 2 that the API server counts"):
        flow(context(api, nodes()))
    assert api.log == []


def test_a_pod_that_comes_while_pods_are_counted_is_listed_then():
    """The first count is one too many for the first lists: another list brings it, and it
    continues.
    """
    api = not_ready(pod("willing", "pvc-1", annotated=True))
    seen = cut_pods(api, "willing", lists=(0, 1))
    assert migrate_node(context(api, nodes()), "n1").outcome == "done"
    # And once more before the journal is written: those of the node, and those of none.
    assert len(seen) == 3 + 2


def test_a_worker_that_still_answers_gives_the_node_more_time():
    """NotReady for 400 s, but its worker lives: refused, nothing is written."""
    api = not_ready(pod("pod-pvc-1", "pvc-1", annotated=True), since=NOW - 400)
    result = migrate_node(context(api, nodes("n1", "n2", "n3")), "n1")
    assert (result.outcome, api.log) == ("refused", [])
    assert migrate_node(context(api, nodes()), "n1").outcome == "done"


def test_resume_names_the_nodes_that_the_watch_missed():
    """A LogicVolume names a node that does not exist, another one that is NotReady: both are named,
    nothing is written.
    """
    api = not_ready(logic_volume("pvc-9", "n9"))
    found = resume(context(api, nodes()))
    assert (found.deleted_nodes, found.not_ready_nodes) == (("n9",), ("n1",))
    assert api.log == []


def test_resume_plans_again_when_the_target_is_deleted_in_mid_rebuild():
    """The journal's target is gone: another one, and its source stays the node that the PV
    names.
    """
    api = FakeApi(
        node("n3"),
        node("n4"),
        logic_volume(on="n2", journal=journal(), status=""),
        pv(),
        claim(),
        pod("pod-pvc-1", "pvc-1"),
    )
    fake = nodes("n3", "n4")
    resume(context(api, fake))
    resume(context(api, fake))
    check_rebuilt(api, fake, ("pvc-1",))


def halfway(annotated, *, second="n1"):
    """Make a pod with two volumes that came from n1 to n2: pvc-1 is done, pvc-2's PV names
    `second`; n2 is NotReady.
    """
    return FakeApi(
        node("n2", ready="Unknown", since=NOW - 400),
        node("n3"),
        node("n4"),
        logic_volume("pvc-1", "n2"),
        pv("pvc-1", "n2"),
        claim("pvc-1"),
        logic_volume("pvc-2", "n2", journal=journal("pvc-2"), status=""),
        pv("pvc-2", second),
        claim("pvc-2"),
        pod("web-0", "pvc-1", "pvc-2", on="", annotated=annotated),
    )


@pytest.mark.parametrize("first", ["resume", "migrate"])
@pytest.mark.parametrize("second", ["n1", "n2"])
def test_a_not_ready_target_with_half_of_an_annotated_pod_blocks_nothing(first, second):
    """One volume is done there, the other under way: both leave together, whichever of resume and
    migrate comes first.
    """
    api, fake = halfway(True, second=second), nodes("n3", "n4")
    ctx = context(api, fake)
    order = [lambda: resume(ctx), lambda: migrate_node(ctx, "n2")]
    for step in (order if first == "resume" else order[::-1]) * 2:
        step()
    check_rebuilt(api, fake)
    assert (
        api.one("LogicVolume", "pvc-1")["spec"]["nodeName"]
        == api.one("LogicVolume", "pvc-2")["spec"]["nodeName"]
    )


@pytest.mark.parametrize("second", ["n1", "n2"])
def test_a_not_ready_target_with_half_of_another_pod_keeps_both(second):
    """Not annotated: both stay, told why, until the node is back or deleted; then they end there,
    or leave together.
    """
    for after in ("back", "deleted"):
        api, fake = halfway(None, second=second), nodes("n3", "n4")
        ctx = context(api, fake)
        before = (
            copy.deepcopy(api.one("PersistentVolume", "pvc-1")),
            copy.deepcopy(api.one("LogicVolume", "pvc-1")),
        )
        for _ in range(2):
            found = resume(ctx)
            migrate_node(ctx, "n2")
        assert [(v.volume, v.outcome) for v in found.volumes] == [("pvc-2", "unfinished")]
        assert (api.one("PersistentVolume", "pvc-1"), api.one("LogicVolume", "pvc-1")) == before
        assert api.one("LogicVolume", "pvc-2")["spec"]["nodeName"] == "n2"
        if after == "back":
            api.objects[paths.node("n2")] = node("n2")
            fake = FakeNodes(
                inventory("n2", local_volume("volume-pvc-1")), inventory("n3"), inventory("n4")
            )
        else:
            del api.objects[paths.node("n2")]
        ctx = context(api, fake)
        for _ in range(2):
            resume(ctx)
            rebuild_node(ctx, "n2")
        check_rebuilt(api, fake)
        on = {api.one("LogicVolume", name)["spec"]["nodeName"] for name in VOLUMES}
        assert on == {"n2"} if after == "back" else len(on) == 1 and on <= {"n3", "n4"}


def test_a_pod_of_the_first_node_is_evicted_before_the_second_becomes_the_source():
    """The PV was made for n2, its pod still hangs on n1, n2 goes: with n2 as source no step would
    look at n1 again.
    """
    api = FakeApi(
        node("n1", ready="Unknown", since=NOW - 400),
        node("n3"),
        node("n4"),
        node("n5"),
        logic_volume("pvc-1", "n2", journal=journal(), status=""),
        pv("pvc-1", "n2"),
        claim(),
        pod("web-0", "pvc-1", on="n1", annotated=True),
    )
    fake = nodes("n3", "n4", "n5")
    resume(context(api, fake))
    assert not any(key.endswith("/pods/web-0") for key in api.objects)
    resume(context(api, fake))
    check_rebuilt(api, fake, ("pvc-1",))


def test_a_volume_that_was_written_to_meanwhile_is_not_planned_again():
    """Another worker made the PV for the target between the look and the plan: what may not leave
    stays.
    """
    api = halfway(None, second="n1")
    ctx = context(api, nodes("n3", "n4"))
    logic_volume = ctx.cluster.logic_volume("pvc-2")
    need = NeedsTarget(logic_volume, logic_volume.journal, "n2 is silent")
    api.objects[paths.persistent_volume("pvc-2")] = pv("pvc-2", "n2")
    (result,) = replan(ctx, "n2", [need])
    assert result.outcome == "unfinished"
    assert "annotated" in result.reason
    ((_, path, body),) = api.log
    assert path == paths.logic_volume("pvc-2")
    assert body.keys() == {"metadata"}
    assert "annotated" in body["metadata"]["annotations"][well_known.PROGRESS]


FULL = LvResults("n2", (done("pvc-1", "failed", reason="no space"),))


@pytest.mark.parametrize(
    ("answer", "ready", "again"),
    [
        (FULL, ("n2", "n3"), True),
        (NodeSilent("x"), ("n2",), True),
        (FULL, ("n2",), False),
        (NodeFailed("x"), ("n2",), False),
    ],
)
def test_what_can_go_on_at_once_says_so(answer, ready, again):
    """Planned again, or a node that fell silent: at once. No other place, or a task that failed:
    with the schedule.
    """
    api, fake = (
        deleted(names=("pvc-1",), ready=ready),
        FakeNodes(inventory("n2", free=500), inventory("n3", free=400)),
    )
    if "n3" in ready:
        # It holds a volume, so n2 is the first choice.
        api.objects[paths.logic_volume("other")] = logic_volume("other", "n3")
    fake.broken = {("n2", "carina.volume.create"): answer}
    (result,) = rebuild_node(context(api, fake), "n1").volumes
    assert (result.outcome, result.again) == ("unfinished", again)


def test_every_outcome_is_counted():
    """Rebuilt where the journal goes, all others where the failover ends; unfinished is none."""

    def counts():
        return {
            o: metrics.VOLUMES.labels(o)._value.get()
            for o in ("rebuilt", "no-fit", "skipped", "refused", "unfinished")
        }

    before = counts()
    api = deleted(
        logic_volume("big", size="900Gi"),
        pv("big", size="900Gi"),
        claim("big"),
        logic_volume("raw", manage="raw"),
        logic_volume("forged", "n2", journal=journal("forged", manifest={"spec": 1})),
    )
    rebuild_node(context(api, nodes()), "n1")
    resume(context(api, nodes()))
    after = counts()
    assert {o: after[o] - before[o] for o in after} == {
        "rebuilt": 2,
        "no-fit": 1,
        "skipped": 1,
        "refused": 1,
        "unfinished": 0,
    }


def test_a_stale_copy_on_the_target_is_named_by_uuid():
    """An LV of the wanted name that stood there before the plan is named in the request, so that it
    is not adopted.
    """
    api = deleted(names=("pvc-1",), ready=("n2",))
    fake = FakeNodes(inventory("n2", local_volume("volume-pvc-1", size=3 * GIB)))
    rebuild_node(context(api, fake), "n1")
    request = next(r for _, task, r in fake.asked if task == "carina.volume.create")
    assert request.volumes[0].stale == local_volume().uuid


@pytest.mark.parametrize(
    ("trash", "old", "kept"), [("0", "86400", True), ("3600", "0", True), ("0", "0", False)]
)
def test_an_old_copy_on_the_target_is_put_aside_though_there_is_no_trash(trash, old, kept):
    """It holds what the volume had before an earlier failover: without its own retention it would
    be removed at once.
    """
    api = deleted(names=("pvc-1",), ready=("n2",))
    fake = FakeNodes(inventory("n2", local_volume("volume-pvc-1", size=3 * GIB)))
    rebuild_node(context(api, fake, trash_retention=trash, old_copy_retention=old), "n1")
    request = next(r for _, task, r in fake.asked if task == "carina.volume.create")
    assert bool(request.trash_at) is kept


def test_a_write_that_always_conflicts_ends():
    """Another client changes the object forever: it stops after so many steps, unfinished, not in
    an
    endless loop.
    """
    api = deleted(names=("pvc-1",))
    real = api.merge

    def conflict(path, body, **options):
        if path.endswith("/status"):
            raise ApiConflict("again")
        return real(path, body, **options)

    api.merge = conflict
    result = rebuild_node(context(api, nodes()), "n1").volumes[0]
    assert result.outcome == "unfinished"
    assert "keeps changing" in result.reason


def test_a_node_makes_no_lv_of_a_plan_for_another_node():
    """Another worker planned the volume again since its target was read: n3 is not asked, and n3's
    answer would prove nothing of n2.
    """
    api = FakeApi(
        node("n2"), node("n3"), logic_volume(on="n2", journal=journal(target="n2")), pv(), claim()
    )
    fake = nodes("n2", "n3")
    (result,) = advance_all(context(api, fake), {"pvc-1": "n3"})
    assert (result.outcome, result.again, result.reason) == ("unfinished", True, REPLANNED)
    assert fake.asked == []


def test_an_answer_of_an_earlier_plan_counts_no_more():
    """n2 has made its LV when another worker plans the volume again for n3: the PV is not replaced
    on the word of n2.
    """
    api = FakeApi(
        node("n2"), node("n3"), logic_volume(on="n2", journal=journal(target="n2")), pv(), claim()
    )
    fake = nodes("n2", "n3")
    ask = fake.ask

    def ask_and_replan(*arguments, **more):
        answer = ask(*arguments, **more)
        again = structs.replace(journal(target="n3"), intent="11111111-1111-4111-8111-111111111111")
        stored = api.objects[paths.logic_volume("pvc-1")]
        stored["metadata"]["annotations"][well_known.JOURNAL] = again.to_json()
        stored["spec"]["nodeName"] = "n3"
        return answer

    fake.ask = ask_and_replan
    before = api.one("PersistentVolume", "pvc-1")["metadata"]["uid"]
    (result,) = advance_all(context(api, fake), {"pvc-1": "n2"})
    assert (result.outcome, result.reason) == ("unfinished", REPLANNED)
    assert api.one("PersistentVolume", "pvc-1")["metadata"]["uid"] == before
