"""The two sweeps on hand-made fakes: mark before remove, ask once more before anything goes."""

import threading

import pytest
from prometheus_client import REGISTRY

from carina_tasks.errors import (
    ApiConflict,
    ApiDenied,
    ApiUnavailable,
    MassFailure,
    NodeFailed,
    NodeSilent,
    Paused,
)
from carina_tasks.flows.sweeps.local_volumes import sweep_local_volumes
from carina_tasks.flows.sweeps.logic_volumes import sweep_logic_volumes
from carina_tasks.flows.sweeps.results import KeptVolumes, MissingVolume, Swept, SweptNode
from carina_tasks.flows.sweeps.trash import list_trash
from carina_tasks.kube import paths
from carina_tasks.model import names, well_known
from carina_tasks.model.local import Inventory
from tests.builders.flow import FakeApi, FakeNodes, context
from tests.builders.kubernetes import (
    NOW,
    at,
    claim,
    inventory,
    journal,
    local_volume,
    logic_volume,
    node,
    pv,
)

MARK, REMOVE = "carina.volume.mark", "carina.volume.remove"


def uuid(number):
    """Make an LV's UUID."""
    return f"{number:06}-bbbb-cccc-dddd-eeee-ffff-gggggg"


def orphans(count, marked=None):
    """Make so many orphans."""
    return [local_volume(f"volume-gone-{i}", uuid=uuid(i), marked=marked) for i in range(count)]


def sweep(api, fake, confirm=None, **settings):
    """Sweep local volumes; return what became of n1."""
    result = sweep_local_volumes(context(api, fake, **settings), confirm)
    return next(n for n in result.nodes if n.node == "n1")


def test_the_first_sweep_marks_and_a_later_one_removes():
    """An unmarked orphan, however old, is only marked; it goes when the mark is old enough, by VG,
    name and UUID.
    """
    fake = FakeNodes(inventory("n1", *orphans(1)))
    first = sweep(FakeApi(node("n1")), fake)
    assert (first.marked, first.removed) == (("carina-vg-hdd/volume-gone-0",), ())
    assert fake.tasks() == [MARK]
    again = sweep(FakeApi(node("n1")), fake)
    assert (again.marked, again.removed) == ((), ())
    assert fake.tasks() == [MARK]
    fake = FakeNodes(inventory("n1", *orphans(1, marked=400)))
    api = FakeApi(node("n1"))
    later = sweep(api, fake)
    assert (later.trashed, later.removed) == (("carina-vg-hdd/volume-gone-0",), ())
    request = next(r for _, task, r in fake.asked if task == REMOVE)
    assert (request.volumes[0].uuid, request.marked_before, request.trash_at) == (
        uuid(0),
        int(NOW - 400),
        int(NOW),
    )
    assert request.volumes[0].why.startswith("it_has_neither_LogicVolume_nor_PersistentVolume")
    assert [e["reason"] for e in api.events] == ["OrphanTrashed"]
    assert [v.trashed.name for v in fake.now["n1"].volumes] == ["volume-gone-0"]


def test_without_a_trash_it_is_removed_at_once():
    """Retention 0: removed permanently by the same sweep, and said so."""
    api, fake = FakeApi(node("n1")), FakeNodes(inventory("n1", *orphans(1, marked=400)))
    result = sweep(api, fake, trash_retention="0")
    assert (result.trashed, result.removed) == ((), ("carina-vg-hdd/volume-gone-0",))
    assert [e["reason"] for e in api.events] == ["OrphanRemoved"]
    assert fake.now["n1"].volumes == ()


def lying(age, name="volume-pvc-1"):
    """Make a volume that was put into the trash `age` seconds ago."""
    tags = (
        f"{well_known.TAG_TRASH_NAME}{name}",
        f"{well_known.TAG_TRASH_AT}{int(NOW - age)}",
        f"{well_known.TAG_TRASH_WHY}test",
    )
    return local_volume(f"trash-{uuid(7)}", uuid=uuid(7), tags=tags, active=False)


def test_the_trash_is_purged_by_the_sweep_after_its_time():
    """Not before; by VG, name and UUID; and it is said."""
    api, fake = FakeApi(node("n1")), FakeNodes(inventory("n1", lying(3500)))
    assert sweep(api, fake).purged == ()
    fake = FakeNodes(inventory("n1", lying(3700)))
    assert sweep(api, fake).purged == (f"carina-vg-hdd/trash-{uuid(7)}",)
    assert fake.now["n1"].volumes == ()
    assert [e["reason"] for e in api.events] == ["TrashPurged"]


