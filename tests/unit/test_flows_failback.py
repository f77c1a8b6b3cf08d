"""An old copy is the volume again: the same journal and steps as a rebuild, and an LV that exists
already.
"""

import json

import pytest
from click.testing import CliRunner

from carina_tasks.cli import failback as failback_command
from carina_tasks.errors import BadInput, NodeSilent, Paused
from carina_tasks.flows.failover.failback import failback
from carina_tasks.flows.failover.resume import resume
from carina_tasks.kube import paths
from carina_tasks.model import well_known
from carina_tasks.model.messages import LvResult, LvResults
from carina_tasks.model.quantity import GIB
from tests.builders.failback import LEFT, closed, failed_over
from tests.builders.flow import FakeApi, FakeNodes, Killed, context
from tests.builders.kubernetes import (
    NAME,
    VG,
    affinity,
    claim,
    inventory,
    local_volume,
    node,
    pod,
    pv,
)
from tests.builders.trash import lying

OLD, IN_USE = "oldold-bbbb-cccc-dddd-eeee-ffff-gggggg", "inuses-bbbb-cccc-dddd-eeee-ffff-gggggg"
OTHER = "others-bbbb-cccc-dddd-eeee-ffff-gggggg"


def failed_over_to_n2(*more, names=(NAME,), ready=("n1", "n2", "n3"), pods=True):
    """Make a cluster whose node n1 is back after its volumes were failed over to n2, with a pod for
    each.
    """
    parts = [node(name) for name in ready]
    for name in names:
        parts += [failed_over(LEFT, name=name), pv(name, "n2"), claim(name)]
        parts += [pod(f"pod-{name}", name, on="n2")] if pods else []
    return FakeApi(*parts, *more)


def both_copies(old=None, **in_use):
    """Make the two nodes' workers: the old copy on n1, the one in use on n2, open."""
    used = local_volume(**{"uuid": IN_USE, "is_open": True, **in_use})
    return FakeNodes(
        inventory("n1", old or closed(uuid=OLD)), inventory("n2", used), inventory("n3")
    )


def lv(fake, on, name=NAME):
    """Return the LV of that name on a node, None without one."""
    return fake.now[on].find(VG, f"volume-{name}")


def events(api):
    """Return the reasons of all Events."""
    return [event["reason"] for event in api.events]


def check_on_n1(api, fake, uuid=OLD):
    """Check that the volume is on n1 with its old copy, and that nothing of ours is left."""
    volume, new = api.one("LogicVolume", NAME), api.one("PersistentVolume", NAME)
    assert (volume["spec"]["nodeName"], volume["status"]["status"]) == ("n1", "Success")
    assert well_known.JOURNAL not in volume["metadata"]["annotations"]
    assert new["spec"]["nodeAffinity"] == affinity("n1")
    assert new["spec"]["persistentVolumeReclaimPolicy"] == "Delete"
    assert (lv(fake, "n1").uuid, lv(fake, "n1").active) == (uuid, True)
    assert api.one("PersistentVolumeClaim", f"claim-{NAME}")["metadata"]["annotations"] == {}
    # The other copy is where it was, and nothing was asked of it: the next failback undoes this
    # one.
    assert lv(fake, "n2").uuid == IN_USE
    past = json.loads(volume["metadata"]["annotations"][well_known.HISTORY])
    assert (past[-1]["kind"], past[-1]["from"], past[-1]["to"]) == ("failback", "n2", "n1")


@pytest.mark.parametrize(
    "old",
    [closed(uuid=OLD), lying(1, f"volume-{NAME}", uuid=OLD)],
    ids=["in place", "in the trash"],
)
def test_an_old_copy_is_the_volume_again(old):
    """From its place or from the trash: the same LV by its UUID, the PV replaced first, the pods
    with their grace period.
    """
    api, fake = failed_over_to_n2(), both_copies(old)
    seen = []
    api.on_write = lambda verb, path: seen.append((verb, path))
    result = failback(context(api, fake), "n1", [f"default/claim-{NAME}"], [NAME])
    assert (result.outcome, [v.outcome for v in result.volumes]) == ("done", ["failed-back"])
    check_on_n1(api, fake)
    assert "VolumeFailedBack" in events(api)
    assert "VolumeRebuiltEmpty" not in events(api)
    replaced, evicted = (
        ("create", paths.persistent_volume(NAME)),
        ("delete", paths.pod("default", f"pod-{NAME}")),
    )
    assert seen.index(replaced) < seen.index(evicted)
    assert [body["grace"] for verb, path, body in api.log if (verb, path) == evicted] == [None]


