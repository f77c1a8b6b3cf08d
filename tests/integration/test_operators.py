"""D1 to D6 on the embedded default: what runs beside the main job, and how the operator calls and
sees
tasks.
"""

from __future__ import annotations

import json
import re

import pytest

from carina_tasks.errors import CarinaTasksError
from tests.integration.embedded import GIB, NODES, ONE, Embedded


def test_a_node_queue_runs_lvm(embedded: Embedded) -> None:
    """D3, D5: `celery call` on a node's queue is answered by that node's lvm, and `celery result`
    shows the answer.
    """
    embedded.nodes[ONE].create("volume-x", 3 * GIB)
    task_id = embedded.celery("call", "carina.node.inventory", "--queue", f"node.{ONE}").split()[-1]
    embedded.wait("the node answers", lambda: embedded.stage.app.AsyncResult(task_id).ready())
    text = embedded.celery("result", task_id)
    assert f"'node': '{ONE}'" in text
    assert "'name': 'volume-x'" in text
    assert str(3 * GIB) in text


def test_a_control_task_is_called_from_the_command_line(embedded: Embedded) -> None:
    """D5: `celery call` and `celery result` carry a sweep's outcome, with a line for each node."""
    task_id = embedded.celery("call", "carina.sweep.local_volumes").split()[-1]
    embedded.wait("the sweep ends", lambda: embedded.stage.app.AsyncResult(task_id).ready())
    text = embedded.celery("result", task_id)
    assert all(node in text for node in NODES)
    assert "swept" in text


def test_inspect_sees_all_workers(embedded: Embedded) -> None:
    """D5: `celery inspect` is answered by the control worker and every node's worker, each with its
    own tasks and queue.
    """
    pong = embedded.celery("inspect", "ping")
    assert pong.count("pong") == len(NODES) + 1
    registered = json.loads(embedded.celery("inspect", "registered", "--json"))
    queues = json.loads(embedded.celery("inspect", "active_queues", "--json"))
    for node in NODES:
        assert sorted(
            task for task in registered[f"{node}@{node}"] if task.startswith("carina.")
        ) == [
            "carina.node.inventory",
            "carina.volume.create",
            "carina.volume.mark",
            "carina.volume.purge",
            "carina.volume.remove",
            "carina.volume.restore",
        ]
        assert [queue["name"] for queue in queues[f"{node}@{node}"]] == [f"node.{node}"]


def test_flower_shows_readable_arguments(embedded: Embedded) -> None:
    """D4: Flower lists the workers, and a task with the node that it was called for and what came
    of it.
    """
    task_id = embedded.send("carina.failover.migrate_node", ONE)
    embedded.stage.app.AsyncResult(task_id).get(timeout=20)

    def shown() -> bool:
        task = embedded.flower("/api/tasks").get(task_id)
        return bool(task) and task["state"] == "REFUSED" and task["name"] is not None

    embedded.wait("Flower shows the task", shown)
    task = embedded.flower("/api/tasks")[task_id]
    assert task["name"] == "carina.failover.migrate_node"
    assert ONE in task["args"]
    assert f"node {ONE} is Ready" in task["result"]
    assert {f"{node}@{node}" for node in NODES} <= set(embedded.flower("/api/workers?refresh=1"))


def test_the_shell_has_what_an_operator_calls(embedded: Embedded) -> None:
    """D6: in `celery shell` the tasks stand under their names; a node is asked, and a failover
    planned for, from there.
    """
    embedded.nodes[ONE].create("volume-x", GIB)
    lines = (
        f"print('ASKED', [v.name for v in inventory.ask('{ONE}').volumes])\n"
        f"print('TASK', migrate_node.delay('{ONE}').get(timeout=20)['outcome'])\n"
    )
    text = embedded.celery("shell", "--python", stdin=lines)
    assert "ASKED ['volume-x']" in text
    assert "TASK refused" in text