def test_what_the_cluster_expects_is_not_purged_and_a_person_is_told():
    """The LogicVolume is there again and names this node: kept, with the command that brings it
    back.
    """
    api, fake = FakeApi(node("n1"), logic_volume(), pv()), FakeNodes(inventory("n1", lying(3700)))
    assert sweep(api, fake).purged == ()
    said = [e["message"] for e in api.events if e["reason"] == "WantedFromTrash"]
    assert len(said) == 1
    assert f"carina restore n1 trash-{uuid(7)}" in said[0]


def fail(api, where, *, away=False, error=None):
    """Let the read of `where` fail by chance; `away`: the API server's clock cannot be asked for
    either.
    """
    real, read = api.get, api.read

    def get(path, query=None):
        if path == where:
            raise error or ApiUnavailable("by chance")
        return real(path)

    def clock(path):
        if away and path == "/version":
            raise ApiUnavailable("by chance")
        return read(path)

    api.get, api.read = get, clock


def test_an_error_is_never_a_reason_to_purge():
    """The API server answers the question by name with an error, or answers nothing any more:
    nothing is purged.
    """
    for away in (False, True):
        api, fake = FakeApi(node("n1")), FakeNodes(inventory("n1", lying(3700)))
        fail(api, paths.persistent_volume("pvc-1"), away=away)
        swept = sweep(api, fake)
        assert swept.outcome == ("failed" if away else "swept")
        assert "by chance" in (swept.reason if away else swept.failed[0])
        assert fake.tasks() == []


def test_a_volume_with_its_logic_volume_is_never_asked_about():
    """One to one: nothing is written on the node."""
    fake = FakeNodes(inventory("n1", local_volume()))
    assert sweep(FakeApi(node("n1"), logic_volume(), pv()), fake).kept == 1
    assert fake.tasks() == []


def test_a_mark_is_taken_off_when_the_volume_is_wanted_again():
    """Its LogicVolume is there again: unmarked."""
    fake = FakeNodes(inventory("n1", local_volume(marked=9999)))
    assert sweep(FakeApi(node("n1"), logic_volume(), pv()), fake).unmarked == (
        "carina-vg-hdd/volume-pvc-1",
    )
    assert fake.now["n1"].volumes[0].tags == ()


@pytest.mark.parametrize("kind", ["logic_volume", "persistent_volume"])
def test_before_removal_both_objects_are_asked_for_by_name(kind):
    """The lists lacked it, the API server has it by name: not removed."""
    api, fake = FakeApi(node("n1")), FakeNodes(inventory("n1", local_volume(marked=400)))
    real = api.get
    raw = logic_volume() if kind == "logic_volume" else pv()
    api.get = lambda path, query=None: raw if path == getattr(paths, kind)("pvc-1") else real(path)
    assert sweep(api, fake).removed == ()
    assert REMOVE not in fake.tasks()


@pytest.mark.parametrize("kind", ["logic_volume", "persistent_volume"])
def test_before_a_mark_both_objects_are_asked_for_by_name(kind):
    """The lists were cut short: no mark is put on a volume that has an owner, and only those to be
    marked are asked for.
    """
    api = FakeApi(node("n1"), logic_volume("pvc-2"), pv("pvc-2"))
    fake = FakeNodes(inventory("n1", local_volume(), local_volume("volume-pvc-2")))
    real = api.get
    raw = logic_volume() if kind == "logic_volume" else pv()
    api.get = lambda path, query=None: raw if path == getattr(paths, kind)("pvc-1") else real(path)
    assert sweep(api, fake).marked == ()
    assert fake.tasks() == []
    assert not any(path.endswith("/pvc-2") for path in api.reads)


def test_an_error_is_never_absence():
    """The API server answers the question by name with an error, or answers nothing any more: told,
    and nothing is removed.
    """
    for away in (False, True):
        api, fake = FakeApi(node("n1")), FakeNodes(inventory("n1", local_volume(marked=400)))
        fail(api, paths.logic_volume("pvc-1"), away=away)
        swept = sweep(api, fake)
        assert swept.outcome == ("failed" if away else "swept")
        assert "by chance" in (swept.reason if away else swept.failed[0])
        assert fake.tasks() == []