def test_a_machine_that_was_renamed_is_no_exception():
    """The disks of n1 are in n9 now: the LV's UUID identifies the copy, and the volume moves
    to n9.
    """
    api = failed_over_to_n2(ready=("n9", "n2", "n3"))
    fake = FakeNodes(
        inventory("n9", lying(1, f"volume-{NAME}", uuid=OLD)),
        inventory("n2", local_volume(uuid=IN_USE)),
    )
    assert failback(context(api, fake), "n9", [OLD], [NAME]).outcome == "done"
    assert lv(fake, "n9").uuid == OLD
    assert api.one("LogicVolume", NAME)["spec"]["nodeName"] == "n9"


def test_a_failback_is_undone_by_another():
    """What was in use is an old copy now, and comes back as it was."""
    api, fake = failed_over_to_n2(pods=False), both_copies(is_open=False)
    assert failback(context(api, fake), "n1", [], [NAME]).outcome == "done"
    assert failback(context(api, fake), "n2", [], [NAME]).outcome == "done"
    assert (lv(fake, "n2").uuid, lv(fake, "n1").uuid) == (IN_USE, OLD)
    assert api.one("PersistentVolume", NAME)["spec"]["nodeAffinity"] == affinity("n2")


@pytest.mark.parametrize("confirmed", [[], ["pvc-2"], [f"default/claim-{NAME}"]])
def test_nothing_happens_until_the_name_of_each_volume_confirms_it(confirmed):
    """The refusal shows the age of both copies and the name to pass."""
    api, fake = failed_over_to_n2(), both_copies()
    result = failback(context(api, fake), "n1", [], confirmed)
    assert result.outcome == "refused"
    assert f"confirm with {NAME}" in result.reason
    assert "has data until 2026-01-02T03:04:05Z" in result.reason
    assert (api.writes(), fake.tasks()) == ([], [])


def _cordoned():
    return failed_over_to_n2(ready=("n2", "n3")), node("n1", unschedulable=True)


REFUSED = {
    "it is open": lambda: (failed_over_to_n2(), both_copies(closed(uuid=OLD, is_open=True))),
    "kubectl uncordon n1": lambda: (
        failed_over_to_n2(node("n1", unschedulable=True), ready=("n2", "n3")),
        both_copies(),
    ),
    "which LV is in use on n2 is unknown": lambda: (
        failed_over_to_n2(),
        FakeNodes(inventory("n1", closed(uuid=OLD)), inventory("n3")),
    ),
    "a pod may still write there": lambda: (
        failed_over_to_n2(node("n2", ready="Unknown"), ready=("n1", "n3")),
        both_copies(),
    ),
    "1Gi to extend it": lambda: (
        failed_over_to_n2(),
        FakeNodes(
            inventory("n1", closed(uuid=OLD, size=3 * GIB), free=11),
            inventory("n2", local_volume(uuid=IN_USE)),
        ),
    ),
    "node(s) didn't match Pod's node affinity/selector": lambda: (
        failed_over_to_n2(pod("picky", NAME, on="n2", annotations={}), pods=False),
        both_copies(),
    ),
}


@pytest.mark.parametrize("why", REFUSED)
def test_what_cannot_be_is_refused_before_anything_is_written(why):
    """Each condition alone, and its reason reports what would help."""
    api, fake = REFUSED[why]()
    if "affinity" in why:
        api.one("Pod", "picky")["spec"]["nodeSelector"] = {well_known.HOSTNAME: "n2"}
    result = failback(context(api, fake), "n1", [NAME], [NAME])
    assert (result.outcome in ("refused", "unfinished"), [v.outcome for v in result.volumes]) == (
        True,
        ["refused"],
    )
    assert why in result.volumes[0].reason
    assert (api.writes(), fake.tasks()) == ([], [])


def test_a_name_that_fits_nothing_or_two_copies_is_bad_input():
    """The operator names one LV, by its UUID if need be."""
    api = failed_over_to_n2()
    fake = FakeNodes(inventory("n1", closed(uuid=OLD), lying(1, f"volume-{NAME}")), inventory("n2"))
    with pytest.raises(BadInput, match="2 old copies"):
        failback(context(api, fake), "n1", [NAME], [NAME])
    with pytest.raises(BadInput, match="holds no old copy of pvc-9"):
        failback(context(api, fake), "n1", ["pvc-9"], ["pvc-9"])
    with pytest.raises(NodeSilent):
        failback(context(api, FakeNodes()), "n1", [], [])
    assert failback(context(api, both_copies()), "n3", [], []).reason == "node n3 holds no old copy"


