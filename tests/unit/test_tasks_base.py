"""What all tasks share: quiet failures, retries with growing pauses, and what a call with wrong
arguments gets.
"""

import celery
import pytest
from celery.exceptions import Retry
from kombu.exceptions import OperationalError

from carina_tasks.celery import app
from carina_tasks.errors import ApiUnavailable, BadInput, CarinaTasksError, MassFailure, Paused
from carina_tasks.flows.failover.results import FailoverResult, ResumeResult, VolumeResult
from carina_tasks.tasks import base, failover, node, sweep, trash, volume
from carina_tasks.tasks.base import PAUSES, ControlTask, this_node
from tests.builders.flow import FakeApi, FakeNodes, context

OURS = [
    failover.rebuild_node,
    failover.migrate_node,
    failover.resume,
    sweep.sweep_local_volumes,
    sweep.sweep_logic_volumes,
    node.inventory,
    volume.create_volumes,
    volume.mark_volumes,
    volume.remove_volumes,
]


def task(error=None):
    """Make a control task that fails with `error`."""

    def run(self):
        if error:
            raise error
        return FailoverResult("n1", "done", "why")

    return app.task(
        bind=True, base=ControlTask, name=f"test.{type(error).__name__}.{id(error)}", shared=False
    )(run)


def called(made, retries=0):
    """Run the task as a worker does, at its so many-th retry."""
    made.push_request(
        retries=retries, called_directly=False, id="x", args=(), kwargs={}, delivery_info={}
    )
    try:
        return made()
    finally:
        made.pop_request()


def test_a_result_is_plain_json():
    """Nothing that only we could read stands in the result backend."""
    assert called(task()) == {"node": "n1", "outcome": "done", "reason": "why"}


@pytest.mark.parametrize("retries", range(len(PAUSES)))
def test_a_transient_error_is_retried_with_growing_pauses(monkeypatch, retries):
    """2, 5, 15, 30, 60 seconds."""
    made = task(ApiUnavailable("away"))
    asked = []
    monkeypatch.setattr(made, "retry", lambda exc, countdown: asked.append(countdown) or Retry())
    with pytest.raises(Retry):
        called(made, retries)
    assert asked == [PAUSES[retries]]
    assert sorted(PAUSES) == list(PAUSES)


def test_after_the_last_pause_it_fails_with_the_error():
    """Resume or the next sweep runs again anyway."""
    with pytest.raises(ApiUnavailable):
        called(task(ApiUnavailable("away")), len(PAUSES))


def test_what_will_fail_again_is_not_retried():
    """A permanent error is the task's failure at once."""
    with pytest.raises(BadInput):
        called(task(BadInput("no")))


@pytest.mark.parametrize("error", [Paused("manually"), MassFailure("2 of 3")])
def test_a_guards_no_is_a_result(error):
    """Refused is an answer with its reason, neither a failure nor a retry."""
    assert called(task(error)) == {"outcome": "refused", "reason": error.message}


@pytest.mark.parametrize("made", OURS)
def test_every_task_is_documented_and_fails_in_one_line(made):
    """A docstring for operators, a name under carina., and errors of ours without a stack trace."""
    assert made.__doc__
    assert made.name.startswith("carina.")
    assert made.throws == (CarinaTasksError,)


@pytest.mark.parametrize("made", OURS[:5])
def test_every_control_task_expires(made):
    """An hour-old message is not run."""
    assert 0 < made.expires <= 600


@pytest.mark.parametrize(
    "confirm",
    [[], "n1", 5, {"n1": 0}, {"n1": -1}, {"n1": True}, {"n1": "5"}, {"n1": 1.0}, {"N1": 5}],
)
def test_a_confirmation_that_is_none_is_refused(monkeypatch, confirm):
    """A node and a number, or it is no confirmation, and no sweep begins."""
    monkeypatch.setattr(sweep, "context", lambda: None)
    monkeypatch.setattr(sweep, "sweep_local", lambda *_: pytest.fail("it was not refused"))
    with pytest.raises(BadInput):
        sweep.sweep_local_volumes.run(confirm=confirm)