def test_one_object_that_cannot_be_read_keeps_its_local_volume_and_no_other():
    """A webhook or a policy refuses the question about one: it is kept, the other orphan goes."""
    fake = FakeNodes(inventory("n1", *orphans(2, marked=400)))
    names = sorted(v.name.removeprefix("volume-") for v in fake.now["n1"].volumes)
    api = FakeApi(node("n1"))
    fail(api, paths.logic_volume(names[0]), error=ApiDenied("by chance"))
    swept = sweep(api, fake)
    assert [name.rpartition("/")[2] for name in swept.trashed] == [f"volume-{names[1]}"]
    assert names[0] in swept.failed[0]


def test_an_unreadable_logic_volume_keeps_its_local_volume():
    """A LogicVolume with a field missing exists all the same, and it is not read by name to
    find that out again.
    """
    broken = logic_volume()
    del broken["spec"]["size"]
    fake = FakeNodes(inventory("n1", local_volume(marked=400)))
    swept = sweep(FakeApi(node("n1"), broken), fake)
    assert (swept.outcome, swept.kept, swept.removed, swept.failed) == ("swept", 1, (), ())
    assert fake.tasks() == []


def test_above_the_cap_nothing_is_removed_until_a_person_names_the_number():
    """Eleven orphans of eleven: refused with an Event; ten go; eleven go when eleven is confirmed,
    not when twelve is.
    """
    api = FakeApi(node("n1"))
    for confirm in (None, {"n1": 12}, {"n2": 11}):
        fake = FakeNodes(inventory("n1", *orphans(11, marked=400)))
        refused = sweep(api, fake, confirm)
        assert (refused.outcome, refused.trashed, fake.tasks()) == ("refused", (), [])
    assert "CarinaTasksRefused" in {e["reason"] for e in api.events}
    assert (
        len(sweep(api, FakeNodes(inventory("n1", *orphans(11, marked=400))), {"n1": 11}).trashed)
        == 11
    )
    assert len(sweep(api, FakeNodes(inventory("n1", *orphans(10, marked=400)))).trashed) == 10


def test_marking_goes_on_above_the_cap():
    """A mark destroys nothing."""
    fake = FakeNodes(
        inventory("n1", *orphans(11, marked=400), local_volume("volume-new", uuid=uuid(99)))
    )
    result = sweep(FakeApi(node("n1")), fake)
    assert (result.outcome, result.marked) == ("refused", ("carina-vg-hdd/volume-new",))


def test_inventories_are_taken_before_the_lists():
    """Carina makes the LogicVolume before the LV, so the lists must be the younger."""
    api, fake = FakeApi(node("n1")), FakeNodes(inventory("n1", *orphans(1)))
    order = []
    real_ask, real_list = fake.ask_all, api.list
    fake.ask_all = lambda requests, task, answer, more=0: (
        order.append(task) or real_ask(requests, task, answer, more)
    )
    api.list = lambda path, query=None: order.append(path) or real_list(path, query)
    sweep(api, fake)
    assert (
        order.index("carina.node.inventory")
        < order.index(paths.LOGIC_VOLUMES)
        < order.index(paths.PERSISTENT_VOLUMES)
    )


def test_a_missing_volume_is_reported_and_nothing_is_made():
    """LogicVolume Success, no LV: named in the result and in an Event, and the node is asked for
    nothing.
    """
    api, fake = FakeApi(node("n1"), logic_volume(), pv()), FakeNodes(inventory("n1"))
    assert sweep(api, fake).missing == ("pvc-1",)
    assert [e["reason"] for e in api.events] == ["LocalVolumeMissing"]
    assert (fake.tasks(), api.log) == ([], [])


def test_a_disk_that_is_gone_is_the_sweeps_reason():
    """The VG of missing volumes is not reported at all: the sweep's own result gives the reason."""
    api, fake = (
        FakeApi(node("n1"), logic_volume(), pv()),
        FakeNodes(Inventory(node="n1", groups=(), volumes=())),
    )
    result = sweep(api, fake)
    assert (result.outcome, result.missing) == ("swept", ("pvc-1",))
    assert (
        result.reason
        == "node n1 reports no volume group carina-vg-hdd: its disk fails, is gone or was not found"
    )


