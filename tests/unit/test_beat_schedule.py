"""What runs when."""

from celery.schedules import crontab

from beat_schedule import BEAT_SCHEDULE
from carina_tasks.celery import app


def test_the_sweeps_run_every_ten_minutes_by_the_clock():
    """crontab, because an interval starts again whenever beat's pod moves."""
    for task in ("carina.sweep.local_volumes", "carina.sweep.logic_volumes"):
        (entry,) = [e for e in BEAT_SCHEDULE.values() if e["task"] == task]
        assert entry["schedule"] == crontab(minute="*/10")
        assert entry["schedule"].minute == {0, 10, 20, 30, 40, 50}


def test_resume_runs_every_thirty_seconds():
    """The price of any lost message."""
    (entry,) = [e for e in BEAT_SCHEDULE.values() if e["task"] == "carina.failover.resume"]
    assert entry["schedule"] == 30.0


def test_every_entry_expires_before_the_next_is_due():
    """A worker that was away does not run a heap of them."""
    for entry in BEAT_SCHEDULE.values():
        interval = entry["schedule"] if isinstance(entry["schedule"], float) else 600
        assert 0 < entry["options"]["expires"] <= interval


def test_every_entry_is_a_task_of_ours():
    """A name without a registered task would be dropped in silence."""
    app.loader.import_default_modules()
    assert {entry["task"] for entry in BEAT_SCHEDULE.values()} <= set(app.tasks)
    assert app.conf.beat_schedule == BEAT_SCHEDULE