@pytest.mark.parametrize("task", ["carina.failover.rebuild_node", "carina.failover.migrate_node"])
@pytest.mark.parametrize("node", ["../etc", "Node One", "", "a" * 300, "$(reboot)", 7, None, ["x"]])
def test_a_bad_node_name_is_refused_with_the_reason(
    embedded: Embedded, task: str, node: object
) -> None:
    """Bad input: a name that is none ends the task with one line that reports it; no worker
    minds.
    """
    with pytest.raises(Exception, match=r"(?i)node name|not a name|name") as failure:
        embedded.call(task, node)
    assert type(failure.value).__name__ == "BadInput", repr(failure.value)
    assert "\n" not in str(failure.value)


def test_an_unknown_node_is_said_to_be_unknown(embedded: Embedded) -> None:
    """Bad input: a node that never was has nothing to rebuild, and cannot be NotReady; the results
    say so.
    """
    name = embedded.volume("data", ONE)
    rebuilt = embedded.call("carina.failover.rebuild_node", "10.99.99.99")
    assert rebuilt["outcome"] == "refused"
    assert "there is no node" in rebuilt["reason"]
    migrated = embedded.call("carina.failover.migrate_node", "10.99.99.99")
    assert migrated["outcome"] == "refused"
    assert "does not exist" in migrated["reason"]
    assert embedded.table()[name][2:] == [ONE, "Success"]


@pytest.mark.parametrize("confirm", [{"../x": 3}, {ONE: "3"}, {ONE: -1}, [1], "all"])
def test_a_bad_confirmation_is_refused_with_the_reason(embedded: Embedded, confirm: object) -> None:
    """Bad input: a sweep's `confirm` must be a node and a number; anything else removes nothing."""
    with pytest.raises(CarinaTasksError):
        embedded.call("carina.sweep.local_volumes", confirm)


def test_an_unreadable_logic_volume_holds_no_other_up(embedded: Embedded) -> None:
    """Bad input: a LogicVolume whose size does not parse is named in the result; the node's other
    volumes are rebuilt.
    """
    good = embedded.volume("good", ONE)
    bad = embedded.volume("bad", ONE)
    embedded.api.merge(
        f"/apis/carina.storage.io/v1/logicvolumes/{bad}", {"spec": {"deviceGroup": "../vg;reboot"}}
    )
    embedded.world.delete_node(ONE)
    embedded.wait_rebuilt(good, away_from=ONE)
    result = embedded.call("carina.sweep.logic_volumes")
    assert any(re.search(rf"{bad}.*deviceGroup", line) for line in result["unreadable"])


def test_status_shows_which_node_may_be_lost(embedded: Embedded) -> None:
    """A volume that fits nowhere else: the task names it with the reason, `carina status` shows it,
    and nothing is changed.
    """
    fits = embedded.volume("small", ONE)
    big = embedded.volume("big", ONE, size="70Gi")
    others = [node for node in NODES if node != ONE]
    for i, node in enumerate(others):
        embedded.nodes[node].create(f"volume-in-the-way-{i}", 25 * GIB)
    found = {one["node"]: one for one in embedded.call("carina.failover.readiness")["nodes"]}
    assert (found[ONE]["ready"], found[ONE].get("places"), found[ONE].get("without_place")) == (
        False,
        1,
        1,
    )
    assert [v["volume"] for v in found[ONE]["volumes"]] == [big]
    assert all(found[node]["ready"] for node in others)
    text = embedded.celery("carina", "status")
    assert re.search(rf"{re.escape(ONE)} +True +alive +2 +[-0] +loses 1 volume", text), text
    assert re.search(rf"default/big +- +{re.escape(ONE)} +0/2 nodes fit.*\({big}\)", text), text
    assert text.startswith("AT RISK: 3 nodes, 2 volumes; the loss of node 10.20.9.152 would leave")
    assert "2 of 3 nodes may be lost, one at a time" in text
    assert embedded.table()[fits][2:] == embedded.table()[big][2:] == [ONE, "Success"]
    assert embedded.journals() == []