def test_what_a_sweep_found_is_kept_for_the_metrics():
    """S3: how many volumes are missing, what lies in the trash, what was kept and why, and when the
    sweep ended well.
    """
    tags = (f"{well_known.TAG_TRASH_NAME}volume-old", f"{well_known.TAG_TRASH_AT}{int(NOW) - 5}")
    trashed = local_volume(names.trash_of(uuid(7)), uuid=uuid(7), tags=tags)
    young = local_volume("volume-young", uuid=uuid(8), age=5)
    fake = FakeNodes(inventory("n1", trashed, young), inventory("n2", *orphans(12, marked=400)))
    ctx = context(FakeApi(node("n1"), node("n2"), logic_volume(), pv()), fake)
    sweep_local_volumes(ctx)
    found = ctx.latest_results.last("sweep.local_volumes", Swept)
    missing = MissingVolume("pvc-1", "n1", "default/claim-pvc-1")
    assert (found.at, found.missing) == (int(NOW), (missing,))
    assert found.nodes == (
        SweptNode("n1", missing=1, trash=1, trash_bytes=trashed.size, at=int(NOW)),
        SweptNode("n2", over_cap=12, at=int(NOW)),
    )
    assert found.kept == (KeptVolumes("foreign-name", 1), KeptVolumes("young", 1))
    assert sweep_logic_volumes(ctx).kept == 1
    assert ctx.latest_results.last("sweep.logic_volumes", Swept).at == int(NOW)


def test_what_a_sweep_did_is_counted():
    """Marked, trashed and failed local volumes, each under its name, and the time that the sweep
    took.
    """

    def count(outcome):
        return REGISTRY.get_sample_value("carina_tasks_orphans_total", {"outcome": outcome}) or 0

    before = {outcome: count(outcome) for outcome in ("marked", "trashed", "purged")}
    sweep(FakeApi(node("n1")), FakeNodes(inventory("n1", *orphans(3))))
    sweep(FakeApi(node("n1")), FakeNodes(inventory("n1", *orphans(2, marked=400))))
    assert {outcome: count(outcome) - n for outcome, n in before.items()} == {
        "marked": 3,
        "trashed": 2,
        "purged": 0,
    }
    assert (
        REGISTRY.get_sample_value(
            "carina_tasks_sweep_duration_seconds_count", {"sweep": "local_volumes"}
        )
        >= 2
    )


def test_a_sweep_that_fails_is_no_good_sweep():
    """When the lists cannot be had nothing is kept: the time of the last good sweep stays."""
    api = FakeApi(node("n1"))
    ctx = context(api, FakeNodes(inventory("n1")))
    api.list = lambda path, query=None: (_ for _ in ()).throw(ApiUnavailable("away"))
    for flow in (sweep_local_volumes, sweep_logic_volumes):
        with pytest.raises(ApiUnavailable):
            flow(ctx)
    assert ctx.latest_results.kept == {}


def test_one_nodes_trouble_is_its_own():
    """A NotReady node is skipped, a silent one and one whose task fails are told, the last one is
    swept.
    """
    api = FakeApi(node("n1", ready="Unknown"), node("n2"), node("n3"), node("n4"))
    fake = FakeNodes(inventory("n3", *orphans(1)), inventory("n4", *orphans(1)))
    fake.broken = {("n3", MARK): NodeFailed("boom")}
    result = sweep_local_volumes(context(api, fake))
    assert {n.node: n.outcome for n in result.nodes} == {
        "n1": "skipped",
        "n2": "failed",
        "n3": "failed",
        "n4": "swept",
    }


@pytest.mark.parametrize("flow", [sweep_local_volumes, sweep_logic_volumes])
@pytest.mark.parametrize("key", ["paused", "latched"])
def test_pause_and_latch_come_before_everything(flow, key):
    """With either set, nothing else is read, asked or written."""
    state = {
        "kind": "ConfigMap",
        "metadata": {"name": well_known.STATE_CONFIG_MAP, "namespace": "kube-system"},
    }
    api = FakeApi(node("n1"), logic_volume(), state | {"data": {key: "manually"}})
    fake = FakeNodes(inventory("n1", *orphans(1, marked=400)))
    with pytest.raises((Paused, MassFailure), match="manually"):
        flow(context(api, fake))
    assert len(api.reads) == 1
    assert (api.log, fake.asked) == ([], [])


