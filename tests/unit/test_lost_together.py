"""Nodes that are lost at the same moment: one confirmation, one look, one plan."""

import contextlib
import types
from collections import Counter

import pytest

from carina_tasks.errors import ApiUnavailable
from carina_tasks.flows.failover import lost_node
from carina_tasks.flows.failover.loss import confirm_absences
from carina_tasks.flows.failover.lost_node import migrate_node, rebuild_node
from carina_tasks.flows.failover.lost_together import LEAD
from carina_tasks.flows.failover.results import FailoverResult
from carina_tasks.flows.failover.resume import resume
from carina_tasks.kube import paths
from carina_tasks.kube.cluster import Cluster
from carina_tasks.model import maintenance, well_known
from carina_tasks.store.lock import HeldLock
from tests.builders.flow import FakeApi, FakeNodes, context
from tests.builders.kubernetes import (
    LONG_AGO,
    NOW,
    claim,
    inventory,
    journal,
    logic_volume,
    node,
    pod,
    pv,
)

LIVING = ("n4", "n5", "n6", "n7", "n8")


def volumes(where, *names, annotated=None):
    """Make the objects of volumes on a node, each with its pod."""
    made = []
    for name in names:
        made += [logic_volume(name, where), pv(name, where), claim(name)]
        made.append(pod(f"pod-{name}", name, on=where, annotated=annotated))
    return made


def rack(*more, lost=("n1", "n2", "n3")):
    """Make a cluster whose nodes `lost` were deleted, with two volumes of each."""
    parts = [one for name in lost for one in volumes(name, f"{name}-a", f"{name}-b")]
    return FakeApi(*map(node, LIVING), *parts, *more)


def living():
    """Make nodes that answer."""
    return FakeNodes(*map(inventory, LIVING))


def state(**data):
    """Make the operator's ConfigMap."""
    meta = {"name": well_known.STATE_CONFIG_MAP, "namespace": "kube-system"}
    return {"kind": "ConfigMap", "metadata": meta, "data": data}


def with_locks(ctx, taken):
    """Let the context hold real locks; those in `taken` are another worker's."""
    held = []

    @contextlib.contextmanager
    def lock(name):
        free = name not in taken and name not in held
        if free:
            held.append(name)
        try:
            yield HeldLock(None) if free else None
        finally:
            if free:
                held.remove(name)

    object.__setattr__(ctx, "lock", lock)
    return ctx


def sources(result):
    """Return how many volumes of each node are rebuilt."""
    return Counter(v.source for v in result.volumes if v.outcome == "rebuilt")


def test_a_message_about_one_node_brings_all_that_are_deleted():
    """Three nodes are gone and one message came: all six volumes are rebuilt, the confirmation is
    waited for once, every node is asked once for its inventory, and pods are read as for one.
    """
    api, fake = rack(), living()
    ctx = context(api, fake)
    result = rebuild_node(ctx, "n2")
    assert (result.node, result.outcome, result.along) == ("n2", "done", ("n1", "n3"))
    assert sources(result) == {"n1": 2, "n2": 2, "n3": 2}
    assert ctx.monotonic() < ctx.settings.confirm_absence + 1
    asked = Counter(name for name, task, _ in fake.asked if task == "carina.node.inventory")
    assert asked == dict.fromkeys(LIVING, 1)
    alone = rack(lost=("n2",))
    rebuild_node(context(alone, living()), "n2")
    assert api.reads.count(paths.PODS) == alone.reads.count(paths.PODS)
    for name in ("n1", "n2", "n3"):
        assert {"n4", "n5", "n6", "n7", "n8"} > {
            v.target for v in result.volumes if v.source == name
        }


def test_whether_all_is_stopped_is_asked_once_for_all_of_them():
    """A round of one target reads the operator's state once, however many nodes were lost."""
    lost = [f"n1{number}" for number in range(8)]
    reads = {}
    for number in (2, 8):
        api = rack(lost=tuple(lost[:number]))
        fakes = FakeNodes(inventory("n4", free=900))
        rebuild_node(context(api, fakes, mass_failure_share="0.9"), lost[0])
        path = paths.config_map("kube-system", well_known.STATE_CONFIG_MAP)
        reads[number] = api.reads.count(path)
    # What is read for each node is asked before it is confirmed.
    assert reads[8] - reads[2] <= 8 - 2