@pytest.mark.parametrize(
    "made", [volume.create_volumes, volume.mark_volumes, volume.remove_volumes]
)
@pytest.mark.parametrize("body", [None, {}, [], "x", {"volumes": [{"name": "volume-$(x)"}]}])
def test_a_node_task_refuses_a_body_before_lvm_hears_of_it(monkeypatch, made, body):
    """Bad input is told, and no command runs."""
    monkeypatch.setattr(volume, "this_node", lambda: "n1")
    monkeypatch.setattr(volume, "lvm", lambda: None)
    with pytest.raises(BadInput, match="the request is not a"):
        made.run(body)


@pytest.mark.parametrize(
    ("made", "args", "kwargs"),
    [
        (failover.rebuild_node, ("Bad_Name",), {}),
        (failover.rebuild_node, (7,), {}),
        (failover.migrate_node, ("",), {}),
        (failover.plan, ("n1",), {"not_ready": "yes"}),
        (failover.plan, ("../n1",), {}),
        (failover.readiness, ("now",), {}),
        (failover.readiness, (True,), {}),
        (failover.rebuild_volume, ("n1", "Bad_Name"), {}),
        (failover.rebuild_volume, ("n1", "pvc-x"), {"force": True}),
        (trash.list_trash, ("n1", "Bad_Name"), {}),
        (trash.restore, ("n1", 7), {}),
        (sweep.sweep_local_volumes, ({"n1": "many"},), {}),
        (sweep.sweep_local_volumes, (), {"confirm": {"N 1": 3}}),
        (node.inventory, (), {}),
        (node.inventory, (), {"queue": "control"}),
        (volume.remove_volumes, ({},), {}),
    ],
)
def test_a_wrong_call_fails_where_it_is_made(made, args, kwargs):
    """Before anything is sent: there is no broker here. A node's task without a node's queue would
    end in a control worker.
    """
    options = {"queue": kwargs.pop("queue")} if "queue" in kwargs else {}
    with pytest.raises(BadInput):
        made.apply_async(args, kwargs, **options)


@pytest.mark.parametrize(
    ("made", "args"),
    [(failover.rebuild_node, ()), (failover.status, (1,)), (failover.plan, (1, 2, 3))],
)
def test_a_wrong_number_of_arguments_fails_where_it_is_made(made, args):
    """Celery's own check, before ours looks at the values."""
    with pytest.raises(TypeError):
        made.delay(*args)


def test_a_worker_knows_its_node_by_its_queue(monkeypatch):
    """`-Q node.n7` without NODE_NAME serves n7; one that serves no node reports it."""
    current = celery.current_app
    for consumed, expected in ((["node.n7"], "n7"), (["control"], None), ([], None)):
        this_node.cache_clear()
        monkeypatch.setattr(base, "current_app", _app_consuming(consumed))
        if expected:
            assert this_node() == expected
        else:
            with pytest.raises(BadInput, match="serves no node"):
                this_node()
    this_node.cache_clear()
    assert celery.current_app is current


def _app_consuming(names):
    class Queues:
        consume_from = names

    class AMQP:
        queues = Queues

    class App:
        amqp = AMQP

    return App


def test_resume_and_sweep_ask_for_the_failovers_that_were_missed(monkeypatch):
    """Each node that they name gets its own task."""
    from carina_tasks.flows.failover.results import ResumeResult
    from carina_tasks.flows.sweeps.results import LogicSweepResult

    sent = []
    monkeypatch.setattr(
        failover.rebuild_node, "send", lambda node, reason: sent.append(("rebuild", node))
    )
    monkeypatch.setattr(
        failover.migrate_node, "send", lambda node, reason: sent.append(("migrate", node))
    )
    monkeypatch.setattr(failover, "context", lambda: None)
    monkeypatch.setattr(sweep, "context", lambda: None)
    found = ResumeResult(deleted_nodes=("n8",), not_ready_nodes=("n9",))
    monkeypatch.setattr(failover.flow_resume, "resume", lambda _: found)
    monkeypatch.setattr(
        sweep, "sweep_logic", lambda _: LogicSweepResult(kept=0, deleted_nodes=("n7",))
    )
    failover.resume.run()
    failover.resume.run(hinted=True)
    sweep.sweep_logic_volumes.run()
    assert sent == [("rebuild", "n8"), ("migrate", "n9"), ("rebuild", "n7")]