def test_a_logic_volume_without_a_pv_is_deleted_with_preconditions_and_its_finalizer_taken_off():
    """UID and resourceVersion as they were read, then Carina's finalizer and no other."""
    api = FakeApi(
        node("n1"), logic_volume(finalizers=[well_known.LOGIC_VOLUME_FINALIZER, "other/one"])
    )
    assert sweep_logic_volumes(context(api, FakeNodes())).deleted == ("pvc-1",)
    assert api.log[0] == (
        "delete",
        paths.logic_volume("pvc-1"),
        {
            "uid": "uid-lv-pvc-1",
            "resourceVersion": "1",
            "grace": None,
        },
    )
    assert api.one("LogicVolume", "pvc-1")["metadata"]["finalizers"] == ["other/one"]
    assert [e["reason"] for e in api.events] == ["LogicVolumeDeleted"]


@pytest.mark.parametrize("change", [{"uid": "another"}, {"resourceVersion": "9"}])
def test_one_that_changed_since_it_was_listed_is_not_deleted(change):
    """Made again, or changed, between list and delete: it stays, and the next sweep looks at it."""
    api = FakeApi(node("n1"), logic_volume())

    def meddle(verb, path):
        api.one("LogicVolume", "pvc-1")["metadata"].update(change)

    api.on_write = meddle
    result = sweep_logic_volumes(context(api, FakeNodes()))
    assert (result.deleted, len(result.failed)) == ((), 1)
    assert "deletionTimestamp" not in api.one("LogicVolume", "pvc-1")["metadata"]


def test_the_pv_is_asked_for_by_name_before_anything_goes():
    """The list lacked the PV, the API server has it: kept."""
    api = FakeApi(node("n1"), logic_volume())
    real = api.get
    api.get = lambda path, query=None: (
        pv() if path == paths.persistent_volume("pvc-1") else real(path)
    )
    assert sweep_logic_volumes(context(api, FakeNodes())).kept == 1
    assert api.log == []


def test_what_is_kept_without_a_pv_is_noted():
    """A claim that still names it, a raw one, an owned one: kept, and the operator can read why."""
    owner = [{"kind": "LogicVolume", "name": "x", "uid": "u"}]
    api = FakeApi(
        node("n1"),
        logic_volume("pvc-1"),
        claim("pvc-1"),
        logic_volume("raw", manage="raw"),
        logic_volume("half", ownerReferences=owner),
        logic_volume("with", journal=journal("with")),
        logic_volume("young", created=NOW - 5),
        logic_volume("plain"),
        pv("plain"),
    )
    result = sweep_logic_volumes(context(api, FakeNodes()))
    assert (result.kept, len(result.noted), result.deleted) == (6, 5, ())
    assert api.log == []


def test_one_hanging_in_deletion_is_helped():
    """Only the finalizer is removed."""
    api = FakeApi(node("n1"), logic_volume(deletionTimestamp=at(NOW - 700)))
    assert sweep_logic_volumes(context(api, FakeNodes())).helped == ("pvc-1",)
    assert api.writes() == ["merge logicvolumes/pvc-1"]


def test_what_fails_with_one_volume_holds_no_other_up():
    """The delete of one is refused, the other goes."""
    api = FakeApi(node("n1"), logic_volume("a"), logic_volume("b"))
    real = api.delete

    def delete(path, **options):
        if path.endswith("/a"):
            raise ApiConflict("no")
        real(path, **options)

    api.delete = delete
    result = sweep_logic_volumes(context(api, FakeNodes()))
    assert (result.deleted, result.failed) == (("b",), ("default/claim-a (a): no",))


def test_an_unreadable_pv_keeps_its_logic_volume():
    """A PV whose size does not parse is a PV."""
    broken = pv()
    broken["spec"]["capacity"]["storage"] = "much"
    api = FakeApi(node("n1"), logic_volume(), broken)
    result = sweep_logic_volumes(context(api, FakeNodes()))
    assert (result.deleted, len(result.failed), len(result.unreadable)) == ((), 1, 1)
    assert api.log == []


def test_deleted_nodes_that_the_watch_missed_are_named():
    """A managed LogicVolume without a journal names a node that is not there."""
    api = FakeApi(
        node("n1"),
        logic_volume("a", "n8"),
        pv("a", "n8"),
        logic_volume("b", "n9", manage="raw"),
        pv("b"),
        logic_volume("c", "n7", journal=journal("c", target="n7")),
        pv("c"),
    )
    assert sweep_logic_volumes(context(api, FakeNodes())).deleted_nodes == ("n8",)


