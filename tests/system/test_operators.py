"""D1 to D6: beat, publishers, node queues, Flower, the celery command line and the Python shell, on
real parts.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.request

import pytest

from tests.lab import kube as k
from tests.lab import ports
from tests.lab.lab import Lab
from tests.system.product import Product

ONE, TWO, THREE = "10.20.9.151", "10.20.9.152", "10.20.9.153"
GIB = 1 << 30


def test_beat_publishes_what_its_schedule_says(lab: Lab) -> None:
    """D1: `celery beat` runs with beat_schedule.py: its resume runs again and resumes what is
    unfinished.
    """
    product = Product(lab, node_deadline="3")
    product.start("control")
    name = lab.world.add_volume("data", ONE).name
    lab.kubectl("cordon", THREE)
    lab.kubectl("delete", "node", ONE)
    with product.freeze_after_inventory(TWO):
        product.call("carina.failover.rebuild_node", ONE)
    assert product.journals() == [name]
    product.start("beat", nodes=False)
    product.wait_rebuilt(name, away_from=ONE, timeout=60)


def test_a_plain_celery_worker_is_a_control_worker(lab: Lab) -> None:
    """D1: `celery -A carina_tasks worker -Q control` does what `python -m workers.control` does."""
    product = Product(lab)
    product.start("control-cli")
    name = lab.world.add_volume("data", ONE).name
    lab.kubectl("delete", "node", ONE)
    assert product.call("carina.failover.rebuild_node", ONE)["outcome"] == "done"
    assert product.table()[name][2] != ONE


def test_node_queues_run_lvm_and_nothing_else_does(lab: Lab) -> None:
    """D3: a node task runs on its own node: the LV of a rebuild appears on the node whose queue it
    was sent to.
    """
    product = Product(lab)
    product.start("control")
    lab.world.add_volume("data", ONE)
    lab.kubectl("cordon", THREE)
    lab.kubectl("delete", "node", ONE)
    product.call("carina.failover.rebuild_node", ONE)
    assert list(lab.lvs()[TWO].values()) == [5 * GIB]
    assert lab.lvs()[THREE] == {}
    assert lab.redis.client.llen(f"node.{TWO}") == 0


def test_the_command_line(lab: Lab) -> None:
    """D5: `celery call`, `result`, `inspect` and `carina status / plan` say what an operator needs,
    nodes included.
    """
    product = Product(lab)
    product.start_open("control")
    name = lab.world.add_volume("data", ONE).name
    assert f"{ONE}@{ONE}: OK" in product.celery("inspect", "ping")
    assert "carina.node.inventory" in product.celery("inspect", "registered", "-d", f"{ONE}@{ONE}")
    assert f"node.{TWO}" in product.celery("inspect", "active_queues", "-d", f"{TWO}@{TWO}")
    task_id = product.celery("call", "carina.node.inventory", "--queue", f"node.{ONE}").split()[-1]
    product.result(task_id)
    assert f"volume-{name}" in product.celery("result", task_id)
    status = product.celery("carina", "status")
    assert status.count("alive") == 3
    plan = json.loads(product.celery("carina", "plan", ONE, "-o", "json"))
    assert plan["volumes"][0]["volume"] == name
    assert plan["volumes"][0]["outcome"] == "place"
    assert product.table()[name][2] == ONE


def test_readiness_and_its_metrics(lab: Lab) -> None:
    """Nodes that take nothing leave a volume that no node fits: task, `carina status` and metrics
    say so; nothing is written.
    """
    (port,) = ports.free(1)
    product = Product(lab, metrics_port=str(port))
    product.start("control-cli")
    name = lab.world.add_volume("data", ONE).name
    pv = f"{k.PVS}/{name}"

    def gauge(metric: str) -> float | None:
        text = urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5).read().decode()
        values = [
            line.split()[-1]
            for line in text.splitlines()
            if line.startswith(f'{metric}{{node="{ONE}"}}')
        ]
        return float(values[0]) if values else None

    def written() -> list[str]:
        return [
            lab.kube.get(path)["metadata"]["resourceVersion"]
            for path in (pv, f"{k.LOGIC_VOLUMES}/{name}")
        ]

    before = written()
    for node, ready in ((TWO, True), (THREE, False)):
        lab.kubectl("cordon", node)
        found = {one["node"]: one for one in product.call("carina.failover.readiness")["nodes"]}
        assert found[ONE]["ready"] is ready, found[ONE]
    assert [v["volume"] for v in found[ONE]["volumes"]] == [name]
    assert "unschedulable" in found[ONE]["volumes"][0]["reason"]
    text = product.celery("carina", "status")
    assert "loses 1 volume" in text, text
    first = text[text.index("AT RISK") :].splitlines()[0]
    assert first.endswith(f"kubectl uncordon {TWO} {THREE}"), first
    lab.world.wait(
        "the metrics follow", lambda: gauge("carina_tasks_volumes_without_place") == 1, 40
    )
    assert gauge("carina_tasks_node_readiness") == 0
    assert gauge("carina_tasks_node_worker_up") == 1
    assert written() == before


def test_what_a_person_on_call_types(lab: Lab) -> None:
    """D5: doctor finds nothing but the open Redis; failed names what has no place by its claim, and
    what to type, which brings it back; history tells it.
    """
    product = Product(lab)
    product.start("control", "beat", "node_watch")
    name = lab.world.add_volume("data", ONE).name
    for sweep in ("local_volumes", "logic_volumes"):
        product.call(f"carina.sweep.{sweep}")
    client = lab.redis.client
    lab.world.wait(
        "beat has given a sign", lambda: any(client.scan_iter("carina-tasks.alive.beat.*")), 60
    )
    checks = json.loads(product.typed("carina", "doctor", "-o", "json")[1])
    bad = {check["area"] for check in checks if check["verdict"] != "OK"}
    assert bad <= {"broker's users"}, checks
    assert "sealed" in " ".join(check["finding"] for check in checks)

    for node in (TWO, THREE):
        lab.kubectl("cordon", node)
    lab.kubectl("delete", "node", ONE)
    lab.world.wait("it has no place", lambda: "no-fit" in product.typed("carina", "failed")[1], 60)
    code, text = product.typed("carina", "failed", "-o", "json")
    finding = next(f for f in json.loads(text)["findings"] if f["kind"] == "no-fit")
    assert (code, finding["what"], finding["node"]) == (1, name, ONE)
    claim = finding["claim"]
    code, text = product.typed("carina", "status")
    assert code == 1
    assert text.splitlines()[0] == (
        f"DEGRADED: 1 volume of node {ONE} is unscheduled: nodes are cordoned ({claim}): "
        f"{finding['do']}"
    )
    assert finding["do"].startswith("kubectl uncordon ")
    lab.kubectl(*finding["do"].split()[1:])
    assert product.typed("carina", "retry", claim)[0] == 0
    product.wait_rebuilt(name, away_from=ONE)
    told = json.loads(product.typed("carina", "history", claim, "-o", "json")[1])["records"]
    assert "rebuild" in {record["what"] for record in told}
    assert f"volume-{name}" in product.typed("carina", "volumes", claim)[1]


def test_pause_and_resume(lab: Lab) -> None:
    """D5: while paused nothing is changed, and the reason is in the task's result; after `resume`
    it continues.
    """
    product = Product(lab)
    product.start("control")
    name = lab.world.add_volume("data", ONE).name
    product.celery("carina", "pause", "night shift wants to sleep")
    lab.kubectl("delete", "node", ONE)
    result = product.call("carina.failover.rebuild_node", ONE)
    assert result["outcome"] == "refused"
    assert "night shift" in result["reason"]
    assert product.table()[name][2] == ONE
    product.celery("carina", "resume")
    assert product.call("carina.failover.rebuild_node", ONE)["outcome"] == "done"


def test_the_python_shell(lab: Lab) -> None:
    """D6: `celery shell` has the functions by name, and they do what their docstrings show."""
    product = Product(lab)
    product.start("control")
    name = lab.world.add_volume("data", ONE).name
    script = (
        f"print('INVENTORY', [v.name for v in inventory.ask('{ONE}').volumes])\n"
        f"print('PLAN', plan.delay('{ONE}').get(timeout=30)['volumes'][0]['outcome'])\n"
        "print('SWEEP', sweep_logic_volumes.delay().get(timeout=30)['kept'])\n"
        "print('NAMES', callable(rebuild_node), callable(migrate_node), "
        "callable(sweep_local_volumes), callable(resume))\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "celery", "-A", "carina_tasks", "shell", "--python"],
        input=script,
        capture_output=True,
        text=True,
        timeout=90,
        env={**lab.host_environment(), **product.env},
    )
    text = done.stdout + done.stderr
    assert f"volume-{name}" in text, text
    assert "PLAN place" in text
    assert "SWEEP 1" in text
    assert "NAMES True True True True" in text


def test_flower_lists_tasks_with_readable_arguments(lab: Lab) -> None:
    """D4: Flower lists workers and tasks: node names stand as plain arguments, results as what
    happened.
    """
    product = Product(lab)
    product.start_open("control")
    port = ports.free(1)[0]
    flower = lab.process(
        ["celery", "-A", "carina_tasks", "flower", f"--port={port}", "--address=127.0.0.1"],
        {**product.env, "FLOWER_UNAUTHENTICATED_API": "true"},
        "flower",
    )
    url = f"http://127.0.0.1:{port}/api"

    def get(path: str) -> dict[str, dict[str, object]]:
        with urllib.request.urlopen(url + path, timeout=10) as answer:
            return json.load(answer)

    lab.world.wait("Flower answers", lambda: _answers(f"{url}/workers"), 30)
    time.sleep(2)
    product.call("carina.failover.rebuild_node", ONE)
    lab.world.wait(
        "Flower has the task",
        lambda: any(
            t["name"] == "carina.failover.rebuild_node" and t["state"] == "REFUSED"
            for t in get("/tasks").values()
        ),
        20,
    )
    task = next(t for t in get("/tasks").values() if t["name"] == "carina.failover.rebuild_node")
    assert ONE in str(task["args"])
    assert "exists" in str(task["result"])
    assert f"{ONE}@{ONE}" in get("/workers?refresh=1")
    assert flower.alive


@pytest.mark.parametrize(
    ("task", "args", "reason"),
    [
        ("carina.failover.rebuild_node", ["no; such $(node)"], "is not a node name"),
        ("carina.failover.rebuild_node", [7], "is not a node name"),
        ("carina.failover.migrate_node", ["../nodes"], "is not a node name"),
        ("carina.sweep.local_volumes", [{"n1": "many"}], "confirm takes a node and the number"),
    ],
)
def test_a_bad_call_is_refused_with_its_reason(
    lab: Lab, task: str, args: list[object], reason: str
) -> None:
    """Bad input: a task called with what cannot be is refused, with the reason in its result, and
    nothing else happens.
    """
    product = Product(lab)
    product.start("control", nodes=False)
    with pytest.raises(AssertionError, match=reason):
        product.call(task, *args)


def test_an_unknown_node_is_refused(lab: Lab) -> None:
    """Bad input: a node that does not exist and that no LogicVolume names is refused, and the
    result gives the reason.
    """
    product = Product(lab)
    product.start("control", nodes=False)
    result = product.call("carina.failover.rebuild_node", "no-such-node")
    assert result["outcome"] == "refused"
    assert "there is no node no-such-node" in result["reason"]


def test_one_bad_logic_volume_does_not_hold_the_others_up(lab: Lab) -> None:
    """Bad input: a LogicVolume with a name or size that LVM would not take is reported; the others
    are rebuilt.
    """
    product = Product(lab)
    product.start("control")
    good = lab.world.add_volume("good", ONE).name
    product.add_logic_volume("bad", ONE)
    lab.kube.patch(f"{k.LOGIC_VOLUMES}/bad", {"spec": {"deviceGroup": "$(reboot)", "size": "1Gi"}})
    lab.kubectl("delete", "node", ONE)
    result = product.call("carina.failover.rebuild_node", ONE)
    assert any("bad" in line and "deviceGroup" in line for line in result["unreadable"])
    assert product.table()[good][2] != ONE
    assert "bad" in product.call("carina.sweep.logic_volumes")["unreadable"][0]


def test_missing_settings_are_named(lab: Lab) -> None:
    """Bad input: a missing or wrong setting is named with what it should be, in one line, before
    anything starts.
    """
    for argv, env, words in (
        (["python", "-m", "workers.node"], {}, "NODE_NAME is not set"),
        (
            ["python", "-m", "workers.control"],
            {"CARINA_TASKS_ORPHAN_GRACE": "soon"},
            "CARINA_TASKS_ORPHAN_GRACE",
        ),
        (["python", "-m", "workers.node_watch"], {"KUBECONFIG": "/nonexistent"}, "set KUBECONFIG"),
        (
            ["celery", "-A", "carina_tasks", "beat"],
            {"CARINA_TASKS_BROKER_URL": "amqp://x"},
            "redis://",
        ),
    ):
        process = lab.process(argv, env, f"bad-{len(words)}")
        code = process.popen.wait(20)
        text = process.tail(50)
        lab.processes.remove(process)
        assert code != 0
        assert words in text, text
        assert "Traceback" not in text


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2):
            return True
    except OSError:
        return False