def test_a_failover_asks_for_a_resume_when_something_can_go_on_at_once(monkeypatch):
    """Once; the resume that was asked for asks for none, so that what fails again waits for the
    schedule.
    """
    sent = []
    monkeypatch.setattr(failover.resume, "send", lambda *args, reason: sent.append(args))
    shown = []
    monkeypatch.setattr(failover.publish_status, "send", lambda reason: shown.append(reason))
    monkeypatch.setattr(failover, "context", lambda: context(FakeApi(), FakeNodes()))
    volumes = (VolumeResult("pvc-1", "unfinished", "planned again", "n1", "n3", again=True),)
    failed = FailoverResult("n1", "unfinished", "why", volumes)
    monkeypatch.setattr(failover.lost_node, "rebuild_node", lambda *_: failed)
    monkeypatch.setattr(failover.lost_node, "migrate_node", lambda *_: failed)
    monkeypatch.setattr(failover.flow_resume, "resume", lambda _: ResumeResult(volumes))
    assert failover.rebuild_node.run("n1") == failover.migrate_node.run("n1") == failed
    failover.resume.run()
    assert sent == [(True,)] * 3
    assert len(shown) == 3
    failover.resume.run(hinted=True)
    assert (len(sent), len(shown)) == (3, 4)
    monkeypatch.setattr(
        failover.lost_node, "rebuild_node", lambda *_: FailoverResult("n1", "unfinished", "no fit")
    )
    failover.rebuild_node.run("n1")
    assert (len(sent), len(shown)) == (3, 4)

    def away(*_, reason):
        raise OperationalError("no broker")

    monkeypatch.setattr(failover.resume, "send", away)
    assert failover.migrate_node.run("n1") == failed


@pytest.mark.parametrize(
    ("outcome", "asked"), [("rebuilt", True), ("failed-back", True), ("unfinished", False)]
)
def test_what_has_moved_volumes_asks_whether_nodes_may_be_lost_now(monkeypatch, outcome, asked):
    """Each task that can move some, also the resume that was asked for: an answer from before the
    last of them would show the volumes where they were until the schedule asks again.
    """
    sent, ctx = [], context(FakeApi(), FakeNodes())
    monkeypatch.setattr(
        failover.readiness, "send", lambda after, **options: sent.append((after, options))
    )
    monkeypatch.setattr(failover.publish_status, "send", lambda reason: None)
    monkeypatch.setattr(failover, "context", lambda: ctx)
    volumes = (VolumeResult("pvc-1", outcome, "why", "n1", "n2"),)
    result = FailoverResult("n1", "done", "why", volumes)
    for flow, name in (
        (failover.lost_node, "rebuild_node"),
        (failover.lost_node, "migrate_node"),
        (failover.flow_rebuild_volume, "rebuild_volume"),
        (failover.flow_failback, "failback"),
    ):
        monkeypatch.setattr(flow, name, lambda *_: result)
    monkeypatch.setattr(failover.flow_resume, "resume", lambda _: ResumeResult(volumes))
    failover.rebuild_node.run("n1")
    failover.migrate_node.run("n1")
    failover.rebuild_volume.run("n1", "pvc-1")
    failover.failback.run("n1")
    failover.resume.run()
    failover.resume.run(hinted=True)
    later = int(ctx.cluster.now()) + 1
    options = {"reason": "volumes are on other nodes now", "countdown": failover.SETTLED}
    assert sent == ([(later, options)] * 6 if asked else [])


def test_what_a_confirmation_left_is_asked_for_by_a_message(monkeypatch):
    """The flow names the node; a broker that does not take the message is no error."""
    sent = []
    monkeypatch.setattr(failover, "context", lambda: context(FakeApi(), FakeNodes()))
    monkeypatch.setattr(failover.rebuild_node, "send", lambda *args, reason: sent.append(args))

    def flow(ctx, node):
        ctx.ask_for_rebuild("n2")
        return FailoverResult(node, "done", "why")

    monkeypatch.setattr(failover.lost_node, "rebuild_node", flow)
    failover.rebuild_node.run("n1")
    assert sent == [("n2",)]

    def away(*_, reason):
        raise OperationalError("no broker")

    monkeypatch.setattr(failover.rebuild_node, "send", away)
    assert failover.rebuild_node.run("n1").outcome == "done"
