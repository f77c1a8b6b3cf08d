"""One volume of a live node, rebuilt because the operator reports it. No other report rebuilds
anything of a live node.
"""

import json

import pytest
from click.testing import CliRunner

from carina_tasks.cli import rebuild as cli
from carina_tasks.errors import ApiUnavailable, BadInput
from carina_tasks.flows.failover.lost_node import migrate_node, rebuild_node
from carina_tasks.flows.failover.single_volume import rebuild_volume
from carina_tasks.model import well_known
from carina_tasks.model.journal import Journal
from tests.builders.flow import FakeApi, FakeNodes, context, cut_pods
from tests.builders.kubernetes import (
    claim,
    inventory,
    journal,
    local_volume,
    logic_volume,
    node,
    pod,
    pv,
)

NAME = "pvc-1"


def live(*more, ready="True", lv=None, open_=False, silent=False):
    """Make a volume on the live node n1, and its workers."""
    api = FakeApi(
        node("n1", ready=ready), node("n2"), node("n3"), lv or logic_volume(), pv(), claim(), *more
    )
    workers = [inventory("n2"), inventory("n3")]
    if not silent:
        workers.append(inventory("n1", local_volume(is_open=open_)))
    return api, FakeNodes(*workers)


def test_it_comes_back_elsewhere_under_its_names_and_the_old_copy_stays():
    """New node, Success, no journal; n1 keeps its LV for the sweeps, and the Event says empty and
    manually.
    """
    api, fake = live(pod("waits", NAME, on=""))
    result = rebuild_volume(context(api, fake), "n1", NAME, NAME)
    assert (result.outcome, result.volumes[0].outcome) == ("done", "rebuilt")
    assert "manually" in result.reason
    volume = api.one("LogicVolume", NAME)
    assert volume["spec"]["nodeName"] in ("n2", "n3")
    assert volume["status"]["status"] == "Success"
    assert well_known.JOURNAL not in volume["metadata"]["annotations"]
    assert [v.name for v in fake.now["n1"].volumes] == ["volume-pvc-1"]
    event = next(e for e in api.events if e["reason"] == "VolumeRebuiltEmpty")
    assert "new and empty" in event["message"]
    assert "manually" in event["message"]


def test_its_journal_is_one_that_any_release_finishes():
    """Kind rebuild, no field of its own."""
    api, fake = live()
    rebuild_volume(context(api, fake), "n1", NAME, NAME)
    written = next(
        body
        for _, path, body in api.log
        if well_known.JOURNAL in (body.get("metadata", {}).get("annotations") or {})
    )
    text = written["metadata"]["annotations"][well_known.JOURNAL]
    assert Journal.from_json(text).kind == "rebuild"
    fields = {
        "intent",
        "kind",
        "source",
        "source_uid",
        "target",
        "reason",
        "started",
        "manifest",
        "stale",
        "together",
    }
    assert json.loads(text).keys() <= fields


RUNNING, WAITING = pod("a", NAME), {**pod("a", NAME), "status": {"phase": "Pending"}}


@pytest.mark.parametrize(
    ("stage", "force", "why"),
    [
        (live(), "", 'force="pvc-1"'),
        (live(), "pvc-2", 'force="pvc-1"'),
        (live(), True, 'force="pvc-1"'),
        (live(RUNNING), NAME, "default/a"),
        (live({**RUNNING, "status": {"phase": "Unknown"}}), NAME, "default/a"),
        (live(open_=True), NAME, "open"),
        (live(WAITING, open_=True), NAME, "open"),
        (live(WAITING, silent=True), NAME, "does not say"),
        (live(ready="Unknown"), NAME, "NotReady"),
        (live(ready="False"), NAME, "NotReady"),
        (live(lv=logic_volume(on="n9")), NAME, "it is on n9"),
        (live(lv=logic_volume(journal=journal())), NAME, "under way"),
        (live(lv=logic_volume(manage="raw")), NAME, "raw"),
    ],
)
def test_it_is_refused(stage, force, why):
    """Without its very name, in use, open, unknown, on a lost node, under way, not ours: nothing is
    written.
    """
    api, fake = stage
    result = rebuild_volume(context(api, fake), "n1", NAME, force)
    assert result.outcome == "refused"
    assert why in result.reason
    assert api.log == []
    assert fake.tasks() == []