def test_a_pause_stops_it():
    """A pause of everything includes this."""
    api, fake = failed_over_to_n2(), both_copies()
    ctx = context(api, fake)
    ctx.state.write(paused="true")
    result = failback(ctx, "n1", [], [NAME])
    assert result.outcome == "refused"
    with pytest.raises(Paused):
        ctx.check_pause()


def test_a_node_that_was_approved_alone_is_no_excuse():
    """After a mass failure everything else is stopped, and the volumes would leave a node that was
    not approved.
    """
    api, fake = failed_over_to_n2(), both_copies()
    ctx = context(api, fake)
    ctx.state.write(latched="2 of 3 nodes are lost", approved="n1")
    assert failback(ctx, "n1", [], [NAME]).outcome == "refused"
    assert fake.tasks() == []


def count_writes():
    """Return how many writes a failback takes."""
    api = failed_over_to_n2()
    failback(context(api, both_copies()), "n1", [], [NAME])
    return len(api.log)


@pytest.mark.parametrize("after", [False, True])
def test_killed_at_any_write_another_process_ends_it(after):
    """Die before or after each single write: resume completes it from the journal, or nothing has
    begun.
    """
    for number in range(count_writes()):
        api, fake = failed_over_to_n2(), both_copies()
        api.kill_at, api.kill_after = number, after
        with pytest.raises(Killed):
            failback(context(api, fake), "n1", [], [NAME])
        api.kill_at = None
        resume(context(api, fake))
        if (number, after) == (0, False):
            failback(context(api, fake), "n1", [], [NAME])
        check_on_n1(api, fake)


def refuses(fake, on, reason="the old copy is gone", *, name=NAME, transient=False):
    """Let the node refuse to restore the LV of `name`."""
    said = LvResults(
        node=on, volumes=(LvResult(VG, f"volume-{name}", "failed", reason, transient=transient),)
    )
    fake.broken[on, "carina.volume.create"] = said


@pytest.mark.parametrize("missing", [False, True], ids=["in use", "its LV was missing"])
def test_a_copy_that_cannot_be_restored_leaves_the_volume_where_it_is(missing):
    """Given up: the LV that was in use stays the volume, with its policy and status, and no part of
    it is in the history.
    """
    api, fake = failed_over_to_n2(), both_copies()
    if missing:
        fake.now["n2"] = inventory("n2")
    before = api.one("PersistentVolume", NAME)["metadata"]["uid"]
    refuses(fake, "n1")
    result = failback(context(api, fake), "n1", [], [NAME])
    assert (result.outcome, result.volumes[0].again) == ("unfinished", True)
    assert "was given up" in result.volumes[0].reason
    (ended,) = resume(context(api, fake)).volumes
    assert ended.outcome == "given-up"
    volume, kept = api.one("LogicVolume", NAME), api.one("PersistentVolume", NAME)
    assert (volume["spec"]["nodeName"], volume["status"]["status"]) == ("n2", "Success")
    assert (kept["metadata"]["uid"], kept["spec"]["persistentVolumeReclaimPolicy"]) == (
        before,
        "Delete",
    )
    assert well_known.RETAINED not in kept["metadata"]["annotations"]
    assert len(json.loads(volume["metadata"]["annotations"][well_known.HISTORY])) == 1
    assert paths.pod("default", f"pod-{NAME}") in api.objects
    assert "FailbackGivenUp" in events(api)
    assert lv(fake, "n2") is None if missing else lv(fake, "n2").uuid == IN_USE


def test_a_failback_that_is_given_up_ends_although_the_lv_in_use_is_gone_too():
    """An administrator removed both copies: the volume is where it was, and the sweep reports that
    its LV is missing.
    """
    api, fake = failed_over_to_n2(), both_copies()
    refuses(fake, "n1")
    failback(context(api, fake), "n1", [], [NAME])
    fake.now["n2"] = inventory("n2")
    assert [v.outcome for v in resume(context(api, fake)).volumes] == ["given-up"]
    volume = api.one("LogicVolume", NAME)
    assert (volume["spec"]["nodeName"], volume["status"]["status"]) == ("n2", "Success")
    assert lv(fake, "n2") is None