def test_each_lost_node_has_its_own_journals_and_events():
    """The journal, the reason and the Events of each volume name the node that it left."""
    api, fake = rack(), living()
    written = {}

    def seen(verb, path):
        raw = api.objects.get(path, {})
        text = raw.get("metadata", {}).get("annotations", {}).get(well_known.JOURNAL)
        if text:
            written.setdefault(raw["metadata"]["name"], text)

    api.on_write = seen
    result = rebuild_node(context(api, fake), "n1")
    assert {name: f'"source":"{name[:2]}"' in text for name, text in written.items()} == {
        v.volume: True for v in result.volumes
    }
    summed = [e for e in api.events if e["reason"] == "VolumesRebuiltElsewhere"]
    assert {e["involvedObject"]["name"] for e in summed} == {"n1", "n2", "n3"}


def test_every_journal_of_all_nodes_is_written_before_the_first_volume_is_touched():
    """Planned in one go, they share what room there is: no PersistentVolume is deleted before the
    last journal stands.
    """
    api = rack()
    rebuild_node(context(api, living()), "n1")
    deletions = [
        number
        for number, (verb, path, _) in enumerate(api.log)
        if verb == "delete" and path.startswith(paths.PERSISTENT_VOLUMES)
    ]
    journals = [
        number
        for number, (_, _, body) in enumerate(api.log)
        if (body.get("metadata") or {}).get("annotations", {}).get(well_known.JOURNAL)
    ]
    assert journals[5] < deletions[0]


def test_a_second_message_finds_that_somebody_is_at_it():
    """While another worker confirms, or is at the node, a message about it ends at once: it waits
    for nothing and reads no list of pods.
    """
    for taken in ({LEAD}, {"failover.n1", "failover.n2", "failover.n3"}):
        api, fake = rack(), living()
        result = rebuild_node(with_locks(context(api, fake), taken), "n1")
        assert (result.outcome, result.reason) == ("refused", "another worker is at it")
        assert (api.log, fake.asked, paths.PODS in api.reads) == ([], [], False)


def test_a_node_at_which_another_worker_is_stays_with_that():
    """The others are failed over."""
    api = rack()
    result = rebuild_node(with_locks(context(api, living()), {"failover.n2"}), "n1")
    assert sources(result) == {"n1": 2, "n3": 2}
    assert result.along == ("n3",)


def test_a_node_that_comes_back_meanwhile_or_is_in_maintenance_is_left_out():
    """n2 registers again in the confirmation, n3's absence is announced: only n1 is failed over."""
    entry = maintenance.new("n3", NOW, 600, "disks")
    api = rack(state(**{entry.key: entry.to_json()}))
    ctx = context(api, living())
    sleep = ctx.sleep

    def back(seconds):
        sleep(seconds)
        if ctx.monotonic() == 4:
            api.objects[paths.node("n2")] = node("n2", uid="uid-new")

    object.__setattr__(ctx, "sleep", back)
    result = rebuild_node(ctx, "n1")
    assert (sources(result), result.along) == ({"n1": 2}, ())


def test_the_node_of_the_message_may_be_the_one_that_is_not_lost():
    """n1 comes back in the last second; the others that were asked for with it are lost, and go."""
    api = rack()
    ctx = context(api, living())
    sleep = ctx.sleep

    def back(seconds):
        sleep(seconds)
        if ctx.monotonic() == 10:
            api.objects[paths.node("n1")] = node("n1", uid="uid-new")

    object.__setattr__(ctx, "sleep", back)
    result = rebuild_node(ctx, "n1")
    assert (result.node, result.outcome, result.along) == ("n1", "refused", ("n2", "n3"))
    assert "uid-new" in result.reason
    assert sources(result) == {"n2": 2, "n3": 2}


def test_too_many_at_once_stop_everything_but_what_is_approved():
    """Six of eleven are gone: nothing moves. With an approval of n1, n1 moves and the others do
    not.
    """
    lost = ("n1", "n2", "n3", "n9", "n10", "n11")
    api = rack(lost=lost)
    result = rebuild_node(context(api, living()), "n1")
    assert (result.outcome, "6 of 11 nodes are lost at once" in result.reason) == ("refused", True)
    api = rack(state(latched="too many", approved="n1"), lost=lost)
    result = rebuild_node(context(api, living()), "n1")
    assert (result.outcome, sources(result), result.along) == ("done", {"n1": 2}, ())