def test_a_pod_that_lists_lack_still_uses_it():
    """The worker is silent and the first list lacks the pod: the second has it. When every list
    does, it is an error.
    """
    for lists, expected in (
        ((0,), "default/a"),
        (range(99), "hold 0 of the 1 that the API server counts"),
    ):
        api, fake = live(RUNNING, silent=True)
        cut_pods(api, "a", lists)
        try:
            said = rebuild_volume(context(api, fake), "n1", NAME, NAME).reason
        except ApiUnavailable as exc:
            said = exc.message
        assert expected in said
        assert api.log == []


def test_a_deleted_node_has_a_task_of_its_own():
    """Its volume is not taken one by one: rebuild_node proves the deletion first."""
    api = FakeApi(node("n2"), node("n3"), logic_volume(), pv(), claim())
    result = rebuild_volume(context(api, FakeNodes(inventory("n2"))), "n1", NAME, NAME)
    assert (result.outcome, "rebuild_node" in result.reason, api.log) == ("refused", True, [])


def test_a_pod_that_cannot_mount_it_is_evicted():
    """It waits on n1 and has nothing open: it follows its volume. With a silent worker and no pod
    it continues too.
    """
    api, fake = live(WAITING)
    assert rebuild_volume(context(api, fake), "n1", NAME, NAME).outcome == "done"
    assert not any(key.endswith("/pods/a") for key in api.objects)
    api, fake = live(silent=True)
    assert rebuild_volume(context(api, fake), "n1", NAME, NAME).outcome == "done"


def test_the_guards_of_a_failover_stand_before_it():
    """Paused, latched, another client at it, too much lost, no room."""
    for state in ({"paused": "by me"}, {"latched": "2 of 3"}):
        config = {
            "kind": "ConfigMap",
            "metadata": {"name": well_known.STATE_CONFIG_MAP, "namespace": "kube-system"},
            "data": state,
        }
        api, fake = live(config)
        assert rebuild_volume(context(api, fake), "n1", NAME, NAME).outcome == "refused"
        assert api.log == []
    api, fake = live()
    assert (
        rebuild_volume(context(api, fake, held=True), "n1", NAME, NAME).reason
        == "another worker is at it"
    )
    api, fake = live(
        logic_volume("x", "n8"),
        logic_volume("y", "n9"),
        logic_volume("z", "n7"),
        logic_volume("w", "n6"),
    )
    assert "4 of 7" in rebuild_volume(context(api, fake), "n1", NAME, NAME).reason
    api, fake = live(lv=logic_volume(size="900Gi"))
    assert rebuild_volume(context(api, fake), "n1", NAME, NAME).volumes[0].outcome == "no-fit"
    assert api.one("LogicVolume", NAME)["spec"]["nodeName"] == "n1"


def test_a_live_node_is_never_rebuilt_or_migrated_by_hand():
    """A call of the tasks of lost nodes for a live one is refused, whatever its pods say."""
    api, fake = live(pod("a", NAME, annotated=True))
    for flow in (rebuild_node, migrate_node):
        assert flow(context(api, fake), "n1").outcome == "refused"
    assert api.log == []


@pytest.mark.parametrize("name", ["", "../x", "PVC", None, 5, ["pvc-1"]])
def test_what_is_no_name_is_refused_before_anything_is_asked(name):
    """BadInput, and no request."""
    api, fake = live()
    with pytest.raises(BadInput):
        rebuild_volume(context(api, fake), "n1", name, name)
    assert api.reads == []
    assert (
        "there is none" in rebuild_volume(context(api, fake), "n1", "pvc-none", "pvc-none").reason
    )


def test_a_message_that_comes_twice_moves_it_once():
    """The second finds it on another node than it names, and is refused."""
    api, fake = live()
    assert rebuild_volume(context(api, fake), "n1", NAME, NAME).outcome == "done"
    before = list(api.log)
    again = rebuild_volume(context(api, fake), "n1", NAME, NAME)
    assert (again.outcome, api.log) == ("refused", before)
    assert "it is on n" in again.reason


def test_the_command_says_what_became_of_it(monkeypatch):
    """Exit 1 and the reason when refused, 0 and the new node when done, JSON for scripts."""
    api, fake = live()
    monkeypatch.setattr(cli, "context", lambda: context(api, fake))
    refused = CliRunner().invoke(cli.command, ["n1", NAME])
    assert refused.exit_code == 1
    assert f'force="{NAME}"' in refused.output
    done = CliRunner().invoke(cli.command, ["n1", NAME, "--force", NAME])
    assert done.exit_code == 0, done.output
    assert f"{NAME}: rebuilt on n" in done.output
    assert "old copy stays on n1" in done.output
    again = CliRunner().invoke(cli.command, ["n1", "pvc-none", "-o", "json"])
    assert '"outcome": "refused"' in again.output
