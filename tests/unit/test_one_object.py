"""An error of one object ends the work on that object: every other one continues, and users are
told
why this one does not.
"""

import pytest

from carina_tasks.decisions import pv_manifest
from carina_tasks.errors import (
    ApiConflict,
    ApiDenied,
    ApiInvalid,
    ApiUnauthorized,
    ApiUnavailable,
    BrokerUnavailable,
    DryRunUnsupported,
    Paused,
)
from carina_tasks.flows import one_object
from carina_tasks.flows.failover.lost_node import migrate_node, rebuild_node
from carina_tasks.flows.failover.resume import resume
from carina_tasks.flows.failover.single_volume import rebuild_volume
from carina_tasks.flows.report.problems import find_problems
from carina_tasks.flows.sweeps.logic_volumes import sweep_logic_volumes
from carina_tasks.flows.sweeps.trash import restore
from carina_tasks.kube import paths
from carina_tasks.model import objects, well_known
from carina_tasks.store.task_results import TaskResult
from tests.builders.flow import FakeApi, FakeNodes, context
from tests.builders.kubernetes import (
    NOW,
    claim,
    inventory,
    journal,
    local_volume,
    logic_volume,
    node,
    pod,
    pv,
)

ANSWERS = [
    ApiDenied("by a policy", status=403),
    ApiInvalid("by a policy", status=422),
    ApiInvalid("by a policy, too large", status=413),
    ApiUnavailable("by a policy, as a webhook failed", status=500),
    ApiUnavailable("by a policy, too many requests", status=429),
]
WRITES = {
    "journal": ("merge", paths.logic_volume("pvc-2")),
    "status": ("merge", paths.logic_volume("pvc-2") + "/status"),
    "retain": ("merge", paths.persistent_volume("pvc-2")),
    "create": ("create", paths.persistent_volume("pvc-2")),
    "delete": ("delete", paths.persistent_volume("pvc-2")),
    "touch": ("merge", paths.claim("default", "claim-pvc-2")),
    "evict": ("delete", paths.pod("default", "pod-pvc-2")),
}


def cluster(*more, names=("pvc-1", "pvc-2", "pvc-3"), lost=True, pods=True):
    """Make volumes of a node that was deleted (or lives), each with a pod."""
    parts = [node("n2"), node("n3"), *more] + ([] if lost else [node("n1")])
    for name in names:
        parts += [logic_volume(name), pv(name), claim(name)] + (
            [pod(f"pod-{name}", name)] if pods else []
        )
    return FakeApi(*parts)


def workers(*more):
    """Make the workers of the nodes with room."""
    return FakeNodes(inventory("n2"), inventory("n3"), *more)


def deny(api, verb, path, error, *, beforehand=True):
    """Refuse one verb on one object; `beforehand`: a dry run as well."""

    def look(asked, where):
        if (asked, where) == (verb, path):
            raise error

    api.on_write = look
    api.on_try = look if beforehand else lambda *_: None


def allow(api):
    """Refuse nothing any more."""
    api.on_write = api.on_try = lambda *_: None


def touched(api, name):
    """Return whether anything of a volume was written."""
    return [path for _, path, _ in api.log if name in path]


def outcomes(result):
    """Return what became of each volume."""
    return {v.volume: v.outcome for v in result.volumes}


@pytest.mark.parametrize("error", ANSWERS, ids=lambda error: str(error.facts["status"]))
@pytest.mark.parametrize("write", WRITES)
def test_a_denial_keeps_one_volume_where_it_is_and_the_others_move(write, error):
    """Whatever is refused, of whichever object: nothing of this volume is touched, its claim says
    why, later it moves.
    """
    api = cluster()
    ctx = context(api, workers())
    deny(api, *WRITES[write], error)
    result = rebuild_node(ctx, "n1")
    assert outcomes(result) == {"pvc-1": "rebuilt", "pvc-2": "failed", "pvc-3": "rebuilt"}
    assert touched(api, "pvc-2") == []
    (event,) = [e for e in api.events if e["reason"] == "RebuildFailed"]
    assert event["involvedObject"]["name"] == "claim-pvc-2"
    assert "by a policy" in event["message"]
    allow(api)
    assert outcomes(rebuild_node(ctx, "n1")) == {"pvc-2": "rebuilt"}


