"""The application by role: what a node may import, and how narrowly it talks to Redis."""

import subprocess
import sys
import time
from datetime import datetime

import pytest
from celery.signals import before_task_publish

from carina_tasks.broker.queue_lengths import SENT_AT
from carina_tasks.celery import TASK_MODULES, make_app, transport_options
from carina_tasks.settings import load

DEADLINE = load({}).node_deadline


def conf(**more):
    """Make settings."""
    return load({"NODE_NAME": "n1"} | {f"CARINA_TASKS_{k.upper()}": v for k, v in more.items()})


@pytest.fixture(autouse=True)
def _current_app_stays():
    """make_app sets the current application: put the old one back."""
    from celery import _state

    before = _state.get_current_app()
    yield
    before.set_current()
    before.set_default()


@pytest.mark.parametrize("role", ["control", "node"])
def test_every_connection_has_time_limits(role):
    """Without them a half-open connection hung publishers permanently."""
    options = transport_options(conf(), role)
    assert (
        options["socket_timeout"],
        options["socket_connect_timeout"],
        options["health_check_interval"],
    ) == (
        10,
        2,
        5,
    )
    assert options["socket_keepalive"] is True
    assert "socket_keepalive" not in transport_options(conf(broker_url="redis+socket:///x"), role)


def test_a_node_needs_no_shared_keys():
    """No record of unacknowledged messages, no priorities: those need scripts and keys that its ACL
    denies.
    """
    options = transport_options(conf(), "node")
    assert (options["ack_emulation"], options["priority_steps"]) == (False, [0])
    assert "ack_emulation" not in transport_options(conf(), "control")


def test_a_sentinel_master_is_handed_on():
    """To broker and result backend."""
    app = make_app(conf(broker_url="sentinel://a:26379", broker_master_name="m"), "control")
    assert app.conf.broker_transport_options["master_name"] == "m"
    assert app.conf.result_backend_transport_options["master_name"] == "m"


@pytest.mark.parametrize("role", ["control", "node"])
def test_only_json_is_taken(role):
    """A pickle from a queue would be another client's code."""
    app = make_app(conf(), role)
    assert app.conf.accept_content == ["json"]
    assert (app.conf.task_serializer, app.conf.result_serializer) == ("json", "json")
    assert app.conf.task_create_missing_queues is False


def test_a_node_consumes_its_own_queue_alone():
    """And imports only the tasks of nodes; control consumes control."""
    node, control = make_app(conf(), "node"), make_app(conf(), "control")
    assert [q.name for q in node.conf.task_queues] == ["node.n1"]
    assert [q.name for q in control.conf.task_queues] == ["control"]
    assert not any("sweep" in m or "failover" in m for m in TASK_MODULES["node"])


@pytest.mark.parametrize(("profile", "seen"), [("open", True), ("sealed", False)])
def test_a_sealed_node_neither_sends_events_nor_takes_commands(profile, seen):
    """One setting, two profiles; the control worker is always seen."""
    node = make_app(conf(node_profile=profile), "node")
    assert node.conf.worker_send_task_events is seen
    assert node.conf.worker_enable_remote_control is seen
    assert make_app(conf(node_profile=profile), "control").conf.worker_send_task_events is True


def test_a_wrong_setting_is_one_line_and_no_stack_trace():
    """`celery -A carina_tasks` with a wrong setting reports which, and what it should be."""
    run = subprocess.run(
        [sys.executable, "-c", "import carina_tasks.celery"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={"CARINA_TASKS_PAGE_SIZE": "0"},
    )
    assert run.returncode == 1
    assert run.stderr.startswith("carina-tasks: CARINA_TASKS_PAGE_SIZE: ")
    assert "Traceback" not in run.stderr


NOT_ON_A_NODE = (
    "kubernetes",
    "pydantic",
    "prometheus_client",
    "urllib3",
    "requests",
    "tornado",
    "flower",
    "carina_tasks.kube",
    "carina_tasks.flows",
    "carina_tasks.cli",
    "carina_tasks.flower",
    "carina_tasks.views",
    "carina_tasks.broker.calls",
    "carina_tasks.decisions.placement",
    "carina_tasks.model.objects",
    "carina_tasks.model.snapshot",
    "carina_tasks.demo",
    "carina_tasks.emulator",
)
"""What a node worker has no business with, or needs only where its endpoint is on. The Kubernetes
client alone costs each node 60 MB, pydantic 10, prometheus_client 2.
"""


def test_a_node_worker_loads_nothing_of_the_control_side():
    """What it loads, it keeps in the memory of every node of the cluster."""
    code = (
        "import sys, workers.node, carina_tasks.celery; "
        "carina_tasks.celery.app.loader.import_default_modules(); "
        f"print(*(name for name in {NOT_ON_A_NODE} if name in sys.modules))"
    )
    run = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={"NODE_NAME": "n1"},
    )
    assert run.returncode == 0, run.stderr
    assert not run.stdout.strip()


def test_every_message_says_when_it_was_sent():
    """The age of what waits in a queue is read from it."""
    headers = {}
    began = time.time()
    before_task_publish.send(sender="carina.failover.resume", headers=headers)
    assert began <= headers[SENT_AT] <= time.time()


@pytest.mark.parametrize(
    ("task", "options", "seconds"),
    [
        ("carina.failover.rebuild_node", {}, 300),
        ("carina.failover.rebuild_node", {"expires": 7}, 7),
        ("carina.failover.resume", {"expires": None}, 60),
        ("carina.node.inventory", {"queue": "node.n1"}, DEADLINE),
        ("no.such.task", {}, DEADLINE),
    ],
)
def test_what_is_sent_by_name_expires_too(task, options, seconds):
    """As `celery call` sends it: after the task's own seconds, a node's after the deadline for its
    answer.
    """
    app = make_app(load({"CARINA_TASKS_BROKER_URL": "memory://"}), "control")
    app.conf.result_backend = "cache+memory://"
    sent = []

    def take(headers, **_):
        sent.append(datetime.fromisoformat(headers["expires"]).timestamp() - time.time())

    before_task_publish.connect(take, weak=False)
    try:
        app.send_task(task, ignore_result=True, **options)
    finally:
        before_task_publish.disconnect(take)
    assert sent == [pytest.approx(seconds, abs=3)]