def test_a_copy_that_cannot_be_restored_right_now_is_waited_for():
    """A pvmove ends: nothing is given up, and the PV still names the node that has the data."""
    api, fake = failed_over_to_n2(), both_copies()
    refuses(fake, "n1", "it is locked, as during a pvmove", transient=True)
    assert failback(context(api, fake), "n1", [], [NAME]).outcome == "unfinished"
    assert api.one("PersistentVolume", NAME)["spec"]["nodeAffinity"] == affinity("n2")
    fake.broken.clear()
    resume(context(api, fake))
    check_on_n1(api, fake)


def test_an_answer_about_another_lv_is_not_believed():
    """The node answers that it restored it, with another UUID: nothing is replaced."""
    api, fake = failed_over_to_n2(), both_copies()
    said = LvResult(VG, f"volume-{NAME}", "restored", uuid=OTHER, size=5 * GIB, major=252, minor=1)
    fake.broken["n1", "carina.volume.create"] = LvResults(node="n1", volumes=(said,))
    (volume,) = failback(context(api, fake), "n1", [], [NAME]).volumes
    assert OTHER in volume.reason
    assert api.one("PersistentVolume", NAME)["spec"]["nodeAffinity"] == affinity("n2")


def test_a_smaller_copy_is_extended_and_the_kubelet_is_made_to_expand_its_file_system():
    """The claim's status reports what the old file system holds, once: a kubelet expands it as it
    mounts it.
    """
    api = failed_over_to_n2()
    api.one("PersistentVolumeClaim", f"claim-{NAME}")["status"]["capacity"] = {"storage": "5Gi"}
    fake = both_copies(closed(uuid=OLD, size=3 * GIB))
    assert failback(context(api, fake), "n1", [], [NAME]).outcome == "done"
    check_on_n1(api, fake)
    assert lv(fake, "n1").size == 5 * GIB
    status = f"{paths.claim('default', f'claim-{NAME}')}/status"
    told = [
        body["status"]["capacity"]
        for verb, path, body in api.log
        if (verb, path) == ("merge", status)
    ]
    assert told == [{"storage": "3Gi"}]


def test_a_pod_on_a_node_that_is_lost_meanwhile_is_not_ended_by_force():
    """Nothing proves that it has stopped: it gets its grace period, which its kubelet or the pod
    garbage collector ends.
    """
    api, fake = failed_over_to_n2(), both_copies()

    def lose(verb, path):
        if verb == "create" and path == paths.persistent_volume(NAME):
            api.one("Node", "n2")["status"]["conditions"][0]["status"] = "Unknown"

    api.on_write = lose
    assert failback(context(api, fake), "n1", [], [NAME]).outcome == "done"
    assert [
        body["grace"] for verb, path, body in api.log if verb == "delete" and "/pods/" in path
    ] == [None]


SHARED = ("pvc-1", "pvc-2")


def shared_pod(*, second=True):
    """Make two volumes of one pod on n2, with old copies of both (or of the first alone) on n1."""
    api = failed_over_to_n2(pod("both", *SHARED, on="n2"), names=SHARED, pods=False)
    old = [closed(name="volume-pvc-1", uuid=OLD)] + (
        [closed(name="volume-pvc-2", uuid=OTHER)] if second else []
    )
    used = [
        local_volume(f"volume-{name}", uuid=f"used{n}s-bbbb-cccc-dddd-eeee-ffff-gggggg")
        for n, name in enumerate(SHARED)
    ]
    return api, FakeNodes(inventory("n1", *old), inventory("n2", *used), inventory("n3"))


def test_the_volumes_of_one_pod_go_together_or_not_at_all():
    """With one old copy only, the pod could run nowhere; with both, both are the volumes again."""
    api, fake = shared_pod(second=False)
    (volume,) = failback(context(api, fake), "n1", [], list(SHARED)).volumes
    assert (volume.outcome, "stays on n2" in volume.reason) == ("refused", True)
    assert api.writes() == []
    api, fake = shared_pod()
    assert failback(context(api, fake), "n1", [], list(SHARED)).outcome == "done"
    assert [api.one("LogicVolume", name)["spec"]["nodeName"] for name in SHARED] == ["n1", "n1"]