@pytest.mark.parametrize("write", WRITES)
def test_nothing_of_a_pod_moves_when_one_of_its_volumes_may_not(write):
    """The first of two volumes waits for the second, untouched, and reports it; a third of another
    pod
    moves.
    """
    api = cluster(pod("both", "pvc-1", "pvc-2"), pods=False)
    verb, path = WRITES[write]
    deny(api, verb, path.replace("pod-pvc-2", "both"), ApiDenied("by a policy", status=403))
    result = rebuild_node(context(api, workers()), "n1")
    assert result.outcome == "unfinished"
    assert outcomes(result)["pvc-3"] == "rebuilt"
    assert "rebuilt" not in {v.outcome for v in result.volumes if v.volume != "pvc-3"}
    assert touched(api, "pvc-1") == touched(api, "pvc-2") == []
    assert all("by a policy" in v.reason for v in result.volumes if v.volume != "pvc-3")


def test_what_a_dry_run_did_not_show_is_the_result_of_that_volume_too():
    """The policy comes between the dry run and the journal, or a webhook takes no dry run: the
    others continue.
    """
    api = cluster()
    deny(api, *WRITES["journal"], ApiInvalid("by a policy", status=422), beforehand=False)
    result = rebuild_node(context(api, workers()), "n1")
    assert outcomes(result) == {"pvc-1": "rebuilt", "pvc-2": "failed", "pvc-3": "rebuilt"}


def test_a_webhook_that_takes_no_dry_run_does_not_block():
    """Its side effects are Some: the API server refuses the dry run itself, and the rebuild
    continues
    without.
    """
    api = cluster()

    def unsupported(verb, path):
        raise DryRunUnsupported('admission webhook "x" does not support dry run', status=400)

    api.on_try = unsupported
    assert rebuild_node(context(api, workers()), "n1").outcome == "done"


@pytest.mark.parametrize("write", ["create", "delete"])
def test_just_before_the_pv_goes_it_is_asked_once_more(write):
    """A policy that came after the journal: the PV stays as it is, the claim gives the reason;
    without the
    policy it ends.
    """
    api = FakeApi(
        node("n2"),
        node("n3"),
        logic_volume("pvc-2", "n2", journal=journal("pvc-2"), status=""),
        pv("pvc-2"),
        claim("pvc-2"),
    )
    ctx = context(api, workers())
    deny(api, *WRITES[write], ApiInvalid("by a policy", status=422))
    (result,) = resume(ctx).volumes
    assert (result.outcome, "by a policy" in result.reason) == ("failed", True)
    assert api.one("PersistentVolume", "pvc-2")["metadata"]["uid"] == "uid-pv-pvc-2"
    assert "deletionTimestamp" not in api.one("PersistentVolume", "pvc-2")["metadata"]
    assert (
        "by a policy"
        in api.one("LogicVolume", "pvc-2")["metadata"]["annotations"][well_known.PROGRESS]
    )
    assert any(
        e["involvedObject"]["name"] == "claim-pvc-2"
        for e in api.events
        if e["reason"] == "RebuildFailed"
    )
    allow(api)
    assert resume(ctx).volumes[0].outcome == "rebuilt"


def test_annotations_without_room_for_the_journal_are_told_before_anything_is_written():
    """261 kB of foreign annotations: no request is tried for it, and the reason has the
    numbers.
    """
    api = cluster()
    api.one("LogicVolume", "pvc-2")["metadata"]["annotations"]["theirs"] = "x" * 261_000
    result = rebuild_node(context(api, workers()), "n1")
    assert outcomes(result) == {"pvc-1": "rebuilt", "pvc-2": "failed", "pvc-3": "rebuilt"}
    (reason,) = [v.reason for v in result.volumes if v.volume == "pvc-2"]
    assert "262144" in reason
    assert touched(api, "pvc-2") == []