def test_a_touch_that_was_left_on_a_claim_is_taken_off():
    """By a slow or dead worker; that of a rebuild under way stays."""
    left, busy = claim("pvc-1"), claim("pvc-2")
    for raw in (left, busy):
        raw["metadata"].setdefault("annotations", {})[well_known.TOUCH] = "5"
    api = FakeApi(
        node("n1"),
        logic_volume(),
        pv(),
        left,
        logic_volume("pvc-2", journal=journal("pvc-2")),
        pv("pvc-2"),
        busy,
    )
    sweep_logic_volumes(context(api, FakeNodes()))
    touched = [
        well_known.TOUCH in raw["metadata"]["annotations"]
        for raw in api.objects.values()
        if raw["kind"] == "PersistentVolumeClaim"
    ]
    assert touched == [False, True]
    assert len(api.log) == 1


def test_a_sweep_that_reached_no_node_is_no_success():
    """The only worker is silent: the time of the last success stays what it was. A cluster without
    a Ready node is swept.
    """
    ctx = context(FakeApi(node("n1")), FakeNodes())
    sweep_local_volumes(ctx)
    assert ctx.latest_results.last("sweep.local_volumes", Swept) is None
    ctx = context(FakeApi(node("n1", ready="Unknown")), FakeNodes())
    sweep_local_volumes(ctx)
    assert ctx.latest_results.last("sweep.local_volumes", Swept) is not None


def test_a_node_that_was_not_swept_keeps_when_it_was():
    """n2's worker is silent since a while: its own age grows, n1's does not, and a node that is
    gone is forgotten.
    """
    ctx = context(FakeApi(node("n1"), node("n2")), FakeNodes(inventory("n1")))
    before = Swept(
        1, (), (SweptNode("n1", at=1), SweptNode("n2", trash=3, at=1), SweptNode("n9", at=1))
    )
    ctx.latest_results.keep("sweep.local_volumes", before, 1)
    sweep_local_volumes(ctx)
    found = ctx.latest_results.last("sweep.local_volumes", Swept)
    assert found.nodes == (SweptNode("n1", at=int(NOW)), SweptNode("n2", trash=3, at=1))


def test_old_copies_are_told_of_and_kept_though_there_is_no_trash():
    """n1 is back with the old copy of a volume that is on n2 now: trashed with retention 0, an
    Event and the finding name it.
    """
    stale = local_volume(marked=400)
    api = FakeApi(node("n1"), node("n2"), logic_volume(on="n2"), pv(on="n2"))
    fake = FakeNodes(inventory("n1", stale), inventory("n2", local_volume(uuid=uuid(5))))
    ctx = context(api, fake, trash_retention="0")
    result = {one.node: one for one in sweep_local_volumes(ctx).nodes}["n1"]
    assert (result.trashed, result.removed) == (("carina-vg-hdd/volume-pvc-1",), ())
    (event,) = [e for e in api.events if e["reason"] == "OldCopiesKept"]
    assert (
        "node n1 holds the data that 1 volumes had before they were failed over" in event["message"]
    )
    found = {one.node: one for one in ctx.latest_results.last("sweep.local_volumes", Swept).nodes}
    assert (found["n1"].old_copies, found["n1"].old_until, found["n2"].old_copies) == (
        1,
        int(NOW) + 86400,
        0,
    )
    sweep_local_volumes(ctx)
    (listed,) = list_trash(ctx).volumes
    assert 86000 < listed.left <= 86400


def test_a_node_that_does_not_answer_delays_no_other():
    """n1 lets its request wait until both other nodes were asked: they are, in the meantime."""
    api = FakeApi(*map(node, ("n1", "n2", "n3")))
    fake = FakeNodes(*(inventory(name, *orphans(1)) for name in ("n1", "n2", "n3")))
    done, ask = threading.Barrier(3), fake.ask

    def waits(name, task, request, answer, more=0):
        done.wait(timeout=20)
        if name == "n1":
            raise NodeSilent("n1 did not answer")
        return ask(name, task, request, answer, more)

    fake.ask = waits
    result = sweep_local_volumes(context(api, fake, concurrency="3"))
    assert {one.node: bool(one.marked) for one in result.nodes} == {
        "n1": False,
        "n2": True,
        "n3": True,
    }