def test_only_what_the_guard_lets_go_is_failed_over(monkeypatch):
    """Two nodes are lost together, and the mass-failure guard allows the failover of one: the other
    is not planned.
    """
    planned = []

    def fail_over(ctx, snapshot, going):
        planned.extend(one.node for one in going)
        return FailoverResult("n1", "done", "why")

    monkeypatch.setattr(lost_node, "fail_over", fail_over)
    monkeypatch.setattr(lost_node, "check_mass_failure", lambda *_: frozenset({"n1"}))
    ctx = context(rack(lost=("n1", "n2")), living())
    both = [types.SimpleNamespace(node=name, kind="rebuild") for name in ("n1", "n2")]
    lost_node._fail_over_allowed(ctx, "n1", ctx.cluster.observe(), both, None)
    assert planned == ["n1"]


def test_stragglers_are_waited_for_for_two_seconds_and_no_longer():
    """Nodes that went one second later are confirmed with the first; one that went five seconds
    later has no verdict, and holds nobody up.
    """
    api, gone = FakeApi(node("n4")), {"n1"}
    ctx = context(api, living())

    def more():
        return frozenset(
            gone
            | ({"n2"} if ctx.monotonic() >= 1 else set())
            | ({"n3"} if ctx.monotonic() >= 5 else set())
        )

    verdicts = confirm_absences(ctx, {"n1"}, more)
    assert sorted(verdicts) == ["n1", "n2"]
    assert 11 <= ctx.monotonic() <= 12


def test_what_went_too_late_is_asked_for_by_the_worker_that_confirmed(monkeypatch):
    """n3 goes five seconds after the others, and its message finds that somebody is at it: the
    worker that confirmed asks for it, in place of the schedule half a minute later.
    """
    monkeypatch.setattr(Cluster, "is_watched", True)
    api, asked = rack(node("n3")), []
    ctx = context(api, living())
    sleep = ctx.sleep

    def goes(seconds):
        sleep(seconds)
        if ctx.monotonic() == 5:
            del api.objects[paths.node("n3")]

    object.__setattr__(ctx, "sleep", goes)
    object.__setattr__(ctx, "ask_for_rebuild", asked.append)
    result = rebuild_node(ctx, "n1")
    assert (sources(result), asked) == ({"n1": 2, "n2": 2}, ["n3"])


def test_an_error_about_one_node_concerns_that_node_alone():
    """Whether n2 exists cannot be read: n1 and n3 are failed over, and n2 is left."""
    api = rack()
    get = api.get

    def broken(path, query=None):
        if path == paths.node("n2"):
            raise ApiUnavailable("a hiccup")
        return get(path, query)

    api.get = broken
    result = rebuild_node(context(api, living()), "n1")
    assert sources(result) == {"n1": 2, "n3": 2}
    with pytest.raises(ApiUnavailable):
        rebuild_node(context(api, living()), "n2")


def test_not_ready_nodes_that_are_lost_by_now_go_together():
    """n1 and n2 have been NotReady for long, n3 for a second: annotated pods of both move in one
    plan, n3 waits.
    """
    parts = [one for n in ("n1", "n2", "n3") for one in volumes(n, f"{n}-a", annotated=True)]
    since = {"n1": NOW - LONG_AGO, "n2": NOW - LONG_AGO, "n3": NOW - 1}
    sick = [node(name, ready="Unknown", since=at) for name, at in since.items()]
    api, fake = FakeApi(*map(node, LIVING), *sick, *parts), living()
    result = migrate_node(context(api, fake), "n1")
    assert (sources(result), result.along) == ({"n1": 1, "n2": 1}, ("n2",))
    asked = Counter(name for name, task, _ in fake.asked if task == "carina.node.inventory")
    assert set(asked.values()) == {1}


def test_the_lost_targets_of_a_resume_are_confirmed_together():
    """Three volumes were on their way to three nodes that are deleted now: the confirmation is
    waited for once and not three times.
    """
    parts = []
    for number in (1, 2, 3):
        name, target = f"v{number}", f"n{number}"
        begun = journal(name, "n0", target)
        parts += [logic_volume(name, target, journal=begun), pv(name, "n0"), claim(name)]
    api = FakeApi(*map(node, LIVING), *parts)
    ctx = context(api, living())
    found = resume(ctx)
    assert ctx.monotonic() == ctx.settings.confirm_absence
    assert {v.target for v in found.volumes} <= set(LIVING)