def test_the_journal_has_room_to_the_byte():
    """The limit is that of the API server; a journal and a progress that are there already are
    replaced and do not count.
    """
    one = journal()
    raw = logic_volume(journal="x" * 1000)
    rest = sum(
        len(k + v) for k, v in raw["metadata"]["annotations"].items() if k != well_known.JOURNAL
    )
    room = (
        pv_manifest.ANNOTATIONS
        - len(well_known.JOURNAL + one.to_json())
        - pv_manifest.RESERVED
        - rest
        - len("a")
    )
    for size, fits in ((room, True), (room + 1, False)):
        raw["metadata"]["annotations"]["a"] = "x" * size
        assert (
            pv_manifest.annotations_too_large(objects.parse_logic_volume(raw), one) == ""
        ) is fits


def test_what_concerns_everything_ends_the_flow():
    """No answer to anything, credentials that are not known, no broker, a pause; and an error with
    the server alive does not.
    """
    api = cluster()
    ctx = context(api, workers())
    one_object.check(ctx, ApiUnavailable("timed out: a webhook hangs"))
    for error in (ApiDenied("x"), ApiInvalid("x"), ApiConflict("x")):
        one_object.check(ctx, error)
    for error in (ApiUnauthorized("x"), BrokerUnavailable("x"), Paused("x")):
        with pytest.raises(type(error)):
            one_object.check(ctx, error)

    def away(path):
        raise ApiUnavailable("away")

    api.read = away
    with pytest.raises(ApiUnavailable, match="away"):
        one_object.check(ctx, ApiUnavailable("timed out"))


@pytest.mark.parametrize("error", [ApiUnauthorized("401"), ApiUnavailable("away")])
def test_a_rebuild_ends_when_the_api_server_is_away(error):
    """The first write that is tried ends it with that error, and nothing was written."""
    api = cluster()
    read, tried = api.read, []

    def look(verb, path):
        tried.append(path)
        raise error

    def clock(path):
        if tried and isinstance(error, ApiUnavailable):
            raise error
        return read(path)

    api.on_try = api.on_write = look
    api.read = clock
    with pytest.raises(type(error)):
        rebuild_node(context(api, workers()), "n1")
    assert api.log == []


def test_a_pod_that_may_not_be_evicted_holds_no_other_up():
    """Two pods without a volume on a NotReady node: one is denied, told on the pod and in the
    result; the other is evicted.
    """
    api = FakeApi(
        node("n1", ready="Unknown", since=NOW - 400),
        node("n2"),
        node("n3"),
        pod("a", annotated=True),
        pod("b", annotated=True),
    )
    deny(api, "delete", paths.pod("default", "a"), ApiDenied("by a policy"))
    result = migrate_node(context(api, workers()), "n1")
    assert (result.outcome, result.evicted) == ("unfinished", ("default/b",))
    assert "by a policy" in result.stuck[0]
    assert any(e["reason"] == "EvictionFailed" for e in api.events)


def test_a_line_for_people_that_may_not_be_written_ends_no_resume():
    """A left progress line on one volume cannot be removed: the journal of another is
    finished.
    """
    left = logic_volume("pvc-2")
    left["metadata"]["annotations"][well_known.PROGRESS] = "1/5"
    api = FakeApi(
        node("n1"),
        node("n2"),
        left,
        pv("pvc-2"),
        claim("pvc-2"),
        logic_volume("pvc-1", "n2", journal=journal("pvc-1"), status=""),
        pv("pvc-1"),
        claim("pvc-1"),
    )
    deny(api, *WRITES["journal"], ApiInvalid("by a policy"))
    assert outcomes(resume(context(api, workers()))) == {"pvc-1": "rebuilt"}