def test_one_copy_that_cannot_be_restored_gives_up_the_other_of_its_pod():
    """Neither PV is replaced before both LVs are restored."""
    api, fake = shared_pod()
    fake.now["n1"] = inventory("n1", closed(name="volume-pvc-1", uuid=OLD))
    told = LvResult(VG, "volume-pvc-2", "failed", "the old copy is gone")
    good = LvResult(VG, "volume-pvc-1", "restored", uuid=OLD, size=5 * GIB, major=252, minor=1)
    fake.now["n1"] = inventory(
        "n1", closed(name="volume-pvc-1", uuid=OLD), closed(name="volume-pvc-2", uuid=OTHER)
    )
    fake.broken["n1", "carina.volume.create"] = LvResults(node="n1", volumes=(good, told))
    result = failback(context(api, fake), "n1", [], list(SHARED))
    assert {v.outcome for v in result.volumes} == {"unfinished"}
    assert {v.outcome for v in resume(context(api, fake)).volumes} == {"given-up"}
    assert {api.one("LogicVolume", name)["spec"]["nodeName"] for name in SHARED} == {"n2"}
    assert not [path for verb, path, _ in api.log if verb == "delete"]


def test_a_failback_that_died_between_two_journals_is_given_up():
    """The other volume of the pod has no journal: the pod needs both on one node, so the first
    stays too.
    """
    api, fake = shared_pod()
    api.kill_at, api.kill_after = 0, True
    with pytest.raises(Killed):
        failback(context(api, fake), "n1", [], list(SHARED))
    api.kill_at = None
    assert well_known.JOURNAL in api.one("LogicVolume", "pvc-1")["metadata"]["annotations"]
    for _ in range(2):
        resume(context(api, fake))
    for name in SHARED:
        volume = api.one("LogicVolume", name)
        assert (volume["spec"]["nodeName"], volume["status"]["status"]) == ("n2", "Success")
        assert well_known.JOURNAL not in volume["metadata"]["annotations"]


def test_a_volume_whose_other_was_given_up_meanwhile_is_given_up():
    """Without a broker there are no locks: another worker gave the first up while this one wrote
    the second journal.
    """
    api, fake = shared_pod()
    before = {}

    def meddle(verb, path):
        if (verb, path) == ("merge", paths.logic_volume("pvc-1")) and not before:
            before["pvc-1"] = None
        elif (verb, path) == ("merge", paths.logic_volume("pvc-2")) and before:
            api.on_write = lambda verb, path: None
            resume(context(api, fake))
            resume(context(api, fake))

    api.on_write = meddle
    failback(context(api, fake), "n1", [], list(SHARED))
    for _ in range(2):
        resume(context(api, fake))
    assert {api.one("LogicVolume", name)["spec"]["nodeName"] for name in SHARED} == {"n2"}


def test_a_target_that_is_lost_after_the_replacement_loses_a_volume_like_any_other():
    """Its journal becomes that of a rebuild: new and empty elsewhere, and neither copy is
    touched.
    """
    api, fake = failed_over_to_n2(), both_copies()
    ctx = context(api, fake)
    api.kill_at = next(
        n
        for n, (verb, path, _) in enumerate(_log_of_one())
        if verb == "delete" and "/pods/" in path
    )
    with pytest.raises(Killed):
        failback(ctx, "n1", [], [NAME])
    api.kill_at = None
    del api.objects[paths.node("n1")]
    for _ in range(3):
        resume(context(api, fake))
    volume = api.one("LogicVolume", NAME)
    assert (
        volume["spec"]["nodeName"],
        well_known.JOURNAL in volume["metadata"]["annotations"],
    ) == ("n3", False)
    assert "VolumeRebuiltEmpty" in events(api)
    assert lv(fake, "n2").uuid == IN_USE


def _log_of_one():
    api = failed_over_to_n2()
    failback(context(api, both_copies()), "n1", [], [NAME])
    return api.log


def test_the_command_asks_for_a_confirmation_and_ends_with_one_without(monkeypatch):
    """Exit code 1 with what to pass, 0 when done, 2 for a name that fits nothing."""
    api, fake = failed_over_to_n2(), both_copies()
    monkeypatch.setattr(failback_command, "context", lambda: context(api, fake))
    asked = CliRunner().invoke(failback_command.command, ["n1"])
    assert (asked.exit_code, f"confirm with {NAME}" in asked.output) == (1, True)
    assert CliRunner().invoke(failback_command.command, ["n1", "pvc-9"]).exit_code == 2
    done = CliRunner().invoke(failback_command.command, ["n1", NAME, "--confirm", NAME])
    assert (done.exit_code, "failed-back" in done.output) == (0, True), done.output