def test_a_node_that_cannot_be_read_ends_no_resume_and_is_not_lost():
    """Its Ready condition has a time that is none: a rebuild elsewhere is finished, and no failover
    is asked for it.
    """
    broken = node("n4")
    broken["status"]["conditions"][0]["lastTransitionTime"] = "yesterday"
    api = FakeApi(
        broken,
        node("n2"),
        node("n3"),
        logic_volume("pvc-2", "n4"),
        pv("pvc-2", "n4"),
        claim("pvc-2"),
        logic_volume("pvc-1", "n2", journal=journal("pvc-1"), status=""),
        pv("pvc-1"),
        claim("pvc-1"),
    )
    result = resume(context(api, workers()))
    assert outcomes(result) == {"pvc-1": "rebuilt"}
    assert result.deleted_nodes == result.not_ready_nodes == ()


def test_by_hand_a_denial_is_the_result():
    """Nothing is written, and the result has the reason."""
    api = cluster(names=("pvc-2",), lost=False, pods=False)
    deny(api, *WRITES["journal"], ApiInvalid("by a policy"))
    result = rebuild_volume(context(api, workers(inventory("n1"))), "n1", "pvc-2", "pvc-2")
    assert outcomes(result) == {"pvc-2": "failed"}
    assert api.log == []


def test_a_logic_volume_that_may_not_be_deleted_holds_no_other_up():
    """The sweep deletes the other, and an Event reports what was refused; without an API server it
    ends.
    """
    api = FakeApi(node("n1"), logic_volume("pvc-1"), logic_volume("pvc-2"))
    deny(api, "delete", paths.logic_volume("pvc-1"), ApiDenied("by a policy"))
    swept = sweep_logic_volumes(context(api, workers()))
    assert swept.deleted == ("pvc-2",)
    assert "by a policy" in swept.failed[0]
    assert [e["involvedObject"]["name"] for e in api.events if e["reason"] == "SweepFailed"] == [
        "pvc-1"
    ]


def test_what_came_back_from_the_trash_is_back_whatever_can_be_read():
    """The LogicVolume may not be read: the restore has happened, and reports it."""
    uuid = "aaaaaa-bbbb-cccc-dddd-eeee-ffff-gggggg"
    lying = local_volume(
        f"trash-{uuid}",
        uuid=uuid,
        tags=(
            f"{well_known.TAG_TRASH_NAME}volume-pvc-1",
            f"{well_known.TAG_TRASH_AT}{int(NOW)}",
            f"{well_known.TAG_TRASH_WHY}x",
        ),
    )
    api, fake = FakeApi(node("n2")), FakeNodes(inventory("n2", lying))
    real = api.get

    def get(path, query=None):
        if path == paths.logic_volume("pvc-1"):
            raise ApiDenied("by a policy")
        return real(path)

    api.get = get
    assert "it is back" in restore(context(api, fake), "n2", uuid).advice


def test_failed_says_what_is_refused_and_that_it_is_tried_again():
    """No promise that it moves within 30 s: the reason of the last run, what to do, and how often
    it is tried.
    """
    api = cluster()
    ctx = context(api, workers())
    deny(api, *WRITES["journal"], ApiInvalid("frozen by a policy"))
    result = rebuild_node(ctx, "n1")
    stored = TaskResult(
        id="1",
        task="carina.failover.rebuild_node",
        args=("n1",),
        state="SUCCESS",
        done=NOW,
        reason="",
        volumes=tuple((v.volume, v.outcome, v.reason) for v in result.volumes),
    )
    found = {f.what: f for f in find_problems(ctx, [stored]).findings}
    assert found["pvc-2"].kind == "refused"
    assert "frozen by a policy" in found["pvc-2"].reason
    assert "every 30 s" in found["pvc-2"].reason
    assert "n1" not in found
